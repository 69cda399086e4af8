"""Whether generated volumes lie where real ones do, and leave none of them out: neighbourhoods of features.

Precision and recall after Kynkäänniemi et al. 2019 (arXiv 1904.06991); density and coverage after Naeem et al. 2020
(arXiv 2002.09797), which a single outlier does not mislead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import Field
from scipy.spatial.distance import cdist

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.features.samples import Sample, random_halves

PRECISION_NEIGHBOURS = 3  # as Kynkäänniemi et al.
COVERAGE_NEIGHBOURS = 5  # as Naeem et al.
FEWEST_VOLUMES = COVERAGE_NEIGHBOURS + 1
FEWEST_PATIENTS_FOR_HALVES = 2 * FEWEST_VOLUMES
DRAWS = 10
"""From the larger set."""


class Coverage(StrictModel):
    """Shares of volumes; two sets of one distribution do not reach 1 everywhere: see `coverage_between_halves`."""

    precision: float = Field(ge=0, le=1)
    """Generated volumes that lie in the reach of a real one: nearer than its third neighbour. Low: unlike any real."""
    recall: float = Field(ge=0, le=1)
    """Real volumes in the reach of a generated one. Low: kinds that are never generated."""
    density: float = Field(ge=0)
    """Real volumes in whose reach (of five neighbours) a generated one lies, on average, over five; 1 is expected."""
    coverage: float = Field(ge=0, le=1)
    """Real volumes in whose reach at least one generated volume lies."""


def coverage_of(generated: np.ndarray, real: np.ndarray, *, seed: int = 0) -> Coverage:
    """Of features (N, D) of generated and (M, D) of real volumes, a row a volume, of FEWEST_VOLUMES at least.

    All four change with the sizes of the sets (coverage of the same distribution is 0.58 with 40 generated and 200
    real volumes, and 0.97 with as many of both). So as many are drawn from the larger set as the smaller one has, and
    the mean over DRAWS is taken.

    Raises:
        InputError: too few rows, unlike columns.
    """
    if generated.ndim != 2 or real.ndim != 2 or generated.shape[1] != real.shape[1]:
        raise InputError(
            f"Features are two tables with the same columns, not of shapes {generated.shape} and {real.shape}."
        )
    size = min(len(generated), len(real))
    if size < FEWEST_VOLUMES:
        raise InputError(
            f"Precision, recall and coverage need {FEWEST_VOLUMES} volumes on each side, not {len(generated)} and "
            f"{len(real)}."
        )
    apart, within_generated, within_real = cdist(generated, real), cdist(generated, generated), cdist(real, real)
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(1 if len(generated) == len(real) else DRAWS):
        g, r = (rng.permutation(len(each))[:size] for each in (generated, real))
        draws.append(_coverage(apart[np.ix_(g, r)], within_generated[np.ix_(g, g)], within_real[np.ix_(r, r)]))
    return _mean(draws)


def coverage_between_halves(real: Sample, *, seed: int = 0) -> Coverage:
    """What random halves of the real volumes reach of each other, on average over the divisions.

    Raises:
        InputError: volumes of fewer than FEWEST_PATIENTS_FOR_HALVES patients.
    """
    if real.patient_count < FEWEST_PATIENTS_FOR_HALVES:
        raise InputError(
            f"Halves need real volumes of {FEWEST_PATIENTS_FOR_HALVES} patients, not of {real.patient_count}."
        )
    return _mean([coverage_of(one.volumes, other.volumes, seed=seed) for one, other in random_halves(real, seed=seed)])


def _coverage(apart: np.ndarray, within_generated: np.ndarray, within_real: np.ndarray) -> Coverage:
    """From the distances between generated and real volumes (N, N), and within each set."""
    near = apart < _reach(within_real, COVERAGE_NEIGHBOURS)
    return Coverage(
        precision=float((apart <= _reach(within_real, PRECISION_NEIGHBOURS)).any(axis=1).mean()),
        recall=float((apart <= _reach(within_generated, PRECISION_NEIGHBOURS)[:, None]).any(axis=0).mean()),
        density=float(near.sum(axis=1).mean() / COVERAGE_NEIGHBOURS),
        coverage=float(near.any(axis=0).mean()),
    )


def _mean(several: Sequence[Coverage]) -> Coverage:
    rows = [list(each.model_dump().values()) for each in several]
    return Coverage(**dict(zip(Coverage.model_fields, np.mean(rows, axis=0).tolist(), strict=True)))


def _reach(within: np.ndarray, neighbours: int) -> np.ndarray:
    """Distance (N,) of each row to its k-th nearest other, from those within the set (N, N)."""
    # Place 0 of a sorted row is the volume itself.
    return np.partition(within, neighbours, axis=1)[:, neighbours]
