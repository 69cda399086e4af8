"""Neighbourhoods: cases with known answers, and the definitions written out as loops."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from ccella_core.errors import InputError
from ccella_core.evaluation.features.samples import Sample
from ccella_core.evaluation.images.coverage import Coverage, coverage_between_halves, coverage_of


def normal(count: int, dimension: int = 4, *, seed: int = 0, mean: float = 0.0, sd: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, sd, (count, dimension))


def written_out(generated: np.ndarray, real: np.ndarray) -> Coverage:
    def reach(features: np.ndarray, k: int) -> np.ndarray:
        return NearestNeighbors(n_neighbors=k + 1).fit(features).kneighbors(features)[0][:, -1]

    def within(point: np.ndarray, features: np.ndarray, k: int) -> int:
        return sum(
            np.linalg.norm(point - other) <= limit for other, limit in zip(features, reach(features, k), strict=True)
        )

    inside = [within(point, real, 5) for point in generated]
    limits = reach(real, 5)
    covered = [
        any(np.linalg.norm(point - other) < limit for point in generated)
        for other, limit in zip(real, limits, strict=True)
    ]
    return Coverage(
        precision=np.mean([within(point, real, 3) > 0 for point in generated]),
        recall=np.mean([within(point, generated, 3) > 0 for point in real]),
        density=np.mean(inside) / 5,
        coverage=np.mean(covered),
    )


@pytest.mark.parametrize("mean", [0.0, 0.7, 2.0])
def test_it_agrees_with_the_definitions(mean: float) -> None:
    generated, real = normal(40, seed=1, mean=mean, sd=0.8), normal(40)
    found, expected = coverage_of(generated, real), written_out(generated, real)
    np.testing.assert_allclose(list(found.model_dump().values()), list(expected.model_dump().values()))


def test_a_set_and_itself() -> None:
    real = normal(50)
    assert coverage_of(real, real) == Coverage(precision=1, recall=1, density=1, coverage=1)


def test_sets_far_apart_share_nothing() -> None:
    assert coverage_of(normal(20, mean=100), normal(20)) == Coverage(precision=0, recall=0, density=0, coverage=0)


def test_mode_collapse_keeps_precision_and_loses_recall_and_coverage() -> None:
    real = np.concatenate([normal(100), normal(100, seed=1, mean=20)])
    collapsed = coverage_of(normal(200, seed=2, sd=0.05), real)
    honest = coverage_of(np.concatenate([normal(100, seed=3), normal(100, seed=4, mean=20)]), real)
    assert collapsed.precision > 0.9 and collapsed.recall < 0.05 and collapsed.coverage < 0.4
    assert honest.recall > 0.8 and honest.coverage > 0.9


def test_one_mode_of_two_leaves_half_of_the_real_volumes_out() -> None:
    real = np.concatenate([normal(100), normal(100, seed=1, mean=20)])
    half = coverage_of(normal(200, seed=2), real)
    assert half.precision > 0.8 and half.recall <= 0.5 and half.coverage <= 0.5


def test_real_halves_reach_each_other() -> None:
    real = Sample.of(normal(200))
    halves = coverage_between_halves(real, seed=3)
    assert 0.6 < halves.precision < 1 and halves.density == pytest.approx(1, abs=0.15) and halves.coverage > 0.9
    assert halves == coverage_between_halves(real, seed=3) != coverage_between_halves(real, seed=4)


def test_sets_of_unlike_sizes_are_compared_at_one_size() -> None:
    """Of one distribution, 40 volumes against 200 are worth what the real ones' halves are, on average over sets."""
    found = [coverage_of(normal(40, seed=seed), normal(200, seed=seed + 100)) for seed in range(8)]
    halves = coverage_between_halves(Sample.of(normal(80)))
    assert np.mean([each.coverage for each in found]) == pytest.approx(halves.coverage, abs=0.04)
    assert np.mean([each.precision for each in found]) == pytest.approx(halves.precision, abs=0.08)
    assert np.mean([each.recall for each in found]) == pytest.approx(halves.recall, abs=0.08)
    assert np.mean([each.density for each in found]) == pytest.approx(halves.density, abs=0.1)
    generated, real = normal(40), normal(200, seed=1)
    assert coverage_of(generated, real, seed=1) == coverage_of(generated, real, seed=1) != coverage_of(generated, real)


@pytest.mark.parametrize(
    ("generated", "real", "words"),
    [
        (normal(5), normal(20), "need 6 volumes on each side, not 5 and 20"),
        (normal(20, 3), normal(20), "the same columns"),
        (np.zeros(9), normal(20), "two tables"),
    ],
)
def test_what_cannot_be_measured(generated: np.ndarray, real: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        coverage_of(generated, real)


def test_too_few_for_halves() -> None:
    with pytest.raises(InputError, match="of 12 patients, not of 11"):
        coverage_between_halves(Sample.of(normal(11)))
