"""Reports in other people's ways: a template, a telegram, prose, and the one line of those in a hurry.

The wordings are of PI-RADS v2.1's reporting template, and of what people typed into this software.
"""

from __future__ import annotations

from .findings import Lesion
from .phrasing import BLADDER, LEVELS, NOUNS, RECTUM, Phrasing, capital, sentence

FILLED = {"empty": "collapsed", "gas": "filled with gas", "stool": "filled with stool"}


def structured(say: Phrasing) -> str:
    """A template with a line for each thing, as reporting software fills it in."""
    findings = say.findings
    size = say.pick(
        (
            f"Prostate size: {say.gland_diameters()}, volume {say.volume()}.",
            f"Size: {say.gland_diameters()}, volume {say.volume()}.",
            f"Volume: {say.volume()}.",
            f"Prostate volume: {say.volume()} ({say.gland_diameters()}).",
        )
    )
    density = f"PSA density: {findings.psa_ng_ml / findings.gland_volume_ml:.2f} ng/mL/mL."
    wedge, none = (
        say.wedge(),
        say.pick(("Normal", "Unremarkable", "No suspicious signal", "Homogeneous high T2 signal")),
    )
    zones = [
        f"{capital(say.zone('peripheral'))}: {sentence(wedge or none)}",
        f"{capital(say.zone('transition'))}: {sentence(say.hyperplasia())}",
    ]
    if say.chance(0.3):
        zones.reverse()
    extension = say.pick(("Present", "Yes", "Suspected")) if say.extends else say.pick(("None", "Absent", "No"))
    rest = [
        *([f"Hemorrhage: {say.pick(('None', 'Absent', 'No'))}."] if say.chance(0.5) else []),
        f"{capital(say.extension)}: {extension}.",
        f"Seminal vesicles: {say.pick(('Normal', 'Not involved', 'Unremarkable'))}.",
        *([f"Neurovascular bundles: {say.pick(('Normal', 'Not involved', 'Intact'))}."] if say.chance(0.5) else []),
        f"Lymph nodes: {say.pick(('Not enlarged', 'Normal', 'No adenopathy', 'None enlarged'))}.",
        *([f"Bones: {say.pick(('Normal', 'No suspicious lesion', 'No metastasis'))}."] if say.chance(0.6) else []),
        f"Bladder: {say.pick(BLADDER[findings.bladder])}.",
        f"Rectum: {say.pick(RECTUM[findings.rectum])}.",
    ]
    numbered = say.chance(0.5)
    body = [size, *([density] if say.chance(0.4) else []), *zones, *_template_lesions(say), *rest]
    closing = _numbered(say) if numbered else _overall(say)
    between = "\n" if say.chance(0.6) else " "
    technique = say.technique()
    history = f"{say.pick(('INDICATION', 'CLINICAL INFORMATION', 'HISTORY'))}: {sentence(say.history())}"
    title = say.pick(("FINDINGS:", "FINDINGS:", "RESULTS:", ""))
    head = [
        *([history] if say.chance(0.8) else []),
        *([f"TECHNIQUE: {technique}"] if technique else []),
        *(["COMPARISON: None."] if say.chance(0.4) else []),
    ]
    impression = between.join([f"{say.pick(('IMPRESSION', 'CONCLUSION', 'SUMMARY'))}:", *closing])
    found = between.join([*([title] if title else []), *body])
    # Some put the result first.
    return "\n".join([*head, impression, found] if say.chance(0.15) else [*head, found, impression])


def _template_lesions(say: Phrasing) -> list[str]:
    lesions, none = say.findings.lesions, say.pick(("None", "None identified", "No suspicious lesion"))
    layout = say.pick(("lines", "line"))
    if not lesions:
        return [f"{say.pick(('Lesions', 'Focal lesions', 'Suspicious lesions', 'Lesion(s)'))}: {none}."]
    written = []
    for number, lesion in enumerate(lesions, start=1):
        place = (say.side(lesion.side), say.zone(lesion.zone), say.pick(LEVELS[lesion.level]))
        t2, dwi = lesion.pirads, lesion.pirads
        parts = [
            f"Location: {' / '.join(place) if say.chance(0.5) else ' '.join((place[0], place[2], place[1]))}",
            f"Size: {say.size(lesion)}",
            f"T2: {t2}, DWI: {dwi}",
            f"{say.extension}: {'yes' if lesion.extraprostatic else 'no'}",
            f"Assessment: {say.score(lesion.pirads)}",
        ]
        kept = [part for part in parts if not part.startswith("T2") or say.chance(0.5)]
        name = say.pick((f"Lesion {number}", f"Lesion #{number}", f"Target {number}"))
        written += [f"{name}:", *(f"{part}." for part in kept)] if layout == "lines" else [
            f"{name}: {'; '.join(kept)}."
        ]  # fmt: skip
    return written


def _numbered(say: Phrasing) -> list[str]:
    """An impression whose sentences are numbered."""
    lines = [sentence(_in_short(say, lesion)) for lesion in say.findings.lesions] or [say.negative()]
    overall = say.pick((f"Overall {say.score(say.findings.pirads)}.", f"{say.score(say.findings.pirads)}."))
    lines = [overall, *lines] if say.chance(0.4) else [*lines, overall]
    if say.chance(0.3):
        lines.append(sentence(say.hyperplasia()))
    return [f"{number}. {line}" for number, line in enumerate(lines, start=1)]


def _overall(say: Phrasing) -> list[str]:
    overall = say.pick(
        (
            f"Overall {say.score(say.findings.pirads)}.",
            f"{say.score(say.findings.pirads)}.",
            f"Highest {say.score(say.findings.pirads)}.",
        )
    )
    lines = [sentence(_in_short(say, lesion)) for lesion in say.findings.lesions] or [say.negative()]
    return [overall, *lines] if say.chance(0.5) else [*lines, overall]


def _in_short(say: Phrasing, lesion: Lesion) -> str:
    """A lesion in a line, in any order of its facts."""
    size, side, zone = say.size(lesion), say.side(lesion.side), say.zone(lesion.zone)
    level, noun, how = say.pick(LEVELS[lesion.level]), say.pick(NOUNS), say.impression(lesion)
    score = say.score(lesion.pirads)
    return str(
        say.pick(
            (
                f"{score} {noun} in the {side} {zone}, {level}, {size}",
                f"{size} {noun} in the {side} {level} {zone}, {how} ({score})",
                f"{side} {level} {zone} {noun}, {size}, {score}",
                f"{noun} of the {side} {zone} at the {level} level measuring {size}, {how}, {score}",
                f"{how}: {size} {noun}, {side} {zone}, {level}. {score}",
            )
        )
    )


def telegram(say: Phrasing) -> str:
    """Notes without verbs, often without capitals."""
    say.note_sides()
    findings = say.findings
    age, psa = findings.age_years, f"{findings.psa_ng_ml:.1f}"
    head = say.pick((f"{age} y, PSA {psa}.", f"{age}M PSA {psa}.", f"PSA {psa}, {age}y.", f"{age}yo, psa {psa}."))
    volume = say.pick((f"Vol {say.volume()}.", f"Gland {say.volume()}.", f"{say.volume()} prostate.",
                       f"Prostate {say.gland_diameters()}, {say.volume()}."))  # fmt: skip
    technique = say.technique()
    grade = {"none": "no BPH", "mild": "BPH mild", "moderate": "BPH mod", "marked": "BPH ++"}[findings.hyperplasia]
    hyperplasia = say.pick((f"{grade}.", f"{say.hyperplasia()}."))
    wedge = say.wedge()
    lesions = [_note(say, lesion) for lesion in findings.lesions]
    nothing = say.pick(("No focal lesion.", "No lesion.", "nil focal.", "No susp. lesion.", "PZ and TZ clear.",
                        "No suspicious focus.", "no target.", say.negative()))  # fmt: skip
    body = [*(lesions or [nothing]), *([f"{wedge}."] if wedge else [])]
    if say.chance(0.3):
        body.reverse()
    extension = "EPE +." if say.extends else say.pick(("No EPE.", "EPE neg.", "capsule intact."))
    rest = [
        extension,
        say.pick(("SV ok.", "SV normal.", "SVs clear.")),
        say.pick(("LN neg.", "no nodes.", "Nodes normal.")),
        f"Bladder {say.pick(BLADDER[findings.bladder])}.",
        f"Rectum {say.pick(RECTUM[findings.rectum])}.",
    ]
    kept = [part for part in rest if say.chance(0.6)]
    score = say.score(findings.pirads)
    overall = say.pick((f"{score}.", f"Overall {findings.pirads}/5.", f"=> {score}.", f"Imp: {score}."))
    first = [*([head] if say.chance(0.7) else []), *([technique] if technique else [])]
    facts = [volume, hyperplasia, *body] if say.chance(0.7) else [*body, hyperplasia, volume]
    text = " ".join([overall, *first, *facts, *kept] if say.chance(0.2) else [*first, *facts, *kept, overall])
    return text.lower() if say.chance(0.5) else text


def _note(say: Phrasing, lesion: Lesion) -> str:
    side, zone, level = say.side(lesion.side), say.zone(lesion.zone), say.pick(LEVELS[lesion.level])
    size, noun, score = say.size(lesion), say.pick(("lesion", "focus", "nodule")), say.score(lesion.pirads)
    dark = say.pick(("T2 dark, ADC low", "low T2, low ADC", "restricted diffusion", "dark on T2 and ADC"))
    return str(
        say.pick(
            (
                f"{side} {level} {zone} {size} {noun}, {dark}, {score}.",
                f"{noun} {side} {zone} {level}, {size}, {score}.",
                f"{size} {zone} {noun} {side} {level}, {dark}. {score}.",
                f"{zone} {side} {level}: {size}, {dark}, {score}.",
            )
        )
    )


def narrative(say: Phrasing) -> str:
    """Prose in whole sentences."""
    findings = say.findings
    age, psa = findings.age_years, f"{findings.psa_ng_ml:.1f}"
    opening = say.pick(
        (
            f"This {age}-year-old gentleman with a serum PSA of {psa} ng/mL was referred for MRI of the prostate.",
            f"MRI of the prostate was requested in this {age}-year-old man, whose PSA is {psa} ng/mL.",
            f"The patient is {age} years old and has a PSA of {psa}.",
        )
    )
    technique = say.technique()
    enlarged = "enlarged" if findings.gland_volume_ml > 40 else "not enlarged"
    gland = say.pick(
        (
            f"The prostate is {enlarged} and measures {say.gland_diameters()}, for an estimated volume of"
            f" {say.volume()}.",
            f"The gland has a volume of approximately {say.volume()}.",
            f"Prostatic volume is estimated at {say.volume()}, with diameters of {say.gland_diameters()}.",
        )
    )
    words, inside = say.hyperplasia(), say.zone("transition")
    zone = say.pick((f"{words}.", f"Within the {inside}: {words}.", f"The {inside} shows: {words}."))
    wedge = say.wedge()
    focal = [_prose(say, number, lesion) for number, lesion in enumerate(findings.lesions)] or [
        say.pick(
            (
                say.negative(),
                "I see no lesion that would raise concern for significant cancer.",
                "No focal abnormality that would warrant a targeted biopsy is seen.",
                "Careful review shows no lesion suspicious for malignancy.",
            )
        )
    ]
    body = [*focal, *([sentence(f"there is {wedge}")] if wedge else [])]
    around = [
        f"The urinary bladder is {say.pick(BLADDER[findings.bladder])}.",
        f"The rectum is {FILLED[findings.rectum]}.",
        say.pick(("The seminal vesicles have a normal appearance.", "Both seminal vesicles are unremarkable.")),
        say.pick(("No enlarged lymph nodes are seen in the pelvis.", "There is no pelvic lymphadenopathy.")),
        say.pick(("The visualized skeleton is unremarkable.", "No osseous lesion is seen.")),
        *([] if say.extends else [f"There is no {say.extension}."]),
    ]
    kept = [line for line in around if say.chance(0.75)]
    score = say.score(findings.pirads)
    places = "; ".join(_in_short(say, lesion) for lesion in findings.lesions)
    nothing = say.negative()
    closing = (
        say.pick((f"In summary, {places}.", f"In conclusion: {places}. The overall assessment is {score}.",
                  f"Overall, the study is assigned {score}: {places}."))
        if findings.lesions
        else say.pick((f"In summary, the study is {score}. {nothing}", f"The overall assessment is {score}. {nothing}",
                       f"{nothing} The study is therefore assigned {score}."))
    )  # fmt: skip
    first = [opening] if say.chance(0.85) else []
    zones = [zone, *body] if say.chance(0.6) else [*body, zone]
    paragraph = "\n" if say.chance(0.4) else " "
    return paragraph.join([" ".join([*first, *([technique] if technique else [])]), " ".join([gland, *zones]),
                           " ".join(kept), closing]).strip()  # fmt: skip


def _prose(say: Phrasing, number: int, lesion: Lesion) -> str:
    side, zone, level = say.side(lesion.side), say.zone(lesion.zone), say.pick(LEVELS[lesion.level])
    size, noun, how, score = say.size(lesion), say.pick(NOUNS), say.impression(lesion), say.score(lesion.pirads)
    low = say.pick(("low T2 signal and restricted diffusion", "T2 hypointensity with a corresponding low ADC",
                    "homogeneous low signal on T2 and high signal at high b-value"))  # fmt: skip
    start = "A second" if number else "A"
    text = say.pick(
        (
            f"Within the {side} {zone}, at the level of the {level}, lies a {noun} of {size} with {low}, {how};"
            f" {score}.",
            f"{start} {noun} measuring {size} is identified in the {side} {zone} ({level}). It shows {low} and is"
            f" {how}, {score}.",
            f"There is a {size} {noun} on the {side}, in the {level} of the {zone}, with {low}. I consider it {how}"
            f" ({score}).",
        )
    )
    beyond = say.pick((f"It extends beyond the capsule ({say.extension}).", f"There is {say.extension}.",
                       f"Capsular bulging and irregularity indicate {say.extension}."))  # fmt: skip
    return f"{text} {beyond}" if lesion.extraprostatic else str(text)


def short(say: Phrasing) -> str:
    """One line or two: the score and the place, sometimes the size, seldom more."""
    say.note_sides()
    findings = say.findings
    with_level, with_size, with_volume = say.chance(0.5), say.chance(0.5), say.chance(0.3)
    lesions = "; ".join(_brief(say, lesion, with_level, with_size) for lesion in findings.lesions)
    score = say.score(findings.pirads)
    wedge = say.wedge()
    benign = say.pick(
        (
            f"{say.negative()} {score}.",
            f"{score}.",
            f"{score}. {say.negative()}",
            say.negative(),
            sentence(wedge or say.hyperplasia()) + f" {score}.",
            sentence(say.hyperplasia()) + f" {say.negative()}",
            f"{say.volume()} prostate, {score}.",
        )
    )
    found = say.pick((f"{lesions}.", f"Impression: {lesions}.", f"{score}: {lesions}.", f"{lesions}. Overall {score}."))
    alone = say.chance(0.06)
    text = (f"{score}." if alone else sentence(found)) if findings.lesions else benign
    volume, technique = f"Prostate volume {say.volume()}.", say.technique()
    parts = [*([technique] if technique and say.chance(0.6) else []), *([volume] if with_volume else []), text]
    return " ".join(parts).lower() if say.chance(0.25) else " ".join(parts)


def _brief(say: Phrasing, lesion: Lesion, with_level: bool, with_size: bool) -> str:
    side, zone, score = say.side(lesion.side), say.zone(lesion.zone), say.score(lesion.pirads)
    level, size, noun = say.pick(LEVELS[lesion.level]), say.size(lesion), say.pick(NOUNS)
    at, of = f" at the {level}" if with_level else "", f", {size}" if with_size else ""
    return str(
        say.pick(
            (
                f"{score} {noun} in the {side} {zone}{at}{of}",
                f"{size + ' ' if with_size else ''}{noun} in the {side} {zone}{at}, {score}",
                f"{side} {level + ' ' if with_level else ''}{zone} {noun}{of}, {score}",
                f"{say.impression(lesion)} {noun}, {side} {zone}{at}{of}, {score}",
                f"{noun} {side} {zone}{at}{of}. {score}",
                f"{say.impression(lesion)} {noun} in the {side} {zone}{at}{of}",
            )
        )
    )
