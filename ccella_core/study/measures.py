"""What a study measured, all in one form, from which tables, figures and sentences are made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor, log10
from typing import Literal

from ccella_core.config import StrictModel
from ccella_core.networks.config import Variant
from ccella_core.study.config import Arm

ARM_WORDS: dict[Arm, str] = {"real": "real", "synthetic": "synthetic", "real+synthetic": "real + synthetic"}
Group = Literal["images", "class_head", "adherence", "privacy"]
Better = Literal["lower", "higher"] | None
"""``None``: neither is better by itself."""


class Number(StrictModel):
    """A value and its 95 % interval, where it has one; ``value`` is ``None`` where it is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: str
    """Of what it was computed, in words: "64 real, 64 synthetic"."""

    @property
    def has_interval(self) -> bool:
        """One of no width says that nothing varied, not that nothing could."""
        return self.value is not None and self.low is not None and self.high is not None and self.low < self.high

    def apart_from(self, other: Number) -> bool:
        """Whether the two intervals do not touch: more than 95 % sure of a difference, if cases are many."""
        if not (self.has_interval and other.has_interval):
            return False
        assert self.low is not None and self.high is not None and other.low is not None and other.high is not None
        return self.high < other.low or other.high < self.low

    def __str__(self) -> str:
        if self.value is None:
            return "not defined"
        if not self.has_interval:
            return f"{self.value:.3g}"
        digits = _digits(self.value, *(each for each in (self.low, self.high) if each is not None))
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


class Measure(StrictModel):
    """One thing that was measured of one variant."""

    variant: Variant
    group: Group
    name: str
    extractor: str | None = None
    """Of the features, or what read the volumes."""
    better: Better
    number: Number
    reference: Number | None = None
    """The same of what it is to be compared with, where there is such a thing."""
    reference_name: str | None = None
    """What that is: "real against real"."""
    comparable: bool = True
    """Whether value and reference are of sets of one size, or of a statistic that does not depend on it."""

    @property
    def row(self) -> tuple[Group, str, str | None]:
        """Measures of the same row are compared with each other."""
        return self.group, self.name, self.extractor


class ArmScore(StrictModel):
    """What classifiers of one arm are worth on the test cases: the mean over those trained with several seeds."""

    arm: Arm
    variant: Variant | None
    """Whose synthetic volumes."""
    real_count: int | None
    synthetic_count: int
    networks: int
    auroc: Number
    average_precision: Number
    accuracy: Number
    sensitivity: Number
    specificity: Number


class ArmDifference(StrictModel):
    """AUROC of an arm less that of real cases alone, on the same test cases."""

    arm: Arm
    variant: Variant
    real_count: int
    difference: Number
    p_value: float | None
    adjusted_p_value: float | None
    """For all comparisons of the study together (Benjamini & Hochberg 1995)."""


def rows_of(measures: Iterable[Measure], group: Group) -> list[list[Measure]]:
    """The measures of a group, those of the same thing together, in the order in which they first stand there."""
    rows: dict[tuple[Group, str, str | None], list[Measure]] = {}
    for measure in measures:
        if measure.group == group:
            rows.setdefault(measure.row, []).append(measure)
    return list(rows.values())


def variants_of(rows: Iterable[Sequence[Measure]], variants: Sequence[Variant]) -> list[Variant]:
    """Those of ``variants`` of which something was measured, in their order."""
    measured = {measure.variant for row in rows for measure in row}
    return [variant for variant in variants if variant in measured]


def best_of(row: Sequence[Measure]) -> list[Measure]:
    """Those with the best value of a row; none where nothing is better than anything else."""
    known = [measure for measure in row if measure.number.value is not None and measure.better is not None]
    if not known:
        return []
    values = [measure.number.value or 0.0 for measure in known]
    best = min(values) if known[0].better == "lower" else max(values)
    return [measure for measure, value in zip(known, values, strict=True) if value == best]


MOST_DECIMALS, SIGNIFICANT = 5, 3


def _digits(value: float, *ends: float) -> int:
    """Decimals with which the largest of a value and its ends shows three figures that count; two where it is 0."""
    largest = max(abs(each) for each in (value, *ends))
    if largest == 0:
        return SIGNIFICANT
    figures = SIGNIFICANT if value else SIGNIFICANT - 1
    return min(MOST_DECIMALS, max(0, figures - 1 - floor(log10(largest))))
