"""Schedulers that are handed in as objects, such as those of Diffusers."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol, get_args

import torch
from torch import Tensor

from ccella_core.errors import InputError
from ccella_core.generation.sampling.rectified_flow import BASE_LATENT_SHAPE
from ccella_core.generation.sampling.schedulers import (
    DEFAULT_NUM_INFERENCE_STEPS,
    Scheduler,
    SchedulerConfig,
    begin_at,
    check_num_inference_steps,
)
from ccella_core.limits import SchedulerName


class ReadyScheduler(Protocol):
    """What a scheduler object must have to be handed in: Diffusers' schedulers and ``Scheduler`` have it.

    ``step`` is called as Diffusers' pipelines call it: ``step(prediction, timestep, latent)``, with ``generator`` and
    ``return_dict`` where it takes them. The noise must keep the variance: latents begin as N(0, 1).
    """

    @property
    def timesteps(self) -> Any:
        """(T,), falling, in the training's numbering."""

    @property
    def step(self) -> Callable[..., Any]:
        """From one latent to the next."""


class HandedInScheduler:
    """A scheduler of Diffusers, or one like it, with the interface of ``Scheduler``. The object itself is not touched.

    Args:
        scheduler: the object; its own noise schedule must be the one that the denoiser was trained with.
        config: that noise schedule.
        num_inference_steps: given to ``set_timesteps``; ``None``: the timesteps that are laid out already.
        default_num_inference_steps: used where ``num_inference_steps`` is ``None`` and none are laid out.

    Raises:
        InputError: it has no timesteps or steps, predicts something else, or begins at another scale of noise.
    """

    def __init__(
        self,
        scheduler: Any,  # a ReadyScheduler, which is looked at before it is believed
        config: SchedulerConfig,
        num_inference_steps: int | None,
        default_num_inference_steps: int,
    ) -> None:
        if not callable(getattr(scheduler, "step", None)) or not hasattr(scheduler, "timesteps"):
            raise InputError(
                f"There is no scheduler {scheduler!r}; choose one of {', '.join(get_args(SchedulerName))}, or hand in "
                "an object with timesteps and step."
            )
        self.name = type(scheduler).__name__
        self._scheduler: Any = copy.deepcopy(scheduler)
        if num_inference_steps is not None:
            check_num_inference_steps(num_inference_steps, config)
        if hasattr(scheduler, "set_timesteps"):
            is_ready = getattr(scheduler, "num_inference_steps", 0) is not None
            if num_inference_steps is not None or not is_ready:
                self._scheduler.set_timesteps(num_inference_steps or default_num_inference_steps)
        elif num_inference_steps not in (None, len(scheduler.timesteps)):
            raise _other_number(self.name, len(scheduler.timesteps), num_inference_steps)
        self.timesteps = torch.as_tensor(self._scheduler.timesteps).cpu()
        self._check(config)
        parameters = inspect.signature(self._scheduler.step).parameters
        self._takes_generator, self._takes_return_dict = "generator" in parameters, "return_dict" in parameters

    @property
    def order(self) -> int:
        """As ``Scheduler.order``: two of a solver of second order that evaluates twice a step."""
        return int(getattr(self._scheduler, "order", 1))

    def begin_at(self, step: int) -> None:
        """As ``Scheduler.begin_at``."""
        begin_at(self._scheduler, step)

    def step(self, prediction: Tensor, timestep: Tensor, x: Tensor, generators: Sequence[torch.Generator]) -> Tensor:
        """As ``Scheduler.step``."""
        more: dict[str, Any] = {"generator": list(generators)} if self._takes_generator else {}
        if self._takes_return_dict:
            more["return_dict"] = False
        result = self._scheduler.step(prediction, timestep, x, **more)
        return result[0] if isinstance(result, tuple) else getattr(result, "prev_sample", result)

    def _check(self, config: SchedulerConfig) -> None:
        predicts = getattr(getattr(self._scheduler, "config", None), "prediction_type", None)
        expected = "flow_prediction" if config.prediction_type == "flow" else config.prediction_type
        problem = None
        if config.prediction_type == "rflow":
            problem = "is an object, and this model is drawn with the scheduler of the name rflow alone"
        elif predicts not in (None, expected):
            problem = f"is set to the prediction type {predicts}, and this model's is {expected}"
        elif float(getattr(self._scheduler, "init_noise_sigma", 1.0)) != 1:
            problem = "begins at another scale of noise than 1, which a model of this kind does not know"
        elif len(self.timesteps) == 0 or not 0 <= self.timesteps.max() <= config.num_train_timesteps:
            problem = f"has no timesteps from 0 to {config.num_train_timesteps}, in which the model was trained"
        if problem is not None:
            raise InputError(f"The scheduler {self.name} cannot be used: it {problem}.")


def prepare_scheduler(
    scheduler: SchedulerName | ReadyScheduler,
    config: SchedulerConfig,
    num_inference_steps: int | None = None,
    *,
    default_num_inference_steps: int = DEFAULT_NUM_INFERENCE_STEPS,
    latent_shape: Sequence[int] = BASE_LATENT_SHAPE,
) -> Scheduler | HandedInScheduler:
    """A scheduler for one batch, from a name or from an object, which is copied.

    Args:
        scheduler: see ``Scheduler`` and ``ReadyScheduler``.
        config: the noise schedule that the denoiser was trained with.
        num_inference_steps: ``None``: the timesteps that an object has laid out, else the default.
        default_num_inference_steps: that default.
        latent_shape: see ``Scheduler``; where the timesteps' number alone is asked for, any will do.

    Raises:
        InputError: an unknown name, an object that does not fit, or an impossible number of steps.
    """
    if isinstance(scheduler, str):
        steps = default_num_inference_steps if num_inference_steps is None else num_inference_steps
        return Scheduler(scheduler, config, steps, latent_shape)
    if not isinstance(scheduler, (Scheduler, HandedInScheduler)):
        return HandedInScheduler(scheduler, config, num_inference_steps, default_num_inference_steps)
    if num_inference_steps not in (None, len(scheduler.timesteps)):
        raise _other_number(scheduler.name, len(scheduler.timesteps), num_inference_steps)
    return copy.deepcopy(scheduler)


def _other_number(name: str, laid_out: int, requested: int | None) -> InputError:
    return InputError(
        f"The scheduler {name} has {laid_out} timesteps laid out, not {requested}; leave the number of steps out."
    )
