"""What the client learns of a generation, and how long its parts take."""

from __future__ import annotations

import base64
import io
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from ccella_core.imaging.orientation import radiological
from ccella_core.progress import Progress
from ccella_core.worker.tasks import Task, resident_gib

PREVIEW_SECONDS = 0.5
"""Between two previews, at least."""
LOAD_STEPS = 100
"""The stage ``load`` counts in hundredths of the bytes that were verified; the last one is the loading itself."""


class Reporter:
    """The pipeline's callback, for one volume after the other.

    Args:
        task: whose client receives the events, and whose cancellation stops the pipeline.
        volumes: how many will be made.
        spacing: mm along x, y, z; only looked at in previews, so that the pipeline can check it before.
        clock: in seconds.
    """

    def __init__(
        self,
        task: Task,
        *,
        volumes: int,
        spacing: Sequence[float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.volumes = volumes
        self._task = task
        self._spacing = spacing
        self._clock = clock
        self._volume = 0
        self._seconds: dict[str, float] = {}
        self._began = self._last_event = self._volume_began = clock()
        self._last_preview = -math.inf
        self._last_percent = 0

    def begin_loading(self) -> None:
        """Call it first."""
        self.tell("load", 0, LOAD_STEPS)

    def tell_verified(self, done: int, total: int) -> None:
        """``ModelFolder.verify``'s progress, in bytes; raises Cancelled where that was asked for."""
        self._task.stop_if_cancelled()
        percent = (LOAD_STEPS - 1) * done // max(total, 1)
        if percent > self._last_percent:
            self._last_percent = percent
            self.tell("load", percent, LOAD_STEPS)

    def tell_loaded(self) -> None:
        """Raises Cancelled where that was asked for."""
        self._seconds["load"] = self._clock() - self._began
        self.tell("load", LOAD_STEPS, LOAD_STEPS)
        self._task.stop_if_cancelled()

    def begin_volume(self) -> None:
        """Call it before each volume."""
        self._volume += 1
        self._last_event = self._volume_began = self._clock()

    def __call__(self, progress: Progress) -> bool:
        """The pipeline's progress with one volume; False where the request was cancelled."""
        now = self._clock()
        # Every call ends a piece of work, so the time since the last one belongs to its stage.
        self._seconds[progress.stage] = self.seconds(progress.stage) + now - self._last_event
        self._last_event = now
        left = progress.seconds_left
        if left is not None:
            whole_volume = now - self._volume_began + left
            left += whole_volume * (self.volumes - self._volume)
        self.tell(progress.stage, progress.step, progress.steps, left)
        if progress.preview is not None and now - self._last_preview >= PREVIEW_SECONDS:
            self._last_preview = now
            pixels = progress.preview()
            size_mm = [side * spacing for side, spacing in zip(pixels.shape, self._spacing, strict=False)]
            self._task.tell("preview", **preview_event(pixels, size_mm))
        return not self._task.cancelled.is_set()

    def tell(self, stage: str, step: int, steps: int, seconds_left: float | None = None) -> None:
        """Send one ``progress`` event."""
        self._task.tell(
            "progress",
            stage=stage,
            step=step,
            steps=steps,
            volume=max(1, self._volume),
            volumes=self.volumes,
            seconds_left=None if seconds_left is None else round(seconds_left, 2),
            memory_gib=resident_gib(),
        )

    def seconds(self, stage: str) -> float:
        """Time that all volumes have spent in a stage so far; 0 for ``load`` where nothing had to be loaded."""
        return self._seconds.get(stage, 0.0)

    def total_seconds(self) -> float:
        """Time since the request was begun."""
        return self._clock() - self._began


PREVIEW_PIXELS = 96
"""The longer side."""


def preview_event(pixels: np.ndarray, size_mm: Sequence[float]) -> dict[str, int | str]:
    """``width``, ``height`` and ``png`` (base64) of an axial slice in radiological convention, true to scale.

    Args:
        pixels: uint8 (x, y) along R and A, as ``StepInfo.preview`` gives it.
        size_mm: of the slice along x and y.
    """
    picture = Image.fromarray(np.ascontiguousarray(radiological(pixels)))
    width, height = (max(1, round(PREVIEW_PIXELS * side / max(size_mm))) for side in size_mm)
    file = io.BytesIO()
    picture.resize((width, height), Image.Resampling.BICUBIC).save(file, "PNG")
    return {"width": width, "height": height, "png": base64.b64encode(file.getvalue()).decode("ascii")}
