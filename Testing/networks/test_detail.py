"""The network that draws detail: on Gaussian detail, of which the best guess is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ccella_core.networks.config import AutoencoderConfig, DetailConfig
from ccella_core.networks.detail import DetailFlow

SIGMA = 0.5


def flow(steps: int = 8) -> DetailFlow:
    torch.manual_seed(0)
    config = AutoencoderConfig(kind="lapped", block=4, latent_channels=2, detail=DetailConfig(width=8, steps=steps))
    return DetailFlow(config)


class Gaussian(DetailFlow):
    """It knows that detail is normally distributed around the first channel of the latent, independent of place."""

    def forward(self, noisy: Tensor, latents: Tensor, share: Tensor) -> Tensor:
        noise = share.view(-1, 1, 1, 1)
        mean = torch.repeat_interleave(torch.repeat_interleave(latents[:, :1], 4, dim=2), 4, dim=3)
        gain = SIGMA**2 * (1 - noise) / ((1 - noise) ** 2 * SIGMA**2 + noise**2)
        return mean + gain * (noisy - (1 - noise) * mean)


def gaussian(steps: int) -> Gaussian:
    config = AutoencoderConfig(kind="lapped", block=4, latent_channels=2, detail=DetailConfig(width=8, steps=steps))
    drawn = Gaussian(config)
    drawn.spread.fill_(0.1)
    return drawn


@pytest.mark.parametrize(("steps", "share_of_variance"), [(4, 0.2), (8, 0.85), (50, 0.99)])
def test_details_are_drawn_with_their_mean_and_nearly_their_variance(steps: int, share_of_variance: float) -> None:
    latents, noise = (
        torch.full((2, 2, 16, 16), 3.0),
        torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(1)),
    )
    drawn = gaussian(steps).draw(latents, noise) / 0.1
    assert float(drawn.mean()) == pytest.approx(3.0, abs=0.03)
    assert share_of_variance < float(drawn.var()) / SIGMA**2 < 1.03
    # The same noise is drawn as the same detail.
    assert torch.equal(drawn, gaussian(steps).draw(latents, noise) / 0.1)


def test_what_is_expected_is_the_mean() -> None:
    assert torch.allclose(gaussian(8).expected(torch.full((1, 2, 4, 4), 3.0)), torch.full((1, 1, 16, 16), 0.3))


def test_it_begins_as_the_best_guess_of_one_that_knows_the_spread_alone() -> None:
    noisy, share = torch.randn(3, 1, 16, 16), torch.tensor([0.1, 0.5, 0.9])
    guess = flow()(noisy, torch.randn(3, 2, 4, 4), share)
    gain = (1 - share) / ((1 - share) ** 2 + share**2)
    assert torch.allclose(guess, gain.view(-1, 1, 1, 1) * noisy, atol=1e-6)
    # Then every share of noise weighs alike in the loss, which is 1 for detail of that spread.
    losses = [float(flow().loss(torch.randn(64, 1, 16, 16), torch.randn(64, 2, 4, 4)).detach()) for _ in range(4)]
    assert sum(losses) / 4 == pytest.approx(1.0, abs=0.05)


def test_it_learns_what_the_latent_tells() -> None:
    network = flow(steps=4)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(150):
        latents = torch.randn(8, 2, 4, 4, generator=generator)
        detail = latents[:, 1:].repeat_interleave(4, 2).repeat_interleave(4, 3)
        loss = network.loss(detail, latents)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        error = float((network.expected(latents) - detail).square().mean())
        drawn = float((network.draw(latents, torch.randn_like(detail)) - detail).square().mean())
    assert error < 0.2 and drawn < 0.5 and not math.isnan(drawn)
