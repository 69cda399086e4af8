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

TAILS = (0.025, 0.975)
"""Of a 95 % interval."""
LEAST_TAIL = 1e-12
"""Smaller p-values mean nothing more."""
ROUNDING = 1e-12
"""What is left of a standard error of 0."""


class Part(NamedTuple):
    """One source of chance."""

    variance: float
    freedom: float
    """Degrees of freedom behind it; infinite for the bootstrap over cases."""


class Reach(NamedTuple):
    """Where a value may lie, and how often chance alone would take it as far from 0."""

    low: float | None
    high: float | None
    p_value: float | None


UNKNOWN = Reach(None, None, None)


def of_resamples(drawn: np.ndarray) -> Reach:
    """By percentiles of resampled values (R,), without those that are not defined.

    The p-value is two-sided: twice the smaller share of resamples on one side of 0 (Davison & Hinkley 1997, with 1
    added).
    """
    known = drawn[np.isfinite(drawn)]
    if not len(known):
        return UNKNOWN
    low, high = (float(end) for end in np.quantile(known, TAILS))
    side = 1 + min(int((known <= 0).sum()), int((known >= 0).sum()))
    return Reach(low, high, min(1.0, 2 * side / (1 + len(known))))


def of_parts(value: float, parts: Sequence[Part]) -> Reach:
    """Of a value with independent sources of chance."""
    error = float(np.sqrt(sum(part.variance for part in parts)))
    if not np.isfinite(error):
        return UNKNOWN
    if error <= ROUNDING:
        return Reach(value, value, 1.0 if abs(value) <= ROUNDING else None)

    def half(tail: float) -> float:
        """Of the interval that leaves out so much on each side."""
        return sum(part.variance * float(student.isf(tail, part.freedom)) for part in parts) / error

    def beyond(tail: float) -> float:
        return half(tail) - abs(value)

    p_value = 2 * brentq(beyond, LEAST_TAIL, 0.5) if beyond(LEAST_TAIL) > 0 else 2 * LEAST_TAIL
    return Reach(value - half(TAILS[0]), value + half(TAILS[0]), float(p_value))


def of_cases(drawn: np.ndarray) -> Part:
    """What other cases would have changed: of resampled values (R,)."""
    return Part(float(np.nanvar(drawn, ddof=1)), np.inf)


def of_networks(scores: np.ndarray) -> Part:
    """What other seeds would have changed in the mean of at least two networks (S,)."""
    return Part(float(np.var(scores, ddof=1)) / len(scores), len(scores) - 1)


def of_all_alike(value: float, units: int) -> Reach:
    """Of a share that is 0 or 1, from so many independent cases: Clopper & Pearson's, Biometrika 26:404, 1934.

    Resamples of cases that were all right are all right as well; that does not make the next one sure to be.
    """
    if units < 1 or value not in (0.0, 1.0):
        return UNKNOWN
    least = TAILS[0] ** (1 / units)
    return Reach(least, 1.0, None) if value == 1.0 else Reach(0.0, 1 - least, None)
