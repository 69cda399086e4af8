"""What a study measured, all in one form, from which tables, figures and sentences are made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from ccella_core.config import StrictModel
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.networks.config import Variant
from ccella_core.study.config import Arm

ARM_WORDS: dict[Arm, str] = {"real": "real", "synthetic": "synthetic", "real+synthetic": "real + synthetic"}
Group = Literal["images", "class_head", "adherence", "privacy"]
Better = Literal["lower", "higher"] | None
"""``None``: neither is better by itself."""


class Measure(StrictModel):
    """One thing that was measured of one variant."""

    variant: Variant
    group: Group
    name: str
    extractor: str | None = None
    """Of the features, or what read the volumes."""
    better: Better
    number: Estimate
    reference: Estimate | None = None
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
    auroc: Estimate
    average_precision: Estimate
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate


class ArmDifference(StrictModel):
    """AUROC of an arm less that of real cases alone, on the same test cases."""

    arm: Arm
    variant: Variant
    real_count: int
    difference: Estimate
    p_value: float | None
    adjusted_p_value: float | None
    """For all comparisons of the study together (Benjamini & Hochberg 1995)."""


def measures_by_row(measures: Iterable[Measure], group: Group) -> list[list[Measure]]:
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
