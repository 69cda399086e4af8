"""Training of the autoencoder: L1, a frequency or perceptual loss, a little KL and, if wanted, a patch discriminator.

A lapped transform whose decoder is to draw detail is trained in two parts: without it, and then the detail alone, which
has a loss of its own.

The parts are MONAI's. Discriminator and autoencoder learn in the same step from one loss: the autoencoder sees the
discriminator's weights as constants, and the discriminator sees the reconstruction as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Protocol

import numpy as np
import torch
from accelerate import Accelerator
from monai.losses import PatchAdversarialLoss
from monai.networks.nets import PatchDiscriminator
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from ccella_core.config import MOST_STEPS, BatchSize, LearningRate, Seed, Side, Steps, StrictModel, Weight
from ccella_core.errors import InputError
from ccella_core.networks.autoencoder import Autoencoder, build_autoencoder
from ccella_core.networks.config import AutoencoderConfig
from ccella_core.networks.lapped import LappedTransform
from ccella_core.runs.batches import Batches, DataLoading
from ccella_core.runs.logging import TrainLogger
from ccella_core.runs.schedules import one_cycle
from ccella_core.runs.trainer import Trainer
from ccella_core.training.perceptual import RadImageNetLoss

INITIAL_LOG_VARIANCE = -6.0
FIRST_CROPS = 256
"""Whose principal components a lapped transform begins with: some hundred thousand blocks."""
BEFORE_ALL_STEPS = 2**40
"""The number that stands for a step where those crops are drawn."""
DISCRIMINATOR_CHANNELS, DISCRIMINATOR_LAYERS = 32, 2
"""Of the first layer, and how many: each output judges a patch of some twenty voxels, the size of a nodule."""
LEAST_JUDGED = 16
"""Voxels that the discriminator's four convolutions leave something of."""
NOTHING_TO_REFINE = (
    "autoencoder.network.detail needs a trained autoencoder without it, whose detail it draws: `refine`."
)
DETAIL_EMA = 0.998
"""Of the weights that draw detail; the other losses do not jump about as that of a diffusion model does."""
RISING = 0.05  # share of the steps in which the learning rate rises


class AutoencoderTraining(StrictModel):
    """How an autoencoder is trained."""

    network: AutoencoderConfig = AutoencoderConfig()
    steps: Steps = Field(description="of the optimiser")
    batch_size: BatchSize = Field(2, description="crops a step, over all processes")
    crop: tuple[Side, Side, Side] = Field((64, 64, 64), description="voxels along X, Y, Z, cut out at random")
    learning_rate: LearningRate = Field(1e-4, description="of AdamW, at its highest")
    error: Literal["l1", "l2"] = Field("l1", description="what is averaged over the voxels, absolute or squared")
    balance: float = Field(
        0.5, ge=0, le=1, description="of a lapped transform: 0 all components alike, 1 each as strong as in the image"
    )
    kl_weight: Weight = Field(1e-7, description="of the distance of the latents from a normal distribution")
    frequency_weight: Weight = Field(0.1, description="of the L1 between the magnitudes of the two spectra")
    perceptual_weight: Weight = Field(0.0, description="of MONAI's perceptual loss")
    perceptual_network: Literal["radimagenet_resnet50"] = Field("radimagenet_resnet50", description="that sees slices")
    perceptual_weights_file: Path | None = Field(
        None, description="`model.safetensors` in the folder that `ccella models import-extractor radimagenet` made"
    )
    latent_noise: Weight = Field(
        0.0,
        description="most noise that the decoder learns to see through, as a share of the latents' standard deviation: "
        "those of a denoiser are not without it",
    )
    adversarial_weight: Weight = Field(
        0.0, description="of a patch discriminator's opinion, on slices where the autoencoder is of planes"
    )
    adversarial_from: Annotated[int, Field(ge=0, le=MOST_STEPS)] = Field(
        0, description="the first step at which it counts"
    )
    seed: Seed = Field(0, description="of all that is drawn at random")
    checkpoint_every: Steps = Field(50, description="steps")

    @property
    def judged_dims(self) -> Literal[2, 3]:
        """Dimensions that a discriminator sees at once: slices apart where the autoencoder never mixes them."""
        return 2 if self.network.kind == "lapped" else 3

    @model_validator(mode="after")
    def _options_fit(self) -> AutoencoderTraining:
        if any(side % factor for side, factor in zip(self.crop, self.network.factors, strict=True)):
            raise ValueError(f"the sides of crop must be multiples of {self.network.factors}")
        if self.adversarial_weight and min(self.crop[: self.judged_dims]) < LEAST_JUDGED:
            raise ValueError(f"a discriminator needs crops of at least {LEAST_JUDGED} voxels along each side it sees")
        others = {"frequency_weight", "perceptual_weight", "adversarial_weight"}
        if self.network.detail and (unused := sorted(each for each in others if getattr(self, each))):
            raise ValueError(f"with network.detail, which has a loss of its own, {' and '.join(unused)} must be 0")
        if self.perceptual_weight and self.perceptual_weights_file is None:
            raise ValueError(
                "perceptual_weight needs perceptual_weights_file (ccella models import-extractor radimagenet)"
            )
        return self


class VolumeSource(Protocol):
    """Volumes to learn from: (X, Y, Z) in 0 … 1, in any float type, by number."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> np.ndarray: ...


class _Learner(nn.Module):
    """The autoencoder with what it needs only while it learns; its output is the loss of a batch, and its parts."""

    def __init__(self, autoencoder: Autoencoder, config: AutoencoderTraining) -> None:
        super().__init__()
        self.autoencoder, self.config = autoencoder, config
        # In a list, so that it is no part of the network: it never learns, and belongs into no checkpoint.
        self._perceptual = [RadImageNetLoss(config.perceptual_weights_file)] if config.perceptual_weights_file else []
        self.discriminator = None
        if config.adversarial_weight:
            # Instance norm: a batch of two crops is too small for batch statistics.
            self.discriminator = PatchDiscriminator(
                spatial_dims=config.judged_dims,
                channels=DISCRIMINATOR_CHANNELS,
                in_channels=1,
                num_layers_d=DISCRIMINATOR_LAYERS,
                norm="INSTANCE",
            )
        self._opinion = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)

    def forward(self, batch: Tensor, *, adversarial: bool) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        mean, sigma = self.autoencoder.encode(batch)
        noise = config.latent_noise * torch.rand(len(mean), 1, 1, 1, 1, device=mean.device) * mean.std()
        latents = mean + (sigma + noise) * torch.randn_like(mean)
        if isinstance(self.autoencoder, LappedTransform) and self.autoencoder.detail is not None:
            loss = self.autoencoder.detail_loss(batch, latents)
            return loss, {"detail": loss.detach()}
        reconstruction = self.autoencoder.decode(latents)
        metrics = {
            "l1": F.l1_loss(reconstruction, batch),
            "kl": 0.5 * (mean.square() + sigma.square() - torch.log(sigma.square() + 1e-8) - 1).mean(),
        }
        error = metrics["l1"] if config.error == "l1" else F.mse_loss(reconstruction, batch)
        loss = error + config.kl_weight * metrics["kl"]
        if config.frequency_weight:
            metrics["frequency"] = frequency_loss(reconstruction, batch)
            loss = loss + config.frequency_weight * metrics["frequency"]
        for perceptual in self._perceptual:
            metrics["perceptual"] = perceptual.to(batch.device)(reconstruction.float(), batch.float())
            loss = loss + config.perceptual_weight * metrics["perceptual"]
        if self.discriminator is not None:
            real, drawn = (self._judged(volumes) for volumes in (batch, reconstruction))
            learning = self._discriminator_loss(real, drawn.detach())
            constants = {name: weight.detach() for name, weight in self.discriminator.named_parameters()}
            verdict = torch.func.functional_call(self.discriminator, constants, (drawn,))[-1]
            metrics["adversarial"] = self._opinion(verdict, target_is_real=True, for_discriminator=False)
            metrics["discriminator"] = learning
            loss = loss + learning + (config.adversarial_weight if adversarial else 0.0) * metrics["adversarial"]
        return loss, {name: value.detach() for name, value in metrics.items()}

    def _judged(self, volumes: Tensor) -> Tensor:
        """Volumes (B, 1, X, Y, Z) as the discriminator sees them: whole, or as slices (B · Z, 1, X, Y)."""
        return volumes if self.config.judged_dims == 3 else volumes.permute(0, 4, 1, 2, 3).flatten(0, 1)

    def _discriminator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        assert self.discriminator is not None
        verdicts = [(self.discriminator(real)[-1], True), (self.discriminator(fake)[-1], False)]
        losses = [
            self._opinion(verdict, target_is_real=is_real, for_discriminator=True) for verdict, is_real in verdicts
        ]
        return torch.stack(losses).mean()


def train_autoencoder(
    volumes: VolumeSource,
    config: AutoencoderTraining,
    checkpoints: Path,
    *,
    refine: Autoencoder | None = None,
    loading: DataLoading | None = None,
    accelerator: Accelerator | None = None,
    logger: TrainLogger | None = None,
    after_step: Callable[[Trainer, Autoencoder], None] | None = None,
) -> Autoencoder:
    """Train on random crops, going on from the last of ``checkpoints`` where there is one.

    Args:
        volumes: (X, Y, Z) each, at least as large as the crop.
        config: sizes, weights, steps, seed.
        checkpoints: folder of the training states.
        refine: a trained autoencoder whose decoder alone is to learn on, or, where the network has ``detail``, that
            alone. Its latents stay what they are, so that a denoiser that was trained on them stays valid.
        loading: how the crops come to the device.
        accelerator: processes, device and precision.
        logger: receives every step.
        after_step: called after every step, to validate now and then.

    Raises:
        InputError: a volume is smaller than the crop, weights for the perceptual loss are missing, or there is nothing
            to refine with detail.
        NonFiniteError: the loss became NaN or infinite; the last checkpoint is whole.
    """
    torch.manual_seed(config.seed)
    model = _begun(volumes, config, refine)
    trainer = Trainer(
        _Learner(model, config),
        checkpoints,
        config,
        schedule=one_cycle(config, rising=RISING),
        ema_decay=None if config.network.detail is None else DETAIL_EMA,
        accelerator=accelerator,
    )
    if config.batch_size % trainer.accelerator.num_processes:
        raise InputError(
            f"A batch of {config.batch_size} cannot be shared evenly by {trainer.accelerator.num_processes} processes."
        )
    batches = Batches(partial(_crops, volumes, config), config.batch_size, loading or DataLoading())
    look = None if after_step is None else lambda trainer: after_step(trainer, model)
    trainer.fit(partial(_loss, trainer, config), batches, logger, look)
    return model.to("cpu").eval().requires_grad_(False)


def _begun(volumes: VolumeSource, config: AutoencoderTraining, refine: Autoencoder | None) -> Autoencoder:
    """The network as it is before the first step; what is not to learn needs no gradient."""
    model = build_autoencoder(config.network)
    if isinstance(model, LappedTransform):
        places = range(min(len(volumes), FIRST_CROPS))
        crops = torch.stack([_random_crop(volumes, config, BEFORE_ALL_STEPS, place) for place in places])
        model.set_principal_components(crops, config.balance)
        frozen: tuple[nn.Module, ...] = (model.encoder,)
    else:
        # MONAI's posterior is at first as wide as the latents; a narrow one lets the decoder see them at once.
        log_variance = model.quant_conv_log_sigma.get_submodule("conv")
        assert isinstance(log_variance, torch.nn.Conv3d) and log_variance.bias is not None
        torch.nn.init.constant_(log_variance.bias, INITIAL_LOG_VARIANCE)
        frozen = (model.encoder, model.quant_conv_mu, model.quant_conv_log_sigma)
    if refine is not None:
        # It may have no network for detail yet.
        model.load_state_dict(model.state_dict() | refine.state_dict())
        for part in frozen:
            part.requires_grad_(False)
    if config.network.detail is not None:
        if not isinstance(refine, LappedTransform):
            raise InputError(NOTHING_TO_REFINE)
        assert isinstance(model, LappedTransform)
        model.decoder.requires_grad_(False)
        if refine.detail is None:
            model.set_spread(crops)
    return model


def _loss(trainer: Trainer, config: AutoencoderTraining, batch: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Of this process's share of the batch."""
    step, process = trainer.step, trainer.accelerator.process_index
    # The network's own draw around its mean.
    torch.manual_seed(int(np.random.default_rng([config.seed, 1, step, process]).integers(2**62)))
    loss, metrics = trainer.model(batch, adversarial=step >= config.adversarial_from)
    return loss, {f"loss/{name}": value for name, value in metrics.items()}


def _crops(volumes: VolumeSource, config: AutoencoderTraining, step: int, places: Sequence[int]) -> list[Tensor]:
    """One micro-batch (B, 1, X, Y, Z)."""
    return [torch.stack([_random_crop(volumes, config, step, place) for place in places])]


def _random_crop(volumes: VolumeSource, config: AutoencoderTraining, step: int, place: int) -> Tensor:
    """(1, X, Y, Z) of a volume and corner that follow from the seed, the step and the place in the batch."""
    rng = np.random.default_rng([config.seed, 0, step, place])
    volume = volumes[int(rng.integers(len(volumes)))]
    if any(size < side for size, side in zip(volume.shape, config.crop, strict=True)):
        raise InputError(
            f"A volume of {volume.shape} voxels is smaller than the crop {config.crop}; choose a smaller one."
        )
    corner = [int(rng.integers(size - side + 1)) for size, side in zip(volume.shape, config.crop, strict=True)]
    window = tuple(slice(start, start + side) for start, side in zip(corner, config.crop, strict=True))
    return torch.from_numpy(np.asarray(volume[window], dtype=np.float32))[None]


def frequency_loss(a: Tensor, b: Tensor) -> Tensor:
    """L1 between the in-plane spectra's magnitudes, which rewards texture of the right strength in the wrong place.

    (B, 1, X, Y, Z); after "focal frequency loss" (Jiang et al. 2021) without its weights.
    """
    spectra = (torch.fft.rfft2(volume.float().movedim(-1, 1), norm="ortho").abs() for volume in (a, b))
    return F.l1_loss(*spectra)


@torch.inference_mode()
def reconstruction_scores(model: Autoencoder, volumes: VolumeSource, crop: tuple[int, int, int]) -> dict[str, float]:
    """L1 and peak signal-to-noise ratio (dB, for a range of 1) of the middle of each volume, from its mean latent."""
    errors, squares = [], []
    device = next(model.parameters()).device
    for number in range(len(volumes)):
        volume = volumes[number]
        window = tuple(slice((size - side) // 2, (size - side) // 2 + side)
                       for size, side in zip(volume.shape, crop, strict=True))  # fmt: skip
        voxels = torch.from_numpy(np.asarray(volume[window], np.float32))[None, None].to(device)
        difference = model.decode(model.encode(voxels)[0]) - voxels
        errors.append(float(difference.abs().mean()))
        squares.append(float(difference.square().mean()))
    return {
        "loss/l1": float(np.mean(errors)),
        "psnr": float(np.mean([-10 * math.log10(max(s, 1e-12)) for s in squares])),
    }
