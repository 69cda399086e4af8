"""A lesion that a report lets expect is not lost on the way from noise, and none is drawn that is not expected."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ccella_core.generation.sampling.expected_lesion import (
    HAZE,
    LEAST_EXPECTED,
    MOST_AT_ONCE,
    ExpectedLesion,
    lesion_channel,
)
from ccella_core.generation.sampling.loop import sample
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.networks import AdapterConfig, ConditionalDenoiser, DenoiserConfig, UNetConfig

FLOW = SchedulerConfig(prediction_type="flow")
LESION, BACKGROUND, TIMESTEP = 1, -0.9, 600
PLACE = (slice(2, 5), slice(2, 5), slice(2, 5))


def latent(rise: float) -> torch.Tensor:
    """(1, 2, 8, 8, 8): a lesion of 27 elements in the second channel."""
    volume = torch.full((1, 2, 8, 8, 8), BACKGROUND)
    volume[0, LESION][PLACE] += rise
    return volume


def kept(mean: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
    """The clean latent that the kept prediction implies, where the network's implies ``clean``."""
    x = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    prediction = (x - clean) / (TIMESTEP / 1000)
    before = prediction.clone()
    after = ExpectedLesion(mean, LESION, FLOW).keep(x, prediction, TIMESTEP)
    torch.testing.assert_close(prediction, before, rtol=0, atol=0)
    return FLOW.clean_estimate(x, after, TIMESTEP)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("drawn", "factor"),
    [(1.05, 1.0 / (1.05 - HAZE)), (0.4, MOST_AT_ONCE), (1.25, 1.0), (3.0, 1.0), (0.0, 1.0)],
)
def test_a_lesion_is_raised_by_what_it_lacks(drawn: float, factor: float, sign: int) -> None:
    clean = latent(sign * drawn)
    result = kept(latent(sign * 1.0), clean)
    assert result[0, LESION][PLACE].mean().item() == pytest.approx(BACKGROUND + sign * drawn * factor, abs=1e-4)
    untouched = torch.ones_like(clean, dtype=torch.bool)
    untouched[0, LESION][PLACE] = False
    torch.testing.assert_close(result[untouched], clean[untouched], rtol=0, atol=1e-5)


def test_what_is_not_expected_stays() -> None:
    haze = 0.9 * LEAST_EXPECTED * torch.rand((1, 2, 8, 8, 8), generator=torch.Generator().manual_seed(1))
    clean = latent(0.5)
    torch.testing.assert_close(kept(latent(0.0) + haze, clean), clean, rtol=0, atol=1e-5)


def test_each_sample_has_its_own_report() -> None:
    clean = torch.cat([latent(0.5), latent(0.5)])
    result = kept(torch.cat([latent(1.0), latent(0.0)]), clean)
    assert result[0, LESION][PLACE].mean() > BACKGROUND + 0.9
    torch.testing.assert_close(result[1], clean[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("labels", "channels", "expected"), [(["gland", "lesion"], 1, 2), (["gland"], 1, None), (["lesion"], 4, None)]
)
def test_which_channel_it_is(labels: list[str], channels: int, expected: int | None) -> None:
    index: Any = SimpleNamespace(parts=("t2w", *labels), labels=labels)
    autoencoder: Any = SimpleNamespace(latent_channels=channels)
    assert lesion_channel(index, autoencoder) == expected


def test_the_sampling_loop_keeps_it() -> None:
    """The network draws Gaussian fields about the mean: of a lesion no more than haze."""
    unet = UNetConfig(
        kind="planar", latent_channels=2, num_channels=(8, 16), attention_levels=(False, True),
        num_head_channels=(0, 8), num_res_blocks=1, norm_num_groups=4, gaussian=True, expected=True,
    )  # fmt: skip
    adapter = AdapterConfig(text_width=6, width=16, num_latents=4, layers=2, heads=2, time_channels=8, class_hidden=8)
    torch.manual_seed(0)
    denoiser = ConditionalDenoiser(DenoiserConfig(variant="ccella", unet=unet, adapter=adapter)).eval()
    mean = torch.zeros(2, 16, 16, 10)
    mean[LESION, 4:9, 4:9, 2:6] = 0.5
    with torch.no_grad():
        denoiser.unet.expected.draw.bias.copy_(mean.flatten())
        denoiser.unet.gaussian.log_power[LESION] = -3.0

    def drawn(channel: int | None, pathology: float | None = None) -> torch.Tensor:
        result = sample(
            denoiser, FLOW, text=torch.randn(1, 5, 6, generator=torch.Generator().manual_seed(2)), shape=(16, 16, 10),
            spacing=(1, 1, 3), seeds=[4], scheduler="dpm++", num_inference_steps=6, lesion_channel=channel,
            pathology=pathology,
        )  # fmt: skip
        return result.latents[0]

    without, with_it = drawn(None), drawn(LESION)
    torch.testing.assert_close(without[0], with_it[0], rtol=0, atol=1e-6)
    place = mean[LESION] > LEAST_EXPECTED
    assert with_it[LESION][place].sum() > 1.2 * without[LESION][place].sum()
    torch.testing.assert_close(with_it[LESION][~place], without[LESION][~place], rtol=0, atol=0.2)
    # A request for a negative volume counts more than what the report lets expect.
    torch.testing.assert_close(drawn(LESION, 0.2), drawn(None, 0.2), rtol=0, atol=1e-6)
    assert drawn(LESION, 0.9)[LESION][place].sum() > 1.2 * drawn(None, 0.9)[LESION][place].sum()
