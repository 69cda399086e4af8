"""The tiny networks that checkpoints are written of."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from ccella_core.networks import ConditionalDenoiser, build_autoencoder

sys.path.append(str(Path(__file__).parent))  # authors_checkpoints

from authors_checkpoints import TINY_AUTOENCODER, config_of


@pytest.fixture(scope="module")
def models() -> dict[str, ConditionalDenoiser]:
    torch.manual_seed(0)
    return {variant: ConditionalDenoiser(config_of(variant)) for variant in ("ccella", "maisi")}


@pytest.fixture
def vae(tmp_path) -> Path:
    torch.manual_seed(0)
    torch.save(build_autoencoder(TINY_AUTOENCODER).state_dict(), tmp_path / "vae.pt")
    return tmp_path / "vae.pt"
