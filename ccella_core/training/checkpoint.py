"""Training state on disk: written aside and renamed, so that a killed run leaves the last checkpoint whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from ccella_core.files import whole_file


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` (tensors, numbers, and dicts and lists of them) under its final name in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        torch.save(state, unfinished)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state at ``path``, or ``None`` where a run has not saved any yet."""
    if not path.exists():
        return None
    return torch.load(path, map_location="cpu", weights_only=True)


class Average:
    """Exponential moving average of parameters (EMA): the weights that are sampled from.

    Args:
        parameters: those to follow.
        decay: of the average; the first steps use a smaller one, or the start would be remembered for long
            (``min(decay, (1 + n) / (10 + n))``, as in Diffusers' ``EMAModel``).
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], decay: float) -> None:
        self.followed = list(parameters)
        self.values = [p.detach().clone() for p in self.followed]
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self.values, [p.detach() for p in self.followed], 1 - decay)

    @torch.no_grad()
    def copy_to_model(self) -> None:
        for parameter, value in zip(self.followed, self.values, strict=True):
            parameter.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        return {"values": self.values, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for value, loaded in zip(self.values, state["values"], strict=True):
            value.copy_(loaded)
        self.updates = state["updates"]
