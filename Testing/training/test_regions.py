"""Where the loss counts more: numbers, and that no side and no class is favoured."""

from __future__ import annotations

import torch

from ccella_core.training.regions import (
    CANDIDATE_WEIGHT,
    GLAND_WEIGHT,
    LESION_WEIGHT,
    candidate_weights,
    lesion_candidates,
    lesion_weights,
)


def masks() -> tuple[torch.Tensor, torch.Tensor]:
    """Three cases; only the second has a lesion, in a corner of its gland."""
    gland = torch.zeros(3, 1, 6, 4, 2, dtype=torch.bool)
    gland[:, :, 1:5, 1:3] = True
    lesion = torch.zeros_like(gland)
    lesion[1, 0, 1, 1, 0] = True
    return gland, lesion


def test_the_lesion_weighs_most_and_the_gland_more():
    weight = lesion_weights(*masks())
    assert weight[1, 0, 1, 1, 0] == LESION_WEIGHT and weight[0, 0, 1, 1, 0] == GLAND_WEIGHT
    assert weight[1, 0, 0, 0, 0] == 1 and weight.unique().tolist() == [1, GLAND_WEIGHT, LESION_WEIGHT]


def test_both_sides_weigh_the_same():
    gland, lesion = masks()
    weight = candidate_weights(gland, lesion)
    assert torch.equal(weight, weight.flip(2))
    assert weight[1, 0, 1, 1, 0] == weight[1, 0, 4, 1, 0] == CANDIDATE_WEIGHT
    assert (weight[1] == CANDIDATE_WEIGHT).sum() == 2


def test_cases_without_a_lesion_borrow_the_next_ones():
    candidates = lesion_candidates(masks()[1])
    assert torch.equal(candidates[0], candidates[1]) and torch.equal(candidates[2], candidates[1])


def test_each_case_with_a_lesion_keeps_its_own():
    lesion = torch.rand(5, 1, 4, 4, 2, generator=torch.Generator().manual_seed(0)) > 0.8
    candidates = lesion_candidates(lesion)
    assert torch.equal(candidates, lesion | lesion.flip(2))


def test_without_any_lesion_there_are_no_candidates():
    assert not lesion_candidates(torch.zeros(2, 1, 4, 4, 2, dtype=torch.bool)).any()
