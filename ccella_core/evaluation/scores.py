"""How well readings agree with the findings they should show, each share with its 95 % interval."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import TypeVar

import numpy as np
from scipy.stats import binomtest

from ccella_core.errors import InputError
from ccella_core.evaluation.measurements import Reading
from ccella_core.phantom.findings import Findings, Level, Side, Zone
from ccella_core.settings import StrictModel

Value = TypeVar("Value", bound=Hashable)


class Proportion(StrictModel):
    """``hits`` of ``total``, and the Wilson score interval at 95 %."""

    hits: int
    total: int

    @property
    def share(self) -> float:
        return self.hits / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        if not self.total:
            return 0.0, 1.0
        interval = binomtest(self.hits, self.total).proportion_ci(0.95, method="wilson")
        return float(interval.low), float(interval.high)

    def __str__(self) -> str:
        if not self.total:
            return "no cases"
        low, high = self.interval
        return f"{self.share:.1%} ({self.hits}/{self.total}; 95 % {low:.0%} to {high:.0%})"

    @classmethod
    def of(cls, agree: Iterable[bool]) -> Proportion:
        answers = list(agree)
        return cls(hits=sum(answers), total=len(answers))


class Stated(StrictModel):
    """What a report says that a reading can confirm; ``None`` where several lesions differ, or there is none."""

    has_lesion: bool
    side: Side | None
    zone: Zone | None
    level: Level | None
    gland_volume_ml: float

    @classmethod
    def by(cls, findings: Findings) -> Stated:
        lesions = findings.lesions
        return cls(
            has_lesion=findings.pathology == "positive",
            side=_the_only(lesion.side for lesion in lesions),
            zone=_the_only(lesion.zone for lesion in lesions),
            level=_the_only(lesion.level for lesion in lesions),
            gland_volume_ml=findings.gland_volume_ml,
        )


class ReadingScores(StrictModel):
    """Agreement of readings with reports. A volume without a lesion counts as wrong where one was to have a place."""

    pathology: Proportion
    sensitivity: Proportion
    """Volumes with a lesion among those that should have one."""
    specificity: Proportion
    """Volumes without a lesion among those that should have none."""
    side: Proportion
    zone: Proportion
    level: Proportion
    gland_volume_r: float | None
    """Pearson's correlation; ``None`` where all volumes are alike, or there are fewer than three."""
    gland_volume_error_ml: float
    """Mean absolute difference."""
    gland_volume_bias_ml: float
    """Mean difference, read less stated."""


def score_readings(stated: Sequence[Stated], readings: Sequence[Reading]) -> ReadingScores:
    """Scores of readings, one for each of ``stated``, in the same order. Raises InputError where there are none."""
    if not stated or len(stated) != len(readings):
        raise InputError(f"Scoring needs one reading a report and at least one; got {len(readings)} and {len(stated)}.")
    pairs = list(zip(stated, readings, strict=True))
    told = np.array([report.gland_volume_ml for report in stated])
    seen = np.array([reading.gland_volume_ml for reading in readings])
    return ReadingScores(
        pathology=Proportion.of(s.has_lesion == r.has_lesion for s, r in pairs),
        sensitivity=Proportion.of(r.has_lesion for s, r in pairs if s.has_lesion),
        specificity=Proportion.of(not r.has_lesion for s, r in pairs if not s.has_lesion),
        side=Proportion.of(s.side == r.side for s, r in pairs if s.side),
        zone=Proportion.of(s.zone == r.zone for s, r in pairs if s.zone),
        level=Proportion.of(s.level == r.level for s, r in pairs if s.level),
        gland_volume_r=_correlation(told, seen),
        gland_volume_error_ml=float(np.abs(seen - told).mean()),
        gland_volume_bias_ml=float((seen - told).mean()),
    )


def _the_only(values: Iterable[Value]) -> Value | None:
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
