"""Distances against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import FIDMetric, MMDMetric
from sklearn.metrics.pairwise import polynomial_kernel

from ccella_core.errors import InputError
from ccella_core.evaluation.features.samples import Sample, random_halves
from ccella_core.evaluation.images.distances import (
    compare,
    frechet_between_gaussians,
    frechet_distance,
    kernel_distance,
)


def normal(count: int, dimension: int, *, seed: int = 0, mean: float = 0.0, sd: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, sd, (count, dimension))


def test_frechet_of_diagonal_gaussians_is_the_closed_form() -> None:
    a, b = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    expected = 3 * 2**2 + np.sum((np.sqrt(a) - np.sqrt(b)) ** 2)
    assert frechet_between_gaussians(np.zeros(3), np.diag(a), np.full(3, 2.0), np.diag(b)) == pytest.approx(expected)


def test_frechet_does_not_depend_on_the_axes_and_bears_singular_covariances() -> None:
    turn, _ = np.linalg.qr(normal(4, 4))
    a, b = np.diag([4.0, 1.0, 0.0, 0.0]), np.diag([1.0, 0.0, 9.0, 0.0])
    expected = (2 - 1) ** 2 + 1 + 9
    zero = np.zeros(4)
    assert frechet_between_gaussians(zero, turn @ a @ turn.T, zero, turn @ b @ turn.T) == pytest.approx(expected)


def test_frechet_of_samples() -> None:
    a, b = normal(20_000, 3), normal(20_000, 3, seed=1, mean=1.0, sd=2.0)
    assert frechet_distance(a, b) == pytest.approx(3 * 1 + 3 * (2 - 1) ** 2, rel=0.05)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a[:5], a[:5]) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("rows", "columns"), [(12, 40), (40, 12)])
def test_frechet_of_few_and_of_many_volumes_is_that_of_their_covariances(rows: int, columns: int) -> None:
    a, b = normal(rows, columns), normal(rows + 3, columns, seed=1, mean=0.5, sd=2.0)
    covariances = (np.cov(features, rowvar=False) for features in (a, b))
    expected = frechet_between_gaussians(a.mean(0), next(covariances), b.mean(0), next(covariances))
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(a, b) == pytest.approx(
        float(FIDMetric()(torch.from_numpy(a), torch.from_numpy(b))), rel=1e-3
    )


def test_halves_keep_the_slices_of_a_volume_together() -> None:
    features = np.repeat(np.arange(7.0), 3)[:, None]
    for one, other in random_halves(Sample.of(features, list("abcdefg"))):
        assert (len(one), len(other)) == (9, 12)
        assert not set(one.rows.ravel()) & set(other.rows.ravel())


def squared_mmd(a: Sample, b: Sample) -> float:
    """Of scikit-learn's cubic kernel, pair by pair, without pairs of one patient; an independent sum."""

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float(polynomial_kernel(x[None], y[None], degree=3, gamma=1 / len(x), coef0=1)[0, 0])

    def within(sample: Sample) -> float:
        rows = list(zip(sample.rows, sample.owners, strict=True))
        return float(np.mean([kernel(x, y) for x, one in rows for y, other in rows if one != other]))

    return within(a) + within(b) - 2 * float(np.mean([kernel(x, y) for x in a.rows for y in b.rows]))


@pytest.mark.medium
def test_kernel_distance_is_that_of_scikit_learns_kernel() -> None:
    """Of patients with two volumes of two slices each: four of the eight or nine make about 16 rows."""
    a = Sample.of(normal(32, 5, mean=0.5), np.repeat(range(8), 2).tolist())
    b = Sample.of(normal(36, 5, seed=1), np.repeat(range(9), 2).tolist())
    rng = np.random.default_rng(3)
    expected = [squared_mmd(a.draw(4, rng)[0], b.draw(4, rng)[0]) for _ in range(3)]
    found = kernel_distance(a, b, subsets=3, subset_size=16, seed=3)
    assert (found.mean, found.standard_deviation) == pytest.approx((np.mean(expected), np.std(expected)))
    floors = [squared_mmd(one, other) for one, other in random_halves(b, seed=3)]
    assert compare(a, b, seed=3).kernel_floor.mean == pytest.approx(np.mean(floors))


def test_kernel_distance_is_monais_where_each_row_is_a_patient() -> None:
    """MONAI's kernel is linear; of all products of three of (x / √D, 1) the linear kernel is the cubic one of x."""

    def products(x: torch.Tensor) -> torch.Tensor:
        once = torch.cat([x / x.shape[1] ** 0.5, torch.ones(len(x), 1, dtype=x.dtype)], dim=1)
        return torch.einsum("ni,nj,nk->nijk", once, once, once).flatten(1)

    a, b = Sample.of(normal(12, 4, mean=0.5)), Sample.of(normal(12, 4, seed=1))
    rng = np.random.default_rng(0)
    one, other = (torch.from_numpy(each.draw(6, rng)[0].rows) for each in (a, b))
    assert kernel_distance(a, b, subsets=1).mean == pytest.approx(float(MMDMetric(products)(one, other)))


def test_kernel_distance_is_unbiased_and_grows() -> None:
    real = Sample.of(normal(400, 16))
    same = kernel_distance(real, Sample.of(normal(400, 16, seed=1)))
    apart = kernel_distance(real, Sample.of(normal(400, 16, seed=2, mean=1.0)))
    assert abs(same.mean) < 0.02
    assert apart.mean > 10 * same.standard_deviation
    assert kernel_distance(real, real, seed=5) == kernel_distance(real, real, seed=5)


def test_halves_keep_the_volumes_of_a_patient_together() -> None:
    """Examinations of a patient are the same here: halves that shared patients would have them in common."""
    patients = [name for name in "abcdefgh" for _ in range(3)]
    features = np.repeat(normal(8, 2), 3, axis=0)
    for one, other in random_halves(Sample.of(features, patients)):
        assert one.patient_count == other.patient_count == 4
        assert not set(one.patients) & set(other.patients)
    floors = [compare(sample, sample).frechet_floor for sample in (Sample.of(features, patients), Sample.of(features))]
    assert floors[0] > 2 * floors[1]


@pytest.mark.parametrize("per_patient", ["slices", "volumes"])
def test_kernel_distance_is_unbiased_where_rows_of_a_patient_are_alike(per_patient: str) -> None:
    """Slices of a volume, or volumes of a patient, vary a tenth as much as patients do."""

    def sample(seed: int) -> Sample:
        rows = np.repeat(normal(100, 8, seed=seed), 6, axis=0) + normal(600, 8, seed=seed + 1, sd=0.1)
        return Sample.of(rows, np.repeat(np.arange(100), 1 if per_patient == "slices" else 6).tolist())

    found = [
        kernel_distance(sample(seed), sample(seed + 50), subset_size=60, subsets=30).mean for seed in range(0, 40, 4)
    ]
    as_if_independent = kernel_distance(Sample.of(sample(0).rows), Sample.of(sample(50).rows)).mean
    error = np.std(found, ddof=1) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 2.5 * error
    assert as_if_independent > 3 * error


def test_compare_tells_the_floor_and_warns_of_few_patients() -> None:
    distances = compare(Sample.of(normal(64, 4, seed=1, mean=3.0)), Sample.of(normal(64, 4)))
    assert distances.frechet > 10 * distances.frechet_floor
    assert distances.kernel.mean > 10 * distances.kernel_floor.mean
    assert distances.warnings == []
    (few,) = compare(Sample.of(normal(8, 12, seed=1)), Sample.of(normal(9, 12))).warnings
    assert few.startswith("8 patients are too few for 12 features") and "independent" not in few


def test_more_rows_of_the_same_patients_are_not_more_patients() -> None:
    """Eight patients with 32 slices or volumes each are still eight, though 256 rows are more than 12 features."""
    rows, other, names = normal(256, 12), normal(256, 12, seed=1), [str(number) for number in range(8)]
    (of_slices,) = compare(Sample.of(rows, names), Sample.of(other, names)).warnings
    (of_volumes,) = compare(Sample.of(rows, names * 32), Sample.of(other)).warnings
    assert of_slices.startswith("8 patients are too few for 12 features")
    assert of_slices.endswith("Slices of one patient are not independent and do not make up for it.")
    assert of_volumes == of_slices.replace("Slices", "Volumes")
    assert not compare(Sample.of(rows[:208], range(13)), Sample.of(other)).warnings


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (normal(3, 2), normal(9, 2), "4 patients on each side at least, not of 3 and 9"),
        (normal(9, 2), normal(9, 3), "same columns"),
        (np.zeros(9), normal(9, 3), "same columns"),
        (np.full((9, 2), np.nan), normal(9, 2), "NaN"),
    ],
)
def test_bad_features_are_refused(a: np.ndarray, b: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compare(Sample.of(a), Sample.of(b))


def test_rows_that_do_not_divide_among_volumes_are_refused() -> None:
    with pytest.raises(InputError, match="7 rows of features cannot belong to 3 volumes"):
        Sample.of(normal(7, 2), list("abc"))
