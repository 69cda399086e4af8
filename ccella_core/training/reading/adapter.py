"""Teaches an adapter to read before it steers.

A lesion fills one latent voxel in three hundred, so that the denoising loss alone takes very long to tell the adapter
which words matter. A few hundred steps on the facts that the reports state give it tokens that hold them; the joint
training starts from there. Not in the paper, whose adapter starts from random weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from ccella_core.config import BatchSize, LearningRate, Seed, Steps, StrictModel
from ccella_core.errors import InputError
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.phantom.fields import StructuredFields
from ccella_core.phantom.known_report import ScanKind
from ccella_core.runs.batches import Batches
from ccella_core.runs.logging import TrainLogger
from ccella_core.runs.schedules import one_cycle
from ccella_core.runs.trainer import Trainer
from ccella_core.training.data.cached_cases import CachedCases, CacheEntry
from ccella_core.training.data.device_cases import CaseLoading
from ccella_core.training.reading.facts import UNKNOWN, FactHeads, facts_of, stated_facts

SCAN, SCAN_KINDS = "scan", get_args(ScanKind)
UNKNOWN_CLASS = -100  # torch's default for targets that count for nothing


class AdapterTraining(StrictModel):
    """How an adapter is taught to read."""

    steps: Steps = Field(description="of the optimiser")
    batch_size: BatchSize = Field(description="reports a step")
    learning_rate: LearningRate = Field(description="of AdamW, at its highest")
    seed: Seed = Field(0, description="of all that is drawn at random")
    checkpoint_every: Steps = Field(50, description="steps")


class _Lesson(NamedTuple):
    """What a step shows, and what is to be read from it."""

    text: Tensor
    """Reports (B, L, D), or their numbers (B,)."""
    timesteps: Tensor
    facts: dict[str, Tensor]


class _Learner(nn.Module):
    """The adapter, with heads on the mean of its tokens, which any query of the U-Net meets; its own read the class."""

    def __init__(self, denoiser: ConditionalDenoiser) -> None:
        super().__init__()
        assert denoiser.adapter is not None
        self.adapter = denoiser.adapter
        width = self.adapter.latents.shape[-1]
        self.facts = FactHeads(width)
        self.scan = nn.Linear(width, len(SCAN_KINDS))

    def forward(self, text: Tensor, timesteps: Tensor, facts: dict[str, Tensor]) -> Tensor:
        tokens, classes = self.adapter(text, timesteps)
        mean = tokens.mean(dim=1, keepdim=True)
        loss = self.facts.loss(mean, facts)
        if SCAN in facts:
            loss = loss + F.cross_entropy(self.scan(mean[:, 0]), facts[SCAN].nan_to_num(UNKNOWN_CLASS).long())
        if classes is not None and "positive" in facts:
            # The class is read from the same words. What is unknown has the index that cross-entropy leaves out.
            loss = loss + F.cross_entropy(classes, facts["positive"].nan_to_num(UNKNOWN_CLASS).long())
        return loss


def train_adapter(
    denoiser: ConditionalDenoiser,
    cases: CachedCases,
    config: AdapterTraining,
    checkpoints: Path,
    *,
    scheduler: SchedulerConfig,
    loading: CaseLoading | None = None,
    accelerator: Accelerator | None = None,
    logger: TrainLogger | None = None,
) -> ConditionalDenoiser:
    """Train the adapter of ``denoiser`` in place, going on from the last of ``checkpoints`` where there is one.

    Every process of several does the same.

    Args:
        denoiser: of a variant with text.
        cases: with reports, and with what they state where that is known.
        config: steps, seed.
        checkpoints: folder of the training states.
        scheduler: whose timesteps are drawn.
        loading: how the reports come to the device.
        accelerator: processes and device.
        logger: receives every step.

    Raises:
        InputError: no case has a report of which anything is known.
        NonFiniteError: the loss became NaN or infinite; the last checkpoint is whole.
    """
    taught = {number for number, row in enumerate(cases.rows) if row.reports and facts_of([_facts(row)])}
    reported = [row for row in cases.epoch if row in taught]
    if not reported:
        raise InputError(
            "The adapter cannot learn to read: no case has a report of which anything is known. Remove read_first."
        )
    torch.manual_seed(config.seed)
    trainer = Trainer(
        _Learner(denoiser), checkpoints, config, schedule=one_cycle(config, rising=0.1), accelerator=accelerator
    )
    loading = loading or CaseLoading()
    on_device = loading.on_device(cases, trainer.accelerator.device, latents=False)
    make = partial(
        _batch,
        cases,
        reported,
        config,
        scheduler.num_train_timesteps,
        by_number=on_device.keeps_text,
    )
    batches = Batches(make, config.batch_size, loading, shared=False)

    def loss(lesson: _Lesson) -> tuple[Tensor, dict[str, Tensor]]:
        return trainer.model(on_device.text(lesson.text), lesson.timesteps, lesson.facts), {}

    trainer.fit(loss, batches, logger)
    return denoiser.eval()


def _batch(
    cases: CachedCases,
    reported: list[int],
    config: AdapterTraining,
    timesteps: int,
    step: int,
    places: Sequence[int],
    *,
    by_number: bool,
) -> list[_Lesson]:
    """Of a step; ``by_number``: the reports lie on the device."""
    rng, size = np.random.default_rng([config.seed, step]), len(places)
    rows = [reported[place] for place in rng.integers(len(reported), size=size)]
    wordings = rng.integers(2**31, size=size)
    drawn = torch.from_numpy(rng.integers(timesteps, size=size))
    numbers = [cases.report_number(row, int(wording)) for row, wording in zip(rows, wordings, strict=True)]
    text = torch.tensor(numbers) if by_number else torch.stack([cases.stored_report(each) for each in numbers])
    facts = facts_of([_facts(cases.rows[row], int(wording)) for row, wording in zip(rows, wordings, strict=True)])
    return [_Lesson(text, drawn, facts)]


def _facts(row: CacheEntry, wording: int = 0) -> dict[str, float]:
    """What is stated of the patient, and in this wording of the kind of scan."""
    kind = row.scan_kinds[wording % len(row.scan_kinds)] if row.scan_kinds else None
    scan = UNKNOWN if kind is None else float(SCAN_KINDS.index(kind))
    return {**stated_facts(row.fields or StructuredFields(), positive=row.positive), SCAN: scan}
