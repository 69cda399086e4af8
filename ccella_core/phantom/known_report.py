"""Writes a report of what little is known: the same words as ``report``, and nothing that nobody knows.

Tables of public archives hold a PSA value, a volume and a histological grade, and no report. A model that is trained on
invented findings would learn that reports mean nothing; so what is unknown is left unsaid.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from typing import Literal, get_args

from ccella_core.provenance import SequenceName

from .fields import LesionFields, StructuredFields
from .phrasing import LEVELS, NOUNS, SUSPICIOUS, capital
from .report import BLADDER, DIFFUSION, HYPERPLASIA, LEVEL_WORDS, NEGATIVE, RECTUM, SIGNAL, ZONE_WORDS

LAYOUTS = (
    ("CLINICAL HISTORY: ", "TECHNIQUE: ", "FINDINGS: ", "IMPRESSION: "),
    ("Clinical history: ", "Technique: ", "Findings: ", "Impression: "),
    ("Indication: ", "Technique: ", "Findings: ", "Conclusion: "),
    ("", "MRI prostate, ", "", "Impression: "),
)
"""What stands before history, technique, findings and impression."""
ScanKind = Literal["simulated", "with endorectal coil", "no endorectal coil"]
"""As reports that were written here name it."""
VOLUME_UNITS = ("mL", "cc", "ml")
SIGNIFICANCE = {
    True: ("clinically significant cancer", "clinically significant"),
    False: ("no clinically significant cancer", "not clinically significant"),
}


def write_known_report(
    known: StructuredFields, *, seed: int = 0, technique: str | None = None, shows: Collection[SequenceName] = ()
) -> str | None:
    """A report that states what is known.

    Args:
        known: of the patient.
        seed: chooses the words, never the facts, and nothing by a side: the report of the mirrored patient is the
            mirrored report.
        technique: what kind of scan it is, "3 T, no endorectal coil" for instance.
        shows: sequences in which every lesion with PI-RADS 3 to 5 is known to look as its score has it; that may be
            said of it then, of diffusion where both hbv and adc are among them.

    Returns:
        The report; ``None`` where nothing is known.
    """
    rng = random.Random(seed)
    layout = rng.choice(LAYOUTS)
    history = _history(known, rng)
    findings = [
        *_gland(known, rng),
        *([] if known.hyperplasia is None else [rng.choice(HYPERPLASIA[known.hyperplasia])]),
        *_lesions(known, rng, shows),
        *([] if known.bladder is None else [BLADDER[known.bladder]]),
        *([] if known.rectum is None else [RECTUM[known.rectum]]),
    ]
    impression = [
        *([] if known.pirads is None else [f"Overall PI-RADS {known.pirads}."]),
        *([] if known.isup is None else [f"Histology: {_grade(known.isup)}."]),
        *_closing(known, rng),
    ]
    sections = (history, [] if technique is None else [f"{technique}."], findings, impression)
    return "\n".join(f"{title}{' '.join(said)}" for title, said in zip(layout, sections, strict=True) if said) or None


def technique_in(report: str) -> str | None:
    """What a report that was written here, or one with such a line, says of the kind of scan; ``None``: nothing."""
    for line in report.split("\n"):
        for _, title, _, _ in LAYOUTS:
            if line.startswith(title) and (said := line.removeprefix(title).strip().removesuffix(".")):
                return said
    return None


def kind_of_scan(report: str) -> ScanKind | None:
    """What kind of scan a report says that it is of; ``None``: it says nothing of it."""
    said = report.casefold()
    return next((kind for kind in get_args(ScanKind) if kind in said), None)


def _history(known: StructuredFields, rng: random.Random) -> list[str]:
    words = rng.choice(("{}-year-old man", "{} year old male", "{}-year-old patient", "age {}"))
    age = None if known.age_years is None else words.format(int(known.age_years))
    psa = None if known.psa_ng_ml is None else f"PSA {known.psa_ng_ml:.1f} ng/mL"
    said = ", ".join(part for part in (age, psa) if part is not None)
    return [f"{said[0].upper()}{said[1:]}."] if said else []


def _gland(known: StructuredFields, rng: random.Random) -> list[str]:
    if known.gland_volume_ml is None:
        return []
    volume = f"{known.gland_volume_ml:.0f} {rng.choice(VOLUME_UNITS)}"
    sentences = (
        f"The prostate volume is {volume}.",
        f"Prostate volume: {volume}.",
        f"The gland measures {volume}.",
        f"Estimated gland volume of {volume}.",
    )
    return [rng.choice(sentences)]


def _lesions(known: StructuredFields, rng: random.Random, shows: Collection[SequenceName]) -> list[str]:
    if known.lesions is None:
        return []
    if not known.lesions:
        return [rng.choice(NEGATIVE)]
    is_list = rng.random() < 0.5
    said = []
    for number, lesion in enumerate(known.lesions, start=1):
        # A sentence needs a place and a size; without them a lesion is a line of a list, as its facts are few.
        told = lesion.side and lesion.zone and lesion.level and lesion.size_mm
        facts = _listed(lesion, rng, shows) if is_list or not told else _told(lesion, rng, shows)
        if facts:
            said.append(f"Lesion {number}: {facts}." if is_list or not told else f"{capital(facts)}.")
    return said


def _listed(lesion: LesionFields, rng: random.Random, shows: Collection[SequenceName]) -> str:
    """Fact after fact; the place is said first or after the size."""
    # "Left" alone, between commas, could be what is left.
    zone = rng.choice(ZONE_WORDS[lesion.zone]) if lesion.zone else "side" if lesion.side else None
    place = [
        " ".join(part for part in (lesion.side, zone) if part),
        rng.choice(LEVEL_WORDS[lesion.level]) if lesion.level else None,
    ]
    size = [f"{lesion.size_mm:.0f} mm" if lesion.size_mm else None]
    score = [f"PI-RADS {lesion.pirads}" if lesion.pirads else None]
    look = [_look(lesion, rng, shows)]
    facts = rng.choice(((place, size, look, score), (place, size, score, look), (size, place, look, score)))
    return _joined([*(part for some in facts for part in some), *_rest(lesion, rng)])


def _told(lesion: LesionFields, rng: random.Random, shows: Collection[SequenceName]) -> str:
    """A sentence or a note of a lesion whose place and size are known."""
    assert lesion.zone is not None and lesion.level is not None
    zone, noun, level = rng.choice(ZONE_WORDS[lesion.zone]), rng.choice(NOUNS), rng.choice(LEVELS[lesion.level])
    size, at = f"{lesion.size_mm:.0f} mm", rng.choice(LEVEL_WORDS[lesion.level])
    look = _look(lesion, rng, shows)
    dark = f"{rng.choice(SIGNAL[lesion.pirads])} " if lesion.pirads in SIGNAL and "t2w" in shows else ""
    score = f"PI-RADS {lesion.pirads}" if lesion.pirads else None
    how = rng.choice(SUSPICIOUS[lesion.pirads]) if lesion.pirads in SUSPICIOUS else None
    forms = (
        (f"{size} {noun} in the {lesion.side} {zone} {at}", look, score),
        (f"{dark}{noun}", f"{lesion.side} {zone} {level}", size, score),
        (f"in the {lesion.side} {zone} {at} there is a {size} {noun}", look, score),
        (f"{lesion.side} {level} {zone} {noun}", size, how, score),
        (f"{noun} of the {lesion.side} {zone} {at} measuring {size}", how, score),
    )
    return _joined([*rng.choice(forms), *_rest(lesion, rng)])


def _look(lesion: LesionFields, rng: random.Random, shows: Collection[SequenceName]) -> str | None:
    """How it looks, where that is known."""
    if lesion.pirads not in SIGNAL:
        return None
    words = [
        *([rng.choice(SIGNAL[lesion.pirads])] if "t2w" in shows else []),
        *([rng.choice(DIFFUSION[lesion.pirads])] if {"adc", "hbv"} <= set(shows) else []),
    ]
    return ", ".join(words) if words and rng.random() < 0.6 else None


def _rest(lesion: LesionFields, rng: random.Random) -> list[str | None]:
    return [
        "extraprostatic extension" if lesion.extraprostatic else None,
        None if lesion.significant is None else rng.choice(SIGNIFICANCE[lesion.significant]),
        None if lesion.isup is None else _grade(lesion.isup),
    ]


def _joined(facts: Sequence[str | None]) -> str:
    return ", ".join(fact for fact in facts if fact)


def _closing(known: StructuredFields, rng: random.Random) -> list[str]:
    """In half of the reports, where each lesion is whose place and score are known."""
    lesions = [each for each in known.lesions or () if each.side and each.zone and each.level and each.pirads]
    if not lesions or rng.random() < 0.5:
        return []
    said = []
    for lesion in lesions:
        assert lesion.zone is not None and lesion.level is not None
        place = f"{lesion.side} {rng.choice(ZONE_WORDS[lesion.zone])} {rng.choice(NOUNS)}"
        said.append(f"{place} {rng.choice(LEVEL_WORDS[lesion.level])}, PI-RADS {lesion.pirads}")
    return [f"{capital('; '.join(said))}."]


def _grade(isup: int) -> str:
    return f"ISUP grade group {isup}" if isup else "no cancer found"
