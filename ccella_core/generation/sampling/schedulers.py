"""Noise schedules, and the schedulers that lead from noise to a clean latent.

The schedulers are Diffusers'; their alphas equal those of the MONAI scheduler of the published model's training.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal, get_args

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler
from monai.networks.schedulers import DDPMScheduler as ReferenceDDPMScheduler
from pydantic import Field, model_validator
from torch import Tensor

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.generation.sampling.rectified_flow import BASE_LATENT_SHAPE, RectifiedFlowSteps
from ccella_core.limits import SchedulerName

DEFAULT_SCHEDULER: SchedulerName = "dpm++"
DEFAULT_NUM_INFERENCE_STEPS = 30
MAX_TRAIN_TIMESTEPS = 100_000
"""A hundred times the published; a number is kept for each."""


class SchedulerConfig(StrictModel):
    """The noise schedule that a denoiser was trained with. Defaults: the published one.

    ``scaled_linear`` (the square of a linear ramp) is Diffusers' name for MONAI's ``scaled_linear_beta``. What the
    network predicts: the noise (``epsilon``), the velocity (``v_prediction``, Salimans & Ho 2022, arXiv 2202.00512), or
    the way from the clean latent to the noise (``flow``: rectified flow, Liu et al. 2023, arXiv 2209.03003, where the
    share of noise rises evenly with the timestep and the betas have no say). ``rflow`` is NVIDIA's rectified flow: the
    same way in the other direction, at timesteps between the whole numbers, see ``rectified_flow``.
    """

    num_train_timesteps: int = Field(
        default=1000, ge=1, le=MAX_TRAIN_TIMESTEPS, description="from almost clean to noise"
    )
    beta_start: float = Field(default=0.0015, gt=0, lt=1, description="variance that the first adds")
    beta_end: float = Field(default=0.0195, gt=0, lt=1, description="variance that the last adds")
    beta_schedule: Literal["scaled_linear"] = Field("scaled_linear", description="how it rises in between")
    prediction_type: Literal["epsilon", "v_prediction", "flow", "rflow"] = Field(
        "epsilon",
        description="what the network predicts: noise, velocity, the way of a rectified flow, or NVIDIA's (rflow)",
    )

    @property
    def is_flow(self) -> bool:
        """Whether it is a rectified flow, in either direction."""
        return self.prediction_type in ("flow", "rflow")

    @model_validator(mode="after")
    def _rises(self) -> SchedulerConfig:
        if self.beta_start > self.beta_end:
            raise ValueError("beta_start must not be above beta_end")
        return self

    def alphas_cumprod(self) -> Tensor:
        """Fraction of the signal's variance that is left at each timestep, (num_train_timesteps,), falling from 1."""
        return _alphas_cumprod(self, torch.device("cpu"))

    def known_timesteps(self, timesteps: Tensor) -> Tensor:
        """A scheduler's timesteps (T,) as the network knows them: NVIDIA's alone was trained between whole numbers."""
        return timesteps if self.prediction_type == "rflow" else timesteps.long()

    def shares(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        """How much signal and how much noise a latent holds at timesteps (B,), as (B, 1, 1, 1, 1) each."""
        if self.is_flow:
            noise = timesteps.float() / self.num_train_timesteps
            signal = 1 - noise
        else:
            alpha = _alphas_cumprod(self, timesteps.device)[timesteps]
            signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
        return signal.view(-1, 1, 1, 1, 1), noise.view(-1, 1, 1, 1, 1)

    def noised(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network sees of clean latents (B, C, X, Y, Z) at timesteps (B,)."""
        signal, share = self.shares(timesteps)
        return signal * clean + share * noise

    def target(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the network is to predict, (B, C, X, Y, Z)."""
        if self.prediction_type == "epsilon":
            return noise
        if self.is_flow:
            return noise - clean if self.prediction_type == "flow" else clean - noise
        signal, share = self.shares(timesteps)
        return signal * noise - share * clean

    def clean_estimate(self, noisy: Tensor, prediction: Tensor, timestep: int) -> Tensor:
        """The clean latent that a network's prediction at ``timestep`` implies; shapes (B, C, X, Y, Z)."""
        signal, share = self.shares(torch.tensor([timestep], device=noisy.device))
        if self.is_flow:
            return noisy - share * (prediction if self.prediction_type == "flow" else -prediction)
        if self.prediction_type == "v_prediction":
            return signal * noisy - share * prediction
        return (noisy - share * prediction) / signal

    def min_snr_weight(self, timesteps: Tensor, gamma: float) -> Tensor:
        """How much cases at timesteps (B,) count in the loss: min-SNR-γ (Hang et al. 2023, arXiv 2303.09556).

        Raises:
            InputError: for a rectified flow, to which it does not apply.
        """
        if self.is_flow:
            raise InputError("min-SNR weights are for noise or velocity prediction, not for rectified flow.")
        signal, share = self.shares(timesteps)
        snr = (signal / share).square().flatten()
        return snr.clamp(max=gamma) / (snr if self.prediction_type == "epsilon" else snr + 1)


@lru_cache(maxsize=8)
def _alphas_cumprod(config: SchedulerConfig, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # they are used in training as well
        return DDPMScheduler(**config.model_dump()).alphas_cumprod.to(device)


class Scheduler:
    """A scheduler with its timesteps laid out. It remembers earlier steps: one instance is for one batch, once.

    - ``dpm++``: DPM-Solver++(2M) on Karras' sigmas (Lu et al. 2022, arXiv 2211.01095). Deterministic.
    - ``sde-dpm++``: the same, of the stochastic equation: each step adds noise and removes that much more, so that what
      a network took for noise too early can still be drawn.
    - ``unipc``: UniPC of second order on Karras' sigmas (Zhao et al. 2023, arXiv 2302.04867). Deterministic.
    - ``ddim``: DDIM without noise (Song et al. 2021), as the first-order DPM-Solver++, the same formula:
      Diffusers' own DDIMScheduler assumes that the number of steps divides the training timesteps.
    - ``ddpm``: ancestral DDPM (Ho et al. 2020) that accounts for its stride, so it is right at any number of steps.
    - ``ddpm-reference``: the published sampling loop, MONAI's DDPMScheduler. It removes the noise of one training
      timestep a step, whatever the stride, and is right at the full number of steps only.
    - ``rflow``: Euler's steps along NVIDIA's rectified flow; it goes with networks that predict ``rflow``, and no other
      does.

    Args:
        name: one of the above.
        config: the noise schedule.
        num_inference_steps: 1 … ``config.num_train_timesteps``.
        latent_shape: (X, Y, Z), on which the timesteps of ``rflow`` depend.

    Raises:
        InputError: an unknown scheduler, one that does not fit the prediction, or an impossible number of steps.
    """

    def __init__(
        self,
        name: SchedulerName,
        config: SchedulerConfig,
        num_inference_steps: int,
        latent_shape: Sequence[int] = BASE_LATENT_SHAPE,
    ) -> None:
        if name not in get_args(SchedulerName):
            raise InputError(f"There is no scheduler {name!r}; choose one of {', '.join(get_args(SchedulerName))}.")
        self.name: str = name
        check_num_inference_steps(num_inference_steps, config)
        limit = config.num_train_timesteps
        betas = config.model_dump()
        self._scheduler: Any
        if (name == "rflow") != (config.prediction_type == "rflow"):
            fits = "rflow alone" if name != "rflow" else "any but rflow"
            raise InputError(f"The scheduler {name} does not fit this model, which is drawn with {fits}.")
        if name == "rflow":
            self._scheduler = RectifiedFlowSteps(num_inference_steps, latent_shape, num_train_timesteps=limit)
        elif config.prediction_type == "flow":
            self._scheduler = _flow_scheduler(name, limit)
            self._scheduler.set_timesteps(num_inference_steps)
        elif name == "ddpm-reference":
            schedule = betas.pop("beta_schedule")
            self._scheduler = ReferenceDDPMScheduler(schedule=f"{schedule}_beta", clip_sample=False, **betas)
            self._scheduler.set_timesteps(num_inference_steps)
        elif name == "ddpm":
            self._scheduler = DDPMScheduler(clip_sample=False, **betas)
            self._scheduler.set_timesteps(timesteps=trailing_timesteps(num_inference_steps, limit))
        elif name == "ddim":
            self._scheduler = DPMSolverMultistepScheduler(solver_order=1, **betas)
            self._scheduler.set_timesteps(timesteps=trailing_timesteps(num_inference_steps, limit))
        else:
            self._scheduler = _second_order(name, use_karras_sigmas=True, **betas)
            self._scheduler.set_timesteps(num_inference_steps)
        timesteps = self._scheduler.timesteps
        self.timesteps: Tensor = timesteps if name == "rflow" else timesteps.long()
        """(num_inference_steps,), falling; small ones may repeat: Karras' sigmas lie close together there. Those of
        ``rflow`` are no whole numbers."""

    order = 1
    """Evaluations of the network that belong together."""

    def begin_at(self, step: int) -> None:
        """The loop begins at this step, counted from 0."""
        begin_at(self._scheduler, step)

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
        if self.name == "rflow":
            return self._scheduler.step(prediction, timestep, x)
        noise = {"generator": list(generators)} if self.name in ("ddpm", "sde-dpm++") else {}
        return self._scheduler.step(prediction, timestep, x, return_dict=False, **noise)[0]


def begin_at(scheduler: Any, step: int) -> None:
    """Tell a scheduler of Diffusers with which step it begins; those that count no steps need not know."""
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(step)


def check_num_inference_steps(number: int, config: SchedulerConfig) -> None:
    """Raises InputError unless ``number`` is a whole number from 1 to the training timesteps."""
    limit = config.num_train_timesteps
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= limit:
        raise InputError(f"The number of steps must be a whole number from 1 to {limit}, not {number!r}.")


def _flow_scheduler(name: SchedulerName, num_train_timesteps: int) -> Any:
    """The steps of DDPM are those of a schedule of betas, which a rectified flow has not."""
    if name in ("ddpm", "ddpm-reference"):
        raise InputError(
            f"The scheduler {name} does not fit a model of rectified flow; choose dpm++, sde-dpm++, unipc or ddim."
        )
    flow: dict[str, Any] = {
        "num_train_timesteps": num_train_timesteps, "prediction_type": "flow_prediction", "use_flow_sigmas": True,
    }  # fmt: skip
    return DPMSolverMultistepScheduler(solver_order=1, **flow) if name == "ddim" else _second_order(name, **flow)


def _second_order(name: SchedulerName, **settings: Any) -> Any:
    if name == "unipc":
        return UniPCMultistepScheduler(solver_order=2, **settings)
    algorithm = "sde-dpmsolver++" if name == "sde-dpm++" else "dpmsolver++"
    return DPMSolverMultistepScheduler(solver_order=2, algorithm_type=algorithm, **settings)


def trailing_timesteps(num_inference_steps: int, num_train_timesteps: int) -> list[int]:
    """Evenly spaced timesteps that begin at the very last one, where the latent is pure noise.

    "Leading" spacing begins short of it (at 957 for 30 steps of 1000), where the network expects some signal in what is
    pure noise (Lin et al. 2024, arXiv 2305.08891). Diffusers' own trailing spacing gives one timestep too many for some
    numbers of steps, by rounding; whole-number arithmetic does not.
    """
    return [
        (num_train_timesteps * left + num_inference_steps // 2) // num_inference_steps - 1
        for left in range(num_inference_steps, 0, -1)
    ]
