"""How well probabilities of a class agree with the truth, each score with its 95 % bootstrap interval.

Resamples are stratified by class: the splits themselves are (``cases/splits.py``), so the share of positives is by
design and not by chance, and no resample lacks a class. Accuracy, PPV, NPV and average precision therefore hold at the
set's own share of positives. Where several cases belong together (a patient's), they are drawn together.

Several networks that were trained alike but for their seed may be scored as one: a score is then the mean over the
networks, and its interval says what other seeds as well as other cases would have changed (``intervals.py``). It says
what *one* training is worth; an ensemble of the networks would be another, better classifier than any of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.statistics import intervals
from ccella_core.evaluation.statistics.estimate import Difference, Estimate
from ccella_core.evaluation.statistics.intervals import ROUNDING
from ccella_core.evaluation.statistics.resampling import SCORES, Draws, ScoreName, weighted_scores
from ccella_core.report_page import markdown_table

SCORE_NAMES: dict[ScoreName, str] = {
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


class ClassScores(StrictModel):
    """Scores of one classifier, or of several that were trained alike, on the same cases.

    The ``n`` of a score are the cases that it is of: of sensitivity the positives, of PPV those called positive (on
    average over the networks).
    """

    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    auroc: Estimate
    average_precision: Estimate
    threshold: float
    cases: int
    positives: int
    networks: int
    resamples: int
    seed: int


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
    truth, networks = checked_probabilities(truth, probability)
    weights = Draws(truth, groups, resamples, seed).cases()
    drawn, alone = (_scored(truth, networks, threshold, each) for each in (weights, np.ones((1, len(truth)))))
    units = _units(truth, networks, threshold, groups)
    called = np.mean([(network >= threshold).sum() for network in networks])
    positives = int(truth.sum())
    of = {
        "sensitivity": positives,
        "specificity": len(truth) - positives,
        "ppv": round(called),
        "npv": len(truth) - round(called),
    }
    scores = {
        name: _estimate(alone[name][:, 0], drawn[name], units.get(name, 0), of.get(name, len(truth))) for name in SCORES
    }
    return ClassScores(
        **scores,
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
    same_seeds: bool = False,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Difference:
    """The difference of a score between A and B; both are scored on the same resample each time.

    A and B may have different numbers of networks. Of a single network it is not known what another seed would have
    changed, so that this is not in the interval.

    Args:
        truth: as of ``class_scores``.
        probability_a: of A, as of ``class_scores``.
        probability_b: of B.
        score: which to compare.
        threshold: from which a case is called positive.
        groups: what is drawn together, as of ``class_scores``.
        same_seeds: the networks of A and B are pairs, of the same seed and, where that draws them, the same real cases.
        seed: of the resamples.
        resamples: how many.

    Raises:
        InputError: as ``class_scores``.
    """
    (truth, a), (_, b) = checked_probabilities(truth, probability_a), checked_probabilities(truth, probability_b)
    weights, ones = Draws(truth, groups, resamples, seed).cases(), np.ones((1, len(truth)))
    drawn_a, drawn_b = (_scored(truth, networks, threshold, weights)[score] for networks in (a, b))
    alone_a, alone_b = (_scored(truth, networks, threshold, ones)[score][:, 0] for networks in (a, b))
    value = float(alone_a.mean() - alone_b.mean())
    drawn = drawn_a.mean(axis=0) - drawn_b.mean(axis=0)
    among = [alone_a - alone_b] if same_seeds and len(a) == len(b) else [alone_a, alone_b]
    return _with_chance(value, drawn, [each for each in among if len(each) > 1], len(truth))


def scores_table(named: dict[str, ClassScores]) -> str:
    """A markdown table: a column for each of ``named``, a row a score."""
    rows = [
        [SCORE_NAMES[score], *(getattr(scores, score).with_n() for scores in named.values())] for score in SCORES
    ]  # fmt: skip
    return markdown_table(["", *named], rows)


def _scored(
    truth: np.ndarray, networks: np.ndarray, threshold: float, weights: np.ndarray
) -> dict[ScoreName, np.ndarray]:
    """Every score (S, R) of S networks under each of R weightings."""
    each = [weighted_scores(truth, network, threshold, weights) for network in networks]
    return {name: np.stack([scores[name] for scores in each]) for name in SCORES}


def _units(
    truth: np.ndarray, networks: np.ndarray, threshold: float, groups: Sequence[str] | None
) -> dict[ScoreName, int]:
    """How many independent cases at least stand behind a score; average precision has no such number."""
    names = np.arange(len(truth)) if groups is None else np.asarray(groups)
    called = networks >= threshold

    def count(chosen: np.ndarray) -> int:
        return len(np.unique(names[chosen]))

    positive, negative = count(truth), count(~truth)
    return {
        "accuracy": len(np.unique(names)),
        "sensitivity": positive,
        "specificity": negative,
        "ppv": min(count(each) for each in called),
        "npv": min(count(~each) for each in called),
        # As many pairs of a positive and a negative share no case.
        "auroc": min(positive, negative),
    }


def _estimate(alone: np.ndarray, drawn: np.ndarray, units: int, n: int) -> Estimate:
    """Of a score of S networks (S,), and its resamples (S, R)."""
    value = float(alone.mean())
    if not np.isfinite(value):
        return Estimate(value=None, n=n)
    found: Estimate = _with_chance(value, drawn.mean(axis=0), [alone] if len(alone) > 1 else [], n)
    if found.low is None or found.high is None or found.high - found.low <= ROUNDING:
        found = intervals.of_all_alike(value, units, n)
    low, high = (None if end is None else min(1.0, max(0.0, end)) for end in (found.low, found.high))
    return Estimate(value=value, low=low, high=high, n=n)


def _with_chance(value: float, drawn: np.ndarray, among: Sequence[np.ndarray], n: int) -> Difference:
    """By percentiles where nothing is known of other seeds, otherwise by the sources of chance."""
    if not np.isfinite(value):
        return Difference(value=None, n=n)
    if not among:
        return intervals.of_resamples(value, drawn, n)
    return intervals.of_components(value, [intervals.of_cases(drawn), *map(intervals.of_networks, among)], n)


def checked_probabilities(truth: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``truth`` (N,) bool and the networks' probabilities (S, N) float64."""
    truth, networks = np.asarray(truth, bool), np.atleast_2d(np.asarray(probability, float))
    if not truth.size or not networks.size:
        raise InputError("There are no cases to score.")
    if networks.shape[1:] != truth.shape:
        raise InputError(f"There are {networks.shape[-1]} probabilities for {truth.size} cases; give one for each.")
    if not ((networks >= 0) & (networks <= 1)).all():
        raise InputError("A probability is not a number from 0 to 1.")
    return truth, networks
