"""Writes a report of what little is known: the same words as ``report``, and nothing that nobody knows.

Tables of public archives hold a PSA value, a volume and a histological grade, and no report. A model that is trained on
invented findings would learn that reports mean nothing; so what is unknown is left unsaid.
"""

from __future__ import annotations

import random

from .fields import LesionFields, StructuredFields
from .report import BLADDER, HYPERPLASIA, LEVEL_WORDS, NEGATIVE, RECTUM, ZONE_WORDS


def write_known_report(known: StructuredFields, *, seed: int = 0) -> str | None:
    """A report that states what is known; ``seed`` chooses the words. ``None`` where nothing is known."""
    rng = random.Random(seed)
    history = _history(known)
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
    sections = (("CLINICAL HISTORY", history), ("FINDINGS", findings), ("IMPRESSION", impression))
    return "\n".join(f"{title}: {' '.join(sentences)}" for title, sentences in sections if sentences) or None


def _history(known: StructuredFields) -> list[str]:
    age = None if known.age_years is None else f"{int(known.age_years)}-year-old man"
    psa = None if known.psa_ng_ml is None else f"PSA {known.psa_ng_ml:.1f} ng/mL"
    said = ", ".join(part for part in (age, psa) if part is not None)
    return [f"{said}."] if said else []


def _gland(known: StructuredFields, rng: random.Random) -> list[str]:
    if known.gland_volume_ml is None:
        return []
    volume = f"{known.gland_volume_ml:.0f} mL"
    return [rng.choice((f"The prostate volume is {volume}.", f"Prostate volume: {volume}."))]


def _lesions(known: StructuredFields, rng: random.Random) -> list[str]:
    if known.lesions is None:
        return []
    if not known.lesions:
        return [rng.choice(NEGATIVE)]
    return [f"Lesion {number}: {said}." for number, lesion in enumerate(known.lesions, start=1)
            if (said := _lesion(lesion, rng))]  # fmt: skip


def _lesion(lesion: LesionFields, rng: random.Random) -> str:
    said = (
        " ".join(part for part in (lesion.side, lesion.zone and ZONE_WORDS[lesion.zone][0]) if part),
        rng.choice(LEVEL_WORDS[lesion.level]) if lesion.level else None,
        f"{lesion.size_mm:.0f} mm" if lesion.size_mm else None,
        f"PI-RADS {lesion.pirads}" if lesion.pirads else None,
        "extraprostatic extension" if lesion.extraprostatic else None,
        None if lesion.isup is None else _grade(lesion.isup),
    )
    return ", ".join(part for part in said if part)


def _grade(isup: int) -> str:
    return f"ISUP grade group {isup}" if isup else "no cancer found"
