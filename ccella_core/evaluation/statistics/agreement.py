"""Agreement of readers beyond chance: Cohen's kappa of two, Fleiss' kappa of several, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from scipy.stats import norm

from ccella_core.errors import InputError
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.evaluation.statistics.intervals import ROUNDING, TAILS


def cohens_kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> Estimate:
    """Agreement of two readers, unweighted (Cohen, Educational and Psychological Measurement 20:37, 1960).

    The interval is from the large-sample variance of Fleiss, Cohen & Everitt (Psychological Bulletin 72:323, 1969).

    Args:
        a: what the first says of each case.
        b: what the second says of the same.

    Returns:
        1: always the same; 0: as often as chance would have it. Without a value where both say the same of every case,
        since chance alone would agree as well.

    Raises:
        InputError: no cases, or not as many of both.
    """
    if len(a) != len(b) or not len(a):
        raise InputError(f"Agreement needs two readers' words on the same cases; there are {len(a)} and {len(b)}.")
    words = sorted({*a, *b}, key=repr)
    shares = np.zeros((len(words), len(words)))
    for one, other in zip(a, b, strict=True):
        shares[words.index(one), words.index(other)] += 1 / len(a)
    rows, columns = shares.sum(axis=1), shares.sum(axis=0)
    observed, expected = float(np.trace(shares)), float(rows @ columns)
    if 1 - expected <= ROUNDING:
        return Estimate(value=None, n=len(a))
    kappa = (observed - expected) / (1 - expected)
    # Equation 13 of that paper; p_i. of the first and p_.i of the second.
    same = np.diag(shares) @ ((1 - (rows + columns) * (1 - kappa)) ** 2)
    others = shares * (columns[:, None] + rows[None, :]) ** 2
    variance = same + (1 - kappa) ** 2 * (others.sum() - np.trace(others)) - (kappa - expected * (1 - kappa)) ** 2
    return _estimate(kappa, variance / (len(a) * (1 - expected) ** 2), len(a))


def fleiss_kappa(ratings: Sequence[Sequence[Hashable]]) -> Estimate:
    """Agreement of any number of readers (Fleiss, Psychological Bulletin 76:378, 1971).

    The interval is from Gwet's large-sample variance (Educational and Psychological Measurement 81:781, 2021), which
    holds whether or not there is agreement; Fleiss' own holds only where there is none.

    Args:
        ratings: of each case what each reader says, as many readers for every case, at least two.

    Returns:
        As of ``cohens_kappa``; for two readers Scott's pi, which lies close to it. Without an interval for one case.

    Raises:
        InputError: no cases, a case with another number of readers, or fewer than two.
    """
    readers = len(ratings[0]) if len(ratings) else 0
    if readers < 2 or any(len(case) != readers for case in ratings):
        raise InputError("Fleiss' kappa needs at least one case, and for every case the words of the same readers.")
    words = sorted({word for case in ratings for word in case}, key=repr)
    counts = np.array([[list(case).count(word) for word in words] for case in ratings], float)
    alike = ((counts**2).sum(axis=1) - readers) / (readers * (readers - 1))
    shares = counts.mean(axis=0) / readers
    observed, expected, n = float(alike.mean()), float(shares @ shares), len(counts)
    if 1 - expected <= ROUNDING:
        return Estimate(value=None, n=n)
    kappa = (observed - expected) / (1 - expected)
    if n < 2:
        return Estimate(value=kappa, n=n)
    of_case = (alike - expected) / (1 - expected)
    by_chance = counts @ shares / readers
    linear = of_case - 2 * (1 - kappa) * (by_chance - expected) / (1 - expected)
    return _estimate(kappa, float(((linear - kappa) ** 2).sum()) / (n * (n - 1)), n)


def _estimate(kappa: float, variance: float, n: int) -> Estimate:
    margin = float(norm.ppf(TAILS[1]) * np.sqrt(max(0.0, variance)))
    if margin <= ROUNDING:  # nothing varied, which does not say that nothing could
        return Estimate(value=kappa, n=n)
    return Estimate(value=kappa, low=max(-1.0, kappa - margin), high=min(1.0, kappa + margin), n=n)
