"""Estimates: their arithmetic, their words, and what they refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from ccella_core.client.protocol import ProtocolError
from ccella_core.errors import InputError, ModelError
from ccella_core.models.model import ModelFolder
from ccella_core.worker import estimate as module
from ccella_core.worker.estimate import estimate, operations_per_second
from ccella_core.worker.needs import Need, need_of
from ccella_core.worker.tasks import Task, WorkerState
from ccella_core.worker.timings import Timing, Timings

SHAPE = (16, 16, 8)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerState:
    """Nothing was measured before, and every device does a thousand million operations a second."""
    monkeypatch.setattr(module, "operations_per_second", lambda *_: 1e9)
    return WorkerState(tmp_path / "timings.json")


def ask(state: WorkerState, folder: Path, **params: Any) -> dict[str, Any]:
    task = Task(1, "estimate", {"model": str(folder), "device": "cpu"} | params, send=lambda *_, **__: None)
    return estimate(task, state)


@pytest.mark.medium
def test_before_any_run_time_is_reckoned_from_operations(tiny_model: Path, state: WorkerState) -> None:
    need = need_of(ModelFolder.open(tiny_model))
    value = ask(state, tiny_model, num_inference_steps=20, count=3)
    expected = 3 * (20 * need.step.at(1) + need.decode.at(1)) / 1e9
    assert value["seconds"] == pytest.approx(expected, abs=0.01) and value["basis"] == "estimated"
    assert value["memory_gib"] == pytest.approx(
        need.weights_gib("cpu") + need.activations_gib(SHAPE, guided=False), abs=1e-3
    )
    assert value["device"].startswith("CPU")
    assert value["fits"] is True and value["available_gib"] > value["memory_gib"] > 0
    guided = ask(state, tiny_model, num_inference_steps=20, count=3, guidance_scale=2.0)["seconds"]
    assert value["seconds"] < guided < 2 * value["seconds"]


@pytest.mark.medium
def test_after_a_run_time_is_what_was_measured(tiny_model: Path, state: WorkerState) -> None:
    timing = Timing(load=10, encode=1, step=0.5, decode=2)
    Timings(state.timings_file).keep(ModelFolder.open(tiny_model).sha256, "cpu", SHAPE, timing)
    value = ask(state, tiny_model, num_inference_steps=4, count=3)
    assert (value["seconds"], value["basis"]) == (10 + 1 + 3 * (4 * 0.5 + 2), "measured")
    assert ask(state, tiny_model, num_inference_steps=4, guidance_scale=0.0)["seconds"] == 10 + 1 + 4 * 2 * 0.5 + 2
    assert ask(state, tiny_model)["seconds"] == 10 + 1 + 2 * 0.5 + 2  # the model's own number of steps
    assert ask(state, tiny_model, shape=[32, 16, 8])["basis"] == "estimated"


@pytest.mark.medium
def test_sequences_that_are_not_asked_for_take_no_time(labelled_model: Path, state: WorkerState) -> None:
    need = need_of(ModelFolder.open(labelled_model))
    asked = [{}, {"labels": False}, {"sequences": ["adc"], "labels": False}]
    for parts, params in zip((5, 3, 1), asked, strict=True):
        expected = 1000 * (20 * need.step.at(1) + parts * need.decode.at(1)) / 1e9
        value = ask(state, labelled_model, num_inference_steps=20, count=64, **params)
        assert value["seconds"] == pytest.approx(64 * expected / 1000, abs=0.01)
    timing = Timing(load=10, encode=1, step=0.5, decode=2)
    Timings(state.timings_file).keep(ModelFolder.open(labelled_model).sha256, "cpu", SHAPE, timing)
    measured = [ask(state, labelled_model, num_inference_steps=4, **params)["seconds"] for params in asked]
    assert measured == [10 + 1 + 4 * 0.5 + 2 * parts for parts in (5, 3, 1)]


@pytest.mark.medium
def test_a_loaded_model_is_neither_loaded_nor_counted_again(
    tiny_model: Path, tiny_pipeline: Any, state: WorkerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ModelFolder.open(tiny_model)
    Timings(state.timings_file).keep(model.sha256, "cpu", SHAPE, Timing(load=10, encode=1, step=1, decode=1))
    cold = ask(state, tiny_model)
    monkeypatch.setattr(tiny_pipeline, "model_sha256", model.sha256)
    state.pipeline = tiny_pipeline
    assert ask(state, tiny_model)["seconds"] == cold["seconds"] - 10
    monkeypatch.setattr(tiny_pipeline, "model_sha256", "another")
    assert ask(state, tiny_model)["seconds"] == cold["seconds"]


def test_what_does_not_fit_is_said(tiny_model: Path, state: WorkerState) -> None:
    value = ask(state, tiny_model, shape=[1024, 1024, 1024])
    assert value["fits"] is False and value["memory_gib"] > 20
    assert 0 < value["available_gib"] < value["memory_gib"]


def test_a_huge_shape_is_answered_with_little_memory(
    tiny_model: Path, state: WorkerState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of that size is run or held: what is counted is what the model's own shape takes."""
    monkeypatch.undo()  # the real probe
    seen: list[int] = []
    counted = need_of

    def count(model: ModelFolder) -> Need:
        need = counted(model)
        seen.append(need.step.by_voxel)
        return need

    monkeypatch.setattr(module, "need_of", count)
    before = psutil.Process().memory_info().rss
    ask(state, tiny_model)
    ask(state, tiny_model, shape=[1024, 1024, 1024])
    ask(state, tiny_model, shape=[1024, 1024, 1024], guidance_scale=2.0)
    assert len(seen) == 1
    assert psutil.Process().memory_info().rss - before < 2**30


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"model": "/nowhere/at all"}, ModelError, "no folder"),
        ({"device": "cuda:99"}, InputError, "no device"),
        ({"num_inference_steps": 0}, InputError, "number of steps"),
        ({"count": 1000}, InputError, "count"),
        ({"guidance_scale": -1.0}, InputError, "guidance"),
        ({"shape": [5, 5, 5]}, InputError, "multiple of 8"),
        ({"shape": [5, 5]}, ProtocolError, "parameter shape"),
        ({"count": "3"}, ProtocolError, "parameter count"),
        ({"steps": 3}, ProtocolError, "parameter steps"),
    ],
)
def test_bad_arguments_are_explained(
    params: dict[str, Any], error: type[Exception], words: str, tiny_model: Path, state: WorkerState
) -> None:
    with pytest.raises(error, match=words):
        ask(state, tiny_model, **params)


def test_speed_is_measured_and_plausible() -> None:
    speed = operations_per_second("cpu", torch.float32, 16)
    assert 1e7 < speed < 1e14
