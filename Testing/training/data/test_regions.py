"""Where the loss counts more: numbers, and that no side and no class is favoured."""

from __future__ import annotations

import pytest
import torch
from latent_cases import FakePrepared, cached

from ccella_core.training.data.regions import CANDIDATE_WEIGHT, GLAND_WEIGHT, LESION_WEIGHT, RegionWeights


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Five cases; 1 and 3 have a lesion, one latent voxel in a corner of the gland's 32."""
    return cached(tmp_path_factory.mktemp("cache"))


def relative(weights: RegionWeights, row: int) -> torch.Tensor:
    """In units of the weight outside the gland."""
    weight = weights([row])[0, 0]
    return weight / weight[0, 0, 0]


def test_the_lesion_weighs_most_and_the_gland_more(cases):
    weight = relative(RegionWeights(cases, "lesions"), 1)
    assert weight[2, 2, 1] == pytest.approx(LESION_WEIGHT) and weight[5, 5, 2] == pytest.approx(GLAND_WEIGHT)
    assert (weight > 1.001).sum() == 32
    assert relative(RegionWeights(cases, "lesions"), 0).max() == pytest.approx(GLAND_WEIGHT)


def test_the_average_over_the_training_set_is_one(cases):
    for weighting in ("lesions", "candidates"):
        weights = RegionWeights(cases, weighting)
        assert weights(list(range(5))).mean() == pytest.approx(1, rel=1e-5)


def test_both_sides_weigh_the_same(cases):
    weight = relative(RegionWeights(cases, "candidates"), 3)
    assert torch.equal(weight, weight.flip(0))
    assert weight[2, 2, 1] == weight[5, 2, 1] == pytest.approx(CANDIDATE_WEIGHT)
    assert (weight > 2 * GLAND_WEIGHT).sum() == 2


def test_cases_without_a_lesion_borrow_the_next_ones(cases):
    weights = RegionWeights(cases, "candidates")
    assert weights.lenders == [1, 1, 3, 3, 1]
    assert torch.equal(weights([0]), weights([1]))


def test_without_any_lesion_the_gland_alone_counts(tmp_path):
    prepared = FakePrepared(train=1)
    weights = RegionWeights(cached(tmp_path, prepared=prepared), "candidates")
    assert relative(weights, 0).max() == pytest.approx(GLAND_WEIGHT)


def test_where_a_lesion_may_be_nothing_but_the_gland_is_weighed(tmp_path):
    """Case 0 of an unknown class, case 3 with a lesion that nobody outlined: neither is lent a place."""
    prepared = FakePrepared(lacking=[("case0", "lesion"), ("case3", "lesion")])
    prepared.split("train")[0].pathology = prepared.split("train")[0].positive = None
    weights = RegionWeights(cached(tmp_path, prepared=prepared), "candidates")
    assert weights.lenders == [0, 1, 1, 3, 1]
    for row in (0, 3):
        assert relative(weights, row).max() == pytest.approx(GLAND_WEIGHT)
