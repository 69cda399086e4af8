"""Training of the denoiser: it learns, in every variant, goes on where it stopped, and stops at NaN."""

from __future__ import annotations

import dataclasses
import logging

import pytest
import torch

from ccella_core.errors import NonFiniteError
from ccella_core.networks.config import VARIANTS, AdapterConfig, DenoiserConfig, UNetConfig, Variant
from ccella_core.solvers import SchedulerConfig
from ccella_core.training import denoiser as training
from ccella_core.training.denoiser import DenoiserTraining, LatentCases, train_denoiser

CHANNELS, TOKENS, TEXT_WIDTH = 2, 4, 8


def tiny_network(variant: Variant = "ccella") -> DenoiserConfig:
    adapter = AdapterConfig(
        text_width=TEXT_WIDTH, width=16, num_latents=4, layers=2, heads=2, time_channels=8, class_hidden=4
    )
    return DenoiserConfig(
        variant=variant,
        unet=UNetConfig(
            latent_channels=CHANNELS,
            num_channels=(8, 16),
            attention_levels=(False, True),
            num_head_channels=(0, 8),
            num_res_blocks=1,
            norm_num_groups=4,
        ),
        adapter=adapter if VARIANTS[variant].uses_text else None,
    )


TINY = DenoiserTraining(
    network=tiny_network(),
    scheduler=SchedulerConfig(prediction_type="v_prediction"),
    steps=4,
    batch_size=4,
    learning_rate=3e-3,
    warmup_steps=2,
    decay_power=1.0,
    ema_decay=0.9,
    report_dropout=0.25,
    checkpoint_every=2,
)


@pytest.fixture
def cases(draw) -> LatentCases:
    """Two cases with two wordings each."""
    return LatentCases(
        latents=draw("latents", (2, CHANNELS, 4, 4, 4)),
        text=draw("text", (2, 2, TOKENS, TEXT_WIDTH)).half(),
        null_text=draw("null", (TOKENS, TEXT_WIDTH)).half(),
        positive=torch.tensor([False, True]),
        spacing=torch.tensor([1.0, 1.0, 3.0]),
    )


def test_two_cases_are_soon_learned(cases, tmp_path, caplog):
    config = TINY.model_copy(update={"steps": 50, "checkpoint_every": 10, "focal_weight": 0.01})
    with caplog.at_level(logging.INFO, training.__name__):
        train_denoiser(cases, config, tmp_path / "run.pt")
    denoising = [record.args[2] for record in caplog.records]
    focal = [record.args[3] for record in caplog.records]
    assert len(denoising) == 5 and denoising[-1] < 0.92 * denoising[0]
    assert focal[-1] < focal[0]


@pytest.mark.parametrize("ema_decay", [0.9, None])
def test_a_stopped_run_that_goes_on_ends_with_the_same_weights(
    cases, tmp_path, stopped_at_first_save, assert_same_weights, ema_decay
):
    config = TINY.model_copy(update={"ema_decay": ema_decay})
    whole = train_denoiser(cases, config, tmp_path / "whole.pt")
    with stopped_at_first_save():
        train_denoiser(cases, config, tmp_path / "stopped.pt")
    assert_same_weights(train_denoiser(cases, config, tmp_path / "stopped.pt"), whole)
    # A finished run is not trained again.
    assert_same_weights(train_denoiser(cases, config, tmp_path / "whole.pt"), whole)


def test_the_averaged_weights_are_returned_and_the_others_kept(cases, tmp_path):
    model = train_denoiser(cases, TINY, tmp_path / "run.pt")
    state = torch.load(tmp_path / "run.pt", weights_only=True)
    for parameter, average in zip(model.parameters(), state["average"]["values"], strict=True):
        assert torch.equal(parameter, average)
    assert any(not torch.equal(value, state["model"][name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_every_variant_trains(cases, tmp_path, variant):
    config = TINY.model_copy(update={"network": tiny_network(variant), "steps": 1})
    model = train_denoiser(cases, config, tmp_path / "run.pt")
    assert model.config.variant == variant and not model.training
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


def test_nan_stops_the_run_and_leaves_the_last_checkpoint(cases, tmp_path, stopped_at_first_save):
    checkpoint = tmp_path / "run.pt"
    with stopped_at_first_save():
        train_denoiser(cases, TINY, checkpoint)
    before = checkpoint.read_bytes()
    broken = dataclasses.replace(cases, latents=cases.latents * float("nan"))
    with pytest.raises(NonFiniteError, match=r"The loss became nan at step 2; lower the learning rate"):
        train_denoiser(broken, TINY, checkpoint)
    assert checkpoint.read_bytes() == before


def test_the_rate_rises_and_falls_to_nothing():
    factor = training._rate_factor(TINY.model_copy(update={"steps": 12, "warmup_steps": 2, "decay_power": 2.0}))
    assert [factor(step) for step in (0, 1, 2, 7, 12, 13)] == pytest.approx([0.5, 1, 1, 0.25, 0, 0])
