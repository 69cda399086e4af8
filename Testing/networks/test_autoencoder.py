"""The autoencoder: MONAI's, with torch's own group norm."""

from __future__ import annotations

import torch
from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi

from ccella_core.networks import AutoencoderConfig, build_autoencoder

TINY = AutoencoderConfig(num_channels=(8, 8, 16), num_res_blocks=(1, 1, 1), norm_num_groups=4)


@torch.inference_mode()
def test_equals_monais():
    torch.manual_seed(0)
    ours = build_autoencoder(TINY).eval()
    theirs = AutoencoderKlMaisi(
        spatial_dims=3, in_channels=1, out_channels=1, latent_channels=4, num_channels=(8, 8, 16),
        num_res_blocks=(1, 1, 1), norm_num_groups=4, attention_levels=(False,) * 3, num_splits=1, save_mem=False,
        with_encoder_nonlocal_attn=False, with_decoder_nonlocal_attn=False,
    ).eval()  # fmt: skip
    theirs.load_state_dict(ours.state_dict())
    volume = torch.rand(1, 1, 16, 16, 8)
    for a, b in zip(ours.encode(volume), theirs.encode(volume), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    latent = torch.randn(1, 4, 4, 4, 2)
    torch.testing.assert_close(ours.decode(latent), theirs.decode(latent), rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_factor_is_what_it_shrinks_by():
    latent = build_autoencoder(TINY).encode(torch.rand(1, 1, 16, 8, 24))[0]
    assert latent.shape == (1, 4, *(size // TINY.factors[0] for size in (16, 8, 24)))
