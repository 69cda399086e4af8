"""Teaches an adapter to read before it steers.

A lesion fills one latent voxel in three hundred, so that the denoising loss alone takes very long to tell the adapter
which words matter. A few hundred steps on the facts that the reports state give it tokens that hold them; the joint
training starts from there. Not in the paper, whose adapter starts from random weights.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor, nn

from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.phantom.findings import Findings
from ccella_core.settings import StrictModel
from ccella_core.solvers import SchedulerConfig
from ccella_core.training.facts import FactHeads, facts_of, stated_facts
from ccella_core.training.run import Run, one_cycle

log = logging.getLogger(__name__)


class AdapterTraining(StrictModel):
    """How an adapter is taught to read."""

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    seed: int = 0
    checkpoint_every: int = Field(50, gt=0)


class _Learner(nn.Module):
    """The adapter with heads on the mean of its tokens: what stands there, any query of the U-Net meets."""

    def __init__(self, denoiser: ConditionalDenoiser) -> None:
        super().__init__()
        assert denoiser.adapter is not None
        self.adapter = denoiser.adapter
        self.facts = FactHeads(self.adapter.latents.shape[-1])

    def forward(self, text: Tensor, timesteps: Tensor, facts: dict[str, Tensor]) -> Tensor:
        tokens, _ = self.adapter(text, timesteps)
        return self.facts.loss(tokens.mean(dim=1, keepdim=True), facts)


def train_adapter(
    denoiser: ConditionalDenoiser,
    text: Tensor,
    findings: Sequence[Findings],
    config: AdapterTraining,
    checkpoint: Path,
    *,
    scheduler: SchedulerConfig,
) -> ConditionalDenoiser:
    """Train the adapter of ``denoiser`` in place, going on from ``checkpoint`` where there is one.

    Args:
        denoiser: of a variant with text.
        text: (N, R, L, D), R encoded reports a case.
        findings: what the reports of each case state.
        config: steps, seed.
        checkpoint: file of the training state.
        scheduler: tells the timesteps, all of which are drawn.

    Raises:
        NonFiniteError: the loss became NaN or infinite; the last checkpoint is whole.
    """
    torch.manual_seed(config.seed)
    learner = _Learner(denoiser)
    run = Run(
        learner,
        checkpoint,
        steps=config.steps,
        checkpoint_every=config.checkpoint_every,
        learning_rate=config.learning_rate,
        schedule=one_cycle(config.learning_rate, config.steps, rising=0.1),
        seed=config.seed,
    )
    facts = [stated_facts(one) for one in findings]
    while run.unfinished:
        rng = run.random()
        rows = rng.integers(len(facts), size=config.batch_size)
        wordings = rng.integers(text.shape[1], size=config.batch_size)
        timesteps = torch.from_numpy(rng.integers(scheduler.num_train_timesteps, size=config.batch_size))
        loss = learner(text[rows, wordings].float(), timesteps, facts_of([facts[row] for row in rows]))
        if run.update(loss):
            log.info("adapter step %d/%d: loss %.3f, %.0f s", run.step, run.steps, loss.item(), run.seconds)
    run.finish()
    return denoiser.eval()
