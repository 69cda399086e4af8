"""How far two sets of volumes are apart, as sets of features: the Fréchet and the kernel distance.

Both mean little alone. `compare` gives them beside their floor: the same distances between random halves of the real
set.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.features.samples import Sample, random_halves

KERNEL_DEGREE = 3  # the polynomial kernel (x.y / D + 1)**3 of Bińkowski et al. 2018
SUBSETS = 100
SUBSET_SIZE = 100
"""Rows."""
FEWEST_PATIENTS = 4
"""Patients, so that halves have two, and so a spread."""


class KernelDistance(StrictModel):
    """Mean over random subsets, and the standard deviation between them."""

    mean: float
    standard_deviation: float = Field(ge=0)


class Distances(StrictModel):
    """Between generated and real volumes, and what two halves of the real ones have between them."""

    generated: int
    """Rows: volumes, or slices of them."""
    real: int
    dimension: int
    frechet: float
    kernel: KernelDistance
    frechet_floor: float
    kernel_floor: KernelDistance
    warnings: list[str]


def compare(generated: Sample, real: Sample, *, seed: int = 0) -> Distances:
    """Distances between the features of generated and of real volumes, of FEWEST_PATIENTS patients each at least.

    The Fréchet distance is biased upwards in small sets, and more so in smaller ones: compare with the floor, which is
    measured on halves and so a little too high, rather than with other people's numbers.

    Raises:
        InputError: too few patients, unlike dimensions, NaN.
    """
    _check_samples(generated, real)
    frechet_floors, kernel_floors = [], []
    for one, other in random_halves(real, seed=seed):
        frechet_floors.append(frechet_distance(one.rows, other.rows))
        kernel_floors.append(_squared_mmd(one, other))
    return Distances(
        generated=len(generated),
        real=len(real),
        dimension=real.rows.shape[1],
        frechet=frechet_distance(generated.rows, real.rows),
        kernel=kernel_distance(generated, real, seed=seed),
        frechet_floor=float(np.mean(frechet_floors)),
        kernel_floor=KernelDistance(
            mean=float(np.mean(kernel_floors)), standard_deviation=float(np.std(kernel_floors))
        ),
        warnings=_warnings(generated, real),
    )


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians fitted to features (N, D) and (M, D) (FID; Heusel et al. 2017)."""
    a, b = _checked(a, b)
    return _frechet(a.mean(0), _factor(a), b.mean(0), _factor(b))


def frechet_between_gaussians(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
    """Squared Fréchet (2-Wasserstein) distance of two Gaussians: means (D,), covariances (D, D)."""
    return _frechet(np.asarray(mean_a), _root(covariance_a), np.asarray(mean_b), _root(covariance_b))


def _frechet(mean_a: np.ndarray, factor_a: np.ndarray, mean_b: np.ndarray, factor_b: np.ndarray) -> float:
    """The distance of Gaussians whose covariances are A = FᵀF and B = GᵀG, of factors (·, D)."""
    # tr((A B)^½) is the sum of the singular values of F Gᵀ. Unlike `scipy.linalg.sqrtm` of the product, which MONAI and
    # others use, this stays real and exact where a covariance is singular: no epsilon, no imaginary part to drop.
    cross = np.linalg.svd(factor_a @ factor_b.T, compute_uv=False).sum()
    apart = np.sum((mean_a - mean_b) ** 2)
    return float(max(apart + np.sum(factor_a**2) + np.sum(factor_b**2) - 2 * cross, 0.0))


def kernel_distance(
    a: Sample, b: Sample, *, subsets: int = SUBSETS, subset_size: int = SUBSET_SIZE, seed: int = 0
) -> KernelDistance:
    """Squared maximum mean discrepancy with a cubic kernel, unbiased (KID; Bińkowski et al. 2018).

    The subsets are of whole patients, about ``subset_size`` rows. Small sets are drawn from by half, so that the
    subsets differ. A value may be slightly negative. It is not MONAI's ``MMDMetric``, whose kernel is linear, which
    takes only sets of the same size, and which counts pairs of one patient's rows.

    Raises:
        InputError: fewer than FEWEST_PATIENTS patients, unlike dimensions, NaN.
    """
    _check_samples(a, b)
    patients = min(_patients_of_rows(a, subset_size), _patients_of_rows(b, subset_size))
    rng = np.random.default_rng(seed)
    values = [_squared_mmd(a.draw(patients, rng)[0], b.draw(patients, rng)[0]) for _ in range(subsets)]
    return KernelDistance(mean=float(np.mean(values)), standard_deviation=float(np.std(values)))


def _patients_of_rows(sample: Sample, rows: int) -> int:
    """How many patients have about so many rows: half of them at most, and two at least, so that there are pairs."""
    return max(min(rows * sample.patient_count // len(sample), sample.patient_count // 2), 2)


def _squared_mmd(a: Sample, b: Sample) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1) ** KERNEL_DEGREE

    def mean_of_pairs(sample: Sample) -> float:
        # As a row with itself would, a slice with another of its patient would bias the mean: they are not independent.
        independent = sample.owners[:, None] != sample.owners
        return float(kernel(sample.rows, sample.rows)[independent].mean())

    return mean_of_pairs(a) + mean_of_pairs(b) - 2 * float(kernel(a.rows, b.rows).mean())


def _factor(features: np.ndarray) -> np.ndarray:
    """F, of at most D rows, with FᵀF the covariance of features (N, D): few volumes make this fast."""
    centred = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    return centred if len(features) <= features.shape[1] else np.asarray(np.linalg.qr(centred, mode="r"))


def _root(covariance: np.ndarray) -> np.ndarray:
    """Symmetric square root; eigenvalues that rounding made negative count as zero."""
    values, vectors = np.linalg.eigh(np.asarray(covariance, dtype=np.float64))
    return np.asarray((vectors * np.sqrt(values.clip(0))) @ vectors.T)


def _check_samples(a: Sample, b: Sample) -> None:
    _checked(a.rows, b.rows)
    if min(a.patient_count, b.patient_count) < FEWEST_PATIENTS:
        raise InputError(
            f"A distance needs volumes of {FEWEST_PATIENTS} patients on each side at least, not of {a.patient_count} "
            f"and {b.patient_count}."
        )


def _checked(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or a.shape[1] == 0:
        raise InputError(f"Features are two tables with the same columns, not of shapes {a.shape} and {b.shape}.")
    if min(len(a), len(b)) < 2:
        raise InputError(f"A distance needs two rows on each side at least, not {len(a)} and {len(b)}.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("The features hold NaN or infinity; look for a damaged volume.")
    return a, b


def _warnings(generated: Sample, real: Sample) -> list[str]:
    """Of too few patients, not rows: further slices or volumes of the same patients tell little of the covariance."""
    fewer, dimension = min(generated.patient_count, real.patient_count), real.rows.shape[1]
    if fewer > dimension:
        return []
    repeated = max(len(each) / each.patient_count for each in (generated, real)) > 1
    rows = "volumes" if real.slices == 1 else "slices"
    return [
        f"{fewer} patients are too few for {dimension} features: the Fréchet distance is biased upwards; "
        "go by the kernel distance and compare only sets of the same size."
        + (f" {rows.capitalize()} of one patient are not independent and do not make up for it." if repeated else "")
    ]
