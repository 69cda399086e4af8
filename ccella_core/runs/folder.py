"""The folder of a training: its configuration, which a run goes on with or not at all, and what it was made with."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ccella_core import __version__
from ccella_core.config import StrictModel, as_yaml, checked
from ccella_core.errors import InputError, SaveError
from ccella_core.files import whole_file
from ccella_core.runs.logging import RunLog, SilentLog

CONFIG_NAME, RUN_NAME = "config.yaml", "run.json"
CHECKPOINTS = "checkpoints"
RECORDED_PACKAGES = ("torch", "monai", "diffusers", "accelerate")

RunConfig = TypeVar("RunConfig", bound=StrictModel)


def read_run_config(folder: Path, model: type[RunConfig]) -> RunConfig:
    """The configuration that the run in ``folder`` was begun with. Raises InputError where there is none."""
    return checked(model, read_recipe(folder), str(folder / CONFIG_NAME))


def read_recipe(folder: Path) -> dict[str, Any]:
    """The same as plain values, whatever was trained. Raises InputError where there is none."""
    try:
        content = yaml.safe_load((folder / CONFIG_NAME).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{folder} is not the folder of a training: {CONFIG_NAME} cannot be read.") from error
    return dict(content)


def refuse_other_run(folder: Path, config: StrictModel, *, may_change: tuple[str, ...]) -> None:
    """Raises InputError, naming every key that differs, where ``folder`` holds a run with another configuration.

    Args:
        may_change: beginnings of keys that change nothing in the weights.
    """
    if not (folder / CONFIG_NAME).exists():
        return
    before, now = (each.model_dump(mode="json") for each in (read_run_config(folder, type(config)), config))
    different = differences(before, now, may_change=may_change)
    if different:
        raise InputError(
            f"{folder} holds a training with another configuration ({'; '.join(different)}). "
            "Go on with the one it was begun with, or name another output."
        )


def differences(before: dict[str, Any], now: dict[str, Any], *, may_change: tuple[str, ...] = ()) -> list[str]:
    """Every key whose value is another now, in words, those inside sections with dots.

    Args:
        before, now: configurations as JSON has them.
        may_change: beginnings of keys that are passed over.
    """
    before, now = flat(before), flat(now)
    return [
        f"{key} was {before.get(key)} and is {now.get(key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key) and not key.startswith(may_change)
    ]


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
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((CONFIG_NAME, as_yaml(config)), (RUN_NAME, json.dumps(content, indent=2) + "\n")):
            with whole_file(folder / name) as unfinished:
                unfinished.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SaveError(f"The run cannot be written into {folder}: {error}.") from error


def read_run(folder: Path) -> dict[str, Any]:
    """What ``run.json`` holds. Raises InputError where it cannot be read."""
    try:
        content = json.loads((folder / RUN_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{folder} is not the folder of a training: {RUN_NAME} cannot be read.") from error
    return dict(content)


def open_log(
    folder: Path,
    checkpoints: Path,
    *,
    steps: int,
    task: str = "Training",
    tensorboard: bool = True,
    is_main: bool = True,
) -> RunLog | SilentLog:
    """The log of a run that goes on from the last of its ``checkpoints``; a silent one for all processes but the first.

    Raises InputError and SaveError, see ``RunLog``.
    """
    if not is_main:
        return SilentLog()
    return RunLog(folder, steps=steps, resumed_at=last_step(checkpoints), task=task, tensorboard=tensorboard)


def last_step(checkpoints: Path) -> int:
    """The step of the newest checkpoint, 0 where there is none."""
    names = sorted(path.stem for path in checkpoints.glob("step-*.safetensors"))
    return int(names[-1].removeprefix("step-")) if names else 0


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The same values without sections: their keys are joined by dots."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found
