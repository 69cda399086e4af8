"""What the client is told of a generation: order, time left, and not too many pictures."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ccella_core.errors import Cancelled
from ccella_core.progress import Progress
from ccella_core.worker.reporter import Reporter, preview_event
from ccella_core.worker.tasks import Task

SLICE = np.arange(12, dtype=np.uint8).reshape(4, 3)


class Listener:
    """Keeps what it is told, and turns the clock."""

    def __init__(self, volumes: int = 1) -> None:
        self.now = 0.0
        self.events: list[dict[str, Any]] = []
        self.task = Task(7, "generate", {}, send=self._send)
        self.reporter = Reporter(self.task, volumes=volumes, spacing=(1.0, 1.0, 3.0), clock=lambda: self.now)

    def _send(self, event: str, **content: Any) -> None:
        self.events.append({"event": event, **content})

    def step(self, stage: Any, step: int, steps: int, left: float | None, seconds: float) -> bool:
        self.now += seconds
        preview = (lambda: SLICE) if stage == "denoise" else None
        return self.reporter(Progress(stage, step, steps, 0, 1, left, preview))


def test_a_volumes_time_left_stands_for_those_that_follow() -> None:
    listener = Listener(volumes=3)
    listener.reporter.begin_volume()
    listener.step("encode", 1, 1, None, seconds=2)
    listener.step("denoise", 1, 4, 6.0, seconds=2)
    first, second = (event for event in listener.events if event["event"] == "progress")
    assert (first["seconds_left"], first["volume"], first["volumes"]) == (None, 1, 3)
    assert second["seconds_left"] == 6 + 2 * (4 + 6)
    assert second["memory_gib"] > 0 and second["id"] == 7
    listener.reporter.begin_volume()
    listener.reporter.begin_volume()
    listener.step("decode", 4, 4, 0.0, seconds=1)
    assert (listener.events[-1]["seconds_left"], listener.events[-1]["volume"]) == (0.0, 3)


def test_time_is_kept_by_stage() -> None:
    listener = Listener(volumes=2)
    listener.now += 100  # loading
    for encode in (2, 0):
        listener.reporter.begin_volume()
        listener.step("encode", 1, 1, None, seconds=encode)
        listener.step("denoise", 1, 2, None, seconds=3)
        listener.step("denoise", 2, 2, None, seconds=1)
        listener.step("decode", 1, 1, None, seconds=5)
        listener.now += 50  # saving
    assert [listener.reporter.seconds(stage) for stage in ("encode", "denoise", "decode", "save")] == [2, 8, 10, 0]


def test_at_most_two_previews_a_second() -> None:
    listener = Listener()
    listener.reporter.begin_volume()
    for step in range(1, 31):
        listener.step("denoise", step, 30, None, seconds=0.1)
    previews = [event for event in listener.events if event["event"] == "preview"]
    assert 4 <= len(previews) <= 6 and len(listener.events) - len(previews) == 30


def test_loading_is_told_in_hundredths_and_stops_when_cancelled() -> None:
    listener = Listener()
    listener.reporter.begin_loading()
    for done in range(0, 10_001, 10):
        listener.now += 1
        listener.reporter.tell_verified(done, 10_000)
    listener.reporter.tell_loaded()
    assert listener.reporter.seconds("load") == listener.reporter.total_seconds() == 1001
    assert [event["step"] for event in listener.events] == list(range(101))
    assert {(event["stage"], event["steps"], event["volume"]) for event in listener.events} == {("load", 100, 1)}
    listener.task.cancelled.set()
    with pytest.raises(Cancelled):
        listener.reporter.tell_verified(1, 2)
    with pytest.raises(Cancelled):
        listener.reporter.tell_loaded()


def test_a_cancelled_task_stops_the_pipeline() -> None:
    listener = Listener()
    assert listener.step("denoise", 1, 2, None, seconds=1) is True
    listener.task.cancelled.set()
    assert listener.step("denoise", 2, 2, None, seconds=1) is False


def test_the_picture_is_small_true_to_scale_and_radiological() -> None:
    pixels = np.zeros((24, 12), np.uint8)
    pixels[20:, 10:] = 255  # the patient's right, anterior
    event = preview_event(pixels, (24.0, 12.0))
    picture = Image.open(io.BytesIO(base64.b64decode(event["png"])))
    assert picture.format == "PNG" and picture.mode == "L"
    assert picture.size == (event["width"], event["height"]) == (96, 48)
    rows = np.asarray(picture)
    assert rows[2, 2] > 250 and rows[-3, 2] == rows[2, -3] == rows[-3, -3] == 0
    assert preview_event(pixels, (12.0, 36.0))["height"] == 96
