"""Which training case is nearest, and whether it is nearer than chance: the ratio of distances to neighbours.

A copy lies much nearer to one training case than to all others; a new volume is about as far from its nearest as from
the next few. So what counts is not a distance, which a blurred or noisy volume has larger or smaller to everyone, but a
ratio: how many times nearer the nearest patient is than the (k + 1)-th nearest (Carlini et al. 2023 compare with the
next ones alike; k > 1, so that a training case that stands there twice is no hiding place).

Where cases lie about evenly around a volume in m dimensions, the logarithm of that ratio is the largest of k
independent exponential variables of mean 1/m (Rényi 1953 on spacings; the same law with which Levina & Bickel 2004
estimate m). It has one parameter, which real volumes that were not trained on tell, and so gives the ratio beyond which
a chosen share of new volumes lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

NEXT = 5
"""k: enough to look past duplicates, near enough to be neighbours."""
MOST = 1e6
"""Times nearer than the others: a copy to the last bit is infinitely nearer, which no file format holds."""
CONSTANT = 1e-9
"""A feature whose standard deviation is no larger says nothing."""


@dataclass(frozen=True)
class Neighbours:
    """Of M volumes among training cases."""

    nearest: np.ndarray
    """(M,) index of the nearest training volume."""
    distance: np.ndarray
    """(M,) to it."""
    times_nearer: np.ndarray
    """(M,) from 1 up: the distance to the (k + 1)-th nearest patient, by that to the nearest."""


def standardised_distances(queries: np.ndarray, references: np.ndarray, like: np.ndarray) -> np.ndarray:
    """(M, N) Euclidean distances of features (M, D) and (N, D), each in standard deviations of ``like`` (L, D)."""
    spread = like.std(axis=0)
    scale = np.where(spread > CONSTANT, spread, np.inf)
    return np.asarray(cdist(queries / scale, references / scale))


def find_neighbours(distances: np.ndarray, patients: Sequence[str], *, own: Sequence[str] | None = None) -> Neighbours:
    """The nearest volumes of a table.

    Args:
        distances: (M, N), of training volumes of at least three patients.
        patients: (N,) whose they are: a patient counts once, with the nearest of the volumes.
        own: (M,) whom each query is of, where it is real: these are left out. At least two patients must stay.
    """
    names, rank = np.asarray(patients), rank_of(patients)
    kept = distances if own is None else np.where(np.asarray(own)[:, None] == names, np.inf, distances)
    ordered = np.sort([kept[:, names == name].min(axis=1) for name in dict.fromkeys(patients)], axis=0)
    first, later = ordered[0], ordered[rank]
    with np.errstate(divide="ignore", invalid="ignore"):
        times = np.where(first * MOST > later, later / first, MOST)
    return Neighbours(nearest=kept.argmin(axis=1), distance=first, times_nearer=times)


def rank_of(patients: Sequence[str]) -> int:
    """k; less where there are fewer patients besides the nearest and one's own."""
    return min(NEXT, len(set(patients)) - 2)


def threshold(times_nearer: np.ndarray, false_alarm_rate: float, rank: int) -> float:
    """How many times nearer only this share of new volumes is, by the law that fits the median of these (M,).

    The median, because a patient who is in the training set under another name must not move it.
    """
    mean = np.log(np.median(times_nearer)) / -np.log1p(-(0.5 ** (1 / rank)))
    return float(np.exp(-mean * np.log1p(-((1 - false_alarm_rate) ** (1 / rank)))))
