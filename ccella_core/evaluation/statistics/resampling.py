"""Scores of a class under thousands of weightings of the cases at once, and the resamples that give the weightings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from scipy.integrate import trapezoid

from ccella_core.errors import InputError

ScoreName = Literal["accuracy", "sensitivity", "specificity", "ppv", "npv", "auroc", "average_precision"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)


class Draws:
    """Which cases each resample holds."""

    def __init__(self, truth: np.ndarray, groups: Sequence[str] | None, resamples: int, seed: int) -> None:
        if groups is not None and len(groups) != len(truth):
            raise InputError(f"There are {len(groups)} groups for {len(truth)} cases; give one for each case.")
        names, self._group = np.unique(np.arange(len(truth)) if groups is None else groups, return_inverse=True)
        self._positive = np.zeros(len(names), bool)
        np.logical_or.at(self._positive, self._group, truth)
        self._resamples, self._rng = resamples, np.random.default_rng(seed)

    def cases(self) -> np.ndarray:
        """(R, N): how often each case was drawn. A group with a positive case counts as positive."""
        counts = np.zeros((self._resamples, len(self._positive)))
        for stratum in (np.flatnonzero(self._positive), np.flatnonzero(~self._positive)):
            if len(stratum):
                even = np.full(len(stratum), 1 / len(stratum))
                counts[:, stratum] = self._rng.multinomial(len(stratum), even, size=self._resamples)
        return counts[:, self._group]


def weighted_scores(
    truth: np.ndarray, probability: np.ndarray, threshold: float, weights: np.ndarray
) -> dict[ScoreName, np.ndarray]:
    """Every score (R,) under each row of ``weights`` (R, N), NaN where it is not defined.

    The same numbers as scikit-learn's with ``sample_weight``, for thousands of weightings at once.
    """
    called = probability >= threshold
    true_positive, false_positive, true_negative, false_negative = (
        weights @ chosen.astype(float)
        for chosen in (truth & called, ~truth & called, ~truth & ~called, truth & ~called)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        auroc, average_precision = _areas(truth, probability, weights)
        return {
            "accuracy": (true_positive + true_negative) / weights.sum(axis=1),
            "sensitivity": true_positive / (true_positive + false_negative),
            "specificity": true_negative / (true_negative + false_positive),
            "ppv": true_positive / (true_positive + false_positive),
            "npv": true_negative / (true_negative + false_negative),
            "auroc": auroc,
            "average_precision": average_precision,
        }


def _areas(truth: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC by trapezoids and average precision by steps, over thresholds from the highest down."""
    order = np.argsort(-probability, kind="stable")
    last_of_ties = np.append(np.diff(probability[order]) != 0, True)
    positive, negative = (
        np.cumsum((weights * chosen)[:, order], axis=1)[:, last_of_ties] for chosen in (truth, ~truth)
    )
    recall, false_alarm = positive / positive[:, -1:], negative / negative[:, -1:]
    auroc = trapezoid(_from_zero(recall), _from_zero(false_alarm), axis=1)
    precision = positive / np.maximum(positive + negative, 1)
    average_precision = (np.diff(_from_zero(recall), axis=1) * precision).sum(axis=1)
    return auroc, average_precision


def _from_zero(curve: np.ndarray) -> np.ndarray:
    return np.pad(curve, ((0, 0), (1, 0)))
