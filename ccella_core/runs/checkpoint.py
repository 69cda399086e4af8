"""Training state on disk: safetensors, written under a temporary name and renamed, the last few kept and the best.

A state is what a run must know to go on: nested dicts and lists of tensors and plain values. The tensors are stored as
they are; the nesting is JSON in the file's header. No pickle is written, so none has to be read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ccella_core.config import read_json
from ccella_core.errors import InputError, SaveError, first_line
from ccella_core.files import whole_file

KEPT = 3
"""Checkpoints that stay: the last one may be of a run that went wrong a little before it."""
BEST_NAME = "best.safetensors"
_STATE = "ccella_state"
_STEP_NAME = re.compile(r"step-(\d{8,})\.safetensors")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` under its final name in one step; what was there before stays until then.

    Raises:
        SaveError: the disk is full or refuses.
    """
    tensors: dict[str, Tensor] = {}
    structure = _taken_apart(state, tensors, {})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            save_file(tensors, unfinished, metadata={_STATE: json.dumps(structure)})
    except (OSError, SafetensorError) as error:
        raise SaveError(
            f"The checkpoint {path} could not be written: {error}. The one before it is whole; "
            "free some disk space and start the same command again."
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state that ``save_checkpoint`` wrote, its tensors on the CPU.

    Raises:
        InputError: missing, damaged, or not a checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            structure = read_json((file.metadata() or {})[_STATE])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        state = _put_together(structure, tensors)
        if not isinstance(state, dict):
            raise ValueError("its header describes no state")
        return state
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not a whole checkpoint ({error}); remove it, and the training goes on from the one before it."
        ) from error


def _taken_apart(value: Any, tensors: dict[str, Tensor], names: dict[tuple[int, ...], str]) -> Any:
    if isinstance(value, Tensor):
        # Tied weights are one tensor under two names, which safetensors refuses: it is stored once.
        place = (value.data_ptr(), value.storage_offset(), *value.shape, *value.stride())
        if value.numel() == 0 or place not in names:
            names[place] = str(len(tensors))
            tensors[names[place]] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": names[place]}
    if isinstance(value, dict):
        return {"dict": [[key, _taken_apart(item, tensors, names)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list": [_taken_apart(item, tensors, names) for item in value]}
    return value


def _put_together(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        return tensors[value["tensor"]]
    if "list" in value:
        return [_put_together(item, tensors) for item in value["list"]]
    return {key: _put_together(item, tensors) for key, item in value["dict"]}


class Checkpoints:
    """The checkpoints of one run, in a folder of their own.

    Args:
        folder: made with the first checkpoint.
        kept: how many of the last ones stay.
    """

    def __init__(self, folder: Path, *, kept: int = KEPT) -> None:
        self.folder, self.kept = folder, kept

    @property
    def best(self) -> Path:
        """The state that did best on the validation cases."""
        return self.folder / BEST_NAME

    def steps(self) -> list[Path]:
        """From the oldest to the newest."""
        return sorted(path for path in self.folder.glob("step-*.safetensors") if _STEP_NAME.fullmatch(path.name))

    def latest(self) -> dict[str, Any] | None:
        """The newest state, or ``None`` where a run has not saved any yet; raises InputError if it is damaged."""
        steps = self.steps()
        return load_checkpoint(steps[-1]) if steps else None

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write the state after ``step``, then remove those that are too old."""
        path = self.folder / f"step-{step:08d}.safetensors"
        save_checkpoint(path, state)
        for old in self.steps()[: -self.kept]:
            old.unlink(missing_ok=True)
        return path


def step_of(path: Path) -> int:
    """The step after which a checkpoint was written."""
    return int(path.stem.removeprefix("step-"))


@contextmanager
def state_explained(folder: Path) -> Iterator[None]:
    """Turn what torch says of a state that does not fit into an InputError that names the folder."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(
            f"The checkpoint in {folder} is not of this training ({first_line(error)}); remove it, or name another "
            "folder."
        ) from error


def averaged_weights(state: dict[str, Any], model: torch.nn.Module) -> None:
    """Fill ``model`` with the weights of a run's state that are meant for use: the average's where there is one."""
    model.load_state_dict(state["model"])
    if state["average"] is not None:
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), state["average"]["shadow_params"], strict=True):
                parameter.copy_(value)
