"""What differs between two volumes of the same noise when one fact of the report is changed.

Where no reader knows how a lesion looks, as in volumes that are like those of patients, the volume of the changed
report is what the first is compared with: noise and anatomy cancel, and what is left was caused by the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import numpy as np
from scipy import ndimage

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.counterfactual import ChangedFact
from ccella_core.evaluation.adherence.measurements import MeasuredPlace, largest_body, place_of, region_of
from ccella_core.provenance import SequenceName

MovedFact = Literal["side", "zone", "level"]
MOVED_FACTS: tuple[MovedFact, ...] = get_args(MovedFact)
"""Facts that move a lesion: it is gone at one place and there at another."""
LESION_SIGN: dict[SequenceName, int] = {"t2w": -1, "adc": -1, "hbv": 1}
"""A suspicious lesion is dark in T2 and ADC and bright at high b (PI-RADS v2.1)."""
SMOOTHING_MM = 2.0
"""Half as wide as the smallest lesion is: texture that the changed words stir up is averaged away."""
LEAST_DIFFERENCE = 0.1
"""In standard deviations of T2 within the gland: less is no difference."""
BODY_FROM = 0.5
"""Of the largest difference: what belongs to the body whose centre is taken."""


class MovedLesion(StrictModel):
    """A pair of volumes whose reports differ in where the lesion lies."""

    fact: MovedFact
    report: str
    """With the fact changed."""
    stated: tuple[MeasuredPlace, MeasuredPlace]
    """Before and after."""
    seen: tuple[MeasuredPlace | None, MeasuredPlace | None]
    """Where T2 is darker before than after, and after than before; ``None`` where it is not, or there is no gland."""
    contrast: dict[SequenceName, float]
    """How much darker (-) or brighter (+) the stated place is with the lesion than without, in standard deviations
    within the gland; the mean of both places. Empty where there is no gland."""

    @property
    def is_followed(self) -> bool:
        """Whether both bodies lie where the changed fact has them; chance gets a quarter or less."""
        return all(
            seen is not None and getattr(seen, self.fact) == getattr(stated, self.fact)
            for seen, stated in zip(self.seen, self.stated, strict=True)
        )

    def looks_like_a_lesion(self, sequence: SequenceName) -> bool | None:
        """Whether the stated place changed as a lesion looks; ``None`` where there is no such sequence."""
        return None if sequence not in self.contrast else self.contrast[sequence] * LESION_SIGN[sequence] > 0


def check_moved_facts(facts: Sequence[ChangedFact]) -> tuple[MovedFact, ...]:
    """Those of some facts that move a lesion. Raises InputError where facts are named and none of them does."""
    found = tuple(fact for fact in MOVED_FACTS if fact in facts)
    if facts and not found:
        raise InputError(f"By difference {', '.join(MOVED_FACTS)} are measured, not {', '.join(facts)}.")
    return found


def measure_moved_lesion(
    volumes: tuple[Mapping[SequenceName, np.ndarray], Mapping[SequenceName, np.ndarray]],
    glands: tuple[np.ndarray, np.ndarray],
    stated: tuple[MeasuredPlace, MeasuredPlace],
    spacing: tuple[float, float, float],
    *,
    fact: MovedFact,
    report: str,
) -> MovedLesion:
    """Compare the volumes of a report and of the same with a lesion elsewhere.

    Args:
        volumes: before and after, (X, Y, Z) each, RAS+; T2 among them.
        glands: (X, Y, Z) bool of each; empty where none was found.
        stated: where the reports have the lesion.
        spacing: in mm.
        fact: what was changed.
        report: the changed one.
    """
    if not all(gland.any() for gland in glands):
        return MovedLesion(fact=fact, report=report, stated=stated, seen=(None, None), contrast={})
    contrast: dict[SequenceName, float] = {}
    seen: list[MeasuredPlace | None] = []
    for sequence in volumes[0]:
        before, after = (np.asarray(each[sequence], dtype=np.float64) for each in volumes)
        spread = float(np.std(before[glands[0]])) or 1.0
        change = (before - after) / spread
        here, there = (region_of(place, gland) for place, gland in zip(stated, glands, strict=True))
        parts = [change[here], -change[there]]
        contrast[sequence] = float(np.mean([part.mean() if part.size else 0.0 for part in parts]))
        if sequence == "t2w":
            smooth = ndimage.gaussian_filter(change, [SMOOTHING_MM / each for each in spacing])
            seen = [_darker(smooth, glands[0]), _darker(-smooth, glands[1])]
    return MovedLesion(fact=fact, report=report, stated=stated, seen=(seen[0], seen[1]), contrast=contrast)


def _darker(change: np.ndarray, gland: np.ndarray) -> MeasuredPlace | None:
    """Where in the gland the centre of mass of what is darker lies."""
    darkness = np.where(gland, -change, 0.0)
    most = float(darkness.max())
    if most < LEAST_DIFFERENCE:
        return None
    body = largest_body(darkness >= BODY_FROM * most)
    return place_of(np.array(ndimage.center_of_mass(darkness * body)), gland)
