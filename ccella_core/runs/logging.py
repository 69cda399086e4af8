"""The log of a training: a bar on the terminal, ``log.jsonl`` with every step, and Accelerate's trackers."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker, TensorBoardTracker
from rich import progress
from rich.console import Console

from ccella_core.config import read_json
from ccella_core.errors import InputError, SaveError
from ccella_core.files import whole_file, write_text
from ccella_core.provenance import SYNTHETIC_LABEL

if TYPE_CHECKING:
    from PIL import Image

LOG_NAME, TENSORBOARD, PICTURES = "log.jsonl", "tensorboard", "pictures"
TrackerName = Literal["tensorboard", "wandb", "mlflow"]
"""Of Accelerate's trackers. Weights & Biases, and MLflow where it is set up so, send what they are given elsewhere."""
UNMEASURED_STEPS = 2
"""The first steps of a process prepare what later ones find, and would make the time left seem longer."""
PLAIN_LINES = 20  # in a whole run, where there is no terminal to draw a bar on
SMOOTHING = 0.9  # of the loss that is shown


class TrainLogger(Protocol):
    """Keeps what happens in a run. Values that say nothing are ``nan``."""

    def step(self, step: int, values: Mapping[str, float], *, ended: float | None = None) -> None:
        """After each optimisation step; ``ended`` as ``time.monotonic`` has it, by default now."""

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        """After each look at the validation cases."""

    def picture(self, step: int, image: Image.Image) -> None:
        """What the network draws by now."""


class SilentLog:
    """Says and keeps nothing: for all processes but the first."""

    def step(self, step: int, values: Mapping[str, float], *, ended: float | None = None) -> None:
        """Nothing happens."""

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        """Nothing happens."""

    def picture(self, step: int, image: Image.Image) -> None:
        """Nothing happens."""

    def __enter__(self) -> SilentLog:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class RunLog:
    """The log of a run; goes on where the run does.

    Args:
        folder: of the run.
        steps: how many there will be.
        resumed_at: the step that the run goes on from; what the log says of later ones is dropped, as they are done
            again.
        task: what is done, in a word or two.
        console: where progress is shown; stderr by default.
        log_with: trackers that get the same numbers and pictures.

    Raises:
        InputError: a tracker is wanted and not installed.
        SaveError: the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        *,
        steps: int,
        resumed_at: int = 0,
        task: str = "Training",
        console: Console | None = None,
        log_with: Sequence[TrackerName] = ("tensorboard",),
    ) -> None:
        self.folder, self.steps, self.task = folder, steps, task
        self._console = console or Console(stderr=True)
        self._path = folder / LOG_NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _drop_after(self._path, resumed_at)
            self._file = self._path.open("a", encoding="utf-8", newline="\n")
        except OSError as error:
            raise SaveError(f"The log {self._path} cannot be written: {error}.") from error
        self._trackers = [_tracker(name, folder, resumed_at) for name in log_with]
        self._started = time.monotonic()
        self._first_step, self._measured_from = resumed_at, 0.0
        self._loss = math.nan
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[said]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task(task, total=steps, completed=resumed_at, said="")

    def __enter__(self) -> RunLog:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()
        self._file.close()
        for tracker in self._trackers:
            tracker.finish()

    def step(self, step: int, values: Mapping[str, float], *, ended: float | None = None) -> None:
        """Log a step, and show how far the training is. Raises SaveError."""
        now = time.monotonic() if ended is None else ended
        self._write({"step": step, "kind": "step", **_finite(values)}, now)
        self._scalars("train", step, values)
        loss = values.get("loss", math.nan)
        self._loss = loss if math.isnan(self._loss) else SMOOTHING * self._loss + (1 - SMOOTHING) * loss
        done = step - self._first_step
        if done == UNMEASURED_STEPS:
            self._measured_from = now
        said = f"loss {self._loss:.4f}"
        if done > UNMEASURED_STEPS:
            seconds = (now - self._measured_from) / (done - UNMEASURED_STEPS)
            said += f", {seconds:.2g} s a step, {_duration(seconds * (self.steps - step))} left"
        self._bar.update(self._task, completed=step, said=said)
        if not self._console.is_terminal and (
            step * PLAIN_LINES // self.steps > (step - 1) * PLAIN_LINES // self.steps or done == 1
        ):
            self._say(f"{self.task}, step {step} of {self.steps}: {said}")

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        """Log a look at the validation cases. Raises SaveError."""
        self._write({"step": step, "kind": "validation", **_finite(values)})
        self._scalars("validation", step, values)
        self._say(
            f"Validation after step {step}: "
            + ", ".join(f"{name} {value:.4g}" for name, value in _finite(values).items())
        )

    def picture(self, step: int, image: Image.Image) -> None:
        """Keep a picture and log it. Raises SaveError."""
        name = f"{PICTURES}/step-{step:08d}.png"
        try:
            (self.folder / PICTURES).mkdir(exist_ok=True)
            with whole_file(self.folder / name) as unfinished:
                image.save(unfinished)
        except OSError as error:
            raise SaveError(f"The picture {self.folder / name} cannot be written: {error}.") from error
        self._write({"step": step, "kind": "picture", "file": name})
        pictures = {SYNTHETIC_LABEL: np.asarray(image.convert("L"))[None, :, :, None]}  # (N, H, W, C)
        for tracker in self._trackers:
            if isinstance(tracker, TensorBoardTracker):
                tracker.log_images(pictures, step, dataformats="NHWC")
            elif hasattr(tracker, "log_images"):
                tracker.log_images(pictures, step)

    def _write(self, record: dict[str, Any], now: float | None = None) -> None:
        seconds = (time.monotonic() if now is None else now) - self._started
        try:
            self._file.write(json.dumps({**record, "seconds": round(seconds, 2)}) + "\n")
            self._file.flush()  # the log must not lie behind a checkpoint that a killed run goes on from
        except OSError as error:
            raise SaveError(
                f"The log {self._path} cannot be written: {error}. The last checkpoint is whole."
            ) from error

    def _scalars(self, where: str, step: int, values: Mapping[str, float]) -> None:
        for tracker in self._trackers:
            tracker.log({f"{where}/{name}": value for name, value in _finite(values).items()}, step)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """What ``log.jsonl`` holds; a line that a killed run left half-written is left out."""
    try:
        lines = (folder / LOG_NAME).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [record for line in lines if (record := _record(line)) is not None]


def seconds_of(records: Sequence[Mapping[str, Any]]) -> float | None:
    """Wall-clock seconds of the steps in a log; ``None`` where it has none. What a killed run did twice counts once.

    Every process that took the run up counts its own seconds from 0.
    """
    steps = [record["seconds"] for record in records if record["kind"] == "step"]
    if not steps:
        return None
    return sum(one for one, after in zip(steps, [*steps[1:], -1.0], strict=True) if after < one)


def _record(line: str) -> dict[str, Any] | None:
    try:
        record = read_json(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not isinstance(record.get("step"), int):
        return None
    is_timed = isinstance(record.get("seconds"), (int, float)) or record.get("kind") != "step"
    return record if isinstance(record.get("kind"), str) and is_timed else None


def _drop_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if (record := _record(line)) is not None and record["step"] <= step]
    write_text(path, "".join(kept))


def _tracker(name: TrackerName, folder: Path, resumed_at: int) -> GeneralTracker:
    tracker_class = LOGGER_TYPE_TO_CLASS[name]
    options: dict[str, Any] = {"logging_dir": folder} if tracker_class.requires_logging_directory else {}
    if name == "tensorboard" and resumed_at:
        options["purge_step"] = resumed_at + 1
    try:
        tracker = tracker_class(TENSORBOARD if name == "tensorboard" else folder.name, **options)
        # Accelerate's older trackers start when they are made.
        getattr(tracker, "start", lambda: None)()
    except ImportError as error:
        remedy = 'pip install "ccella-core[train]"' if name == "tensorboard" else f"pip install {name}"
        raise InputError(f"{name} is not installed: {remedy}, or leave it out of log_with.") from error
    return tracker


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{hours:g} h"
