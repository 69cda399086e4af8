"""What each step of the denoiser's training draws, from the seed and the step alone.

Every case of a global batch draws from a stream of its own, so that a batch is the same however many processes share
it, in however many parts, and whether or not the run was stopped in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ccella_core.runs.batches import shuffled_rows
from ccella_core.training.cached_cases import CachedCases


@dataclass(frozen=True)
class Draw:
    """One case of a global batch."""

    row: int
    wording: int
    """Which of its reports, counted over all that there are and again."""
    timestep: int
    shows_report: bool
    """``False``: the null report stands in, by ``report_dropout`` or because the case has none."""
    noise_seed: int

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(self.noise_seed))


def draw_batch(
    cases: CachedCases,
    step: int,
    *,
    batch_size: int,
    timesteps: int,
    stratified: bool,
    report_dropout: float,
    seed: int,
) -> list[Draw]:
    """The global batch of ``step`` (from 0).

    Args:
        timesteps: how many there are.
        stratified: spread a batch over the whole range of timesteps, which steadies the loss and changes no mean.
        report_dropout: share of the cases that are shown the null report.
    """
    draws = []
    for place, row in enumerate(shuffled_rows(len(cases), step, batch_size=batch_size, seed=seed)):
        rng = np.random.default_rng([seed, 2, step, place])
        where = (place + rng.random()) / batch_size if stratified else rng.random()
        kept = rng.random() >= report_dropout
        draws.append(
            Draw(
                row=row,
                wording=int(rng.integers(2**31)),
                timestep=min(int(where * timesteps), timesteps - 1),
                shows_report=bool(cases.has_report[row]) and kept,
                noise_seed=int(rng.integers(2**62)),
            )
        )
    return draws


def own_parts(draws: list[Draw], *, process: int, processes: int, part_size: int) -> list[list[Draw]]:
    """This process's share of a global batch, in parts that fit into the memory.

    Every process gets as many cases, and so as many parts: each of them takes part in every exchange of gradients.
    """
    share = draws[process::processes]
    return [share[start : start + part_size] for start in range(0, len(share), part_size)]
