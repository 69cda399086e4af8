"""The planar U-Net inside the conditional denoiser: shapes, its beginning, and what reaches its prediction."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from ccella_core.networks import AdapterConfig, ConditionalDenoiser, DenoiserConfig, UNetConfig


def denoiser(**unet: object) -> ConditionalDenoiser:
    torch.manual_seed(0)
    sizes: dict[str, object] = {
        "kind": "planar", "latent_channels": 4, "num_channels": (8, 16), "attention_levels": (False, True),
        "num_head_channels": (0, 8), "num_res_blocks": 1, "norm_num_groups": 4,
    }  # fmt: skip
    adapter = AdapterConfig(text_width=6, width=8, num_latents=3, layers=1, heads=2, time_channels=8, class_hidden=4)
    config = DenoiserConfig(unet=UNetConfig.model_validate(sizes | unet), adapter=adapter)
    return ConditionalDenoiser(config).eval()


def given(z: int = 3) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "x": torch.randn(2, 4, 4, 6, z, generator=generator),
        "timesteps": torch.tensor([10, 900]),
        "text": torch.randn(2, 5, 6, generator=generator),
        "spacing": torch.tensor([[0.75, 0.75, 3.0]]).expand(2, 3),
    }


def stirred(**unet: object) -> ConditionalDenoiser:
    """Weights that are not the zeros of the beginning."""
    network = denoiser(**unet)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return network


@torch.no_grad()
def test_begins_with_zero_for_any_number_of_slices() -> None:
    for z in (1, 3, 5):
        prediction = denoiser()(**given(z)).prediction
        assert prediction.shape == (2, 4, 4, 6, z) and not prediction.any()


@torch.no_grad()
@pytest.mark.parametrize("what", ["x", "timesteps", "text", "spacing"])
def test_everything_that_is_given_reaches_the_prediction(what: str) -> None:
    network, inputs = stirred(), given()
    before = network(**inputs).prediction
    after = network(**inputs | {what: inputs[what] + 1}).prediction
    assert (before - after).abs().max() > 1e-4


@torch.no_grad()
def test_the_class_reaches_the_prediction() -> None:
    network, inputs = stirred(), given()
    one, other = (network(**inputs, class_probability=torch.eye(2)[[k, k]]).prediction for k in (0, 1))
    assert (one - other).abs().max() > 1e-4


@torch.no_grad()
def test_cases_of_a_batch_know_nothing_of_each_other() -> None:
    network, inputs = stirred(), given()
    alone = network(**{name: value[:1] for name, value in inputs.items()}).prediction
    assert torch.allclose(network(**inputs).prediction[:1], alone, atol=1e-5)


@torch.no_grad()
def test_it_tells_places_apart() -> None:
    network, inputs = stirred(num_channels=(8, 8), attention_levels=(False, False), num_head_channels=(0, 0)), given()
    inputs["x"] = torch.zeros(2, 4, 16, 16, 9)
    prediction = network(**inputs).prediction[0, :, 6:10, 6:10, 4]  # far from borders
    assert prediction.flatten(1).std(1).max() > 1e-4


def test_every_weight_learns_in_two_steps() -> None:
    network, inputs = denoiser(), given()
    for weight in network.parameters():  # zeros hide what lies before them from the first gradient
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.1)
    output = network(**inputs)
    assert output.class_logits is not None
    (output.prediction.square().sum() + output.class_logits.sum()).backward()
    still = [name for name, weight in network.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not still


def test_planes_alone_must_be_multiples() -> None:
    assert denoiser().config.unet.shape_multiples == (2, 2, 1)


def test_modalities_are_refused() -> None:
    with pytest.raises(ValidationError, match="planar"):
        DenoiserConfig(variant="modality", adapter=None, unet=UNetConfig(kind="planar", modality_labels=4))
