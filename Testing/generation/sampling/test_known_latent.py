"""What is kept in a sampling loop, against a network that is known: one that always says the same clean latent."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers.schedulers.scheduling_flow_match_heun_discrete import FlowMatchHeunDiscreteScheduler
from torch import Tensor

from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.generation.sampling.known_latent import KeptLatent, KnownLatent
from ccella_core.generation.sampling.loop import StepInfo, sample
from ccella_core.generation.sampling.ready_schedulers import prepare_scheduler
from ccella_core.generation.sampling.schedulers import SchedulerConfig

CONFIG = SchedulerConfig(prediction_type="v_prediction")
SHAPE = (4, 4, 2)


def known(strength: float = 1.0, *, missing: bool = False, channels: int = 8) -> KnownLatent:
    """A latent of fives; the half with x < 2 may be drawn anew, and of the channels the second half may be missing."""
    absent = torch.zeros(1, channels, 1, 1, 1, dtype=torch.bool)
    absent[:, channels // 2 :] = missing
    drawn = torch.zeros(1, 1, *SHAPE, dtype=torch.bool)
    drawn[:, :, :2] = True
    return KnownLatent(torch.full((1, channels, *SHAPE), 5.0), absent, drawn, strength)


def run(
    latent: KnownLatent, scheduler: Any = "dpm++", steps: int | None = 10, config: SchedulerConfig = CONFIG
) -> Tensor:
    """A loop whose network always thinks that the clean latent is 1 everywhere."""
    stepper = prepare_scheduler(scheduler, config, steps)
    noise = torch.randn((1, 8, *SHAPE), generator=torch.Generator().manual_seed(0))
    kept = KeptLatent(latent, config, stepper, stepper.timesteps.long(), noise)
    x = kept.keep(noise, kept.first)
    for i in range(kept.first, len(stepper.timesteps)):
        t = stepper.timesteps[i]
        signal, share = config.shares(t.long()[None])
        implied = (x - signal) / share
        prediction = {"v_prediction": signal * implied - share, "flow": implied - 1, "epsilon": implied}
        x = stepper.step(prediction[config.prediction_type], t, x, [torch.Generator().manual_seed(1)])
        x = kept.keep(x, i + 1)
    return x


@pytest.mark.parametrize("scheduler", ["dpm++", "sde-dpm++", "unipc", "ddim", "ddpm"])
@pytest.mark.parametrize("strength", [0.05, 0.5, 1.0])
def test_kept_to_the_last_bit_and_drawn_beside_it(scheduler: str, strength: float) -> None:
    result = run(known(strength), scheduler)
    assert (result[:, :, 2:] == 5).all()
    assert result[:, :, :2].mean() == pytest.approx(1, abs=0.1)  # what the network says, whatever was there


def test_of_rectified_flow() -> None:
    result = run(known(0.5), config=SchedulerConfig(prediction_type="flow"))
    assert (result[:, :, 2:] == 5).all() and result[:, :, :2].mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("strength", "first"), [(1.0, 0), (0.6, 4), (0.55, 5), (0.01, 9)])
def test_the_strength_is_the_share_of_the_steps(strength: float, first: int) -> None:
    stepper = prepare_scheduler("dpm++", CONFIG, 10)
    assert (
        KeptLatent(known(strength), CONFIG, stepper, stepper.timesteps.long(), torch.zeros(1, 8, *SHAPE)).first == first
    )


def test_a_solver_of_two_evaluations_a_step_begins_with_a_whole_one() -> None:
    own = FlowMatchHeunDiscreteScheduler()
    own.set_timesteps(10)
    config = SchedulerConfig(prediction_type="flow")
    stepper = prepare_scheduler(own, config)
    assert stepper.order == 2 and len(stepper.timesteps) == 19
    assert KeptLatent(known(0.5), config, stepper, stepper.timesteps.long(), torch.zeros(1, 8, *SHAPE)).first == 10
    result = run(known(0.5), own, steps=None, config=config)
    assert (result[:, :, 2:] == 5).all() and result[:, :, :2].mean() == pytest.approx(1, abs=0.1)


def test_channels_that_are_missing_are_drawn_from_noise_with_the_others_in_view() -> None:
    latent = known(0.3, missing=True)
    stepper = prepare_scheduler("dpm++", CONFIG, 10)
    noise = torch.randn((1, 8, *SHAPE), generator=torch.Generator().manual_seed(0))
    kept = KeptLatent(latent, CONFIG, stepper, stepper.timesteps.long(), noise)
    assert kept.first == 0
    begin = kept.keep(noise, 0)
    assert torch.equal(begin[:, 4:], noise[:, 4:]) and (begin[:, :4] != noise[:, :4]).all()
    # Until the strength's step all of what is given is kept, in the part that is drawn later too.
    early, late = (kept.keep(torch.zeros_like(noise), step) for step in (7, 8))
    assert (early[:, :4] != 0).all() and (late[:, :4, :2] == 0).all() and (late[:, :4, 2:] != 0).all()
    result = run(latent)
    assert (result[:, :4, 2:] == 5).all() and result[:, 4:].mean() == pytest.approx(1, abs=0.1)


def test_the_loop_counts_the_steps_that_it_takes(tiny_pipeline: CCELLAPipeline) -> None:
    seen: list[StepInfo] = []
    text = tiny_pipeline.encoder.encode(["PI-RADS 4."]) if tiny_pipeline.encoder else None
    channels = tiny_pipeline.denoiser.config.latent_channels
    result = sample(
        tiny_pipeline.denoiser,
        tiny_pipeline.scheduler_config,
        text=text,
        shape=SHAPE,
        spacing=(1, 1, 3),
        seeds=[0, 1],
        num_inference_steps=10,
        known=known(0.3, channels=channels),
        callback=seen.append,  # type: ignore[arg-type]
    )
    assert [(info.step, info.steps) for info in seen] == [(1, 3), (2, 3), (3, 3)]
    assert (result.latents[:, :, 2:] == 5).all() and (result.latents[0, :, :2] != result.latents[1, :, :2]).all()
