"""Writes a report of what little is known: the same words as ``report``, and nothing that nobody knows.

Tables of public archives hold a PSA value, a volume and a histological grade, and no report. A model that is trained on
invented findings would learn that reports mean nothing; so what is unknown is left unsaid.
"""

from __future__ import annotations

import random

from .fields import LesionFields, StructuredFields
from .report import BLADDER, HYPERPLASIA, LEVEL_WORDS, NEGATIVE, RECTUM, ZONE_WORDS

LAYOUTS = (
    ("CLINICAL HISTORY: ", "TECHNIQUE: ", "FINDINGS: ", "IMPRESSION: "),
    ("Clinical history: ", "Technique: ", "Findings: ", "Impression: "),
    ("Indication: ", "Technique: ", "Findings: ", "Conclusion: "),
    ("", "MRI prostate, ", "", "Impression: "),
)
"""What stands before history, technique, findings and impression."""
VOLUME_UNITS = ("mL", "cc", "ml")
SIGNIFICANCE = {
    True: ("clinically significant cancer", "clinically significant"),
    False: ("no clinically significant cancer", "not clinically significant"),
}


def write_known_report(known: StructuredFields, *, seed: int = 0, technique: str | None = None) -> str | None:
    """A report that states what is known.

    Args:
        known: of the patient.
        seed: chooses the words, never the facts, and nothing by a side: the report of the mirrored patient is the
            mirrored report.
        technique: what kind of scan it is, "3 T, no endorectal coil" for instance.

    Returns:
        The report; ``None`` where nothing is known.
    """
    rng = random.Random(seed)
    layout = rng.choice(LAYOUTS)
    history = _history(known, rng)
    findings = [
        *_gland(known, rng),
        *([] if known.hyperplasia is None else [rng.choice(HYPERPLASIA[known.hyperplasia])]),
        *_lesions(known, rng),
        *([] if known.bladder is None else [BLADDER[known.bladder]]),
        *([] if known.rectum is None else [RECTUM[known.rectum]]),
    ]
    impression = [
        *([] if known.pirads is None else [f"Overall PI-RADS {known.pirads}."]),
        *([] if known.isup is None else [f"Histology: {_grade(known.isup)}."]),
    ]
    sections = (history, [] if technique is None else [f"{technique}."], findings, impression)
    return "\n".join(f"{title}{' '.join(said)}" for title, said in zip(layout, sections, strict=True) if said) or None


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


def _lesions(known: StructuredFields, rng: random.Random) -> list[str]:
    if known.lesions is None:
        return []
    if not known.lesions:
        return [rng.choice(NEGATIVE)]
    return [f"Lesion {number}: {said}." for number, lesion in enumerate(known.lesions, start=1)
            if (said := _lesion(lesion, rng))]  # fmt: skip


def _lesion(lesion: LesionFields, rng: random.Random) -> str:
    zone = rng.choice(ZONE_WORDS[lesion.zone]) if lesion.zone else None
    said = (
        " ".join(part for part in (lesion.side, zone) if part),
        rng.choice(LEVEL_WORDS[lesion.level]) if lesion.level else None,
        f"{lesion.size_mm:.0f} mm" if lesion.size_mm else None,
        f"PI-RADS {lesion.pirads}" if lesion.pirads else None,
        "extraprostatic extension" if lesion.extraprostatic else None,
        None if lesion.significant is None else rng.choice(SIGNIFICANCE[lesion.significant]),
        None if lesion.isup is None else _grade(lesion.isup),
    )
    return ", ".join(part for part in said if part)


def _grade(isup: int) -> str:
    return f"ISUP grade group {isup}" if isup else "no cancer found"
