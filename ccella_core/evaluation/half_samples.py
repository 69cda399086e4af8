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
from ccella_core.evaluation.features.samples import Sample

HALVES = 50
"""A standard deviation from as many is off by a tenth."""
FEWEST = 2
"""Patients of a half."""

Statistics = Callable[[Sample, Sample], Mapping[str, float]]
"""Named values of two sets."""


def standard_errors(
    statistics: Statistics, a: Sample, b: Sample, *, halves: int = HALVES, seed: int = 0
) -> dict[str, float]:
    """Of every statistic of two sets; volumes of a patient stay together.

    Raises:
        InputError: fewer than four patients in a set; or what ``statistics`` raises of a half.
    """
    if min(a.patient_count, b.patient_count) < 2 * FEWEST:
        raise InputError(
            f"A standard error needs {2 * FEWEST} patients in each set, not {a.patient_count}, {b.patient_count}."
        )
    rng = np.random.default_rng(seed)
    rows = [statistics(a.halves(rng)[0], b.halves(rng)[0]) for _ in range(halves)]
    return {name: float(np.std([row[name] for row in rows], ddof=1)) for name in rows[0]}
