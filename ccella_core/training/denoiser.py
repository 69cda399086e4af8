"""Training of the conditional denoiser on cached latents and encoded reports, with the joint loss."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from ccella_core.networks.config import DenoiserConfig
from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.settings import StrictModel
from ccella_core.solvers import SchedulerConfig
from ccella_core.training.losses import FOCAL_WEIGHT, JointLoss, joint_loss
from ccella_core.training.run import Run

log = logging.getLogger(__name__)


class DenoiserTraining(StrictModel):
    """How a denoiser is trained. Defaults: the published values, where the paper gives one."""

    network: DenoiserConfig
    scheduler: SchedulerConfig = SchedulerConfig()
    steps: int = Field(gt=0)
    batch_size: int = Field(8, gt=0)
    learning_rate: float = Field(1e-4, gt=0)
    warmup_steps: int = Field(0, ge=0)
    decay_steps: int | None = Field(None, gt=0, description="length of the decay, where more training follows")
    decay_power: float = Field(2.0, gt=0, description="of the polynomial decay to zero")
    gradient_clip: float = Field(1.0, gt=0)
    focal_weight: float = Field(FOCAL_WEIGHT, ge=0)
    ema_decay: float | None = Field(None, gt=0, lt=1)
    report_dropout: float = Field(0.0, ge=0, lt=1, description="share of cases shown with the null report")
    seed: int = 0
    checkpoint_every: int = Field(100, gt=0)


@dataclass(frozen=True)
class LatentCases:
    """The training set, as the denoiser sees it; tensors on the CPU, in any float type.

    A case may stand there with several reports that say the same in other words; one is drawn each time.
    """

    latents: Tensor
    """(N, C, x, y, z), already multiplied by the latent scale factor."""
    text: Tensor
    """(N, R, L, D): R encoded reports a case."""
    null_text: Tensor
    """(L, D): the null report."""
    positive: Tensor
    """(N,) bool: PI-RADS 3-5."""
    spacing: Tensor
    """(3,) in mm, the same for all."""
    region_weight: Tensor | None = None
    """(N, 1, x, y, z): how much each latent voxel counts; ``None``: all the same, as published."""


def train_denoiser(
    cases: LatentCases,
    config: DenoiserTraining,
    checkpoint: Path,
    *,
    start: ConditionalDenoiser | None = None,
) -> ConditionalDenoiser:
    """Train, going on from ``checkpoint`` where there is one; returns the averaged weights where there is an average.

    Args:
        cases: the training set.
        config: network, schedule, steps, seed.
        checkpoint: file of the training state.
        start: a network to learn on from, instead of random weights.

    Raises:
        NonFiniteError: the loss became NaN or infinite; the last checkpoint is whole.
    """
    torch.manual_seed(config.seed)
    model = ConditionalDenoiser(config.network)
    if start is not None:
        model.load_state_dict(start.state_dict())
    run = Run(
        model,
        checkpoint,
        steps=config.steps,
        checkpoint_every=config.checkpoint_every,
        learning_rate=config.learning_rate,
        schedule=lambda optimiser: torch.optim.lr_scheduler.LambdaLR(optimiser, _rate_factor(config)),
        seed=config.seed,
        gradient_clip=config.gradient_clip,
        ema_decay=config.ema_decay,
    )
    alphas = config.scheduler.alphas_cumprod()
    losses: list[tuple[float, float, float]] = []
    while run.unfinished:
        generator = torch.Generator().manual_seed(int(run.random().integers(2**62)))
        loss, accuracy = _losses(model, cases, config, alphas, generator)
        losses.append((loss.denoising.item(), loss.focal.item(), accuracy))
        if run.update(loss.total):
            denoising, focal, right = np.mean(losses, axis=0)
            log.info("denoiser step %d/%d: L1 %.4f, focal %.3f, class right %.2f, %.0f s",
                     run.step, run.steps, denoising, focal, right, run.seconds)  # fmt: skip
            losses.clear()
    run.finish()
    return model


def _rate_factor(config: DenoiserTraining) -> Callable[[int], float]:
    def factor(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        end = config.decay_steps or config.steps
        left = (end - step) / max(1, end - config.warmup_steps)
        return float(max(0.0, left) ** config.decay_power)

    return factor


def _losses(
    model: ConditionalDenoiser, cases: LatentCases, config: DenoiserTraining, alphas: Tensor, generator: torch.Generator
) -> tuple[JointLoss, float]:
    count = config.batch_size
    rows = torch.randint(len(cases.latents), (count,), generator=generator)
    clean = cases.latents[rows].float()
    noise = torch.randn(clean.shape, generator=generator)
    # Stratified: each batch covers the whole range of timesteps, which steadies the loss.
    position = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    timesteps = (position * len(alphas)).long().clamp(max=len(alphas) - 1)
    signal, spread = (a.sqrt().view(-1, 1, 1, 1, 1) for a in (alphas[timesteps], 1 - alphas[timesteps]))
    noisy = signal * clean + spread * noise
    target = noise if config.scheduler.prediction_type == "epsilon" else signal * noise - spread * clean

    one_hot = torch.nn.functional.one_hot(cases.positive[rows].long(), config.network.num_classes).float()
    text, has_report = None, None
    if config.network.uses_text:
        wording = torch.randint(cases.text.shape[1], (count,), generator=generator)
        has_report = torch.rand(count, generator=generator) >= config.report_dropout
        text = torch.where(has_report.view(-1, 1, 1), cases.text[rows, wording].float(), cases.null_text.float())
    given = one_hot if config.network.uses_class and not config.network.predicts_class else None
    output = model(noisy, timesteps, text=text, class_probability=given, spacing=cases.spacing.float().expand(count, 3))
    loss = joint_loss(
        output.prediction,
        target,
        output.class_logits,
        one_hot,
        has_report,
        focal_weight=config.focal_weight,
        region_weight=None if cases.region_weight is None else cases.region_weight[rows].float(),
    )
    accuracy = float("nan")
    if output.class_logits is not None:
        accuracy = (output.class_logits.argmax(1) == one_hot.argmax(1)).float().mean().item()
    return loss, accuracy
