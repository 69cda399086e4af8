"""The rectified flow of NV-Generate-MR, held to numbers of MONAI's own scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ccella_core.generation.rectified_flow import RectifiedFlowSteps, noised, transformed_timesteps, velocity


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
    torch.testing.assert_close(noised(clean, noise, timesteps), torch.from_numpy(numbers["add_noise.noisy"]))
    torch.testing.assert_close(velocity(clean, noise), torch.from_numpy(numbers["target.velocity"]), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(16, 16, 8), (64, 64, 32)])
def test_timesteps_of_a_training(numbers: Any, shape: tuple[int, int, int]) -> None:
    raw = torch.from_numpy(numbers["training_transform.raw"])
    expected = torch.from_numpy(numbers[f"training_transform.{'x'.join(map(str, shape))}"]).double()
    torch.testing.assert_close(transformed_timesteps(raw, shape), expected, rtol=1e-5, atol=1e-4)
