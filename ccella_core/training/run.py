"""One training run: the part that every training here shares, whatever it trains."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from ccella_core.training.checkpoint import Average, load_checkpoint, save_checkpoint
from ccella_core.training.losses import require_finite

GRADIENT_CLIP = 1.0

Schedule = Callable[[torch.optim.Optimizer], LRScheduler]


def one_cycle(learning_rate: float, steps: int, rising: float) -> Schedule:
    """Up to the learning rate in the first share of the steps, then down to nothing (Smith & Topin 2018)."""
    return lambda optimiser: OneCycleLR(optimiser, max_lr=learning_rate, total_steps=steps, pct_start=rising)


class Run:
    """Optimiser, schedule, average and checkpoint of a network; goes on from the checkpoint where there is one.

    Args:
        model: what is trained; parameters that need no gradient stay as they are.
        checkpoint: file of the training state, written every ``checkpoint_every`` steps and after the last.
        steps: how many in all.
        learning_rate: of AdamW.
        schedule: makes the learning rate's schedule.
        seed: of every random draw; see ``random``.
        ema_decay: of the average of the weights; ``None``: none is kept.
    """

    def __init__(
        self,
        model: nn.Module,
        checkpoint: Path,
        *,
        steps: int,
        checkpoint_every: int,
        learning_rate: float,
        schedule: Schedule,
        seed: int,
        gradient_clip: float = GRADIENT_CLIP,
        ema_decay: float | None = None,
    ) -> None:
        self.model, self.checkpoint, self.steps, self.checkpoint_every = model, checkpoint, steps, checkpoint_every
        self.seed, self.gradient_clip = seed, gradient_clip
        self._optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=learning_rate)
        self._schedule = schedule(self._optimiser)
        self._average = Average(model.parameters(), ema_decay) if ema_decay else None
        self.step = 0
        self._resume()
        self._started = time.monotonic()
        model.train()

    @property
    def unfinished(self) -> bool:
        return self.step < self.steps

    @property
    def seconds(self) -> float:
        """Since this process took the run up."""
        return time.monotonic() - self._started

    def random(self) -> np.random.Generator:
        """This step's own stream: a run that goes on draws what one that never stopped would have drawn."""
        return np.random.default_rng([self.seed, self.step])

    def update(self, loss: Tensor) -> bool:
        """Learn from a loss; tells whether this step was saved.

        Raises:
            NonFiniteError: the loss is NaN or infinite; weights and checkpoint are as before.
        """
        require_finite(loss, self.step, self.checkpoint)
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.gradient_clip)
        self._optimiser.step()
        self._schedule.step()
        if self._average is not None:
            self._average.update()
        self.step += 1
        due = self.step % self.checkpoint_every == 0 or self.step == self.steps
        if due:
            save_checkpoint(self.checkpoint, self._state())
        return due

    def finish(self) -> None:
        """Leaves the network ready for use, with the averaged weights where there is an average."""
        if self._average is not None:
            self._average.copy_to_model()
        self.model.eval()

    def _state(self) -> dict[str, object]:
        return {
            "model": self.model.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "average": self._average.state_dict() if self._average is not None else None,
            "step": self.step,
        }

    def _resume(self) -> None:
        if (state := load_checkpoint(self.checkpoint)) is None:
            return
        self.model.load_state_dict(state["model"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self.step = state["step"]
