"""Training of the autoencoder on rendered volumes: L1, a frequency loss and a little KL."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ccella_core.networks.autoencoder import build_autoencoder
from ccella_core.networks.config import AutoencoderConfig
from ccella_core.settings import StrictModel
from ccella_core.training.run import Run, one_cycle

INITIAL_LOG_VARIANCE = -6.0

log = logging.getLogger(__name__)


class AutoencoderTraining(StrictModel):
    """How an autoencoder is trained."""

    network: AutoencoderConfig
    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    crop: tuple[int, int, int]
    learning_rate: float = Field(gt=0)
    kl_weight: float = Field(ge=0)
    frequency_weight: float = Field(ge=0, description="of the L1 between the magnitudes of the two spectra")
    seed: int = 0
    checkpoint_every: int = Field(50, gt=0)


def train_autoencoder(
    volumes: np.ndarray,
    config: AutoencoderTraining,
    checkpoint: Path,
    *,
    refine: AutoencoderKlMaisi | None = None,
) -> AutoencoderKlMaisi:
    """Train on random crops, going on from ``checkpoint`` where there is one.

    Args:
        volumes: (N, X, Y, Z) in 0 … 1, any float type; may be a memory map.
        config: sizes, weights, steps, seed.
        checkpoint: file of the training state.
        refine: a trained autoencoder whose decoder alone is to learn on. Its latents stay what they are, so that a
            denoiser that was trained on them stays valid.

    Raises:
        NonFiniteError: the loss became NaN or infinite; the last checkpoint is whole.
    """
    torch.manual_seed(config.seed)
    model = build_autoencoder(config.network)
    # MONAI starts with a posterior as wide as the latents themselves; a narrow one lets the decoder see them at once.
    log_variance = model.quant_conv_log_sigma.get_submodule("conv")
    assert isinstance(log_variance, torch.nn.Conv3d) and log_variance.bias is not None
    torch.nn.init.constant_(log_variance.bias, INITIAL_LOG_VARIANCE)
    if refine is not None:
        model.load_state_dict(refine.state_dict())
        for part in (model.encoder, model.quant_conv_mu, model.quant_conv_log_sigma):
            part.requires_grad_(False)
    run = Run(
        model,
        checkpoint,
        steps=config.steps,
        checkpoint_every=config.checkpoint_every,
        learning_rate=config.learning_rate,
        schedule=one_cycle(config.learning_rate, config.steps, rising=0.05),
        seed=config.seed,
    )
    errors: list[float] = []
    while run.unfinished:
        rng = run.random()
        torch.manual_seed(int(rng.integers(2**62)))
        batch = _random_crops(volumes, config, rng)
        reconstruction, mean, sigma = model(batch)
        loss_l1 = F.l1_loss(reconstruction, batch)
        kl = 0.5 * (mean.square() + sigma.square() - torch.log(sigma.square() + 1e-8) - 1).mean()
        loss = loss_l1 + config.kl_weight * kl
        if config.frequency_weight:
            loss = loss + config.frequency_weight * frequency_loss(reconstruction, batch)
        errors.append(loss_l1.item())
        if run.update(loss):
            log.info("autoencoder step %d/%d: L1 %.4f, KL %.2f, %.0f s",
                     run.step, run.steps, np.mean(errors), kl.item(), run.seconds)  # fmt: skip
            errors.clear()
    run.finish()
    return model


def _random_crops(volumes: np.ndarray, config: AutoencoderTraining, rng: np.random.Generator) -> Tensor:
    crops = []
    for index in rng.integers(len(volumes), size=config.batch_size):
        corner = [int(rng.integers(size - side + 1)) for size, side in zip(volumes.shape[1:], config.crop, strict=True)]
        window = tuple(slice(start, start + side) for start, side in zip(corner, config.crop, strict=True))
        crops.append(np.asarray(volumes[index][window], dtype=np.float32))
    return torch.from_numpy(np.stack(crops))[:, None]


def frequency_loss(a: Tensor, b: Tensor) -> Tensor:
    """L1 between the in-plane spectra's magnitudes, which rewards texture of the right strength in the wrong place.

    (B, 1, X, Y, Z); after "focal frequency loss" (Jiang et al. 2021) without its weights.
    """
    spectra = (torch.fft.rfft2(volume.movedim(-1, 1), norm="ortho").abs() for volume in (a, b))
    return F.l1_loss(*spectra)


@torch.inference_mode()
def encode_mean(model: AutoencoderKlMaisi, volumes: Tensor) -> Tensor:
    """The autoencoder's mean latent (B, C, x, y, z) of (B, 1, X, Y, Z) voxels in 0 … 1, not yet scaled."""
    return model.encode(volumes)[0]
