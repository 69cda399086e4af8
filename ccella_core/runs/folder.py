"""The folder of a training: its configuration, which a run goes on with or not at all, and what it was made with."""

from __future__ import annotations

import functools
import logging
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from pydantic import BaseModel, Field

from ccella_core import __version__
from ccella_core.config import StrictModel, as_yaml, checked, read_json, read_yaml
from ccella_core.errors import InputError
from ccella_core.files import alone_in, read_text, write_json, write_text
from ccella_core.fingerprints import refuse_other
from ccella_core.parallel import is_first
from ccella_core.runs.checkpoint import Checkpoints, step_of
from ccella_core.runs.logging import RunLog, SilentLog, TrackerName

CONFIG_NAME, RUN_NAME = "config.yaml", "run.json"
CHECKPOINTS = "checkpoints"
RECORDED_PACKAGES = ("torch", "monai", "diffusers", "accelerate")

log = logging.getLogger(__name__)

RunConfig = TypeVar("RunConfig", bound=StrictModel)
Record = TypeVar("Record", bound=BaseModel)
AnyConfig = TypeVar("AnyConfig", bound="_WithOutput")
P = ParamSpec("P")


def read_run_config(folder: Path, model: type[RunConfig]) -> RunConfig:
    """The configuration that the run in ``folder`` was begun with. Raises InputError where there is none."""
    return checked(model, read_recipe(folder), str(folder / CONFIG_NAME))


def read_recipe(folder: Path) -> dict[str, Any]:
    """The same as plain values, whatever was trained. Raises InputError where there is none."""
    try:
        content = read_yaml(read_text(folder / CONFIG_NAME))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is not the folder of a training: {CONFIG_NAME} cannot be read.") from error
    if not isinstance(content, dict):
        raise InputError(f"{folder} is not the folder of a training: {CONFIG_NAME} holds no keys and values.")
    return content


def refuse_other_run(folder: Path, config: StrictModel, *, may_change: tuple[str, ...]) -> None:
    """Raises InputError, naming every key that differs, where ``folder`` holds a run with another configuration.

    Args:
        folder: of the run.
        config: what is asked for now.
        may_change: beginnings of keys that change nothing in the weights.
    """
    # A run that has saved nothing yet may have been begun with a mistake; it is begun anew.
    if not (folder / CONFIG_NAME).exists() or not any(folder.rglob("step-*.safetensors")):
        return
    before, now = (each.model_dump(mode="json") for each in (read_run_config(folder, type(config)), config))
    refuse_other(folder, before, now, what="a training with another configuration", may_change=may_change)


class _WithOutput(Protocol):
    @property
    def output(self) -> Path: ...


def alone_in_output(run: Callable[Concatenate[AnyConfig, P], Path]) -> Callable[Concatenate[AnyConfig, P], Path]:
    """Let a function have the folder ``output`` of its configuration for itself, see ``alone_in``.

    Of the processes of a launch the first does this for all.
    """

    @functools.wraps(run)
    def alone(config: AnyConfig, *args: P.args, **kwargs: P.kwargs) -> Path:
        with alone_in(config.output) if is_first() else nullcontext():
            return run(config, *args, **kwargs)

    return alone


def write_run(folder: Path, config: StrictModel, about: dict[str, Any]) -> None:
    """Write the configuration and ``run.json``. Raises SaveError where the disk refuses."""
    content = {
        "format": "ccella-run",
        "format_version": 1,
        "software": {
            "ccella-core": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in RECORDED_PACKAGES},
        },
        **about,
    }
    write_text(folder / CONFIG_NAME, as_yaml(config))
    write_json(folder / RUN_NAME, content)


def read_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` holds. Raises InputError where it cannot be read."""
    try:
        content = read_json(read_text(folder / RUN_NAME))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is not the folder of a training: {RUN_NAME} cannot be read.") from error
    if not isinstance(content, dict):
        raise InputError(f"{folder} is not the folder of a training: {RUN_NAME} holds no keys and values.")
    return content


def log_left_out(left_out: Mapping[str, str]) -> None:
    """Warn of every case that a training goes on without."""
    for case, reason in left_out.items():
        log.warning("%s is left out: %s", case, reason)


def read_left_out_of_run(folder: Path) -> dict[str, str]:
    """The cases that a training went on without, each with the reason. Raises InputError where that cannot be read."""
    return read_run_record(folder, _RunData).data.left_out


class _LeftOut(BaseModel):
    left_out: dict[str, str] = Field(default_factory=dict)


class _RunData(BaseModel):
    data: _LeftOut


def read_run_record(folder: Path, model: type[Record]) -> Record:
    """What ``run.json`` says of what somebody needs to know, other keys left out. Raises InputError."""
    return checked(model, read_run(folder), str(folder / RUN_NAME))


def open_log(
    folder: Path,
    checkpoints: Path,
    *,
    steps: int,
    task: str = "Training",
    log_with: Sequence[TrackerName] = ("tensorboard",),
    is_main: bool = True,
) -> RunLog | SilentLog:
    """The log of a run that goes on from the last of its ``checkpoints``; a silent one for all processes but the first.

    Raises InputError and SaveError, see ``RunLog``.
    """
    if not is_main:
        return SilentLog()
    return RunLog(folder, steps=steps, resumed_at=last_step(checkpoints), task=task, log_with=log_with)


def last_step(checkpoints: Path) -> int:
    """The step of the newest checkpoint, 0 where there is none."""
    steps = Checkpoints(checkpoints).steps()
    return step_of(steps[-1]) if steps else 0
