"""DeLong's variance of an AUROC: its interval, and whether two on the same cases differ."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata

from ccella_core.errors import InputError
from ccella_core.evaluation.statistics.class_scores import checked_probabilities
from ccella_core.evaluation.statistics.estimate import Difference, Estimate
from ccella_core.evaluation.statistics.intervals import ROUNDING, TAILS, of_all_alike


def auroc(truth: np.ndarray, probability: np.ndarray) -> Estimate:
    """The AUROC with its interval, from the variance of DeLong, DeLong & Clarke-Pearson (Biometrics 44:837, 1988).

    Args:
        truth: (N,) bool.
        probability: of positive in 0 … 1, (N,); anything that rises with it does.

    Returns:
        The ends of the interval stay within 0 and 1. Where every positive lies above every negative, or below, there
        is no variance: the interval is the exact one of as many pairs as share no case. Without a value where a class
        is missing, and without an interval where it has a single case.

    Raises:
        InputError: as ``class_scores``.
    """
    truth, networks = checked_probabilities(truth, probability)
    n, smaller = len(truth), int(min(truth.sum(), (~truth).sum()))
    if not smaller:
        return Estimate(value=None, n=n)
    of_positives, of_negatives = _components(truth, networks)
    value = float(of_positives.mean())
    if smaller < 2:
        return Estimate(value=value, n=n)
    variance = of_positives.var(ddof=1) / len(of_positives) + of_negatives.var(ddof=1) / len(of_negatives)
    if variance <= ROUNDING:
        return of_all_alike(value, smaller, n)
    margin = float(norm.ppf(TAILS[1]) * np.sqrt(variance))
    return Estimate(value=value, low=max(0.0, value - margin), high=min(1.0, value + margin), n=n)


def compare_aurocs(truth: np.ndarray, probability_a: np.ndarray, probability_b: np.ndarray) -> Difference:
    """Whether two AUROCs on the same cases differ (DeLong, DeLong & Clarke-Pearson, Biometrics 44:837, 1988).

    Of several networks the mean of their AUROCs is compared, which the paper's covariance of any number of curves and
    its contrasts cover: a case's components are averaged over the networks. Cases count as independent; for several of
    a patient use ``paired_bootstrap``.

    Args:
        truth: (N,) bool, at least two positives and two negatives.
        probability_a: of positive in 0 … 1 by A, (N,), or (S, N) of S networks.
        probability_b: the same by B.

    Returns:
        AUROC of A less that of B; the networks are taken as they are. Without an interval where there is a difference
        and no variance, from which nothing can be inferred; without a p-value where the standard error is 0.

    Raises:
        InputError: as ``class_scores``, or fewer than two cases of a class.
    """
    (truth, a), (_, b) = checked_probabilities(truth, probability_a), checked_probabilities(truth, probability_b)
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if min(positives, negatives) < 2:
        raise InputError(f"DeLong's test needs two positives and two negatives; there are {positives} and {negatives}.")
    (of_positives_a, of_negatives_a), (of_positives_b, of_negatives_b) = _components(truth, a), _components(truth, b)
    # The variance of a difference of paired means is that of the differences (equation 5 with the contrast 1, -1).
    variance = (of_positives_a - of_positives_b).var(ddof=1) / positives
    variance += (of_negatives_a - of_negatives_b).var(ddof=1) / negatives
    error, value = float(np.sqrt(variance)), float(of_positives_a.mean()) - float(of_positives_b.mean())
    has_spread = error > ROUNDING
    if not has_spread and abs(value) > ROUNDING:
        return Difference(value=value, n=len(truth))
    margin = float(norm.ppf(TAILS[1])) * error
    p_value = float(2 * norm.sf(abs(value / error))) if has_spread else None
    return Difference(value=value, low=value - margin, high=value + margin, n=len(truth), p_value=p_value)


def _components(truth: np.ndarray, networks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it; ties half.

    From ranks (Sun & Xu, IEEE Signal Processing Letters 21:1389, 2014), averaged over the networks (S, N).
    """
    positive, negative = networks[:, truth], networks[:, ~truth]
    among_all = rankdata(networks, axis=1)
    below = (among_all[:, truth] - rankdata(positive, axis=1)) / negative.shape[1]
    above = 1 - (among_all[:, ~truth] - rankdata(negative, axis=1)) / positive.shape[1]
    return below.mean(axis=0), above.mean(axis=0)
