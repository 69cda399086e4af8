"""Similarity of pairs: MONAI's number, closed forms, known cases, which pairs, and how many scales fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.metrics import MultiScaleSSIMMetric
from volume_sets import smooth_volumes, volume_set

from ccella_core.errors import InputError
from ccella_core.evaluation.images.diversity import diversity_of, random_pairs, scales_for


def test_the_number_is_monais() -> None:
    one, other = np.random.default_rng(0).random((2, 24, 24, 24), dtype=np.float32)
    other = 0.5 * one + 0.5 * other
    metric = MultiScaleSSIMMetric(spatial_dims=3, kernel_size=11, weights=[0.0448 / 0.3304, 0.2856 / 0.3304])
    expected = float(metric(torch.from_numpy(one)[None, None], torch.from_numpy(other)[None, None]))
    found = diversity_of(volume_set([one, other]), volume_set([one, 1 - one]))
    assert found.generated.mean == pytest.approx(expected, rel=1e-5)
    assert (found.generated.pairs, found.scales, found.kernel) == (1, 2, (11, 11, 11))
    assert found.real.mean < 0.01 < found.generated.mean


def test_a_volume_of_one_window_has_the_published_formula() -> None:
    """Wang et al. 2003 in NumPy: one place of the kernel on one scale, a Gaussian of 1.5 voxels as weights."""
    one, other = np.random.default_rng(0).random((2, 11, 11, 11))
    other = 0.5 * one + 0.5 * other
    bell = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.einsum("i,j,k->ijk", bell, bell, bell)
    mean_a, mean_b = (np.average(volume, weights=weights) for volume in (one, other))
    (var_a, cross), (_, var_b) = np.cov(one.ravel(), other.ravel(), aweights=weights.ravel(), ddof=0)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * cross + c2) / (var_a + var_b + c2)
    found = diversity_of(volume_set([one, other]), volume_set([one, one]))
    assert found.scales == 1
    assert found.generated.mean == pytest.approx(luminance * structure, rel=1e-4)
    assert found.real.mean == pytest.approx(1)


@pytest.mark.parametrize(("side", "weight"), [(16, 1.0), (24, 0.2856 / (0.0448 + 0.2856))])
def test_of_even_volumes_only_the_luminance_of_the_coarsest_scale_counts(side: int, weight: float) -> None:
    """To half a percent: in float32 the variance of an even volume comes out as about 1e-6 and not as 0."""
    shape = (side, side, side)
    found = diversity_of(*[volume_set([np.full(shape, 0.2), np.full(shape, 0.8)])] * 2)
    expected = ((2 * 0.2 * 0.8 + 0.01**2) / (0.2**2 + 0.8**2 + 0.01**2)) ** weight
    assert found.generated.mean == pytest.approx(expected, rel=5e-3)


def test_mode_collapse_shows() -> None:
    volumes = smooth_volumes(6)
    told: list[tuple[int, int]] = []
    found = diversity_of(
        volume_set([volumes[0]] * 6), volume_set(volumes), pairs=4, progress=lambda done, of: told.append((done, of))
    )
    assert found.generated.mean == pytest.approx(1) and found.generated.standard_deviation == pytest.approx(0, abs=1e-6)
    assert found.real.mean < 0.9 and found.real.pairs == 4
    assert told == [(done, 8) for done in range(1, 9)]


def test_pairs_are_different_and_of_two_patients() -> None:
    patients = ["a", "a", "b", "c"]
    everything = random_pairs(patients, 100)
    assert sorted(everything) == [(0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    some = random_pairs(patients, 3, seed=1)
    assert len(set(some)) == 3 and set(some) < set(everything)
    assert random_pairs(list("abcdefgh"), 5, seed=1) != random_pairs(list("abcdefgh"), 5, seed=2)


def test_pairs_share_no_volume_as_far_as_there_are_enough() -> None:
    pairs = random_pairs(list("abcdefgh"), 6)
    assert sorted(place for pair in pairs[:4] for place in pair) == list(range(8))
    few = [np.random.default_rng(number).random((16, 16, 16)) for number in range(4)]
    assert diversity_of(volume_set(few), volume_set(few), pairs=2).real.apart
    assert not diversity_of(volume_set(few), volume_set(few), pairs=3).real.apart


@pytest.mark.parametrize(
    ("shape", "scales", "kernel"),
    [
        ((256, 256, 256), 5, (11, 11, 11)),
        ((256, 256, 128), 4, (11, 11, 11)),
        ((96, 96, 32), 2, (11, 11, 11)),
        ((96, 96, 8), 1, (11, 11, 7)),
        ((16, 16, 9), 1, (11, 11, 9)),
    ],
)
def test_scales_that_fit(shape: tuple[int, int, int], scales: int, kernel: tuple[int, int, int]) -> None:
    assert scales_for(shape) == (scales, kernel)


@pytest.mark.parametrize("shape", [(8, 9, 7), (22, 22, 22), (21, 23, 44), (12, 12, 3)])
def test_monai_takes_what_fits(shape: tuple[int, int, int]) -> None:
    volume = np.random.default_rng(0).random(shape, dtype=np.float32)
    found = diversity_of(volume_set([volume, volume]), volume_set([volume, volume]))
    assert found.generated.mean == pytest.approx(1)


def test_what_cannot_be_measured() -> None:
    volumes = volume_set(smooth_volumes(2))
    with pytest.raises(InputError, match="at least one pair"):
        diversity_of(volumes, volumes, pairs=0)
    with pytest.raises(InputError, match="at least two patients"):
        random_pairs(["a", "a"], 5)
    with pytest.raises(InputError, match="3 voxels along each axis"):
        scales_for((16, 16, 2))
