"""Whether generated volumes lie where real ones do, and leave none of them out: neighbourhoods of features.

Precision and recall after Kynkäänniemi et al. 2019 (arXiv 1904.06991); density and coverage after Naeem et al. 2020
(arXiv 2002.09797), which a single outlier does not mislead.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import Field
from scipy.spatial.distance import cdist

from ccella_core.errors import InputError
from ccella_core.evaluation.distances import random_halves
from ccella_core.settings import StrictModel

PRECISION_NEIGHBOURS = 3  # as Kynkäänniemi et al.
COVERAGE_NEIGHBOURS = 5  # as Naeem et al.
FEWEST = COVERAGE_NEIGHBOURS + 1
FEWEST_FOR_HALVES = 2 * FEWEST


class Coverage(StrictModel):
    """Shares of volumes; two sets of one distribution do not reach 1 everywhere: see `between_halves`."""

    precision: float = Field(ge=0, le=1)
    """Generated volumes that lie in the reach of a real one: nearer than its third neighbour. Low: unlike any real."""
    recall: float = Field(ge=0, le=1)
    """Real volumes in the reach of a generated one. Low: kinds that are never generated."""
    density: float = Field(ge=0)
    """Real volumes in whose reach (of five neighbours) a generated one lies, on average, over five; 1 is expected."""
    coverage: float = Field(ge=0, le=1)
    """Real volumes in whose reach at least one generated volume lies."""


def coverage_of(generated: np.ndarray, real: np.ndarray) -> Coverage:
    """Of features (N, D) of generated and (M, D) of real volumes, a row a volume, of FEWEST at least.

    Raises:
        InputError: too few rows, unlike columns.
    """
    if generated.ndim != 2 or real.ndim != 2 or generated.shape[1] != real.shape[1]:
        raise InputError(
            f"Features are two tables with the same columns, not of shapes {generated.shape} and {real.shape}."
        )
    if min(len(generated), len(real)) < FEWEST:
        raise InputError(
            f"Precision, recall and coverage need {FEWEST} volumes on each side, not {len(generated)} and {len(real)}."
        )
    apart = cdist(generated, real)
    reach_of_generated = _reach(generated, PRECISION_NEIGHBOURS)[:, None]
    near = apart < _reach(real, COVERAGE_NEIGHBOURS)
    return Coverage(
        precision=float((apart <= _reach(real, PRECISION_NEIGHBOURS)).any(axis=1).mean()),
        recall=float((apart <= reach_of_generated).any(axis=0).mean()),
        density=float(near.sum(axis=1).mean() / COVERAGE_NEIGHBOURS),
        coverage=float(near.any(axis=0).mean()),
    )


def coverage_between_halves(real: np.ndarray, *, seed: int = 0) -> Coverage:
    """What random halves of the real volumes (M, D), of FEWEST_FOR_HALVES at least, reach of each other, on average."""
    if len(real) < FEWEST_FOR_HALVES:
        raise InputError(f"Halves of the real volumes need {FEWEST_FOR_HALVES} of them, not {len(real)}.")
    return _mean(coverage_of(one, other) for one, other in random_halves(real, seed=seed))


def _mean(several: Iterable[Coverage]) -> Coverage:
    rows = [list(each.model_dump().values()) for each in several]
    return Coverage(**dict(zip(Coverage.model_fields, np.mean(rows, axis=0).tolist(), strict=True)))


def _reach(features: np.ndarray, neighbours: int) -> np.ndarray:
    """Distance (N,) of each row to its k-th nearest other."""
    # Place 0 of a sorted row is the volume itself.
    return np.partition(cdist(features, features), neighbours, axis=1)[:, neighbours]
