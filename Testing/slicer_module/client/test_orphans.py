"""The module with the real worker at work when the scene, the module or Slicer itself ends: nothing is left."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from patience import PATIENCE_SECONDS
from worker_processes import Workers

pytestmark = pytest.mark.slow

REPORT = "PI-RADS 5 lesion in the left peripheral zone at mid-gland, 20 mm."


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[socket.socket]]:
    """A hub that takes every call and never answers, so that a download goes on for ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        calls: list[socket.socket] = []

        def take() -> None:
            while True:
                try:
                    calls.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield calls
        for call in calls:
            call.close()


@pytest.fixture
def panel(workers: Workers, slicer_bench: Any) -> Any:
    """The panel, once the worker has told which models there are."""
    slicer_bench.load_module()
    widget = slicer_bench.open_module()
    slicer_bench.wait_until(lambda: "MB on disk" in widget.ui.modelDetails.text)
    return widget


def start_a_long_run(bench: Any, ui: Any) -> None:
    ui.reportEdit.plainText = REPORT
    ui.stepsSpin.value = 1000
    ui.generateButton.click()
    bench.wait_until(lambda: "Drawing" in ui.progressLabel.text)


def test_unloading_the_module_ends_a_run_and_its_process(slicer_bench: Any, panel: Any, workers: Workers) -> None:
    """Quitting and reloading both unload the module."""
    start_a_long_run(slicer_bench, panel.ui)
    (worker,) = workers()
    slicer_bench.unload_module()
    worker.wait(PATIENCE_SECONDS)
    slicer_bench.process_events(0.5)
    assert workers() == [] and slicer_bench.take_slot_errors() == [] and slicer_bench.messages == []


def test_closing_the_scene_ends_a_run_and_the_next_works(slicer_bench: Any, panel: Any, workers: Workers) -> None:
    import slicer

    start_a_long_run(slicer_bench, panel.ui)
    slicer.mrmlScene.Clear(False)
    slicer_bench.wait_until(lambda: panel.ui.generateButton.text == "Generate")
    assert "The scene was closed" in panel.ui.statusLabel.text
    panel.ui.reportEdit.plainText = REPORT
    panel.ui.stepsSpin.value = 2
    panel.ui.generateButton.click()
    slicer_bench.wait_until(lambda: panel.ui.statusLabel.text.startswith("Done: "))
    assert len(workers()) == 1, "a warm one, and no other"
    assert slicer_bench.take_slot_errors() == [] and slicer_bench.messages == []


def test_unloading_the_module_ends_a_download_and_its_process(
    slicer_bench: Any, panel: Any, workers: Workers, calls: list[socket.socket]
) -> None:
    warm = workers()
    panel.ui.downloadName.text = "hf:somebody/something"
    slicer_bench.answer(True)
    panel.ui.downloadButton.click()
    slicer_bench.wait_until(lambda: calls)
    assert len(workers()) == len(warm) + 1, "a download has a process of its own"
    everyone = [process for worker in workers() for process in (worker, *worker.children(recursive=True))]
    slicer_bench.unload_module()
    gone, alive = psutil.wait_procs(everyone, PATIENCE_SECONDS)
    assert not alive and len(gone) == len(everyone)
    slicer_bench.process_events(0.5)
    assert slicer_bench.take_slot_errors() == []
