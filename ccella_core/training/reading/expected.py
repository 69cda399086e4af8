"""Teaches a U-Net what a report lets expect: the mean of the latents with such reports, before all else.

It is learnt without noise, from what an adapter has read, and not from the joint loss: near the noise, where words
alone say where a lesion lies, that loss teaches it very slowly, and takes what was learnt away again
(``networks.expected``). The adapter stays as it is, so that every report is read but a few times and a step costs next
to nothing. Not in the paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ccella_core.config import BatchSize, LearningRate, Seed, Steps, StrictModel
from ccella_core.errors import InputError
from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.networks.expected import GRID
from ccella_core.networks.gaussian import SPECTRUM_CASES
from ccella_core.networks.planar import PlanarUNet
from ccella_core.phantom.known_report import ScanKind
from ccella_core.provenance import LabelName, SequenceName
from ccella_core.runs.batches import Batches
from ccella_core.runs.logging import TrainLogger
from ccella_core.runs.schedules import one_cycle
from ccella_core.runs.trainer import Trainer
from ccella_core.training.data.cached_cases import CachedCases
from ccella_core.training.data.device_cases import CaseLoading

READINGS = 2
"""Of each report, at timesteps drawn at random: its tokens are not quite the same at each."""
READ_AT_ONCE = 32
SIMULATED: ScanKind = "simulated"
DROPOUT = 0.2
"""Few patients have many reports, by which the mean could know each of them again."""


class ExpectedTraining(StrictModel):
    """How the mean is learnt."""

    steps: Steps = Field(description="of the optimiser")
    batch_size: BatchSize = Field(description="cases a step")
    learning_rate: LearningRate = Field(description="of AdamW, at its highest")
    part_weights: dict[SequenceName | LabelName, Annotated[float, Field(gt=0)]] = Field(
        {}, description="how much sequences and labels count, by name; 1 where nothing is said. They change how soon "
        "each is learnt, not what",
    )  # fmt: skip
    sequences: Literal["kind", "report"] = Field(
        "kind", description="what is expected of the sequences: `kind`, the mean of all scans of the report's kind, so "
        "that no patient is known again by a report, but of simulated scans what it says; `report`, that of all scans",
    )  # fmt: skip
    seed: Seed = Field(0, description="of all that is drawn at random")
    checkpoint_every: Steps = Field(500, description="steps")


class _Read(NamedTuple):
    """Every report as the adapter reads it, and every case's latent on the mean's grid; on the CPU."""

    tokens: Tensor
    """(reports and, last, the null report, ``READINGS``, N, W) float16."""
    latents: Tensor
    """(cases, C, *GRID) float16, of unit variance over the training set."""


class _Lesson(NamedTuple):
    """What a step shows, and what is to be expected of it."""

    tokens: Tensor
    latents: Tensor
    channel_weight: Tensor | None
    """(B, C): 0 for parts of the latent that a case does not have; ``None``: all count the same."""
    seed: int
    """Of the dropout, which so depends on the step alone."""


def train_expected(
    denoiser: ConditionalDenoiser,
    cases: CachedCases,
    config: ExpectedTraining,
    checkpoints: Path,
    *,
    timesteps: int,
    report_dropout: float = 0.0,
    accelerator: Accelerator | None = None,
    logger: TrainLogger | None = None,
) -> ConditionalDenoiser:
    """Train the mean of ``denoiser`` in place, going on from the last of ``checkpoints`` where there is one.

    A Gaussian part of its U-Net takes the spectra of what is not expected.
    Every process of several does the same.

    Args:
        denoiser: whose U-Net expects something (``unet.expected``), with an adapter that can read.
        cases: with reports.
        config: steps, seed.
        checkpoints: folder of the training states.
        timesteps: of the noise schedule.
        report_dropout: share of cases shown the null report, as in the joint training.
        accelerator: processes and device.
        logger: receives every step.

    Raises:
        InputError: no case has a report.
        NonFiniteError: the loss became NaN or infinite; the last checkpoint is whole.
    """
    assert isinstance(denoiser.unet, PlanarUNet) and denoiser.unet.expected is not None, "see TrainConfig"
    reported = [row for row in cases.epoch if cases.rows[row].reports]
    if not reported:
        raise InputError("Nothing can be expected of reports: no case has one. Remove expect_first and unet.expected.")
    torch.manual_seed(config.seed)
    trainer = Trainer(
        denoiser.unet.expected, checkpoints, config, schedule=one_cycle(config, rising=0.05), accelerator=accelerator
    )
    if trainer.unfinished:
        read = _read(denoiser.to(trainer.accelerator.device).eval(), cases, config, timesteps)
        make = partial(_batch, cases, read, reported, config, report_dropout)
        trainer.fit(partial(_loss, trainer), Batches(make, config.batch_size, CaseLoading(), shared=False), logger)
    denoiser.to("cpu").eval()
    _set_spectrum(denoiser, cases, reported, timesteps)
    return denoiser


@torch.no_grad()
def _read(denoiser: ConditionalDenoiser, cases: CachedCases, config: ExpectedTraining, timesteps: int) -> _Read:
    rng, device = np.random.default_rng(config.seed), next(denoiser.parameters()).device
    drawn = torch.from_numpy(rng.integers(timesteps, size=(cases.report_count + 1, READINGS)))
    numbers = range(cases.report_count + (cases.null_text is not None))
    tokens = []
    for some in (numbers[start : start + READ_AT_ONCE] for start in range(0, len(numbers), READ_AT_ONCE)):
        text = torch.stack([cases.stored_report(number) for number in some]).float().to(device)
        readings = [denoiser.condition(text, at.to(device))[0].half().cpu() for at in drawn[list(some)].unbind(1)]
        tokens.append(torch.stack(readings, dim=1))
    latents = torch.cat([F.adaptive_avg_pool3d(cases.latents([row]), GRID).half() for row in range(len(cases))])
    if config.sequences == "kind":
        _make_alike(latents, cases)
    return _Read(torch.cat(tokens), latents)


def _make_alike(latents: Tensor, cases: CachedCases) -> None:
    """Give all scans of a kind the mean of their sequences, in place; simulated ones show nobody and stay as they are.

    Among few patients each report is the only one of its sort: the mean would know its patient again, and a volume
    drawn for it would have the outlines of that patient's pelvis.
    """
    kinds = [next((kind for kind in row.scan_kinds if kind is not None), None) for row in cases.rows]
    parts = enumerate(cases.index.parts)
    images = [(number, slice(number * cases.channels_a_part, (number + 1) * cases.channels_a_part))
              for number, part in parts if part in get_args(SequenceName)]  # fmt: skip
    for kind in set(kinds) - {SIMULATED}:
        rows = [row for row, each in enumerate(kinds) if each == kind]
        for number, channels in images:
            having = [row for row in rows if cases.present[row, number]]
            if having:
                latents[rows, channels] = latents[having, channels].float().mean(0).to(latents.dtype)


@torch.no_grad()
def _set_spectrum(denoiser: ConditionalDenoiser, cases: CachedCases, reported: list[int], timesteps: int) -> None:
    """The spectra of what is not expected: those of whole latents would have the network trust noise for the rest.

    At the lowest frequencies a latent holds a hundred times the power that is left once its mean is taken away, and a
    guess by the whole latent's spectrum takes the noise there for the image.
    """
    assert isinstance(denoiser.unet, PlanarUNet) and denoiser.unet.expected is not None
    if denoiser.unet.gaussian is None:
        return
    rows = sorted(set(reported[:: math.ceil(len(reported) / SPECTRUM_CASES)]))
    left = []
    for some in (rows[start : start + READ_AT_ONCE] for start in range(0, len(rows), READ_AT_ONCE)):
        text = torch.stack([cases.stored_report(cases.report_number(row, 0)) for row in some]).float()
        tokens, _ = denoiser.condition(text, torch.full((len(some),), timesteps - 1))
        left.append(cases.latents(some) - denoiser.unet.expected(tokens, cases.latent_shape[1:]))
    present = cases.present[rows].repeat_interleave(cases.channels_a_part, dim=1)
    denoiser.unet.gaussian.set_spectrum(torch.cat(left), present)


def _batch(
    cases: CachedCases,
    read: _Read,
    reported: list[int],
    config: ExpectedTraining,
    report_dropout: float,
    step: int,
    places: Sequence[int],
) -> list[_Lesson]:
    rng, size = np.random.default_rng([config.seed, step]), len(places)
    rows = [reported[place] for place in rng.integers(len(reported), size=size)]
    wordings, readings = rng.integers(2**31, size=size), rng.integers(READINGS, size=size)
    numbers = np.array([cases.report_number(row, int(each)) for row, each in zip(rows, wordings, strict=True)])
    numbers[rng.random(size) < report_dropout] = cases.report_count
    return [
        _Lesson(
            read.tokens[numbers, readings].float(),
            read.latents[rows].float(),
            cases.channel_weight(rows, config.part_weights),
            int(rng.integers(2**31)),
        )
    ]


def _loss(trainer: Trainer, lesson: _Lesson) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(lesson.seed)
    error = (trainer.model(lesson.tokens, GRID, DROPOUT) - lesson.latents).square().mean(dim=(2, 3, 4))
    return (error if lesson.channel_weight is None else error * lesson.channel_weight).sum(dim=1).mean(), {}
