"""Noise schedules, and the solvers that walk from noise to a clean latent.

The solvers are Diffusers'; their alphas equal those of the MONAI scheduler that the published model was trained with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from monai.networks.schedulers import DDPMScheduler as ReferenceDDPMScheduler
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from ccella_core.errors import InputError

SolverName = Literal["dpm++", "unipc", "ddim", "ddpm", "ddpm-reference"]
DEFAULT_SOLVER: SolverName = "dpm++"
DEFAULT_STEPS = 30


class SchedulerConfig(BaseModel):
    """The noise schedule that a denoiser was trained with. Defaults: the published one.

    ``scaled_linear`` (the square of a linear ramp) is Diffusers' name for MONAI's ``scaled_linear_beta``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    num_train_timesteps: int = Field(default=1000, ge=1)
    beta_start: float = Field(default=0.0015, gt=0, lt=1)
    beta_end: float = Field(default=0.0195, gt=0, lt=1)
    beta_schedule: Literal["scaled_linear"] = "scaled_linear"
    prediction_type: Literal["epsilon", "v_prediction"] = "epsilon"

    def alphas_cumprod(self) -> Tensor:
        """Fraction of the signal's variance that is left at each timestep, (num_train_timesteps,), falling from 1."""
        return DDPMScheduler(**self.model_dump()).alphas_cumprod

    def clean_estimate(self, noisy: Tensor, prediction: Tensor, timestep: int) -> Tensor:
        """The clean latent that a network's prediction at ``timestep`` implies; shapes (B, C, X, Y, Z)."""
        alpha = self.alphas_cumprod()[timestep].to(noisy.device)
        if self.prediction_type == "v_prediction":
            return alpha.sqrt() * noisy - (1 - alpha).sqrt() * prediction
        return (noisy - (1 - alpha).sqrt() * prediction) / alpha.sqrt()


class Solver:
    """A solver with its timesteps laid out; one instance walks one batch once.

    - ``dpm++``: DPM-Solver++(2M) on Karras' sigmas (Lu et al. 2022, arXiv 2211.01095). Deterministic.
    - ``unipc``: UniPC of second order on Karras' sigmas (Zhao et al. 2023, arXiv 2302.04867). Deterministic.
    - ``ddim``: DDIM without noise (Song et al. 2021), as the first-order DPM-Solver++, the same formula:
      Diffusers' own DDIMScheduler assumes that the number of steps divides the training timesteps.
    - ``ddpm``: ancestral DDPM (Ho et al. 2020) that accounts for its stride, so it is right at any number of steps.
    - ``ddpm-reference``: the published sampling loop, MONAI's DDPMScheduler. It removes the noise of one training
      timestep a step, whatever the stride, and is right at the full number of steps only.

    Args:
        name: one of the above.
        config: the noise schedule.
        num_steps: 1 … ``config.num_train_timesteps``.

    Raises:
        InputError: an unknown solver or an impossible number of steps.
    """

    def __init__(self, name: SolverName, config: SchedulerConfig, num_steps: int) -> None:
        if name not in get_args(SolverName):
            raise InputError(f"There is no solver {name!r}; choose one of {', '.join(get_args(SolverName))}.")
        limit = config.num_train_timesteps
        if isinstance(num_steps, bool) or not isinstance(num_steps, int) or not 1 <= num_steps <= limit:
            raise InputError(f"The number of steps must be a whole number from 1 to {limit}, not {num_steps!r}.")
        self.name = name
        betas = config.model_dump()
        self._scheduler: Any
        if name == "ddpm-reference":
            schedule = betas.pop("beta_schedule")
            self._scheduler = ReferenceDDPMScheduler(schedule=f"{schedule}_beta", clip_sample=False, **betas)
            self._scheduler.set_timesteps(num_steps)
        elif name == "ddpm":
            self._scheduler = DDPMScheduler(clip_sample=False, **betas)
            self._scheduler.set_timesteps(timesteps=trailing_timesteps(num_steps, limit))
        elif name == "ddim":
            self._scheduler = DPMSolverMultistepScheduler(solver_order=1, **betas)
            self._scheduler.set_timesteps(timesteps=trailing_timesteps(num_steps, limit))
        else:
            kind = DPMSolverMultistepScheduler if name == "dpm++" else UniPCMultistepScheduler
            self._scheduler = kind(solver_order=2, use_karras_sigmas=True, **betas)
            self._scheduler.set_timesteps(num_steps)
        self.timesteps: Tensor = self._scheduler.timesteps.long()
        """(num_steps,), falling; a small one may repeat, since Karras' sigmas lie close together where noise is low."""

    def step(self, prediction: Tensor, timestep: Tensor, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """The next, less noisy latent.

        Args:
            prediction: the network's output at ``timestep``, (B, C, X, Y, Z), float32 on the CPU.
            timestep: the entry of ``timesteps`` whose turn it is.
            x: the latent that the network saw, as ``prediction``.
            generators: one a sample, so that a sample's noise does not depend on its neighbours in the batch.
        """
        if self.name == "ddpm-reference":
            rows = zip(prediction.split(1), x.split(1), generators, strict=True)
            return torch.cat([self._scheduler.step(p, int(timestep), row, g)[0] for p, row, g in rows])
        noise = {"generator": list(generators)} if self.name == "ddpm" else {}
        return self._scheduler.step(prediction, timestep, x, return_dict=False, **noise)[0]


def trailing_timesteps(num_steps: int, num_train_timesteps: int) -> list[int]:
    """Evenly spaced timesteps that begin at the very last one, where the latent is pure noise.

    "Leading" spacing begins short of it (at 957 for 30 steps of 1000), where the network expects some signal in what is
    pure noise (Lin et al. 2024, arXiv 2305.08891). Diffusers' own trailing spacing gives one timestep too many for some
    numbers of steps, by rounding; whole-number arithmetic does not.
    """
    return [(num_train_timesteps * left + num_steps // 2) // num_steps - 1 for left in range(num_steps, 0, -1)]
