"""How well probabilities of a class agree with the truth, each score with its 95 % bootstrap interval.

Resamples are stratified by class: the splits themselves are (``cases/splits.py``), so the share of positives is by
design and not by chance, and no resample lacks a class. Accuracy, PPV, NPV and average precision therefore hold at the
set's own share of positives. Where several cases belong together (a patient's), they are drawn together.

Several networks that were trained alike but for their seed may be scored as one: a score is then the mean over the
networks, and each resample draws networks as well as cases. It says what *one* training is worth; an ensemble of the
networks would be another, better classifier than any of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import norm, rankdata

from ccella_core.errors import InputError
from ccella_core.evaluation.resampling import SCORES, Draws, ScoreName, weighted_scores
from ccella_core.settings import StrictModel

WORDS: dict[ScoreName, str] = {
    "accuracy": "Accuracy",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "ppv": "PPV",
    "npv": "NPV",
    "auroc": "AUROC",
    "average_precision": "Average precision",
}
THRESHOLD = 0.5
RESAMPLES = 2000
"""Beyond this the ends of an interval move by less than they are printed with."""
ROUNDING = 1e-12
"""What is left of a standard error of 0."""
TAILS = (0.025, 0.975)
"""Of a 95 % interval."""


class Interval(StrictModel):
    """A score and its 95 % interval, of whichever method made it; ``None`` where it is not defined."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Cases that the score is of: for sensitivity the positives, for PPV those called positive (on average)."""

    def __str__(self) -> str:
        if self.value is None:
            return "not defined"
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}; n {self.n})"


class ClassScores(StrictModel):
    """Scores of one classifier, or of several that were trained alike, on the same cases."""

    accuracy: Interval
    sensitivity: Interval
    specificity: Interval
    ppv: Interval
    npv: Interval
    auroc: Interval
    average_precision: Interval
    threshold: float
    cases: int
    positives: int
    networks: int
    resamples: int
    seed: int


class ScoreDifference(StrictModel):
    """A score of A less that of B on the same cases, by the paired bootstrap."""

    score: ScoreName
    value: float | None
    low: float | None
    high: float | None
    p_value: float | None
    """Two-sided: twice the smaller share of resamples on one side of 0 (Davison & Hinkley 1997, with 1 added)."""
    n: int
    resamples: int


class AurocComparison(StrictModel):
    """AUROC of A less that of B on the same cases, by DeLong's test; the networks are taken as they are."""

    auroc_a: float
    auroc_b: float
    difference: float
    standard_error: float
    low: float
    high: float
    z: float | None
    p_value: float | None
    """Two-sided; ``None``, as ``z``, where the standard error is 0: both order every pair alike."""
    positives: int
    negatives: int


def class_scores(
    truth: np.ndarray,
    probability: np.ndarray,
    *,
    threshold: float = THRESHOLD,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> ClassScores:
    """Scores with intervals.

    Args:
        truth: (N,) bool, True where positive.
        probability: of positive in 0 … 1, (N,), or (S, N) of S networks.
        threshold: from which a case is called positive.
        groups: (N,) names of what is drawn together, for instance patients; by default every case is alone.
        seed: of the resamples.
        resamples: how many.

    Raises:
        InputError: nothing to score, different lengths, or a probability that is none.
    """
    truth, networks = _checked(truth, probability)
    draws = Draws(truth, groups, resamples, seed)
    weights = draws.cases()
    who = draws.networks(len(networks))
    each = [weighted_scores(truth, network, threshold, weights) for network in networks]
    alone = [weighted_scores(truth, network, threshold, np.ones((1, len(truth)))) for network in networks]
    called = np.mean([(network >= threshold).sum() for network in networks])
    positives = int(truth.sum())
    of = {
        "sensitivity": positives,
        "specificity": len(truth) - positives,
        "ppv": round(called),
        "npv": len(truth) - round(called),
    }
    intervals = {
        name: _interval(
            np.mean([one[name] for one in alone]),
            np.take_along_axis(np.stack([one[name] for one in each]), who, axis=0).mean(axis=0),
            of.get(name, len(truth)),
        )
        for name in SCORES
    }
    return ClassScores(
        **intervals,
        threshold=threshold,
        cases=len(truth),
        positives=positives,
        networks=len(networks),
        resamples=resamples,
        seed=seed,
    )


def paired_bootstrap(
    truth: np.ndarray,
    probability_a: np.ndarray,
    probability_b: np.ndarray,
    score: ScoreName,
    *,
    threshold: float = THRESHOLD,
    groups: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> ScoreDifference:
    """The difference of a score between A and B; both are scored on the same resample each time.

    Arguments and errors as of ``class_scores``; A and B may have different numbers of networks.
    """
    (truth, a), (_, b) = _checked(truth, probability_a), _checked(truth, probability_b)
    draws = Draws(truth, groups, resamples, seed)
    weights, ones = draws.cases(), np.ones((1, len(truth)))

    def of(networks: np.ndarray) -> tuple[float, np.ndarray]:
        drawn = np.stack([weighted_scores(truth, network, threshold, weights)[score] for network in networks])
        alone = np.mean([weighted_scores(truth, network, threshold, ones)[score] for network in networks])
        return float(alone), np.take_along_axis(drawn, draws.networks(len(networks)), axis=0).mean(axis=0)

    (value_a, drawn_a), (value_b, drawn_b) = of(a), of(b)
    differences = drawn_a - drawn_b
    interval = _interval(value_a - value_b, differences, len(truth))
    p_value = None
    if interval.value is not None:
        known = differences[np.isfinite(differences)]
        side = 1 + min(int((known <= 0).sum()), int((known >= 0).sum()))
        p_value = min(1.0, 2 * side / (1 + len(known)))
    return ScoreDifference(
        score=score,
        value=interval.value,
        low=interval.low,
        high=interval.high,
        p_value=p_value,
        n=len(truth),
        resamples=resamples,
    )


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
    (truth, a), (_, b) = _checked(truth, probability_a), _checked(truth, probability_b)
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
    return AurocComparison(
        auroc_a=auroc_a,
        auroc_b=auroc_b,
        difference=difference,
        standard_error=error,
        low=difference - reach,
        high=difference + reach,
        z=z,
        p_value=None if z is None else float(2 * norm.sf(abs(z))),
        positives=positives,
        negatives=negatives,
    )


def scores_table(named: dict[str, ClassScores]) -> str:
    """A markdown table: a column for each of ``named``, a row a score."""
    lines = [f"| | {' | '.join(named)} |", f"|---|{'---|' * len(named)}"]
    lines += [
        f"| {WORDS[score]} | {' | '.join(str(getattr(scores, score)) for scores in named.values())} |"
        for score in SCORES
    ]
    return "\n".join(lines)


def _components(truth: np.ndarray, networks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it; ties half.

    From ranks (Sun & Xu, IEEE Signal Processing Letters 21:1389, 2014), averaged over the networks (S, N).
    """
    positive, negative = networks[:, truth], networks[:, ~truth]
    among_all = rankdata(networks, axis=1)
    below = (among_all[:, truth] - rankdata(positive, axis=1)) / negative.shape[1]
    above = 1 - (among_all[:, ~truth] - rankdata(negative, axis=1)) / positive.shape[1]
    return below.mean(axis=0), above.mean(axis=0)


def _interval(value: float, drawn: np.ndarray, n: int) -> Interval:
    drawn = drawn[np.isfinite(drawn)]
    if not np.isfinite(value) or not len(drawn):
        return Interval(value=None, low=None, high=None, n=n)
    low, high = np.quantile(drawn, TAILS)
    return Interval(value=float(value), low=float(low), high=float(high), n=n)


def _checked(truth: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``truth`` (N,) bool and the networks' probabilities (S, N) float64."""
    truth, networks = np.asarray(truth, bool), np.atleast_2d(np.asarray(probability, float))
    if not truth.size or not networks.size:
        raise InputError("There are no cases to score.")
    if networks.shape[1:] != truth.shape:
        raise InputError(f"There are {networks.shape[-1]} probabilities for {truth.size} cases; give one for each.")
    if not ((networks >= 0) & (networks <= 1)).all():
        raise InputError("A probability is not a number from 0 to 1.")
    return truth, networks
