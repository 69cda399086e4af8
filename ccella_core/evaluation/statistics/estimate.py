"""A value with its 95 % interval and what stands behind it: the one form in which results are kept and shown."""

from __future__ import annotations

from collections.abc import Iterable
from math import floor, log10
from typing import Literal

from scipy.stats import binomtest

from ccella_core.config import StrictModel

MOST_DECIMALS, SIGNIFICANT_FIGURES = 5, 3


class Estimate(StrictModel):
    """A value and its 95 % interval; ``None`` where one is not defined."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int | str
    """The cases that the value is of; in words where there are several kinds: "64 real, 64 synthetic"."""

    @classmethod
    def of_share(cls, answers: Iterable[bool], *, method: Literal["wilson", "exact"] = "wilson") -> Estimate:
        """The share of answers that are yes.

        Args:
            answers: one a case; where there is none, the share is not defined.
            method: of the interval: Wilson's score, or Clopper and Pearson's exact one.
        """
        each = [bool(answer) for answer in answers]
        if not each:
            return cls(value=None, n=0)
        interval = binomtest(sum(each), len(each)).proportion_ci(0.95, method=method)
        return cls(value=sum(each) / len(each), low=float(interval.low), high=float(interval.high), n=len(each))

    @property
    def count(self) -> int:
        """Of a share: how many of the ``n`` cases it is."""
        return round((self.value or 0.0) * int(self.n))

    @property
    def has_interval(self) -> bool:
        """One of no width says that nothing varied, not that nothing could."""
        return self.value is not None and self.low is not None and self.high is not None and self.low < self.high

    def apart_from(self, other: Estimate) -> bool:
        """Whether the two intervals do not touch: more than 95 % sure of a difference, if cases are many."""
        if not (self.has_interval and other.has_interval):
            return False
        assert self.low is not None and self.high is not None and other.low is not None and other.high is not None
        return self.high < other.low or other.high < self.low

    def __str__(self) -> str:
        """With three significant figures and without ``n``, which tables of a study have beside it."""
        if self.value is None:
            return "not defined"
        if not self.has_interval:
            return f"{self.value:.{SIGNIFICANT_FIGURES}g}"
        digits = _decimals(self.value, *(each for each in (self.low, self.high) if each is not None))
        return f"{self.value:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"

    def with_n(self, form: str = ".3f", unit: str = "") -> str:
        """In a format of numbers, with a unit where it has one: "9.4 ml (7.6 to 11.4; n 64)"."""
        if self.value is None:
            return f"not defined (n {self.n})"
        value = f"{self.value:{form}} {unit}".strip()
        if self.low is None or self.high is None:
            return f"{value} (no interval; n {self.n})"
        return f"{value} ({self.low:{form}} to {self.high:{form}}; n {self.n})"

    def as_share(self, decimals: int = 0) -> str:
        """In per cent, the interval with so many decimals: "92.2% (59/64; 95 % 83% to 97%)"."""
        if self.value is None:
            return "no cases"
        return (
            f"{self.value:.1%} ({self.count}/{self.n}; 95 % {self.low:.{decimals}%} to {self.high:.{decimals}%})"
        )  # fmt: skip


class Difference(Estimate):
    """An estimate that may be none at all, and how often chance alone would take it as far from 0."""

    p_value: float | None = None
    """Two-sided."""


def format_p_value(p_value: float | None) -> str:
    """With three decimals; a dash where there is none."""
    return "–" if p_value is None else "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"


def _decimals(value: float, *ends: float) -> int:
    """With which the largest of a value and its ends shows three figures that count; two where the value is 0."""
    largest = max(abs(each) for each in (value, *ends))
    if largest == 0:
        return SIGNIFICANT_FIGURES
    figures = SIGNIFICANT_FIGURES if value else SIGNIFICANT_FIGURES - 1
    return min(MOST_DECIMALS, max(0, figures - 1 - floor(log10(largest))))
