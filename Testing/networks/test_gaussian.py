"""The Gaussian part of a rectified flow: as good as Wiener's filter, for any size, and where a network begins."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from ccella_core.networks import UNetConfig
from ccella_core.networks.gaussian import GaussianFlow
from ccella_core.networks.planar import PlanarUNet

SIZE = (16, 16, 5)


def clouds(count: int, channels: int = 1) -> torch.Tensor:
    """Smooth Gaussian fields of variance 4."""
    noise = torch.randn(count, channels, *SIZE, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.conv3d(
        torch.nn.functional.pad(noise.flatten(0, 1)[:, None], (1, 1, 2, 2, 2, 2), mode="circular"),
        torch.ones(1, 1, 5, 5, 3),
    ).view_as(noise)
    return 2 * smooth / smooth.std()


def error_of_clean(flow: torch.Tensor, clean: torch.Tensor, noise: torch.Tensor, share: float) -> float:
    """Mean squared error of the clean latent that a predicted flow implies."""
    return float((share * (flow - (noise - clean))).square().mean())


@torch.no_grad()
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_it_is_wieners_filter(share: float) -> None:
    clean = clouds(64)
    gaussian = GaussianFlow(1)
    gaussian.set_spectrum(clean, torch.ones(64, 1, dtype=torch.bool))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    noisy = (1 - share) * clean + share * noise
    error = error_of_clean(gaussian(noisy, torch.full((64,), share)), clean, noise, share)
    power = torch.fft.fftn(clean, dim=(2, 3, 4), norm="ortho").abs().square().mean(0)
    ratio = (share / (1 - share)) ** 2
    best = float((power * ratio / (power + ratio)).mean())
    # The bands are not single frequencies, and the field is not round.
    assert best * 0.95 < error < best * 1.25
    one_variance = 4 * ratio / (4 + ratio)
    assert error < 0.9 * one_variance


@torch.no_grad()
def test_about_a_mean_that_is_known_it_is_as_good_as_about_zero() -> None:
    clean, share = clouds(64), torch.full((64,), 0.8)
    gaussian = GaussianFlow(1)
    gaussian.set_spectrum(clean, torch.ones(64, 1, dtype=torch.bool))
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    mean = torch.randn(clean.shape, generator=torch.Generator().manual_seed(2)) * 3
    about_zero = gaussian(0.2 * clean + 0.8 * noise, share)
    moved = 0.2 * (clean + mean) + 0.8 * noise
    about_mean = gaussian(moved, share, mean)
    error = error_of_clean(about_zero, clean, noise, 0.8)
    assert error_of_clean(about_mean, clean + mean, noise, 0.8) == pytest.approx(error, rel=1e-3)
    assert error_of_clean(gaussian(moved, share), clean + mean, noise, 0.8) > 1.5 * error
    # Of pure noise the mean is all that can be said.
    assert torch.allclose(
        noise - gaussian(noise, torch.ones(64), mean.expand_as(clean)), mean.expand_as(clean), atol=1e-3
    )


@torch.no_grad()
def test_its_ends_are_exact() -> None:
    gaussian = GaussianFlow(2)
    gaussian.set_spectrum(clouds(8, 2), torch.ones(8, 2, dtype=torch.bool))
    x = torch.randn(2, 2, 8, 12, 3, generator=torch.Generator().manual_seed(0))  # another size, of other frequencies
    clean, pure = gaussian(x, torch.zeros(2)), gaussian(x, torch.ones(2))
    assert torch.allclose(clean, -x, atol=1e-4) and torch.allclose(pure, x, atol=1e-4)


@torch.no_grad()
def test_a_channel_that_a_case_lacks_does_not_count() -> None:
    latents, present = clouds(8, 2), torch.ones(8, 2, dtype=torch.bool)
    whole, partly = GaussianFlow(2), GaussianFlow(2)
    whole.set_spectrum(latents[:4], present[:4])
    latents[4:, 1], present[4:, 1] = 100.0, False
    partly.set_spectrum(latents, present)
    assert torch.equal(whole.log_power[1], partly.log_power[1])
    assert not torch.equal(whole.log_power[0], partly.log_power[0])
    assert partly.log_power.isfinite().all()


def config(**keys: object) -> UNetConfig:
    sizes = {"kind": "planar", "latent_channels": 2, "num_channels": (8, 8), "attention_levels": (False, False)}
    return UNetConfig.model_validate(sizes | {"num_head_channels": (0, 0), "num_res_blocks": 1} | keys)


@torch.no_grad()
def test_a_network_begins_with_it() -> None:
    network = PlanarUNet(config(gaussian=True), num_classes=None, cross_attention_dim=None)
    assert network.gaussian is not None
    network.gaussian.set_spectrum(clouds(8, 2), torch.ones(8, 2, dtype=torch.bool))
    x, timesteps = torch.randn(2, 2, 8, 8, 3), torch.tensor([100, 900])
    prediction = network(x, timesteps, spacing=torch.ones(2, 3))
    assert torch.equal(prediction, network.gaussian(x, torch.tensor([0.1, 0.9])))


def test_it_is_of_planar_networks_alone() -> None:
    with pytest.raises(ValidationError, match="gaussian is of U-Nets of the kind planar alone"):
        UNetConfig(gaussian=True)
