"""Training of the conditional denoiser on cached latents and encoded reports, with the joint loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
from accelerate import Accelerator
from pydantic import Field, model_validator
from torch import Tensor

from ccella_core.config import MOST_STEPS, BatchSize, LearningRate, Power, Seed, Steps, StrictModel, Weight
from ccella_core.errors import InputError
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.networks.config import FLOW_TIMESTEPS, DenoiserConfig
from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.networks.gaussian import SPECTRUM_CASES
from ccella_core.networks.planar import PlanarUNet
from ccella_core.provenance import LabelName, SequenceName
from ccella_core.runs.batches import Batches
from ccella_core.runs.logging import TrainLogger
from ccella_core.runs.schedules import polynomial
from ccella_core.runs.trainer import Trainer
from ccella_core.training.data.batches import BatchMaker, CaseBatch, noise_of
from ccella_core.training.data.cached_cases import CachedCases
from ccella_core.training.data.device_cases import CaseLoading, DeviceCases
from ccella_core.training.data.regions import RegionWeighting, RegionWeights
from ccella_core.training.losses import FOCAL_WEIGHT, joint_loss


class DenoiserTraining(StrictModel):
    """How a denoiser is trained. Defaults: the published values, where the paper gives one; all else is off."""

    network: DenoiserConfig = DenoiserConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    epochs: Steps = Field(400, description="times that each case is seen")
    steps: Annotated[int, Field(ge=0, le=MOST_STEPS)] = Field(
        0, description="instead of epochs; 0: as many as the epochs take"
    )
    batch_size: BatchSize = Field(8, description="cases a step, over all processes and micro-batches")
    micro_batch_size: int = Field(
        0, ge=0, description="cases that a process holds at once; 0: all of its share of the batch"
    )
    learning_rate: LearningRate = Field(1e-4, description="of AdamW")
    adapter_rate: float = Field(
        1.0,
        ge=0,
        le=1,
        description="learning rate of the adapter, as a share: at a lower one it forgets less of what it has learnt to "
        "read, and learns what it has not as slowly; 0: it stays as it is, and so does what the U-Net expects by it",
    )
    warmup_steps: Annotated[int, Field(ge=0, le=MOST_STEPS)] = Field(0, description="in which the learning rate rises")
    decay_steps: Steps | None = Field(None, description="length of the decay, where more training follows")
    decay_power: Power = Field(2.0, description="of the polynomial decay to zero")
    gradient_clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    error: Literal["l1", "l2"] = Field("l1", description="of the prediction; l1 is the published one")
    focal_weight: Weight = Field(FOCAL_WEIGHT, description="λ of the joint loss")
    ema_decay: float | None = Field(None, gt=0, lt=1, description="of an average of the weights")
    report_dropout: float = Field(0.0, ge=0, lt=1, description="share of cases shown the null report, for guidance")
    stratified_timesteps: bool = Field(False, description="spread each batch over the whole range of timesteps")
    timestep_shift: float = Field(
        1.0,
        ge=1,
        le=100,
        description="above 1, timesteps are drawn nearer to noise, t as s t / (1 + (s - 1) t) (Esser et al. 2024, "
        "arXiv 2403.03206): there words alone say where a lesion lies, and nearer to the image the image does",
    )
    min_snr_gamma: float | None = Field(None, gt=0, description="min-SNR weights of the timesteps, 5 as in their paper")
    part_weights: dict[SequenceName | LabelName, Annotated[float, Field(gt=0)]] = Field(
        {},
        description="how much sequences and labels count in the loss, by name; 1 where nothing is said. Masks are "
        "learnt soonest, and at equal weights what is hardest, how patients look, is not learnt for long",
    )
    region_weights: Literal["none"] | RegionWeighting = Field(
        "none", description="weigh gland and lesion more, which are then drawn larger: the weights know where they are"
    )
    seed: Seed = Field(0, description="of all that is drawn at random")
    checkpoint_every: Steps = Field(500, description="steps")
    keep_checkpoints: Steps = Field(3, description="the last ones; the best on validation is kept beside them")

    @model_validator(mode="after")
    def _options_fit(self) -> DenoiserTraining:
        if self.min_snr_gamma is not None and self.scheduler.prediction_type == "flow":
            raise ValueError("min_snr_gamma is for noise or velocity prediction, not for rectified flow")
        flow = self.scheduler.prediction_type == "flow" and self.scheduler.num_train_timesteps == FLOW_TIMESTEPS
        if self.network.unet.gaussian and not flow:
            raise ValueError(f"network.unet.gaussian needs prediction_type flow and {FLOW_TIMESTEPS} timesteps")
        if self.network.uses_modality:
            raise ValueError("network.variant modality is not trained here; choose one that the paper compares")
        return self

    def for_cases(self, count: int) -> DenoiserTraining:
        """With ``steps`` filled in for a training set of ``count`` cases an epoch."""
        return (
            self if self.steps else self.model_copy(update={"steps": math.ceil(self.epochs * count / self.batch_size)})
        )


class NetworkBatch(NamedTuple):
    """What the network is given, and what it should predict; on the device."""

    noisy: Tensor
    timesteps: Tensor
    target: Tensor
    text: Tensor | None
    class_one_hot: Tensor
    reads_class: Tensor
    spacing: Tensor


def noised(batch: CaseBatch, cases: DeviceCases, scheduler: SchedulerConfig) -> NetworkBatch:
    """A micro-batch on the device with its noise."""
    clean = cases.latents(batch.latents)
    noise = noise_of(batch.noise_seeds, tuple(clean.shape[1:]), clean.device)
    return NetworkBatch(
        noisy=scheduler.noised(clean, noise, batch.timesteps),
        timesteps=batch.timesteps,
        target=scheduler.target(clean, noise, batch.timesteps),
        text=None if batch.text is None else cases.text(batch.text),
        class_one_hot=batch.class_one_hot,
        reads_class=batch.reads_class,
        spacing=batch.spacing,
    )


def predict(model: torch.nn.Module, batch: NetworkBatch, network: DenoiserConfig) -> tuple[Tensor, Tensor | None]:
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
    loading: CaseLoading | None = None,
    accelerator: Accelerator | None = None,
    logger: TrainLogger | None = None,
    after_step: Callable[[Trainer], None] | None = None,
) -> Trainer:
    """Train, going on from the last checkpoint where there is one; returns the trainer, which is done.

    ``trainer.network`` is the denoiser, with the averaged weights where there is an average.

    Args:
        cases: the training set.
        config: network, schedule, steps, seed.
        folder: of the checkpoints.
        start: a network to learn on from, instead of random weights.
        loading: how the cases come to the device.
        accelerator: processes, device and precision.
        logger: receives every step.
        after_step: called after every step, to validate now and then.

    Raises:
        InputError: the data do not fit the configuration.
        NonFiniteError: loss or gradient became NaN or infinite; the last checkpoint is whole.
        SaveError: a checkpoint could not be written.
    """
    config = config.for_cases(len(cases.epoch))
    torch.manual_seed(config.seed)
    model = ConditionalDenoiser(config.network)
    if start is not None:
        model.load_state_dict(start.state_dict())
    _refuse_mismatched(cases, config)
    _set_spectrum(model, cases)
    _freeze_reading(model, config)
    trainer = Trainer(
        model,
        folder,
        config,
        schedule=polynomial(config, power=config.decay_power, warmup=config.warmup_steps, end=config.decay_steps),
        gradient_clip=config.gradient_clip,
        ema_decay=config.ema_decay,
        accelerator=accelerator,
        kept=config.keep_checkpoints,
        slower=None if model.adapter is None or config.adapter_rate in (0, 1) else {model.adapter: config.adapter_rate},
    )
    _refuse_uneven_batch(config, trainer.accelerator)
    loading = loading or CaseLoading()
    on_device = loading.on_device(cases, trainer.accelerator.device)
    weights = None if config.region_weights == "none" else RegionWeights(cases, config.region_weights)
    make = BatchMaker(cases, config, weights, by_row=on_device.keeps_latents, by_number=on_device.keeps_text)
    batches = Batches(make, config.batch_size, loading)
    trainer.fit(partial(_loss, trainer, on_device, config), batches, logger, after_step)
    return trainer


def _loss(
    trainer: Trainer, cases: DeviceCases, config: DenoiserTraining, micro_batch: CaseBatch
) -> tuple[Tensor, dict[str, Tensor]]:
    """Of a micro-batch; summed over those of all processes it is the loss of the step."""
    batch = noised(micro_batch, cases, config.scheduler)
    prediction, logits = predict(trainer.model, batch, config.network)
    gamma, readers = config.min_snr_gamma, micro_batch.readers
    loss = joint_loss(
        prediction,
        batch.target,
        logits,
        batch.class_one_hot,
        batch.reads_class,
        error=config.error,
        focal_weight=config.focal_weight,
        voxel_weight=micro_batch.voxel_weight,
        channel_weight=micro_batch.channel_weight,
        case_weight=None if gamma is None else config.scheduler.min_snr_weight(batch.timesteps, gamma),
        batch=config.batch_size,
        readers=readers,
    )
    focal = accuracy = torch.full_like(loss.denoising, math.nan)
    if logits is not None and readers:
        right = (logits.argmax(1) == batch.class_one_hot.argmax(1)) & batch.reads_class
        focal, accuracy = loss.focal, right.sum() / readers
    # The trainer averages over the processes, and their shares of a batch are to add up.
    processes = trainer.accelerator.num_processes
    metrics = {"loss/denoising": loss.denoising, "loss/focal": focal, "accuracy": accuracy}
    return loss.total * processes, {name: value * processes for name, value in metrics.items()}


def _set_spectrum(model: ConditionalDenoiser, cases: CachedCases) -> None:
    """What the network begins with, where it begins with Gaussian latents, and has not begun yet."""
    gaussian = model.unet.gaussian if isinstance(model.unet, PlanarUNet) else None
    if gaussian is None or gaussian.log_power.any():
        return
    rows = list(range(0, len(cases), math.ceil(len(cases) / SPECTRUM_CASES)))
    latents = cases.stored_latents(rows).float() * cases.scale
    gaussian.set_spectrum(latents, cases.present[rows].repeat_interleave(cases.channels_a_part, dim=1))


def _freeze_reading(model: ConditionalDenoiser, config: DenoiserTraining) -> None:
    """Where the adapter is to stay as it is, so is the mean: it knows no other tokens."""
    if model.adapter is None or config.adapter_rate > 0:
        return
    model.adapter.requires_grad_(False)
    if isinstance(model.unet, PlanarUNet) and model.unet.expected is not None:
        model.unet.expected.requires_grad_(False)


def _refuse_uneven_batch(config: DenoiserTraining, accelerator: Accelerator) -> None:
    if config.batch_size < accelerator.num_processes:
        raise InputError(f"A batch of {config.batch_size} cannot be shared by {accelerator.num_processes} processes.")


def _refuse_mismatched(cases: CachedCases, config: DenoiserTraining) -> None:
    channels, *shape = cases.latent_shape
    multiples = config.network.unet.shape_multiples
    if channels != config.network.latent_channels:
        raise InputError(
            f"The latents have {channels} channels and the network takes {config.network.latent_channels}; "
            f"set denoiser.network.unet.latent_channels to {channels}."
        )
    if any(size % multiple for size, multiple in zip(shape, multiples, strict=True)):
        raise InputError(f"The latents are {shape}; this network needs multiples of {multiples}.")
    adapter = config.network.adapter
    if adapter is not None and cases.null_text is not None and cases.null_text.shape[1] != adapter.text_width:
        raise InputError(
            f"The text encoder is {cases.null_text.shape[1]} wide and the adapter reads {adapter.text_width}; "
            f"set denoiser.network.adapter.text_width to {cases.null_text.shape[1]}."
        )
