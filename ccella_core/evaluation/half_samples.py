"""How far a statistic of two sets of volumes can be trusted: its standard error, from random halves of both sets.

The bootstrap draws with replacement, so that a volume lies beside its own copy; distances between sets and nearest
neighbours take that for structure. Halves drawn without replacement hold no copies, and the spread of a statistic
between them estimates its standard error on the whole sets (the delete-half jackknife; Shao & Wu 1989, Annals of
Statistics 17:1176).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ccella_core.errors import InputError

HALVES = 50
"""A standard deviation from as many is off by a tenth."""
FEWEST = 2
"""Volumes of a half."""

Statistics = Callable[[np.ndarray, np.ndarray], Mapping[str, float]]
"""Named values of features (N, D) and (M, D)."""


def standard_errors(
    statistics: Statistics,
    a: np.ndarray,
    b: np.ndarray,
    *,
    rows_per_volume: int = 1,
    halves: int = HALVES,
    seed: int = 0,
) -> dict[str, float]:
    """Of every statistic of features ``a`` (N * R, D) and ``b`` (M * R, D), R rows a volume that stay together.

    Raises:
        InputError: fewer than four volumes in a set; or what ``statistics`` raises of a half.
    """
    sets = [each.reshape(-1, rows_per_volume, each.shape[-1]) for each in (a, b)]
    if min(map(len, sets)) < 2 * FEWEST:
        raise InputError(
            f"A standard error needs {2 * FEWEST} volumes in each set, not {len(sets[0])}, {len(sets[1])}."
        )
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(halves):
        one, other = (each[rng.permutation(len(each))[: len(each) // 2]].reshape(-1, each.shape[-1]) for each in sets)
        rows.append(statistics(one, other))
    return {name: float(np.std([row[name] for row in rows], ddof=1)) for name in rows[0]}
