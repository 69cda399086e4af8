"""How the learning rate changes in the course of a training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from diffusers.optimization import get_polynomial_decay_schedule_with_warmup
from torch.optim.lr_scheduler import LinearLR, LRScheduler, OneCycleLR, SequentialLR

Schedule = Callable[[torch.optim.Optimizer], LRScheduler]


class RunSettings(Protocol):
    """What a training's configuration tells its trainer."""

    @property
    def steps(self) -> int:
        """Of the optimiser, in all."""

    @property
    def learning_rate(self) -> float:
        """Of AdamW, at its highest."""

    @property
    def checkpoint_every(self) -> int:
        """Steps."""

    @property
    def seed(self) -> int:
        """Of all that is drawn at random."""


def one_cycle(settings: RunSettings, *, rising: float) -> Schedule:
    """Up to the learning rate in the first share of the steps, then down to nothing (Smith & Topin 2018)."""
    # A rise of one step is none, and torch divides by its length less one.
    start = rising if rising * settings.steps > 1 else 0.0
    return lambda optimiser: OneCycleLR(
        optimiser, max_lr=settings.learning_rate, total_steps=settings.steps, pct_start=start
    )


def polynomial(settings: RunSettings, *, power: float, warmup: int = 0, end: int | None = None) -> Schedule:
    """From the learning rate to nothing at the step ``end``, by default the last, as a power of what is left.

    Before that it rises over ``warmup`` steps, of which the first has a share of it already.
    """

    def schedule(optimiser: torch.optim.Optimizer) -> LRScheduler:
        decay_steps = max(1, (end or settings.steps) - warmup)
        if not warmup:
            return get_polynomial_decay_schedule_with_warmup(optimiser, 0, decay_steps, lr_end=0.0, power=power)
        # Diffusers' own warmup begins with a step at a rate of 0.
        rise = LinearLR(optimiser, start_factor=1 / warmup, total_iters=max(1, warmup - 1))
        decay = get_polynomial_decay_schedule_with_warmup(optimiser, 0, decay_steps, lr_end=0.0, power=power)
        return SequentialLR(optimiser, [rise, decay], milestones=[warmup])

    return schedule
