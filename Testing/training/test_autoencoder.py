"""Training of the autoencoder: it learns, goes on where it stopped, and keeps nothing from a loss that is no number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from ccella_core.errors import InputError, NonFiniteError
from ccella_core.models.model import save_component
from ccella_core.networks.autoencoder import build_autoencoder
from ccella_core.networks.config import AutoencoderConfig, DetailConfig
from ccella_core.networks.resnet import RadImageNetConfig, build_radimagenet
from ccella_core.training import autoencoder
from ccella_core.training.autoencoder import AutoencoderTraining, frequency_loss, train_autoencoder

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


@pytest.fixture
def large_volumes(volumes) -> np.ndarray:
    """Large enough for a discriminator: (2, 24, 24, 16)."""
    return np.tile(volumes, (1, 2, 2, 2))


def reconstruction_error(model: torch.nn.Module, volumes: np.ndarray) -> float:
    voxels = torch.from_numpy(volumes.astype(np.float32))[:, None]
    with torch.inference_mode():
        return F.l1_loss(model.eval()(voxels)[0], voxels).item()


@pytest.mark.medium
def test_two_volumes_are_soon_learned(volumes, tmp_path):
    torch.manual_seed(0)
    untrained = reconstruction_error(build_autoencoder(TINY.network), volumes)
    config = TINY.model_copy(update={"steps": 120})
    trained = reconstruction_error(train_autoencoder(volumes, config, tmp_path / "run"), volumes)
    assert trained < 0.5 * untrained


@pytest.mark.medium
def test_a_stopped_run_that_goes_on_ends_with_the_same_weights(
    volumes, tmp_path, stopped_at_first_save, assert_same_weights
):
    whole = train_autoencoder(volumes, TINY, tmp_path / "whole")
    with stopped_at_first_save():
        train_autoencoder(volumes, TINY, tmp_path / "stopped")
    assert_same_weights(train_autoencoder(volumes, TINY, tmp_path / "stopped"), whole)
    # A finished run is not trained again.
    assert_same_weights(train_autoencoder(volumes, TINY, tmp_path / "whole"), whole)


def test_refining_leaves_the_latents_what_they_are(volumes, tmp_path):
    first = train_autoencoder(volumes, TINY, tmp_path / "first")
    refined = train_autoencoder(volumes, TINY, tmp_path / "refined", refine=first)
    voxels = torch.from_numpy(volumes.astype(np.float32))[:, None]
    assert torch.equal(refined.encode(voxels)[0], first.encode(voxels)[0])
    before, after = first.state_dict(), refined.state_dict()
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}


@pytest.fixture
def planes() -> AutoencoderTraining:
    """Of a lapped transform."""
    network = AutoencoderConfig(kind="lapped", block=4, latent_channels=1)
    return TINY.model_copy(update={"network": network, "crop": (24, 24, 3), "learning_rate": 3e-3, "kl_weight": 0.0})


def test_a_network_for_detail_learns_on_from_a_linear_decoder(large_volumes, tmp_path, planes):
    first = train_autoencoder(large_volumes, planes, tmp_path / "first")
    detailed = planes.network.model_copy(update={"detail": DetailConfig(width=8, blocks=1)})
    more = {"network": detailed, "latent_noise": 0.2, "frequency_weight": 0.0}
    refined = train_autoencoder(large_volumes, planes.model_copy(update=more), tmp_path / "refined", refine=first)
    voxels = torch.from_numpy(large_volumes.astype(np.float32))[:, None]
    assert torch.equal(refined.encode(voxels)[0], first.encode(voxels)[0])
    assert torch.equal(refined.decoder[0].weight, first.decoder[0].weight)
    assert torch.any(refined.detail.last.weight != 0) and 0 < float(refined.detail.spread) < 1
    with pytest.raises(InputError, match="needs a trained autoencoder without it"):
        train_autoencoder(large_volumes, planes.model_copy(update=more), tmp_path / "nothing")


@pytest.mark.parametrize("weight", ["frequency_weight", "perceptual_weight", "adversarial_weight"])
def test_detail_has_a_loss_of_its_own(planes, weight):
    network = planes.network.model_copy(update={"detail": DetailConfig(width=8)}).model_dump()
    silent = {"network": network, "frequency_weight": 0.0}
    AutoencoderTraining(**planes.model_dump() | silent)
    with pytest.raises(ValueError, match=f"loss of its own, {weight} must be 0"):
        AutoencoderTraining(**planes.model_dump() | silent | {weight: 0.1})


def test_slices_are_judged_apart_where_an_autoencoder_is_of_planes(large_volumes, planes):
    learner = autoencoder._Learner(
        build_autoencoder(planes.network), planes.model_copy(update={"adversarial_weight": 0.1})
    )
    batch = torch.from_numpy(large_volumes[..., :3].astype(np.float32))[:, None]
    slices = learner._judged(batch)
    assert slices.shape == (6, 1, 24, 24) and torch.equal(slices[4, 0], batch[1, 0, ..., 1])
    with pytest.raises(ValueError, match="crops of at least 16 voxels"):
        AutoencoderTraining(**{**planes.model_dump(), "adversarial_weight": 0.1, "crop": (12, 24, 3)})


def test_a_decoder_that_is_shown_noisy_latents_learns_to_see_through_them(large_volumes, planes):
    batch = torch.from_numpy(large_volumes.astype(np.float32))[:, None]
    losses = {}
    for noise in (0.0, 0.5):
        torch.manual_seed(0)
        learner = autoencoder._Learner(
            build_autoencoder(planes.network), planes.model_copy(update={"latent_noise": noise})
        )
        losses[noise] = [float(learner(batch, adversarial=False)[1]["l1"]) for _ in range(2)]
    assert losses[0.0][0] == losses[0.0][1] and losses[0.5][0] != losses[0.5][1]


def test_nan_is_never_saved(volumes, tmp_path):
    volumes[:, 6, 6, 4] = np.nan  # in every crop
    with pytest.raises(NonFiniteError, match="at step 0"):
        train_autoencoder(volumes, TINY, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_latents_have_the_shape_that_the_network_promises():
    model = build_autoencoder(TINY.network)
    latent = model.encode(torch.rand(3, 1, 8, 12, 4))[0]
    assert latent.shape == (3, TINY.network.latent_channels, 4, 6, 2)
    assert TINY.network.factors == (2, 2, 2)


def test_the_frequency_loss_sees_strength_and_not_place():
    ones, zeros = torch.ones(1, 1, 4, 4, 2), torch.zeros(1, 1, 4, 4, 2)
    # Only the mean frequency differs: 16 / sqrt(16), one of the 4 x 3 that a real image has.
    assert frequency_loss(ones, zeros).item() == pytest.approx(4 / 12)
    texture = torch.rand(1, 1, 4, 4, 2)
    assert frequency_loss(texture, texture.roll(1, dims=2)).item() == pytest.approx(0, abs=1e-6)


def test_crops_are_the_same_however_they_are_shared(volumes):
    config = TINY.model_copy(update={"batch_size": 4})
    crops = [autoencoder._random_crop(volumes, config, 3, place) for place in range(4)]
    again = [autoencoder._random_crop(volumes, config, 3, place) for place in range(4)]
    assert all(torch.equal(one, other) for one, other in zip(crops, again, strict=True))
    assert not torch.equal(crops[0], crops[1]) and crops[0].shape == (1, 8, 8, 4)


def test_the_discriminator_learns_and_leaves_the_autoencoder_to_its_own_loss(large_volumes):
    config = TINY.model_copy(update={"adversarial_weight": 0.5, "crop": (16, 16, 16)})
    learner = autoencoder._Learner(build_autoencoder(TINY.network), config)
    batch = torch.from_numpy(large_volumes.astype(np.float32))[:, None]
    torch.manual_seed(0)
    loss, told = learner(batch, adversarial=False)
    loss.backward()
    own = {name: p.grad.clone() for name, p in learner.autoencoder.named_parameters() if p.grad is not None}
    judged = {name: p.grad.clone() for name, p in learner.discriminator.named_parameters()}
    learner.zero_grad()
    torch.manual_seed(0)
    loss, _ = learner(batch, adversarial=True)
    loss.backward()
    # The verdict on the reconstruction moves the autoencoder and not the judge.
    assert any(
        not torch.allclose(p.grad, own[name]) for name, p in learner.autoencoder.named_parameters() if name in own
    )
    assert told.keys() == {"l1", "kl", "frequency", "adversarial", "discriminator"}
    assert all(torch.any(gradient != 0) for gradient in judged.values())


@pytest.mark.medium
@pytest.mark.parametrize(
    "option", [{"adversarial_weight": 0.1, "adversarial_from": 2}, {"frequency_weight": 0.0}], ids=str
)
def test_options_train_and_resume(large_volumes, tmp_path, stopped_at_first_save, assert_same_weights, option):
    volumes = large_volumes
    config = TINY.model_copy(update={**option, "steps": 4, "checkpoint_every": 2, "crop": (16, 16, 16)})
    whole = train_autoencoder(volumes, config, tmp_path / "whole")
    with stopped_at_first_save():
        train_autoencoder(volumes, config, tmp_path / "stopped")
    assert_same_weights(train_autoencoder(volumes, config, tmp_path / "stopped"), whole)


@pytest.fixture
def radimagenet(tmp_path) -> Path:
    """A tiny network in the place of the published one, as ``ccella models import-extractor`` leaves it."""
    config = RadImageNetConfig(layers=(1, 1, 1, 1), width=4, release="Keras", source="a.pth", sha256="0")
    torch.manual_seed(0)
    save_component(build_radimagenet(config), config, tmp_path / "radimagenet")
    return tmp_path / "radimagenet" / "model.safetensors"


@pytest.mark.medium
def test_a_perceptual_loss_counts_and_is_no_part_of_the_network(large_volumes, tmp_path, radimagenet):
    config = TINY.model_copy(
        update={"perceptual_weight": 1.0, "perceptual_weights_file": radimagenet, "crop": (16, 16, 16), "steps": 2}
    )
    learner = autoencoder._Learner(build_autoencoder(TINY.network), config)
    assert not [name for name in learner.state_dict() if "perceptual" in name]
    learner.train()
    batch = torch.from_numpy(large_volumes.astype(np.float32))[:, None]
    torch.manual_seed(0)
    loss, told = learner(batch, adversarial=False)
    assert told["perceptual"] > 0
    parts = told["l1"] + TINY.kl_weight * told["kl"] + TINY.frequency_weight * told["frequency"] + told["perceptual"]
    torch.testing.assert_close(loss, parts)
    (perceptual,) = learner._perceptual
    other = torch.rand_like(batch, requires_grad=True)
    perceptual(other, batch).backward()
    assert other.grad.abs().sum() > 0 and not any(weight.requires_grad for weight in perceptual.parameters())
    assert float(perceptual(batch, batch)) == pytest.approx(0, abs=1e-6) and not perceptual.perceptual_function.training
    train_autoencoder(large_volumes, config, tmp_path / "run")


def test_a_perceptual_loss_without_weights_is_explained(volumes, tmp_path, radimagenet):
    with pytest.raises(ValueError, match="perceptual_weight needs perceptual_weights_file"):
        AutoencoderTraining(**{**TINY.model_dump(), "perceptual_weight": 1.0})
    weighed = {"perceptual_weight": 1.0, "perceptual_weights_file": tmp_path / "none" / "model.safetensors"}
    with pytest.raises(InputError, match=r"The weights for the perceptual loss cannot be used: .*none.* is missing"):
        train_autoencoder(volumes, TINY.model_copy(update=weighed), tmp_path)
    about = radimagenet.with_name("config.json")
    about.write_text(about.read_text(encoding="utf-8").replace("Keras", "PyTorch"), encoding="utf-8")
    with pytest.raises(InputError, match=r"that MONAI converted from Keras, not a\.pth"):
        train_autoencoder(
            volumes, TINY.model_copy(update={**weighed, "perceptual_weights_file": radimagenet}), tmp_path
        )


def test_a_crop_that_does_not_fit_is_explained(volumes, tmp_path):
    with pytest.raises(InputError, match=r"\(12, 12, 8\) voxels is smaller than the crop \(16, 8, 4\)"):
        train_autoencoder(volumes, TINY.model_copy(update={"crop": (16, 8, 4)}), tmp_path)
    with pytest.raises(ValueError, match="multiples of"):
        AutoencoderTraining(**{**TINY.model_dump(), "crop": (7, 8, 4)})
    with pytest.raises(ValueError, match="crops of at least 16 voxels"):
        AutoencoderTraining(**{**TINY.model_dump(), "adversarial_weight": 0.1})


def test_scores_of_a_reconstruction(volumes):
    class Halves(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def encode(self, voxels):
            return (voxels, None)

        def decode(self, latent):
            return latent + 0.1

    scores = autoencoder.reconstruction_scores(Halves(), volumes, (8, 8, 4))
    assert scores["loss/l1"] == pytest.approx(0.1, rel=1e-4) and scores["psnr"] == pytest.approx(20, rel=1e-4)
