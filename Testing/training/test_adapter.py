"""Teaching an adapter to read: it learns, it leaves the U-Net alone, and it goes on where it stopped."""

from __future__ import annotations

import logging

import pytest
import torch

from ccella_core.networks.config import AdapterConfig, DenoiserConfig, UNetConfig
from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.phantom.patient import draw_findings
from ccella_core.solvers import SchedulerConfig
from ccella_core.training import adapter as training
from ccella_core.training.adapter import AdapterTraining, train_adapter

NETWORK = DenoiserConfig(
    unet=UNetConfig(
        latent_channels=2, num_channels=(8, 16), attention_levels=(False, True), num_head_channels=(0, 8),
        num_res_blocks=1, norm_num_groups=4,
    ),
    adapter=AdapterConfig(text_width=8, width=16, num_latents=4, layers=2, heads=2, time_channels=8, class_hidden=4),
)  # fmt: skip
TINY = AdapterTraining(steps=4, batch_size=4, learning_rate=1e-2, checkpoint_every=2)
FINDINGS = [draw_findings(seed) for seed in range(6)]


@pytest.fixture
def text() -> torch.Tensor:
    return torch.randn(len(FINDINGS), 2, 5, 8, generator=torch.Generator().manual_seed(1)).half()


def new_denoiser() -> ConditionalDenoiser:
    torch.manual_seed(0)
    return ConditionalDenoiser(NETWORK)


def train(denoiser, text, config, checkpoint):
    return train_adapter(denoiser, text, FINDINGS, config, checkpoint, scheduler=SchedulerConfig())


def test_it_learns_what_the_reports_state(text, tmp_path, caplog):
    config = TINY.model_copy(update={"steps": 150, "checkpoint_every": 50})
    with caplog.at_level(logging.INFO, training.__name__):
        train(new_denoiser(), text, config, tmp_path / "run.pt")
    losses = [record.args[2] for record in caplog.records]
    assert len(losses) == 3 and losses[-1] < 0.5 * losses[0]


def test_the_unet_and_the_class_heads_stay_as_they_were(text, tmp_path):
    before, after = new_denoiser(), train(new_denoiser(), text, TINY, tmp_path / "run.pt")
    assert not after.training
    changed = {
        name.split(".")[1] if name.startswith("adapter.") else name.split(".")[0]
        for name, value in after.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert "blocks" in changed and not changed & {"unet", "class_heads", "class_vote"}


def test_a_stopped_run_that_goes_on_gives_the_same_weights(text, tmp_path, stopped_at_first_save, assert_same_weights):
    whole = train(new_denoiser(), text, TINY, tmp_path / "whole.pt")
    with stopped_at_first_save():
        train(new_denoiser(), text, TINY, tmp_path / "stopped.pt")
    assert_same_weights(train(new_denoiser(), text, TINY, tmp_path / "stopped.pt"), whole)
