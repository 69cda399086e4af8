"""Training of the conditional denoiser on cached latents and encoded reports, with the joint loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from accelerate import Accelerator
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.generation.schedulers import SchedulerConfig
from ccella_core.networks.config import DenoiserConfig
from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.runs.logging import SilentLog, TrainLogger
from ccella_core.runs.trainer import Schedule, Trainer
from ccella_core.training.batches import Draw, draw_batch, own_parts
from ccella_core.training.cached_cases import CachedCases
from ccella_core.training.losses import FOCAL_WEIGHT, JointLoss, joint_loss
from ccella_core.training.regions import RegionWeighting, RegionWeights


class DenoiserTraining(StrictModel):
    """How a denoiser is trained. Defaults: the published values, where the paper gives one; all else is off."""

    network: DenoiserConfig = DenoiserConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    epochs: int = Field(400, gt=0, description="times that each case is seen")
    steps: int = Field(0, ge=0, description="instead of epochs; 0: as many as the epochs take")
    batch_size: int = Field(8, gt=0, description="cases a step, over all processes and parts")
    part_size: int = Field(0, ge=0, description="cases that a process holds at once; 0: all of its share of the batch")
    learning_rate: float = Field(1e-4, gt=0, description="of AdamW")
    warmup_steps: int = Field(0, ge=0, description="in which the learning rate rises")
    decay_steps: int | None = Field(None, gt=0, description="length of the decay, where more training follows")
    decay_power: float = Field(2.0, gt=0, description="of the polynomial decay to zero")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    focal_weight: float = Field(FOCAL_WEIGHT, ge=0, description="λ of the joint loss")
    ema_decay: float | None = Field(None, gt=0, lt=1, description="of an average of the weights")
    report_dropout: float = Field(0.0, ge=0, lt=1, description="share of cases shown the null report, for guidance")
    stratified_timesteps: bool = Field(False, description="spread each batch over the whole range of timesteps")
    min_snr_gamma: float | None = Field(None, gt=0, description="min-SNR weights of the timesteps, 5 as in their paper")
    region_weights: Literal["none"] | RegionWeighting = Field("none", description="weigh gland and lesion more")
    seed: int = Field(0, ge=0, description="of all that is drawn at random")
    checkpoint_every: int = Field(500, gt=0, description="steps")
    keep_checkpoints: int = Field(3, gt=0, description="the last ones; the best on validation is kept beside them")

    @model_validator(mode="after")
    def _options_fit(self) -> DenoiserTraining:
        if self.min_snr_gamma is not None and self.scheduler.prediction_type == "flow":
            raise ValueError("min_snr_gamma is for noise or velocity prediction, not for rectified flow")
        return self

    def for_cases(self, count: int) -> DenoiserTraining:
        """With ``steps`` filled in for a training set of ``count`` cases."""
        return (
            self if self.steps else self.model_copy(update={"steps": math.ceil(self.epochs * count / self.batch_size)})
        )


class Batch(NamedTuple):
    """What the network is given, and what it should say; on the device."""

    noisy: Tensor
    timesteps: Tensor
    target: Tensor
    text: Tensor | None
    class_one_hot: Tensor
    has_report: Tensor
    spacing: Tensor


def make_batch(cases: CachedCases, draws: list[Draw], config: DenoiserTraining, device: torch.device) -> Batch:
    rows = [draw.row for draw in draws]
    clean = cases.latents(rows)
    noise = torch.stack([draw.noise(tuple(clean.shape[1:])) for draw in draws])
    timesteps = torch.tensor([draw.timestep for draw in draws])
    text = None
    if config.network.uses_text:
        if cases.null_text is None:
            raise InputError(f"The variant {config.network.variant} reads reports, and none are in the cache.")
        text = torch.stack(
            [cases.text(draw.row, draw.wording) if draw.shows_report else cases.null_text for draw in draws]
        ).to(device)
    return Batch(
        noisy=config.scheduler.noised(clean, noise, timesteps).to(device),
        timesteps=timesteps.to(device),
        target=config.scheduler.target(clean, noise, timesteps).to(device),
        text=text,
        class_one_hot=F.one_hot(cases.positive[rows].long(), config.network.num_classes).float().to(device),
        has_report=torch.tensor([draw.shows_report for draw in draws], device=device),
        spacing=cases.spacing.expand(len(rows), 3).to(device),
    )


def predict(model: torch.nn.Module, batch: Batch, network: DenoiserConfig) -> tuple[Tensor, Tensor | None]:
    """The prediction (B, C, x, y, z) and, where the variant reads the class from the report, its logits (B, K)."""
    given = batch.class_one_hot if network.uses_class and not network.predicts_class else None
    return model(
        batch.noisy, batch.timesteps, text=batch.text, class_probability=given, spacing=batch.spacing
    )  # fmt: skip


def train_denoiser(
    cases: CachedCases,
    config: DenoiserTraining,
    folder: Path,
    *,
    start: ConditionalDenoiser | None = None,
    accelerator: Accelerator | None = None,
    watcher: TrainLogger | None = None,
    after_step: Callable[[Trainer], None] | None = None,
) -> Trainer:
    """Train, going on from the last checkpoint where there is one; returns the finished run.

    ``run.network`` is the denoiser, with the averaged weights where there is an average.

    Args:
        cases: the training set.
        config: network, schedule, steps, seed.
        folder: of the checkpoints.
        start: a network to learn on from, instead of random weights.
        accelerator: processes, device and precision.
        watcher: told of every step.
        after_step: called after every step, to validate now and then.

    Raises:
        InputError: the data do not fit the configuration.
        NonFiniteError: loss or gradient became NaN or infinite; the last checkpoint is whole.
        SaveError: a checkpoint could not be written.
    """
    config = config.for_cases(len(cases))
    torch.manual_seed(config.seed)
    model = ConditionalDenoiser(config.network)
    if start is not None:
        model.load_state_dict(start.state_dict())
    run = Trainer(
        model,
        folder,
        config,
        schedule=_polynomial(config),
        gradient_clip=config.gradient_clip,
        ema_decay=config.ema_decay,
        accelerator=accelerator,
        kept=config.keep_checkpoints,
    )
    _refuse_misfits(cases, config, run.accelerator)
    watcher = watcher or SilentLog()
    learning = _Learning(run, cases, config)
    while run.unfinished:
        rate = run.learning_rate
        run.update(*learning.parts())
        watcher.step(run.step, {**learning.metrics(), "learning_rate": rate, "gradient_norm": run.gradient_norm})
        if after_step is not None:
            after_step(run)
        run.save_if_due()
    run.finish()
    return run


class _Learning:
    """The loss of each step, in parts, and what there is to tell of it."""

    def __init__(self, run: Trainer, cases: CachedCases, config: DenoiserTraining) -> None:
        self.run, self.cases, self.config = run, cases, config
        self.weights = None if config.region_weights == "none" else RegionWeights(cases, config.region_weights)
        self._told = torch.zeros(3)
        self._reported = 0

    def parts(self) -> list[Callable[[], Tensor]]:
        config, accelerator = self.config, self.run.accelerator
        draws = draw_batch(
            self.cases,
            self.run.step,
            batch_size=config.batch_size,
            timesteps=config.scheduler.num_train_timesteps,
            stratified=config.stratified_timesteps,
            report_dropout=config.report_dropout,
            seed=config.seed,
        )
        self._told = torch.zeros(3)
        self._reported = sum(draw.shows_report for draw in draws)
        own = own_parts(
            draws,
            process=accelerator.process_index,
            processes=accelerator.num_processes,
            part_size=config.part_size or config.batch_size,
        )
        return [partial(self._loss, part) for part in own]

    def _loss(self, draws: list[Draw]) -> Tensor:
        config, device = self.config, self.run.accelerator.device
        batch = make_batch(self.cases, draws, config, device)
        prediction, logits = predict(self.run.model, batch, config.network)
        loss = self._joint(prediction, logits, batch, [draw.row for draw in draws])
        right = 0
        if logits is not None:
            agrees = logits.argmax(1) == batch.class_one_hot.argmax(1)
            right = int((agrees & batch.has_report).sum())
        self._told += torch.tensor([float(loss.denoising.detach()), float(loss.focal.detach()), right])
        # Processes are averaged; their parts are to add up.
        return loss.total * self.run.accelerator.num_processes

    def _joint(self, prediction: Tensor, logits: Tensor | None, batch: Batch, rows: list[int]) -> JointLoss:
        config = self.config
        gamma = config.min_snr_gamma
        return joint_loss(
            prediction,
            batch.target,
            logits,
            batch.class_one_hot,
            batch.has_report,
            focal_weight=config.focal_weight,
            voxel_weight=None if self.weights is None else self.weights(rows).to(prediction.device),
            case_weight=None if gamma is None else config.scheduler.min_snr_weight(batch.timesteps, gamma),
            batch=config.batch_size,
            reported=self._reported,
        )

    def metrics(self) -> dict[str, float]:
        """Of the last step, over all processes."""
        accelerator = self.run.accelerator
        denoising, focal, right = accelerator.reduce(self._told.to(accelerator.device), "sum").tolist()
        reads = self.config.network.predicts_class and self._reported
        return {
            "loss": self.run.loss,
            "loss/denoising": denoising,
            "loss/focal": focal if reads else math.nan,
            "accuracy": right / self._reported if reads else math.nan,
        }


def _polynomial(config: DenoiserTraining) -> Schedule:
    def factor(step: int) -> float:
        if step < config.warmup_steps:
            return (step + 1) / config.warmup_steps
        end = config.decay_steps or config.steps
        left = (end - step) / max(1, end - config.warmup_steps)
        return float(max(0.0, left) ** config.decay_power)

    return lambda optimiser: torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


def _refuse_misfits(cases: CachedCases, config: DenoiserTraining, accelerator: Accelerator) -> None:
    channels, *shape = cases.latent_shape
    multiple = config.network.unet.shape_multiple
    if channels != config.network.latent_channels:
        raise InputError(
            f"The latents have {channels} channels and the network takes {config.network.latent_channels}; "
            f"set denoiser.network.unet.latent_channels to {channels}."
        )
    if any(size % multiple for size in shape):
        raise InputError(f"The latents are {shape}; this network needs multiples of {multiple} along each axis.")
    if config.batch_size < accelerator.num_processes:
        raise InputError(f"A batch of {config.batch_size} cannot be shared by {accelerator.num_processes} processes.")
    adapter = config.network.adapter
    if adapter is not None and cases.null_text is not None and cases.null_text.shape[1] != adapter.text_width:
        raise InputError(
            f"The text encoder is {cases.null_text.shape[1]} wide and the adapter reads {adapter.text_width}; "
            f"set denoiser.network.adapter.text_width to {cases.null_text.shape[1]}."
        )
