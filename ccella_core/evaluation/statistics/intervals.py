"""95 % intervals of scores: what other cases would have changed and, of several networks, what other seeds would have.

Drawing S of S networks with replacement, as one draws cases, would understate what separates networks by (S - 1) / S,
which is half of it for two. So the two sources are kept apart: the variance over resamples of the cases, and that of
the mean of the networks with S - 1 degrees of freedom, each with its own quantile of Student's t, weighed by variance
(Cochran & Cox, Experimental Designs, 1957, section 4.14). Welch and Satterthwaite's degrees of freedom err too often
with two networks: two that happen to agree are taken for sure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import t as student

from ccella_core.evaluation.statistics.estimate import Difference, Estimate

TAILS = (0.025, 0.975)
"""Of a 95 % interval."""
LEAST_TAIL = 1e-12
"""Smaller p-values mean nothing more."""
ROUNDING = 1e-12
"""What is left of a standard error of 0."""


class VarianceComponent(NamedTuple):
    """One source of chance."""

    variance: float
    freedom: float
    """Degrees of freedom behind it; infinite for the bootstrap over cases."""


def of_resamples(value: float, drawn: np.ndarray, n: int) -> Difference:
    """By percentiles of resampled values (R,), without those that are not defined.

    The p-value is two-sided: twice the smaller share of resamples on one side of 0 (Davison & Hinkley 1997, with 1
    added).
    """
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return Difference(value=value, n=n)
    low, high = (float(end) for end in np.quantile(known, TAILS))
    side = 1 + min(int((known <= 0).sum()), int((known >= 0).sum()))
    return Difference(value=value, low=low, high=high, n=n, p_value=min(1.0, 2 * side / (1 + len(known))))


def of_components(value: float, components: Sequence[VarianceComponent], n: int) -> Difference:
    """Of a value with independent sources of chance."""
    error = float(np.sqrt(sum(each.variance for each in components)))
    if not np.isfinite(error):
        return Difference(value=value, n=n)
    if error <= ROUNDING:
        return Difference(value=value, low=value, high=value, n=n, p_value=1.0 if abs(value) <= ROUNDING else None)

    def half(tail: float) -> float:
        """Of the interval that leaves out so much on each side."""
        return sum(each.variance * float(student.isf(tail, each.freedom)) for each in components) / error

    def beyond(tail: float) -> float:
        return half(tail) - abs(value)

    p_value = 2 * brentq(beyond, LEAST_TAIL, 0.5) if beyond(LEAST_TAIL) > 0 else 2 * LEAST_TAIL
    margin = half(TAILS[0])
    return Difference(value=value, low=value - margin, high=value + margin, n=n, p_value=float(p_value))


def of_cases(drawn: np.ndarray) -> VarianceComponent:
    """What other cases would have changed: of resampled values (R,)."""
    return VarianceComponent(float(np.nanvar(drawn, ddof=1)), np.inf)


def of_networks(scores: np.ndarray) -> VarianceComponent:
    """What other seeds would have changed in the mean of at least two networks (S,)."""
    return VarianceComponent(float(np.var(scores, ddof=1)) / len(scores), len(scores) - 1)


def of_all_alike(value: float, units: int, n: int) -> Estimate:
    """Of a share that is 0 or 1, from so many independent cases: Clopper & Pearson's, Biometrika 26:404, 1934.

    Resamples of cases that were all right are all right as well; that does not make the next one sure to be.
    """
    if units < 1 or value not in (0.0, 1.0):
        return Estimate(value=value, n=n)
    least = TAILS[0] ** (1 / units)
    low, high = (least, 1.0) if value == 1.0 else (0.0, 1 - least)
    return Estimate(value=value, low=low, high=high, n=n)
