"""Validation: the same numbers every time, right where they can be known, and a picture of every case."""

from __future__ import annotations

import math

import pytest
import torch
from accelerate import Accelerator
from latent_cases import FakePrepared, cached, tiny_autoencoder, tiny_network

from ccella_core.networks.denoiser import ConditionalDenoiser, DenoiserOutput
from ccella_core.training.denoiser import DenoiserTraining
from ccella_core.training.validation import draw_samples, validate

CONFIG = DenoiserTraining(network=tiny_network(), steps=1)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return cached(tmp_path_factory.mktemp("cache"), split="validation", prepared=FakePrepared(train=2, validation=4))


class Oracle(torch.nn.Module):
    """Says nothing of the noise, and of the class what it was told."""

    def __init__(self, logits) -> None:
        super().__init__()
        self.logits = iter(logits)

    def forward(self, noisy, timesteps, **_):
        return DenoiserOutput(torch.zeros_like(noisy), torch.tensor(next(self.logits)).expand(len(noisy), 2))


def test_class_head_and_losses_of_a_known_answer(cases):
    assert cases.positive.tolist() == [False, True, False, True]
    right, wrong, sure = [2.0, -2.0], [-2.0, 2.0], [-3.0, 3.0]
    told = validate(Oracle([right, sure, wrong, wrong]), cases, CONFIG, Accelerator())
    assert told["accuracy"] == 0.75
    assert told["auroc"] == pytest.approx(3.5 / 4), "one pair of equal scores counts half"
    assert told["loss/denoising"] == pytest.approx(math.sqrt(2 / math.pi), rel=0.03), "the mean size of noise"
    assert told["loss"] == pytest.approx(told["loss/denoising"] + 1e-4 * told["loss/focal"])


def test_it_is_the_same_every_time(cases):
    torch.manual_seed(0)
    model = ConditionalDenoiser(tiny_network()).eval()
    first = validate(model, cases, CONFIG, Accelerator())
    torch.manual_seed(1)
    assert validate(model, cases, CONFIG, Accelerator()) == first


@pytest.mark.parametrize("variant", ["maisi", "ellamaisi", "radmaisi", "decoupled"])
def test_variants_that_predict_no_class_say_nothing_of_it(cases, variant):
    network = tiny_network(variant)
    told = validate(ConditionalDenoiser(network).eval(), cases, DenoiserTraining(network=network), Accelerator())
    assert math.isfinite(told["loss"]) and all(math.isnan(told[name]) for name in ("accuracy", "auroc", "loss/focal"))


def test_one_class_alone_has_no_auroc(tmp_path):
    alone = cached(tmp_path, split="validation", prepared=FakePrepared(train=2, validation=1))
    told = validate(Oracle([[2.0, -2.0]]), alone, CONFIG, Accelerator())
    assert told["accuracy"] == 1 and math.isnan(told["auroc"])


@pytest.mark.parametrize("variant", ["ccella", "maisi", "radmaisi"])
def test_pictures_are_the_same_every_time(cases, variant):
    network = tiny_network(variant)
    torch.manual_seed(0)
    model = ConditionalDenoiser(network).eval()
    config = DenoiserTraining(network=network)
    one, other = (draw_samples(model, tiny_autoencoder(), cases, config, rows=[0, 1], steps=2) for _ in range(2))
    assert one.tobytes() == other.tobytes()
    # Two cases side by side; an axial plane of 16 x 16 voxels above two of 16 x 8, which are twice as high as wide.
    assert one.size == (32, 48)


def test_stacked_sequences_are_drawn_below_each_other(tmp_path):
    from ccella_core.networks.config import DenoiserConfig

    both = cached(tmp_path, split="validation", sequences=("t2w", "adc"))
    network = DenoiserConfig(
        variant="maisi", unet=tiny_network("maisi").unet.model_copy(update={"latent_channels": 4}), adapter=None
    )
    picture = draw_samples(
        ConditionalDenoiser(network).eval(),
        tiny_autoencoder(),
        both,
        DenoiserTraining(network=network),
        rows=[0],
        steps=2,
    )
    assert picture.size == (16, 96)
