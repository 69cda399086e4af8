"""Writes a report of what little is known: the same words as ``report``, and nothing that nobody knows.

Tables of public archives hold a PSA value, a volume and a histological grade, and no report. A model that is trained on
invented findings would learn that reports mean nothing; so what is unknown is left unsaid.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

from .report import BLADDER, HYPERPLASIA, LEVEL_WORDS, NEGATIVE, RECTUM, ZONE_WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence


class KnownLesion(Protocol):
    """What may be known of a lesion; see ``cases.case.LesionFields``."""

    side: str | None
    zone: str | None
    level: str | None
    size_mm: float | None
    pirads: int | None
    isup: int | None
    extraprostatic: bool | None


class Known(Protocol):
    """What may be known of a patient; see ``cases.case.StructuredFields``."""

    age_years: int | None
    psa_ng_ml: float | None
    gland_volume_ml: float | None
    pirads: int | None
    isup: int | None
    lesions: Sequence[KnownLesion] | None
    hyperplasia: str | None
    peripheral_change: str | None
    bladder: str | None
    rectum: str | None


def write_known_report(known: Known, *, seed: int = 0) -> str | None:
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


def _history(known: Known) -> list[str]:
    age = None if known.age_years is None else f"{known.age_years}-year-old man"
    psa = None if known.psa_ng_ml is None else f"PSA {known.psa_ng_ml:.1f} ng/mL"
    said = ", ".join(part for part in (age, psa) if part is not None)
    return [f"{said}."] if said else []


def _gland(known: Known, rng: random.Random) -> list[str]:
    if known.gland_volume_ml is None:
        return []
    volume = f"{known.gland_volume_ml:.0f} mL"
    return [rng.choice((f"The prostate volume is {volume}.", f"Prostate volume: {volume}."))]


def _lesions(known: Known, rng: random.Random) -> list[str]:
    if known.lesions is None:
        return []
    if not known.lesions:
        return [rng.choice(NEGATIVE)]
    return [f"Lesion {number}: {said}." for number, lesion in enumerate(known.lesions, start=1)
            if (said := _lesion(lesion, rng))]  # fmt: skip


def _lesion(lesion: KnownLesion, rng: random.Random) -> str:
    place = " ".join(filter(None, (lesion.side, lesion.zone and ZONE_WORDS[lesion.zone][0])))
    return ", ".join(
        filter(
            None,
            (
                place,
                lesion.level and rng.choice(LEVEL_WORDS[lesion.level]),
                lesion.size_mm and f"{lesion.size_mm:.0f} mm",
                lesion.pirads and f"PI-RADS {lesion.pirads}",
                "extraprostatic extension" if lesion.extraprostatic else None,
                None if lesion.isup is None else _grade(lesion.isup),
            ),
        )
    )


def _grade(isup: int) -> str:
    return f"ISUP grade group {isup}" if isup else "no cancer found"
