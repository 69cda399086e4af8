"""The numbers of a run's steps, fetched from the device several steps at once, so that no step waits for them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

FETCH_EVERY = 20
"""Steps whose numbers come from a GPU together: seldom enough to cost nothing, often enough to watch a run by."""


class StepRecord(NamedTuple):
    """What there is to say of one step, over all processes."""

    step: int
    """Its number, from 1."""
    values: dict[str, float]
    ended: float
    """When this process was done with it, as ``time.monotonic`` has it."""


class _Waiting(NamedTuple):
    step: int
    learning_rate: float
    ended: float
    names: list[str]
    values: Tensor


class StepMetrics:
    """Keeps each step's numbers where they were computed, and hands them out once they have arrived on the CPU.

    Every process of several calls it in the same way, because their numbers are averaged.

    Args:
        accelerator: device and processes.
        every: steps that are fetched together; the numbers of these are handed out when the next ones are fetched.
            1: each at once, as a processor's are by default.
    """

    def __init__(self, accelerator: Accelerator, *, every: int | None = None) -> None:
        self._accelerator = accelerator
        self.every = every or (1 if accelerator.device.type == "cpu" else FETCH_EVERY)
        self._waiting: list[_Waiting] = []
        self._arriving: tuple[list[_Waiting], Tensor] | None = None
        self._arrived: torch.cuda.Event | None = None

    def add(self, step: int, values: Mapping[str, Tensor], learning_rate: float) -> list[StepRecord]:
        """Take the numbers of a step, scalars on the device; returns what has arrived of earlier ones."""
        together = torch.stack([value.detach().float() for value in values.values()])
        self._waiting.append(_Waiting(step, learning_rate, time.monotonic(), list(values), together))
        if len(self._waiting) < self.every:
            return []
        if self.every == 1:
            return self.rest()
        records = self._received()
        self._send()
        return records

    def rest(self) -> list[StepRecord]:
        """All that was not handed out yet; waits for the device."""
        records = self._received()
        self._send()
        return records + self._received()

    def _send(self) -> None:
        if not self._waiting:
            return
        found = self._accelerator.reduce(torch.stack([each.values for each in self._waiting]), "mean")
        if found.device.type == "cuda":
            host = torch.empty(found.shape, pin_memory=True)
            host.copy_(found, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()
            found = host
        self._arriving, self._waiting = (self._waiting, found), []

    def _received(self) -> list[StepRecord]:
        if self._arriving is None:
            return []
        if self._arrived is not None:
            self._arrived.synchronize()
        (steps, found), self._arriving = self._arriving, None
        return [
            StepRecord(
                each.step, {**dict(zip(each.names, row, strict=True)), "learning_rate": each.learning_rate}, each.ended
            )
            for each, row in zip(steps, found.tolist(), strict=True)
        ]
