"""One training run: the part that every training here shares, whatever it trains and on however many processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from ccella_core.errors import InputError, NonFiniteError
from ccella_core.runs.checkpoint import KEPT, Checkpoints, averaged_weights, load_checkpoint, save_checkpoint

GRADIENT_CLIP = 1.0

Schedule = Callable[[torch.optim.Optimizer], LRScheduler]


class RunSettings(Protocol):
    """What a training's configuration tells its run."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def checkpoint_every(self) -> int: ...
    @property
    def seed(self) -> int: ...


def one_cycle(settings: RunSettings, *, rising: float) -> Schedule:
    """Up to the learning rate in the first share of the steps, then down to nothing (Smith & Topin 2018)."""
    # A rise of one step is none, and torch divides by its length less one.
    start = rising if rising * settings.steps > 1 else 0.0
    return lambda optimiser: OneCycleLR(
        optimiser, max_lr=settings.learning_rate, total_steps=settings.steps, pct_start=start
    )


def new_accelerator(mixed_precision: str) -> Accelerator:
    """Processes, device and precision of this launch. Raises InputError where the precision is not to be had."""
    accelerator = Accelerator(mixed_precision=mixed_precision)
    if mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise InputError("fp16 needs a GPU, and would change nothing here; set mixed_precision to bf16, or to no.")
    return accelerator


class Trainer:
    """Optimiser, schedule, average and checkpoints of a network; goes on from the last checkpoint where there is one.

    Nothing random is kept between steps: what a step draws follows from ``seed`` and its number alone, so that a run
    that was stopped draws what one that never stopped would have drawn.

    Args:
        model: what is trained; parameters that need no gradient stay as they are. It is moved to the device.
        folder: of the checkpoints, written every ``checkpoint_every`` steps and after the last.
        settings: steps, learning rate (of AdamW), checkpoints, seed.
        schedule: makes the learning rate's schedule.
        gradient_clip: the largest norm of the gradient.
        ema_decay: of an average of the weights (EMA); ``None``: none is kept.
        accelerator: processes, device and precision; by default one process in full precision.
        kept: how many of the last checkpoints stay.
    """

    def __init__(
        self,
        model: nn.Module,
        folder: Path,
        settings: RunSettings,
        *,
        schedule: Schedule,
        gradient_clip: float = GRADIENT_CLIP,
        ema_decay: float | None = None,
        accelerator: Accelerator | None = None,
        kept: int = KEPT,
    ) -> None:
        self.accelerator = accelerator or Accelerator()
        self.checkpoints = Checkpoints(folder, kept=kept)
        self.steps, self.seed, self._every = settings.steps, settings.seed, settings.checkpoint_every
        self._clip = gradient_clip
        self.network = model.to(self.accelerator.device)
        learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimiser = torch.optim.AdamW(learning, lr=settings.learning_rate)
        # Not prepared by Accelerate, whose schedules advance once a process and not once a step.
        self._schedule = schedule(optimiser)
        self._average = EMAModel(model.parameters(), decay=ema_decay, foreach=True) if ema_decay else None
        self.step, self.best_score = 0, float("inf")
        self.gradient_norm = float("nan")
        self.loss = float("nan")
        self.model, self._optimiser = self.accelerator.prepare(model, optimiser)
        self._resume()
        self._started = time.monotonic()
        self.model.train()

    @property
    def unfinished(self) -> bool:
        return self.step < self.steps

    @property
    def seconds(self) -> float:
        """Since this process took the run up."""
        return time.monotonic() - self._started

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def random(self) -> np.random.Generator:
        """This step's own stream."""
        return np.random.default_rng([self.seed, self.step])

    def update(self, *parts: Callable[[], Tensor]) -> None:
        """One step of the optimiser; ``save_if_due`` follows when all was told of it.

        Args:
            parts: each computes a part of this process's loss, one after the other, so that a batch may be larger than
                the memory. Their sum, averaged over the processes, is the loss of the step: ``self.loss``.

        Raises:
            NonFiniteError: loss or gradient is NaN or infinite; weights and checkpoints are as before.
        """
        self._optimiser.zero_grad()
        total = torch.zeros((), device=self.accelerator.device)
        for number, part in enumerate(parts, start=1):
            with self._gathering(is_last=number == len(parts)):
                loss = part()
                self.accelerator.backward(loss)
            total += loss.detach()
        self.loss = float(self.accelerator.reduce(total, "mean"))
        self._require_finite(self.loss, "loss")
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self._clip)
        self.gradient_norm = float(norm)
        if self.accelerator.scaler is None:  # a scaler itself leaves out steps whose gradients overflow in float16
            self._require_finite(self.gradient_norm, "gradient")
        self._optimiser.step()
        if not self._optimiser.step_was_skipped:
            self._schedule.step()
        if self._average is not None:
            self._average.step(self.network.parameters())
        self.step += 1

    def save_if_due(self) -> bool:
        """Write a checkpoint where it is time for one; tells whether it was.

        Raises:
            SaveError: the checkpoint could not be written; the one before it is whole.
        """
        due = self.step % self._every == 0 or self.step == self.steps
        if due and self.accelerator.is_main_process:
            self.checkpoints.save(self.step, self._state())
        return due

    def _gathering(self, *, is_last: bool) -> AbstractContextManager[Any]:
        """Processes exchange gradients once a step, with the last part."""
        return nullcontext() if is_last else self.accelerator.no_sync(self.model)

    def _require_finite(self, value: float, what: str) -> None:
        if not np.isfinite(value):
            # The checkpoint keeps the old rate with the optimiser, so that going on from it would not help.
            raise NonFiniteError(
                f"The {what} became {value} at step {self.step}; the last checkpoint is whole. Lower the learning "
                f"rate, remove {self.checkpoints.folder} and start again."
            )

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within it the network has the averaged weights, where there is an average, and does not learn."""
        parameters = list(self.network.parameters())
        if self._average is not None:
            self._average.store(parameters)
            self._average.copy_to(parameters)
        self.model.eval()
        try:
            yield
        finally:
            if self._average is not None:
                self._average.restore(parameters)
            self.model.train()

    def keep_if_best(self, score: float) -> bool:
        """Keep the weights aside if ``score`` (lower is better) is the best so far; tells whether it was."""
        if not score < self.best_score:
            return False
        self.best_score = score
        if self.accelerator.is_main_process:
            save_checkpoint(self.checkpoints.best, self._state())
        return True

    def finish(self) -> None:
        """Leaves the network on the CPU, ready for use, with the averaged weights where there is an average."""
        if self._average is not None:
            self._average.copy_to(self.network.parameters())
        self.accelerator.wait_for_everyone()
        self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False).to("cpu").eval()

    def _state(self) -> dict[str, Any]:
        scaler = self.accelerator.scaler
        return {
            "model": self.network.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "step": self.step,
            "best_score": self.best_score,
        }

    def _resume(self) -> None:
        if (state := self.checkpoints.latest()) is None:
            return
        self.network.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
            self._average.to(self.accelerator.device)
        if self.accelerator.scaler is not None and state["scaler"] is not None:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.step, self.best_score = state["step"], state["best_score"]


def load_trained(folder: Path, model: nn.Module, *, best: bool = False) -> int:
    """Fill ``model`` with the weights for use that a run left in ``folder``; returns the step they are of.

    Raises:
        InputError: there is no checkpoint, or it is damaged.
    """
    checkpoints = Checkpoints(folder)
    state = load_checkpoint(checkpoints.best) if best else checkpoints.latest()
    if state is None:
        raise InputError(f"There is no checkpoint in {folder}; has the training begun?")
    averaged_weights(state, model)
    return int(state["step"])
