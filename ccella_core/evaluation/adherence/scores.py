"""How well readings agree with the findings they should show: shares, confusion tables, correlations and errors.

Intervals are at 95 %: Wilson's for a share, Fisher's z for a correlation, the bootstrap for a mean difference.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Literal, TypeVar, get_args

import numpy as np
from scipy.stats import pearsonr

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.measurements import MeasuredFinding
from ccella_core.evaluation.statistics.class_scores import RESAMPLES
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.evaluation.statistics.intervals import TAILS
from ccella_core.phantom.fields import StructuredFields
from ccella_core.phantom.findings import Findings, Level, Pathology, Side, Zone

Value = TypeVar("Value", bound=Hashable)
Attribute = Literal["pathology", "side", "zone", "level"]
CHOICES: dict[Attribute, tuple[str, ...]] = {
    "pathology": get_args(Pathology),
    "side": get_args(Side),
    "zone": get_args(Zone),
    "level": get_args(Level),
}
NONE_SEEN = "none seen"
FEWEST_PAIRS = 4
"""Fisher's z is not defined for fewer, and a spread hardly."""


class Confusion(StrictModel):
    """How often what was stated (a row each) was read as what (a column each)."""

    stated: tuple[str, ...]
    read: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, stated: tuple[str, ...], read: tuple[str, ...], pairs: Iterable[tuple[str, str]]) -> Confusion:
        """Of pairs (stated, read)."""
        seen = list(pairs)
        return cls(stated=stated, read=read, counts=tuple(tuple(seen.count((s, r)) for r in read) for s in stated))


class Agreement(StrictModel):
    """Of numbers that were read with those that were stated, in their unit; not defined for fewer than four pairs."""

    r: Estimate
    """Pearson's correlation; not defined either where all of one kind are alike."""
    error: Estimate
    """Mean absolute difference."""
    bias: Estimate
    """Mean difference, read less stated."""

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]], *, seed: int = 0) -> Agreement:
        """Of (stated, read); ``seed`` is that of the resamples."""
        stated, read = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
        return cls(
            r=_correlation(stated, read),
            error=mean_of(np.abs(read - stated), seed),
            bias=mean_of(read - stated, seed),
        )


class StatedFinding(StrictModel):
    """What a report says that a reading can confirm; ``None`` where it says nothing, or several lesions differ."""

    has_lesion: bool
    side: Side | None
    zone: Zone | None
    level: Level | None
    size_mm: float | None
    """Largest diameter of the largest lesion."""
    gland_volume_ml: float | None

    @classmethod
    def by(cls, findings: Findings) -> StatedFinding:
        """What a report of these findings says."""
        return cls.known(findings.pathology, StructuredFields.from_findings(findings))

    @classmethod
    def known(cls, pathology: Pathology, fields: StructuredFields) -> StatedFinding:
        """What is known of a case, taken for what its report says."""
        lesions = (fields.lesions or ()) if pathology == "positive" else ()
        sizes = [lesion.size_mm for lesion in lesions if lesion.size_mm is not None]
        return cls(
            has_lesion=pathology == "positive",
            side=_the_only(lesion.side for lesion in lesions),
            zone=_the_only(lesion.zone for lesion in lesions),
            level=_the_only(lesion.level for lesion in lesions),
            size_mm=max(sizes) if sizes and len(sizes) == len(lesions) else None,
            gland_volume_ml=fields.gland_volume_ml,
        )


class ReadingScores(StrictModel):
    """Agreement of readings with reports. A volume without a lesion counts as wrong where one was to have a place."""

    pathology: Estimate
    sensitivity: Estimate
    """Volumes with a lesion among those that should have one."""
    specificity: Estimate
    """Volumes without a lesion among those that should have none."""
    side: Estimate
    zone: Estimate
    level: Estimate
    confusion: dict[Attribute, Confusion]
    size_mm: Agreement
    """Of the lesion's largest diameter, where a lesion is stated and one is seen."""
    gland_volume_ml: Agreement


def score_readings(stated: Sequence[StatedFinding], readings: Sequence[MeasuredFinding]) -> ReadingScores:
    """Scores of readings, one for each of ``stated``, in the same order. Raises InputError where there are none."""
    if not stated or len(stated) != len(readings):
        raise InputError(f"Scoring needs one reading a report and at least one; got {len(readings)} and {len(stated)}.")
    pairs = list(zip(stated, readings, strict=True))
    return ReadingScores(
        pathology=Estimate.of_share(s.has_lesion == r.has_lesion for s, r in pairs),
        sensitivity=Estimate.of_share(r.has_lesion for s, r in pairs if s.has_lesion),
        specificity=Estimate.of_share(not r.has_lesion for s, r in pairs if not s.has_lesion),
        side=Estimate.of_share(s.side == r.side for s, r in pairs if s.side),
        zone=Estimate.of_share(s.zone == r.zone for s, r in pairs if s.zone),
        level=Estimate.of_share(s.level == r.level for s, r in pairs if s.level),
        confusion={
            "pathology": _confusion("pathology", [(_class_of(s), _class_of(r)) for s, r in pairs]),
            "side": _confusion("side", [(s.side, r.side) for s, r in pairs]),
            "zone": _confusion("zone", [(s.zone, r.zone) for s, r in pairs]),
            "level": _confusion("level", [(s.level, r.level) for s, r in pairs]),
        },
        size_mm=Agreement.of([(s.size_mm, r.size_mm) for s, r in pairs if s.size_mm and r.size_mm]),
        gland_volume_ml=Agreement.of([(s.gland_volume_ml, r.gland_volume_ml) for s, r in pairs if s.gland_volume_ml]),
    )


def _class_of(what: StatedFinding | MeasuredFinding) -> Pathology:
    return "positive" if what.has_lesion else "negative"


def _confusion(attribute: Attribute, pairs: Sequence[tuple[str | None, str | None]]) -> Confusion:
    choices = CHOICES[attribute]
    # Of the class there is always a reading: none seen is negative.
    columns = choices if attribute == "pathology" else (*choices, NONE_SEEN)
    return Confusion.of(choices, columns, [(stated, read or NONE_SEEN) for stated, read in pairs if stated])


def _the_only(values: Iterable[Value]) -> Value | None:
    different = set(values)
    return different.pop() if len(different) == 1 else None


def _correlation(a: np.ndarray, b: np.ndarray) -> Estimate:
    if len(a) < FEWEST_PAIRS or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Estimate(value=None, n=len(a))
    found = pearsonr(a, b)
    low, high = found.confidence_interval(0.95)  # Fisher's z
    return Estimate(value=float(found.statistic), low=float(low), high=float(high), n=len(a))


def mean_of(numbers: Sequence[float] | np.ndarray, seed: int = 0) -> Estimate:
    """Their mean with its bootstrap interval, not defined for fewer than four; ``seed`` is that of the resamples."""
    values = np.asarray(numbers, dtype=np.float64)
    if len(values) < FEWEST_PAIRS:
        return Estimate(value=None, n=len(values))
    drawn = np.random.default_rng(seed).choice(values, (RESAMPLES, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, TAILS)
    return Estimate(value=float(values.mean()), low=float(low), high=float(high), n=len(values))
