"""The named sizes of a denoiser."""

from __future__ import annotations

from typing import Any

from ccella_core.networks.config import (
    PUBLISHED_MODALITY_LABELS,
    VARIANTS,
    AdapterConfig,
    DenoiserConfig,
    UNetConfig,
    Variant,
)


def published_denoiser(variant: Variant = "ccella") -> DenoiserConfig:
    """The published size of a variant (paper, section "Implementation details"; NV-Generate-MR's configuration)."""
    if VARIANTS[variant].uses_modality:
        unet = UNetConfig(
            modality_labels=PUBLISHED_MODALITY_LABELS, residual_resampling=True, attention_projection=True
        )
        return DenoiserConfig(variant=variant, unet=unet, adapter=None)
    return DenoiserConfig(variant=variant, adapter=AdapterConfig() if VARIANTS[variant].uses_text else None)


def demo_denoiser(variant: Variant = "ccella", *, latent_channels: int = 1, text_width: int = 384) -> DenoiserConfig:
    """A size that two CPU cores train in an hour or a few and sample in seconds, for the demonstration's autoencoder.

    Planar, but for the variant with a modality, which a planar U-Net does not know.
    """
    traits = VARIANTS[variant]
    sizes: dict[str, Any] = (
        {"num_channels": (32, 64, 128), "norm_num_groups": 8, "modality_labels": PUBLISHED_MODALITY_LABELS}
        if traits.uses_modality
        else {"kind": "planar", "num_channels": (48, 96, 160)}
    )
    adapter = AdapterConfig(
        text_width=text_width, width=96, num_latents=24, layers=6, heads=4, time_channels=64, class_hidden=16
    )
    return DenoiserConfig(
        variant=variant,
        unet=UNetConfig(
            latent_channels=latent_channels,
            attention_levels=(False, True, True),
            num_head_channels=(0, 32, 32),
            num_res_blocks=1,
            **sizes,
        ),
        adapter=adapter if traits.uses_text else None,
    )
