"""The joint loss, held to the published one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.training.losses import joint_loss


@pytest.fixture
def published(reference_folder):
    stored = np.load(reference_folder / "joint_loss.npz")
    return {name: torch.from_numpy(np.asarray(stored[name])) for name in stored.files}


def test_equals_the_published_loss(published):
    loss = joint_loss(
        published["noise_pred"], published["noise"], published["logits"], published["target"], published["isnull"] == 0
    )
    torch.testing.assert_close(loss.denoising, published["l1"])
    torch.testing.assert_close(loss.focal, published["focal"], rtol=1e-5, atol=0)
    torch.testing.assert_close(loss.total, published["total"], rtol=1e-5, atol=0)


@pytest.mark.parametrize("mask", ["one_null", "none_null", "all_null"])
def test_equals_the_published_loss_of_three_sequences(mask, reference_folder):
    """CCELLA++: each sequence by its own factor, one L1 over all channels."""
    stored = np.load(reference_folder / "ccella_plus_plus" / "training_step.npz")
    given = {name: torch.from_numpy(np.asarray(stored[name])) for name in stored.files}
    scaled = given["latents"] * given["scale_factors"].float().repeat_interleave(4).view(1, 12, 1, 1, 1)
    noisy = SchedulerConfig().noised(scaled, given["noise"], given["timesteps"].long())
    torch.testing.assert_close(noisy, given["noisy"], rtol=1e-4, atol=1e-5)
    loss = joint_loss(
        given["noise_pred"],
        given["noise"],
        given["class_logits"],
        given["class_one_hot"].float(),
        given[f"{mask}.isnull"] == 0,
    )
    for name in ("denoising", "focal", "total"):
        expected = given[f"{mask}.{'l1' if name == 'denoising' else name}"].float()
        torch.testing.assert_close(getattr(loss, name), expected, rtol=1e-4, atol=1e-7)


def test_cases_without_a_report_do_not_count(published):
    p = published
    only_null = torch.zeros(6, dtype=torch.bool)
    assert joint_loss(p["noise_pred"], p["noise"], p["logits"], p["target"], only_null).focal == 0
    reported = p["isnull"] == 0
    changed = torch.where(reported[:, None], p["logits"], p["logits"] + 7)
    a, b = (joint_loss(p["noise_pred"], p["noise"], x, p["target"], reported).focal for x in (p["logits"], changed))
    assert a == b


def test_without_class_only_the_l1(published):
    loss = joint_loss(published["noise_pred"], published["noise"], None, None, None)
    assert loss.focal == 0
    torch.testing.assert_close(loss.total, published["l1"])


def test_channels_that_are_not_there_do_not_count(published):
    p = published
    channels = p["noise"].shape[1]
    weight = torch.ones(6, channels)
    read = p["isnull"] == 0
    whole = joint_loss(p["noise_pred"], p["noise"], p["logits"], p["target"], read, channel_weight=weight)
    torch.testing.assert_close(whole.denoising, p["l1"])
    weight[2, 1:] = 0
    wrong = p["noise_pred"].clone()
    wrong[2, 1:] += 100
    a, b = (joint_loss(x, p["noise"], None, None, None, channel_weight=weight) for x in (p["noise_pred"], wrong))
    assert a.denoising == b.denoising
    errors = (p["noise_pred"] - p["noise"]).abs()
    expected = [errors[row].mean() if row != 2 else errors[2, 0].mean() for row in range(6)]
    torch.testing.assert_close(a.denoising, torch.stack(expected).mean())
