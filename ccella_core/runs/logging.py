"""Watching a training: a bar on the terminal, TensorBoard, and ``log.jsonl`` with every step."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rich import progress
from rich.console import Console

from ccella_core.errors import InputError, SaveError
from ccella_core.files import whole_file
from ccella_core.provenance import SYNTHETIC_LABEL

if TYPE_CHECKING:
    from PIL import Image

LOG_NAME, TENSORBOARD, PICTURES = "log.jsonl", "tensorboard", "pictures"
UNMEASURED_STEPS = 2
"""The first steps of a process prepare what later ones find, and would make the time left seem longer."""
PLAIN_LINES = 20  # in a whole run, where there is no terminal to draw a bar on
SMOOTHING = 0.9  # of the loss that is shown


class TrainLogger(Protocol):
    """Told of what happens in a run. Values that say nothing are ``nan``."""

    def step(self, step: int, values: Mapping[str, float]) -> None:
        """After each optimisation step."""

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        """After each look at the validation cases."""

    def picture(self, step: int, image: Image.Image) -> None:
        """What the network draws by now."""


class SilentLog:
    """Says and keeps nothing: for all processes but the first."""

    def step(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        pass

    def picture(self, step: int, image: Image.Image) -> None:
        pass

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
        tensorboard: write event files as well.

    Raises:
        InputError: TensorBoard is wanted and not installed.
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
        tensorboard: bool = True,
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
        self._writer = _tensorboard_writer(folder / TENSORBOARD, resumed_at) if tensorboard else None
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
        if self._writer is not None:
            self._writer.close()

    def step(self, step: int, values: Mapping[str, float]) -> None:
        self._write({"step": step, "kind": "step", **_finite(values)})
        self._scalars("train", step, values)
        loss = values.get("loss", math.nan)
        self._loss = loss if math.isnan(self._loss) else SMOOTHING * self._loss + (1 - SMOOTHING) * loss
        done = step - self._first_step
        if done == UNMEASURED_STEPS:
            self._measured_from = time.monotonic()
        said = f"loss {self._loss:.4f}"
        if done > UNMEASURED_STEPS:
            seconds = (time.monotonic() - self._measured_from) / (done - UNMEASURED_STEPS)
            said += f", {seconds:.2g} s a step, {_duration(seconds * (self.steps - step))} left"
        self._bar.update(self._task, completed=step, said=said)
        if not self._console.is_terminal and (
            step * PLAIN_LINES // self.steps > (step - 1) * PLAIN_LINES // self.steps or done == 1
        ):
            self._say(f"{self.task}, step {step} of {self.steps}: {said}")

    def validation(self, step: int, values: Mapping[str, float]) -> None:
        self._write({"step": step, "kind": "validation", **_finite(values)})
        self._scalars("validation", step, values)
        self._say(
            f"Validation after step {step}: "
            + ", ".join(f"{name} {value:.4g}" for name, value in _finite(values).items())
        )

    def picture(self, step: int, image: Image.Image) -> None:
        name = f"{PICTURES}/step-{step:08d}.png"
        try:
            (self.folder / PICTURES).mkdir(exist_ok=True)
            with whole_file(self.folder / name) as unfinished:
                image.save(unfinished)
        except OSError as error:
            raise SaveError(f"The picture {self.folder / name} cannot be written: {error}.") from error
        self._write({"step": step, "kind": "picture", "file": name})
        if self._writer is not None:
            self._writer.add_image(SYNTHETIC_LABEL, np.asarray(image.convert("L")), step, dataformats="HW")

    def _write(self, record: dict[str, Any]) -> None:
        now = time.monotonic()
        try:
            self._file.write(json.dumps({**record, "seconds": round(now - self._started, 2)}) + "\n")
            self._file.flush()  # the log must not lie behind a checkpoint that a killed run goes on from
        except OSError as error:
            raise SaveError(
                f"The log {self._path} cannot be written: {error}. The last checkpoint is whole."
            ) from error

    def _scalars(self, where: str, step: int, values: Mapping[str, float]) -> None:
        if self._writer is not None:
            for name, value in _finite(values).items():
                self._writer.add_scalar(f"{where}/{name}", value, step)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """What ``log.jsonl`` holds; a line that a killed run left half-written is left out."""
    try:
        lines = (folder / LOG_NAME).read_text(encoding="utf-8").splitlines()
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
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and "step" in record else None


def _drop_after(path: Path, step: int) -> None:
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if (record := _record(line)) is not None and record["step"] <= step]
    with whole_file(path) as unfinished:
        unfinished.write_text("".join(kept), encoding="utf-8", newline="\n")


def _tensorboard_writer(folder: Path, resumed_at: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            'TensorBoard is not installed: pip install "ccella-core[train]", or set watching.tensorboard to false.'
        ) from error
    return SummaryWriter(str(folder), purge_step=resumed_at + 1 if resumed_at else None)


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if math.isfinite(value)}


def _duration(seconds: float) -> str:
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    return f"{seconds:.0f} s" if seconds < 100 else f"{minutes} min" if minutes < 100 else f"{hours:g} h"
