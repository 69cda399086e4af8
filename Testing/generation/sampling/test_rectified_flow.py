"""The rectified flow of NV-Generate-MR, held to numbers of MONAI's own scheduler."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ccella_core.errors import InputError
from ccella_core.generation.sampling.loop import sample
from ccella_core.generation.sampling.rectified_flow import RectifiedFlowSteps, transformed_timesteps
from ccella_core.generation.sampling.schedulers import Scheduler, SchedulerConfig
from ccella_core.networks import ConditionalDenoiser


@pytest.fixture(scope="module")
def numbers(reference_folder: Path) -> Any:
    return np.load(reference_folder / "nv_rflow_mr" / "rflow_scheduler.npz")


@pytest.mark.parametrize("steps", [1, 2, 10, 30])
@pytest.mark.parametrize("shape", [(16, 16, 8), (32, 32, 32), (64, 64, 32), (128, 128, 32)])
def test_timesteps_and_step_sizes(numbers: Any, steps: int, shape: tuple[int, int, int]) -> None:
    flow = RectifiedFlowSteps(steps, shape)
    name = f"{steps}x{'x'.join(map(str, shape))}"
    assert flow.timesteps.tolist() == numbers[f"timesteps.{name}"].tolist()
    assert flow.step_sizes == pytest.approx(numbers[f"dt.{name}"].tolist(), abs=1e-9)


def test_the_steps_go_a_little_too_far() -> None:
    """The floor is real: what is left over is under a thousandth a step."""
    assert 1 < sum(RectifiedFlowSteps(30, (64, 64, 32)).step_sizes) < 1.03


def test_noise_and_target(numbers: Any) -> None:
    clean, noise, timesteps = (
        torch.from_numpy(numbers[f"add_noise.{name}"]) for name in ("clean", "noise", "timesteps")
    )
    flow = SchedulerConfig(prediction_type="rflow")
    noisy, target = flow.noised(clean, noise, timesteps), flow.target(clean, noise, timesteps)
    torch.testing.assert_close(noisy, torch.from_numpy(numbers["add_noise.noisy"]))
    torch.testing.assert_close(target, torch.from_numpy(numbers["target.velocity"]), rtol=0, atol=0)


def test_one_step_from_any_timestep_leads_to_the_clean_latent() -> None:
    flow, clean, noise = SchedulerConfig(prediction_type="rflow"), torch.ones(1, 1, 2, 2, 2), torch.zeros(1, 1, 2, 2, 2)
    timestep = torch.tensor([250.0])
    estimate = flow.clean_estimate(flow.noised(clean, noise, timestep), flow.target(clean, noise, timestep), 250)
    torch.testing.assert_close(estimate, clean)


def test_timesteps_that_are_rounded_to_the_same_are_stepped_one_after_the_other() -> None:
    flow = RectifiedFlowSteps(1000, (128, 128, 32))
    repeated = int((flow.timesteps[1:] == flow.timesteps[:-1]).nonzero()[0])
    x = torch.zeros(1)
    for number in range(repeated + 2):
        x = flow.step(torch.ones(1), flow.timesteps[number], x)
    assert float(x) == pytest.approx(sum(flow.step_sizes[: repeated + 2]), abs=1e-6)


@pytest.mark.parametrize("shape", [(16, 16, 8), (64, 64, 32)])
def test_timesteps_of_a_training(numbers: Any, shape: tuple[int, int, int]) -> None:
    raw = torch.from_numpy(numbers["training_transform.raw"])
    expected = torch.from_numpy(numbers[f"training_transform.{'x'.join(map(str, shape))}"]).double()
    torch.testing.assert_close(transformed_timesteps(raw, shape), expected, rtol=1e-5, atol=1e-4)


FLOW = SchedulerConfig(prediction_type="rflow")
PROSTATE = {"shape": (16, 16, 8), "spacing": (0.664, 0.664, 0.703), "num_inference_steps": 10}


@pytest.mark.medium
@pytest.mark.parametrize(("given", "guidance_scale"), [(0, 1.0), (2, 2.0), (10, 10.0)])
def test_the_loop_is_nvidia_s(
    reference_folder: Path, modality_model: ConditionalDenoiser, given: int, guidance_scale: float
) -> None:
    """Their guidance 0 is one pass, which ours calls 1: off."""
    golden = np.load(reference_folder / "nv_rflow_mr" / "sampler_10_steps.npz")
    seen: list[torch.Tensor] = []
    result = sample(
        modality_model,
        FLOW,
        modality=10,
        seeds=[zlib.crc32(b"nv.initial_noise")],
        scheduler="rflow",
        guidance_scale=guidance_scale,
        callback=lambda info: seen.append(info.latents),
        **PROSTATE,  # type: ignore[arg-type]
    )
    for latent, name in ((seen[0], "after_first_step"), (result.latents, "final_latent")):
        expected = torch.from_numpy(golden[f"cfg{given}.{name}"])
        error = torch.linalg.vector_norm(latent - expected) / torch.linalg.vector_norm(expected)
        assert error < 1e-4, name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"modality": None}, "takes a modality from 0 to 127, not None"),
        ({"modality": 128}, "takes a modality from 0 to 127, not 128"),
        ({"modality": 10, "scheduler": "dpm++"}, r"dpm\+\+ does not fit this model, which is drawn with rflow alone"),
    ],
)
def test_what_does_not_fit_nvidia_s_network_is_refused(
    modality_model: ConditionalDenoiser, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        sample(modality_model, FLOW, seeds=[1], **{"scheduler": "rflow", **PROSTATE, **arguments})


def test_the_scheduler_is_for_nvidia_s_flow_alone() -> None:
    with pytest.raises(InputError, match="rflow does not fit this model, which is drawn with any but rflow"):
        Scheduler("rflow", SchedulerConfig(prediction_type="flow"), 4)
