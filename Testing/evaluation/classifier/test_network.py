"""The downstream classifier: what it is given, and its networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.network import (
    Augmentation,
    Augmenter,
    Preprocessing,
    build_classifier,
    preprocess,
)


def test_a_volume_is_cropped_clipped_standardised_and_centred():
    voxels = np.zeros((40, 40, 20), np.float32)
    voxels[:20, :20, :10] = np.random.default_rng(0).uniform(0.2, 0.6, (20, 20, 10))
    voxels[3, 3, 3] = 1.0
    image = preprocess(voxels, (1.0, 1.0, 3.0), Preprocessing(shape=(24, 16, 16))).float()
    assert image.shape == (1, 24, 16, 16)
    # 20 x 20 x 10 of foreground: padded by 2 and 3 on both sides, and cut by 2.
    assert (image[0, :2] == 0).all() and (image[0, -2:] == 0).all() and (image[0, :, :, :3] == 0).all()
    inside = image[0, 2:-2, :, 3:-3]
    assert (inside != 0).all() and abs(inside.mean()) < 0.05 and abs(inside.std() - 1) < 0.05
    assert inside.max() < 2, "the bright voxel was clipped"


def test_a_volume_is_resampled_first():
    voxels = np.full((64, 64, 32), 0.3, np.float32)
    voxels[16:48] = 0.6
    image = preprocess(voxels, (0.5, 0.5, 0.5), Preprocessing(shape=(32, 32, 16), spacing=(1.0, 1.0, 2.0))).float()
    assert image.shape == (1, 32, 32, 16)
    assert (image[0, 10:22, :, 4:12] > 0.9).all() and (image[0, :6, :, 4:12] < -0.9).all()
    assert (image[0, :, :, :4] == 0).all() and (image[0, :, :, 12:] == 0).all(), "8 slices, padded to 16"


def test_zero_to_98_percent_become_zero_to_one():
    voxels = np.random.default_rng(0).uniform(0.1, 0.9, (16, 16, 16)).astype(np.float32)
    image = preprocess(voxels, (1, 1, 1), Preprocessing(shape=(16, 16, 16), intensity="0-1")).float()[0].numpy()
    low, high = voxels.min(), np.percentile(voxels, 98)
    np.testing.assert_allclose(image, ((voxels - low) / (high - low)).clip(0, 1), atol=1e-3)
    assert (image == 1).mean() == pytest.approx(0.02, abs=0.002)


def test_channels_are_cropped_by_the_first_and_scaled_each_by_itself():
    rng = np.random.default_rng(0)
    t2w, adc = np.zeros((24, 24, 24), np.float32), rng.uniform(0.5, 0.6, (24, 24, 24)).astype(np.float32)
    t2w[4:20, 4:20, 4:20] = rng.uniform(0.1, 0.9, (16, 16, 16))
    settings = Preprocessing(shape=(16, 16, 16))
    both = preprocess(np.stack([t2w, adc]), (1, 1, 1), settings)
    assert both.shape == (2, 16, 16, 16)
    assert torch.equal(both[:1], preprocess(t2w, (1, 1, 1), settings))
    assert torch.equal(both[1:], preprocess(adc[4:20, 4:20, 4:20], (1, 1, 1), settings))
    with pytest.raises(InputError, match="dark everywhere"):
        preprocess(np.stack([np.zeros_like(t2w), adc]), (1, 1, 1), settings)


def test_a_soft_clip_as_sharp_as_on_whole_numbers_is_nearly_a_hard_one():
    voxels = np.random.default_rng(0).uniform(0.1, 0.9, (16, 16, 16)).astype(np.float32)
    hard, sharp, soft = (
        preprocess(voxels, (1, 1, 1), Preprocessing(shape=(16, 16, 16), soft_clip=clip)).float()
        for clip in (None, 10_000, 10)
    )
    np.testing.assert_allclose(sharp, hard, atol=2e-3)
    low, high = np.percentile(voxels, (2, 98))  # the definition, in float64
    v = voxels.astype(np.float64)
    v = v + np.logaddexp(0, -10 * (v - low)) / 10 - np.logaddexp(0, 10 * (v - high)) / 10
    np.testing.assert_allclose(soft[0], (v - v.mean()) / v.std(), atol=3e-3)


def test_lanczos_keeps_the_field_of_view_and_what_varies_slowly():
    settings = Preprocessing(shape=(32, 16, 16), spacing=(1.0, 1.0, 3.0), resampling="lanczos", intensity="0-1")
    ramp = np.broadcast_to(np.linspace(0.1, 0.9, 48, dtype=np.float32), (32, 16, 48)).copy()
    image = preprocess(ramp, (1.0, 1.0, 1.0), settings).float()[0]
    middles = ramp[0, 0, 1::3]  # each third slice is the middle of a thick one
    np.testing.assert_allclose(image[16, 8], (middles - middles[0]) / (middles[-1] - middles[0]), atol=5e-3)
    edge = np.full((32, 16, 48), 0.2, np.float32)
    edge[16:] = 0.8
    finer = preprocess(edge, (1.0, 1.0, 1.0), settings.model_copy(update={"spacing": (0.5, 1.0, 3.0)}))
    assert finer.shape == (1, 32, 16, 16) and torch.isfinite(finer).all()


def test_an_empty_volume_is_refused():
    with pytest.raises(InputError, match="dark everywhere"):
        preprocess(np.zeros((16, 16, 16)), (1, 1, 1), Preprocessing(shape=(16, 16, 16)))


def test_augmentation_follows_from_its_seed():
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 16, 16, 16), dtype=np.float32))
    one, other = (Augmenter(Augmentation(translation=(2, 2, 1))) for _ in range(2))
    first = [one(image, seed) for seed in range(8)]
    assert all(torch.equal(other(image, seed), first[seed]) for seed in reversed(range(8)))
    assert len({round(float(each.sum()), 3) for each in first}) > 4
    assert all(each.shape == image.shape and each.dtype == torch.float32 for each in first)
    off = Augmenter(Augmentation(probability=0.0))
    assert all(torch.equal(off(image, seed), image) for seed in range(4))
    always = Augmenter(Augmentation(probability=1.0, rotation_degrees=0, translation=(0, 0, 0), zoom=0))
    torch.testing.assert_close(always(image, 5), image.flip(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("network", "shape"), [("efficientnet-b0", (32, 32, 32)), ("resnet10", (16, 32, 16))])
def test_networks_answer_with_two_logits(network, shape):
    model = build_classifier(network).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 1, *shape)).shape == (1, 2)
        assert build_classifier(network, 3).eval()(torch.zeros(1, 3, *shape)).shape == (1, 2)


def test_the_published_network_is_efficientnet_b0():
    # 5.29 million parameters in two dimensions with 1000 classes; its kernels are longer by one axis here.
    assert sum(parameter.numel() for parameter in build_classifier("efficientnet-b0").parameters()) == 4_690_942
