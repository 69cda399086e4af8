"""The data of each step: which cases, from the seed and the step alone, made ahead by workers where that is faster."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch.utils.data import DataLoader, Dataset, Sampler

from ccella_core.config import StrictModel
from ccella_core.errors import CCELLAError
from ccella_core.parallel import end_with

WORKERS_BESIDE_A_GPU = 2
"""Beside a GPU the next batches are made while it computes; on processors alone workers would take its cores."""

MakeBatch = Callable[[int, Sequence[int]], list[Any]]
"""From a step (from 0) and this process's places in its batch to its micro-batches, tensors on the CPU.

What it draws may depend on the seed, the step and the place alone: it may run in any process, ahead of time.
"""


MOST_WORKERS = 256


class DataLoading(StrictModel):
    """How a step's data come to the device; none of it changes the weights."""

    workers: int | None = Field(
        None,
        ge=0,
        le=MOST_WORKERS,
        description="processes that make batches ahead; null: 2 beside a GPU, none on processors",
    )


class StepSampler(Sampler[tuple[int, list[int]]]):
    """The steps of a run that are left, each with the places in its batch that are this process's.

    Args:
        steps: numbers of the steps, from 0.
        batch_size: cases a step, over all processes.
        process, processes: which one this is, and of how many.
    """

    def __init__(self, steps: range, batch_size: int, *, process: int = 0, processes: int = 1) -> None:
        self.steps, self.places = steps, list(range(process, batch_size, processes))

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        return ((step, self.places) for step in self.steps)


@dataclass(frozen=True)
class Batches:
    """The batches of a training.

    Args:
        make: makes those of a step; picklable, so that workers can call it.
        batch_size: cases a step, over all processes.
        loading: how many workers.
        shared: the processes share each batch; otherwise every process gets all of it.
    """

    make: MakeBatch
    batch_size: int
    loading: DataLoading = field(default_factory=DataLoading)
    shared: bool = True

    def __call__(
        self, steps: range, device: torch.device, *, process: int = 0, processes: int = 1
    ) -> Generator[list[Any], None, None]:
        """The micro-batches of each of ``steps`` for this process, in pinned memory where ``device`` is a GPU.

        The workers end with the iterator, whether it was used up or closed.

        Raises:
            CCELLAError: what ``make`` raised, in whichever process.
        """
        on_gpu = device.type == "cuda"
        workers = self.loading.workers
        if workers is None:
            workers = WORKERS_BESIDE_A_GPU if on_gpu else 0
        if not self.shared:
            process, processes = 0, 1
        loader = DataLoader(
            _Made(self.make),
            sampler=StepSampler(steps, self.batch_size, process=process, processes=processes),
            batch_size=None,  # each item is the data of a whole step
            collate_fn=_unchanged,
            num_workers=min(workers, len(steps)),
            pin_memory=on_gpu,
            worker_init_fn=partial(_end_with, os.getpid()),
            # Without a generator of its own the loader would draw from the global one, and so shift what steps draw.
            generator=torch.Generator(),
        )
        for made in loader:
            if isinstance(made, CCELLAError):
                raise made
            yield made


class _Made(Dataset[Any]):
    """A step's data by (step, places)."""

    def __init__(self, make: MakeBatch) -> None:
        self.make = make

    def __getitem__(self, index: tuple[int, list[int]]) -> Any:
        try:
            return self.make(*index)
        except CCELLAError as error:
            return error  # raised in a worker it would reach the user with the worker's traceback in its message


def _end_with(parent: int, worker: int) -> None:
    end_with(parent)


def _unchanged(made: Any) -> Any:
    return made


def micro_batches(batch: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """``batch`` cut into pieces of at most ``size``; 0: not cut."""
    size = size or len(batch)
    return [batch[start : start + size] for start in range(0, len(batch), size)]


def shuffled_rows(count: int, step: int, *, batch_size: int, seed: int) -> list[int]:
    """Rows of the global batch of ``step`` (from 0), of ``count``.

    They come in an order that is drawn anew for every epoch; a batch may reach over the end of one.
    """
    rows = []
    for number in range(step * batch_size, (step + 1) * batch_size):
        epoch, position = divmod(number, count)
        rows.append(int(_order(count, epoch, seed)[position]))
    return rows


@lru_cache(maxsize=2)
def _order(count: int, epoch: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1, epoch]).permutation(count)
