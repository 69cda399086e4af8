"""A style of reports that no training sees: how well a model reads what it has not met is measured on it.

Whoever writes another style takes none of these wordings over.
"""

from __future__ import annotations

from .findings import Lesion
from .phrasing import Phrasing

SUSPICIOUS = {
    3: ("might or might not harbour a significant tumour", "remains unclear in nature", "deserves follow-up"),
    4: ("probably represents a significant tumour", "is concerning for malignancy", "raises concern"),
    5: ("almost certainly represents a significant tumour", "is most concerning for malignancy", "looks malignant"),
}
NEGATIVE = (
    "There is nothing to suggest a tumour anywhere in the gland.",
    "I cannot make out any region that looks malignant.",
    "Neither zone harbours anything of concern.",
    "All regions look benign.",
    "Reassuring appearances throughout, with no target for sampling.",
    "A significant tumour is very improbable.",
)
HYPERPLASIA = {
    "none": "The inner gland is of ordinary size.",
    "mild": "Slight adenomatous change of the inner gland.",
    "moderate": "Adenomatous enlargement of the inner gland, of medium degree.",
    "marked": "Gross adenomatous enlargement of the inner gland.",
}
WEDGES = (
    "Streaky, band-like darkening {where}, which I take to be scarring.",
    "Patchy low signal {where} without focality, presumably old inflammation.",
    "Geographic darkening {where}, not worrying.",
)
LEVELS = {
    "base": ("towards the base", "near the bladder neck, at the base", "basally"),
    "mid": ("midway between base and apex", "in the middle of the gland", "at mid height"),
    "apex": ("towards the apex", "near the apex", "apically"),
}
BLADDER = {"low": "hardly filled", "moderate": "without remark", "full": "generously filled"}
RECTUM = {"empty": "empty", "gas": "inflated with air", "stool": "loaded with faeces"}


def held_out(say: Phrasing) -> str:
    """A letter in points, most important first, in words that the other styles do not use."""
    findings = say.findings
    age, psa = findings.age_years, f"{findings.psa_ng_ml:.1f}"
    greeting = say.pick(("Dear colleague,", "Thank you for referring this patient.", "To whom it may concern:"))
    person = say.pick(
        (f"He is {age} and his last PSA was {psa}.", f"Born {age} years ago; PSA lately {psa} ng per mL.")
    )
    technique = say.technique()
    outcome = say.pick(
        (
            f"I would grade this {findings.pirads} out of 5 on the PI-RADS scale.",
            f"PI-RADS (v2.1): grade {findings.pirads}/5.",
            f"This corresponds to PI-RADS {findings.pirads} of 5.",
        )
    )
    lesions = [_lesion(say, lesion) for lesion in findings.lesions]
    nothing, change = say.pick(NEGATIVE), _wedge(say)
    spreads = say.pick(("The tumour has breached the capsule.", "Tumour reaches into the fat around the gland."))
    confined = say.pick(("The capsule is smooth all round.", "The outline of the gland is preserved."))
    volume = say.pick(
        (
            f"The organ weighs in at {say.volume()}.",
            f"I make the whole gland {say.volume()} ({say.gland_diameters()}).",
            f"Planimetry yields {say.volume()}.",
        )
    )
    points = [
        *(lesions or [nothing]),
        *([change] if change else []),
        *([outcome] if say.chance(0.9) else []),
        volume,
        HYPERPLASIA[findings.hyperplasia],
        spreads if say.extends else confined,
        f"Bladder {BLADDER[findings.bladder]}, rectum {RECTUM[findings.rectum]}.",
    ]
    head = [*([greeting] if say.chance(0.6) else []), person, *([technique] if technique else [])]
    marks = say.pick(("- {text}", "({number}) {text}", "{text}"))
    body = [marks.format(number=number, text=text) for number, text in enumerate(points, start=1)]
    between = "\n" if say.chance(0.5) else " "
    return between.join([" ".join(head), *body])


def _lesion(say: Phrasing, lesion: Lesion) -> str:
    side, zone, level = say.side(lesion.side), say.zone(lesion.zone), say.pick(LEVELS[lesion.level])
    size, how = say.size(lesion), say.pick(SUSPICIOUS[lesion.pirads])
    grade = say.pick((f", grade {lesion.pirads}", f" (PI-RADS {lesion.pirads} of 5)", ""))
    return str(
        say.pick(
            (
                f"On the {side}, {level}, the {zone} contains a patch {size} across that {how}{grade}.",
                f"{level[0].upper()}{level[1:]} on the {side} side a spot in the {zone}, {size} at most, {how}{grade}.",
                f"A dark, slowly diffusing region of {size} occupies the {side} {zone} {level}; it {how}{grade}.",
            )
        )
    )


def _wedge(say: Phrasing) -> str | None:
    change, zone, words = say.findings.peripheral_change, say.zone("peripheral"), say.pick(WEDGES)
    if change == "none":
        return None
    return words.format(
        where=f"of the {zone} on both sides" if change == "both" else f"of the {say.side(change)} {zone}"
    )
