"""Checkpoints of tiny networks, with names as the authors' own programs save them, and the command to read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.networks import (
    VARIANTS,
    AdapterConfig,
    AutoencoderConfig,
    ConditionalDenoiser,
    DenoiserConfig,
    UNetConfig,
)
from ccella_core.networks.published import published_name

TINY_UNET = UNetConfig(num_channels=(32, 32, 64, 64), num_res_blocks=1)
TINY_AUTOENCODER = AutoencoderConfig(num_channels=(32, 32), num_res_blocks=(1, 1))
TINY_ADAPTER = AdapterConfig(text_width=24, width=64, num_latents=8, layers=2, time_channels=32)


def config_of(variant: str, **unet: Any) -> DenoiserConfig:
    adapter = TINY_ADAPTER if VARIANTS[variant].uses_text else None
    if VARIANTS[variant].uses_modality:
        unet = {"modality_labels": 128, "residual_resampling": True, "attention_projection": True, **unet}
    return DenoiserConfig(variant=variant, unet=TINY_UNET.model_copy(update=unet), adapter=adapter)


def authors_state(model: ConditionalDenoiser) -> dict[str, torch.Tensor]:
    return {published_name(name, model.config.variant): value for name, value in model.state_dict().items()}


def save(path: Path, state: dict[str, torch.Tensor], scale: Any = 0.9, **more: Any) -> Path:
    torch.save({"unet_state_dict": state, "scale_factor": scale, **more}, path)
    return path


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output
