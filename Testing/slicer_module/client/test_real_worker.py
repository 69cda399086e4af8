"""The client with the real worker behind it, and a model so small that a volume takes a moment."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest
from client_room import Answers, Room
from worker_processes import Workers

pytestmark = pytest.mark.medium

REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex – größer als zuvor."


@pytest.fixture
def room(slicer_bench: Any, workers: Workers, tmp_path: Path) -> Iterator[Room]:
    from CCELLAGeneratorLib.client.command import default_command

    with Room(slicer_bench, tmp_path) as room:
        command, environment = default_command()
        room.client._command = [*command, "--timings", str(tmp_path / "timings.json")]
        room.client._environment = environment
        yield room
        left = workers()
        room.client.close()
        room.wait_for_end_of(*(worker.pid for worker in left))


def ask(room: Room, method: str, **params: Any) -> tuple[int, Answers]:
    answers = Answers()
    return room.client.request(method, params, **answers.callbacks), answers


def answer(room: Room, method: str, **params: Any) -> Answers:
    _, answers = ask(room, method, **params)
    room.bench.wait_until(lambda: answers.done)
    return answers


def generate(tiny_model: Path, folder: Path, **more: Any) -> dict[str, Any]:
    return {"report": REPORT, "model": str(tiny_model), "output_dir": str(folder), "device": "cpu", **more}


def test_a_session(room: Room, tiny_model: Path, tmp_path: Path) -> None:
    """Questions, a volume, a second one from the warm model, a cancelled one, and one more."""
    described = answer(room, "describe", model_folders=[str(tiny_model.parent)]).results[0]
    assert "tiny" in [model["name"] for model in described["models"]]
    assert answer(room, "count_tokens", model=str(tiny_model), report=REPORT).results[0]["limit"] == 16

    first = answer(room, "generate", **generate(tiny_model, tmp_path, seed=7, num_inference_steps=2))
    (volume,) = first.results[0]["volumes"]
    assert nib.load(volume["path"]).shape == (16, 16, 8)
    assert volume["provenance"]["report"] == REPORT and volume["provenance"]["seed"] == 7
    assert {event["stage"] for event in first.progress} >= {"load", "denoise", "decode", "save"}
    assert all(preview.startswith(b"\x89PNG") for preview in first.previews)
    assert first.results[0]["load_seconds"] > 0

    second = answer(room, "generate", **generate(tiny_model, tmp_path, seed=8, num_inference_steps=2))
    assert second.results[0]["load_seconds"] == 0

    number, endless = ask(room, "generate", **generate(tiny_model, tmp_path, num_inference_steps=1000, count=50))
    room.wait_for(lambda: any(event["stage"] == "denoise" for event in endless.progress))
    room.client.cancel(number)
    room.wait_for(lambda: endless.done)
    assert endless.error.code == "cancelled"

    after = answer(room, "generate", **generate(tiny_model, tmp_path, seed=7, num_inference_steps=2))
    assert after.results[0]["volumes"][0]["provenance"]["seed"] == 7


def test_an_error_comes_with_its_code(room: Room, tmp_path: Path) -> None:
    error = answer(room, "count_tokens", model=str(tmp_path / "nothing"), report=REPORT).error
    assert error.code == "model" and str(tmp_path) in error.message and error.hint


def test_a_worker_that_is_killed_at_work(room: Room, workers: Workers, tiny_model: Path, tmp_path: Path) -> None:
    _, answers = ask(room, "generate", **generate(tiny_model, tmp_path, num_inference_steps=1000, count=50))
    room.bench.wait_until(lambda: answers.progress)
    (worker,) = workers()
    worker.kill()
    room.wait_for(lambda: answers.done)
    assert answers.error.code == "died"
    assert answer(room, "count_tokens", model=str(tiny_model), report=REPORT).results[0]["limit"] == 16
