"""What every test may ask for: the reference numbers and the weights that they were computed with.

``Testing/data/reference/README.md`` states the rule by which anybody can draw the same weights and inputs.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
import torch

REFERENCE_FOLDER = Path(__file__).parent / "data" / "reference"


def _draw(name: str, shape: tuple[int, ...] | torch.Size, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    return torch.randn(tuple(shape), generator=generator) * scale


def _draw_weights(model: torch.nn.Module, rename: Callable[[str], str] = lambda name: name) -> torch.nn.Module:
    with torch.no_grad():
        for own_name, parameter in model.named_parameters():
            name = rename(own_name)
            if parameter.ndim >= 2:
                fan = max(1, parameter[0].numel())
                value = _draw(name, parameter.shape, (1 / fan) ** 0.5)
            else:
                value = _draw(name, parameter.shape, 0.1) + (1.0 if name.endswith("weight") else 0.0)
            parameter.copy_(value)
    return model.eval()


class DrawWeights(Protocol):
    def __call__(self, model: torch.nn.Module, rename: Callable[[str], str] = ...) -> torch.nn.Module: ...


@pytest.fixture(scope="session")
def reference_folder() -> Path:
    """The folder with the reference's .npz and .json files."""
    return REFERENCE_FOLDER


@pytest.fixture(scope="session")
def draw() -> Callable[..., torch.Tensor]:
    """``draw(name, shape, scale=1.0)``: the reference's normal noise of that name."""
    return _draw


@pytest.fixture(scope="session")
def draw_weights() -> DrawWeights:
    """``draw_weights(model, rename)``: fill ``model`` by the reference's rule and return it in evaluation mode.

    ``rename`` turns a parameter's own name into the published one (``state_dict_tiny.json``); by default the same.
    """
    return _draw_weights
