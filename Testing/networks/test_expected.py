"""The mean latent that a report lets expect: it begins at zero, differs by the report, and is what noise ends in."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from ccella_core.networks import AdapterConfig, ConditionalDenoiser, DenoiserConfig, UNetConfig
from ccella_core.networks.expected import ExpectedLatent
from ccella_core.networks.planar import PlanarUNet


def config(variant: str = "ccella", **unet: object) -> DenoiserConfig:
    sizes: dict[str, object] = {
        "kind": "planar", "latent_channels": 2, "num_channels": (8, 16), "attention_levels": (False, True),
        "num_head_channels": (0, 8), "num_res_blocks": 1, "gaussian": True, "expected": True,
    }  # fmt: skip
    adapter = AdapterConfig(text_width=6, width=8, num_latents=3, layers=1, heads=2, time_channels=8, class_hidden=4)
    return DenoiserConfig.model_validate(
        {"variant": variant, "unet": sizes | unet, "adapter": None if variant == "maisi" else adapter}
    )


def test_it_learns_a_mean_for_each_report_in_some_steps() -> None:
    torch.manual_seed(0)
    expected, tokens = ExpectedLatent(2, 3, 8), torch.randn(2, 3, 8)
    assert not expected(tokens, (8, 8, 3)).any()
    left = torch.linspace(1, -1, 8)[:, None, None].expand(8, 8, 3)
    wanted = torch.stack([torch.stack([left, -left]), torch.stack([-left, left])])
    optimizer = torch.optim.Adam(expected.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        (expected(tokens, (8, 8, 3)) - wanted).square().mean().backward()
        optimizer.step()
    with torch.no_grad():
        assert (expected(tokens, (8, 8, 3)) - wanted).square().mean() < 0.02
        assert expected(tokens, torch.Size((12, 4, 5))).shape == (2, 2, 12, 4, 5), "latents of any size"


@torch.no_grad()
def test_of_pure_noise_a_network_predicts_it() -> None:
    torch.manual_seed(0)
    network = ConditionalDenoiser(config()).eval()
    assert isinstance(network.unet, PlanarUNet) and network.unet.expected is not None
    torch.nn.init.normal_(network.unet.expected.draw.weight)
    x, text, timesteps = torch.randn(2, 2, 8, 8, 3), torch.randn(2, 5, 6), torch.full((2,), 1000.0)
    tokens, _ = network.condition(text, timesteps)
    mean = network.unet.expected(tokens, (8, 8, 3))
    clean = x - network(x, timesteps, text=text, spacing=torch.ones(2, 3)).prediction
    assert mean.abs().max() > 0.1 and torch.allclose(clean, mean, atol=1e-3)
    assert not torch.allclose(mean[0], mean[1], atol=0.1)


@pytest.mark.parametrize(
    ("variant", "unet", "words"),
    [
        ("ccella", {"gaussian": False}, "expected needs gaussian"),
        ("maisi", {}, "has no text, and so nothing is expected"),
    ],
)
def test_what_it_needs(variant: str, unet: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(variant, **unet)


def test_another_kind_has_none() -> None:
    with pytest.raises(ValidationError, match="expected needs gaussian"):
        UNetConfig(expected=True)
