"""DeLong's test: whether two AUROCs on the same cases differ."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.statistics.class_scores import checked
from ccella_core.evaluation.statistics.intervals import ROUNDING, TAILS


class AurocComparison(StrictModel):
    """AUROC of A less that of B on the same cases, by DeLong's test; the networks are taken as they are."""

    auroc_a: float
    auroc_b: float
    difference: float
    standard_error: float
    low: float | None
    high: float | None
    """``None`` where there is a difference and no variance, from which nothing can be inferred."""
    z: float | None
    p_value: float | None
    """Two-sided; ``None``, as ``z``, where the standard error is 0."""
    positives: int
    negatives: int


def compare_aurocs(truth: np.ndarray, probability_a: np.ndarray, probability_b: np.ndarray) -> AurocComparison:
    """Whether two AUROCs on the same cases differ (DeLong, DeLong & Clarke-Pearson, Biometrics 44:837, 1988).

    Of several networks the mean of their AUROCs is compared, which the paper's covariance of any number of curves and
    its contrasts cover: a case's components are averaged over the networks. Cases count as independent; for several of
    a patient use ``paired_bootstrap``.

    Args:
        truth: (N,) bool, at least two positives and two negatives.
        probability_a, probability_b: of positive in 0 … 1, (N,), or (S, N) of S networks.

    Raises:
        InputError: as ``class_scores``, or fewer than two cases of a class.
    """
    (truth, a), (_, b) = checked(truth, probability_a), checked(truth, probability_b)
    positives = int(truth.sum())
    negatives = len(truth) - positives
    if min(positives, negatives) < 2:
        raise InputError(f"DeLong's test needs two positives and two negatives; there are {positives} and {negatives}.")
    (of_positives_a, of_negatives_a), (of_positives_b, of_negatives_b) = _components(truth, a), _components(truth, b)
    auroc_a, auroc_b = float(of_positives_a.mean()), float(of_positives_b.mean())
    # The variance of a difference of paired means is that of the differences (equation 5 with the contrast 1, -1).
    variance = (of_positives_a - of_positives_b).var(ddof=1) / positives
    variance += (of_negatives_a - of_negatives_b).var(ddof=1) / negatives
    error, difference = float(np.sqrt(variance)), auroc_a - auroc_b
    z = difference / error if error > ROUNDING else None
    reach = float(norm.ppf(TAILS[1])) * error
    is_known = z is not None or abs(difference) <= ROUNDING
    return AurocComparison(
        auroc_a=auroc_a,
        auroc_b=auroc_b,
        difference=difference,
        standard_error=error,
        low=difference - reach if is_known else None,
        high=difference + reach if is_known else None,
        z=z,
        p_value=None if z is None else float(2 * norm.sf(abs(z))),
        positives=positives,
        negatives=negatives,
    )


def _components(truth: np.ndarray, networks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it; ties half.

    From ranks (Sun & Xu, IEEE Signal Processing Letters 21:1389, 2014), averaged over the networks (S, N).
    """
    positive, negative = networks[:, truth], networks[:, ~truth]
    among_all = rankdata(networks, axis=1)
    below = (among_all[:, truth] - rankdata(positive, axis=1)) / negative.shape[1]
    above = 1 - (among_all[:, ~truth] - rankdata(negative, axis=1)) / positive.shape[1]
    return below.mean(axis=0), above.mean(axis=0)
