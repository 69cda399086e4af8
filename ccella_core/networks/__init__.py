"""The networks: one adapter, one conditional denoiser in its eight published variants, and the autoencoder."""

from ccella_core.networks.autoencoder import build_autoencoder
from ccella_core.networks.config import (
    REPORT_VARIANTS,
    VARIANTS,
    AdapterConfig,
    AutoencoderConfig,
    DenoiserConfig,
    UNetConfig,
    Variant,
)
from ccella_core.networks.denoiser import ConditionalDenoiser, DenoiserOutput
from ccella_core.networks.presets import demo_denoiser, published_denoiser

__all__ = [
    "REPORT_VARIANTS",
    "VARIANTS",
    "AdapterConfig",
    "AutoencoderConfig",
    "ConditionalDenoiser",
    "DenoiserConfig",
    "DenoiserOutput",
    "UNetConfig",
    "Variant",
    "build_autoencoder",
    "demo_denoiser",
    "published_denoiser",
]
