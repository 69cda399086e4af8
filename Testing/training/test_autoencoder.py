"""Training of the autoencoder: it learns, goes on where it stopped, and keeps nothing from a loss that is no number."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ccella_core.errors import NonFiniteError
from ccella_core.networks.autoencoder import build_autoencoder
from ccella_core.networks.config import AutoencoderConfig
from ccella_core.training.autoencoder import AutoencoderTraining, encode_mean, frequency_loss, train_autoencoder

TINY = AutoencoderTraining(
    network=AutoencoderConfig(latent_channels=2, num_channels=(8, 8), num_res_blocks=(1, 1), norm_num_groups=4),
    steps=6,
    batch_size=2,
    crop=(8, 8, 4),
    learning_rate=1e-2,
    kl_weight=1e-6,
    frequency_weight=0.1,
    checkpoint_every=3,
)


@pytest.fixture
def volumes() -> np.ndarray:
    """Two smooth volumes (2, 12, 12, 8) in 0 … 1."""
    x, y, z = np.meshgrid(*(np.linspace(0, np.pi, size) for size in (12, 12, 8)), indexing="ij")
    return np.stack([np.sin(x) * np.sin(y), np.cos(z) ** 2]).astype(np.float16)


def reconstruction_error(model: torch.nn.Module, volumes: np.ndarray) -> float:
    voxels = torch.from_numpy(volumes.astype(np.float32))[:, None]
    with torch.inference_mode():
        return F.l1_loss(model.eval()(voxels)[0], voxels).item()


def test_two_volumes_are_soon_learned(volumes, tmp_path):
    untrained = reconstruction_error(build_autoencoder(TINY.network), volumes)
    config = TINY.model_copy(update={"steps": 40})
    trained = reconstruction_error(train_autoencoder(volumes, config, tmp_path / "run.pt"), volumes)
    assert trained < 0.5 * untrained


def test_a_stopped_run_that_goes_on_ends_with_the_same_weights(
    volumes, tmp_path, stopped_at_first_save, assert_same_weights
):
    whole = train_autoencoder(volumes, TINY, tmp_path / "whole.pt")
    with stopped_at_first_save():
        train_autoencoder(volumes, TINY, tmp_path / "stopped.pt")
    assert_same_weights(train_autoencoder(volumes, TINY, tmp_path / "stopped.pt"), whole)
    # A finished run is not trained again.
    assert_same_weights(train_autoencoder(volumes, TINY, tmp_path / "whole.pt"), whole)


def test_refining_leaves_the_latents_what_they_are(volumes, tmp_path):
    first = train_autoencoder(volumes, TINY, tmp_path / "first.pt")
    refined = train_autoencoder(volumes, TINY, tmp_path / "refined.pt", refine=first)
    voxels = torch.from_numpy(volumes.astype(np.float32))[:, None]
    assert torch.equal(encode_mean(refined, voxels), encode_mean(first, voxels))
    before, after = first.state_dict(), refined.state_dict()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}


def test_nan_is_never_saved(volumes, tmp_path):
    volumes[:, 6, 6, 4] = np.nan  # in every crop
    with pytest.raises(NonFiniteError, match="at step 0"):
        train_autoencoder(volumes, TINY, tmp_path / "run.pt")
    assert not (tmp_path / "run.pt").exists()


def test_latents_have_the_shape_that_the_network_promises():
    model = build_autoencoder(TINY.network)
    latent = encode_mean(model, torch.rand(3, 1, 8, 12, 4))
    assert latent.shape == (3, TINY.network.latent_channels, 4, 6, 2)
    assert TINY.network.factor == 2


def test_the_frequency_loss_sees_strength_and_not_place():
    ones, zeros = torch.ones(1, 1, 4, 4, 2), torch.zeros(1, 1, 4, 4, 2)
    # Only the mean frequency differs: 16 / sqrt(16), one of the 4 x 3 that a real image has.
    assert frequency_loss(ones, zeros).item() == pytest.approx(4 / 12)
    texture = torch.rand(1, 1, 4, 4, 2)
    assert frequency_loss(texture, texture.roll(1, dims=2)).item() == pytest.approx(0, abs=1e-6)
