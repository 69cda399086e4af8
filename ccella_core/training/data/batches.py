"""What each step of the denoiser's training draws, from the seed and the step alone.

Every case of a global batch draws from a stream of its own, so that a batch is the same however many processes share
it, in however many micro-batches, and whether or not the run was stopped in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ccella_core.errors import InputError
from ccella_core.networks.config import DenoiserConfig
from ccella_core.runs.batches import micro_batches, shuffled_rows
from ccella_core.training.data.cached_cases import EQUAL, CachedCases, PartWeights
from ccella_core.training.data.regions import RegionWeights

if TYPE_CHECKING:
    from ccella_core.training.denoiser import DenoiserTraining


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


def noise_of(seeds: Sequence[int], shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Standard normal (B, *shape), the same for a seed every time on a kind of device.

    It is drawn where it is needed: a batch of it is larger than all else that a step brings, and a processor takes
    longer to draw it than a GPU to learn from it.
    """
    generator = torch.Generator(device)
    noise = torch.empty(len(seeds), *shape, device=device)
    for own, seed in zip(noise, seeds, strict=True):
        own.normal_(generator=generator.manual_seed(seed))
    return noise


def draw_batch(
    cases: CachedCases,
    step: int,
    *,
    batch_size: int,
    timesteps: int,
    stratified: bool,
    shift: float,
    report_dropout: float,
    seed: int,
) -> list[Draw]:
    """The global batch of ``step`` (from 0).

    Args:
        cases: the training set.
        step: from 0.
        batch_size: cases a step, over all processes.
        timesteps: how many there are.
        stratified: spread a batch over the whole range of timesteps, which steadies the loss and changes no mean.
        shift: above 1, more timesteps are drawn near the noise's end, see ``DenoiserTraining.timestep_shift``.
        report_dropout: share of the cases that are shown the null report.
        seed: of all that is drawn.
    """
    draws = []
    for place, seen in enumerate(shuffled_rows(len(cases.epoch), step, batch_size=batch_size, seed=seed)):
        row = cases.epoch[seen]
        rng = np.random.default_rng([seed, 2, step, place])
        where = (place + rng.random()) / batch_size if stratified else rng.random()
        where = shift * where / (1 + (shift - 1) * where)
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


class CaseBatch(NamedTuple):
    """A micro-batch as it is sent to the device."""

    latents: Tensor
    """(B, C, x, y, z) float16 as they are cached, or (B,) rows where the device has them."""
    text: Tensor | None
    """(B, L, D) float16 as they are cached, or (B,) numbers of reports where the device has them."""
    noise_seeds: tuple[int, ...]
    timesteps: Tensor
    spacing: Tensor
    """(B, 3) mm."""
    class_one_hot: Tensor
    has_report: Tensor
    """(B,) bool: whether a case shows its own report."""
    reads_class: Tensor
    """(B,) bool: whether it shows its report and its class is known, so that reading the class can be learnt."""
    voxel_weight: Tensor | None
    channel_weight: Tensor | None
    """(B, C): 0 for parts of the latent that a case does not have; ``None``: all have all, and count the same."""
    readers: int
    """Cases in the whole batch of the step from which reading the class is learnt."""


def make_batch(
    cases: CachedCases,
    draws: Sequence[Draw],
    network: DenoiserConfig,
    *,
    weights: RegionWeights | None = None,
    part_weights: PartWeights = EQUAL,
    by_row: bool = False,
    by_number: bool = False,
    readers: int = 0,
) -> CaseBatch:
    """What a micro-batch draws and shows, on the CPU.

    Args:
        cases: that rows are of.
        draws: one a case.
        network: that is to see it.
        weights: how much each latent voxel counts.
        part_weights: how much each part of the latent counts; 1 where nothing is said.
        by_row: the latents lie on the device.
        by_number: the reports lie on the device.
        readers: cases in the whole batch of the step that show their report and whose class is known.

    Raises:
        InputError: the network reads reports, and the cache has none.
    """
    rows = [draw.row for draw in draws]
    text = None
    if network.uses_text:
        if cases.null_text is None:
            raise InputError(f"The variant {network.variant} reads reports, and none are in the cache.")
        numbers = [
            cases.report_number(draw.row, draw.wording) if draw.shows_report else cases.report_count for draw in draws
        ]
        text = torch.tensor(numbers) if by_number else torch.stack([cases.stored_report(each) for each in numbers])
    shows_report = torch.tensor([draw.shows_report for draw in draws])
    known = cases.knows_class[rows]
    one_hot = F.one_hot(cases.positive[rows].long(), network.num_classes).float()
    return CaseBatch(
        latents=torch.tensor(rows) if by_row else cases.stored_latents(rows),
        text=text,
        noise_seeds=tuple(draw.noise_seed for draw in draws),
        timesteps=torch.tensor([draw.timestep for draw in draws]),
        spacing=cases.spacings[rows],
        # An unknown class is every class alike, for variants that are given it.
        class_one_hot=torch.where(known[:, None], one_hot, 1 / network.num_classes),
        has_report=shows_report,
        reads_class=shows_report & known,
        voxel_weight=None if weights is None else weights(rows),
        channel_weight=cases.channel_weight(rows, part_weights),
        readers=readers,
    )


@dataclass(frozen=True)
class BatchMaker:
    """Makes the micro-batches of a step of the denoiser's training, in whichever process it is called.

    Args:
        cases: the training set.
        config: how it is trained.
        weights: how much each latent voxel counts.
        by_row, by_number: latents, and reports, lie on the device.
    """

    cases: CachedCases
    config: DenoiserTraining
    weights: RegionWeights | None = None
    by_row: bool = False
    by_number: bool = False

    def __call__(self, step: int, places: Sequence[int]) -> list[CaseBatch]:
        """The micro-batches of a step, of the cases at these places in its batch."""
        config = self.config
        draws = draw_batch(
            self.cases,
            step,
            batch_size=config.batch_size,
            timesteps=config.scheduler.num_train_timesteps,
            stratified=config.stratified_timesteps,
            shift=config.timestep_shift,
            report_dropout=config.report_dropout,
            seed=config.seed,
        )
        readers = sum(draw.shows_report and bool(self.cases.knows_class[draw.row]) for draw in draws)
        return [
            make_batch(self.cases, some, config.network, weights=self.weights, part_weights=config.part_weights,
                       by_row=self.by_row, by_number=self.by_number, readers=readers)
            for some in micro_batches([draws[place] for place in places], config.micro_batch_size)
        ]  # fmt: skip
