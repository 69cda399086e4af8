"""The log of a run: numbers that come back, a run that goes on, and what a person sees."""

from __future__ import annotations

import io
import json
import math
import re
import sys

import pytest
import torch
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ccella_core.errors import InputError, SaveError
from ccella_core.runs import logging as watch
from ccella_core.runs.logging import RunLog, SilentLog, read_log


def quiet() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=200)


def write(folder, first, last, *, steps=10, resumed_at=0, **options) -> str:
    console = quiet()
    with RunLog(folder, steps=steps, resumed_at=resumed_at, console=console, **options) as log:
        for step in range(first, last + 1):
            log.step(step, {"loss": 1 / step, "learning_rate": 0.1 * step, "accuracy": math.nan})
            if step % 5 == 0:
                log.validation(step, {"loss": 2.0, "auroc": math.nan})
                log.picture(step, Image.new("L", (8, 4), step))
    return console.file.getvalue()


def test_what_was_told_comes_back(tmp_path):
    write(tmp_path, 1, 5)
    records = read_log(tmp_path)
    assert [record["step"] for record in records] == [1, 2, 3, 4, 5, 5, 5]
    assert records[1] == {
        "step": 2,
        "kind": "step",
        "loss": 0.5,
        "learning_rate": 0.2,
        "seconds": records[1]["seconds"],
    }
    assert records[5]["kind"] == "validation" and records[6]["file"] == "pictures/step-00000005.png"
    assert Image.open(tmp_path / records[6]["file"]).size == (8, 4)


def test_tensorboard_has_the_same_numbers(tmp_path):
    write(tmp_path, 1, 5)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"train/loss", "train/learning_rate", "validation/loss"}
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5]
    assert events.Scalars("train/loss")[3].value == pytest.approx(0.25)
    assert events.Tags()["images"] == ["SYNTHETIC - not for diagnosis"]


def test_a_run_that_goes_on_forgets_what_is_done_again(tmp_path):
    write(tmp_path, 1, 8, log_with=())
    path = tmp_path / "log.jsonl"
    kept = path.read_text(encoding="utf-8").splitlines()[:7]
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 9, "kind": "st')  # killed
    write(tmp_path, 6, 7, resumed_at=5, log_with=())
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:7] == kept and [json.loads(line)["step"] for line in lines[7:]] == [6, 7]


def test_plain_lines_are_few_and_say_how_long_it_takes(tmp_path):
    said = write(tmp_path, 1, 400, steps=400, log_with=())
    steps = [line for line in said.splitlines() if line.startswith("Training, step")]
    assert 20 <= len(steps) <= 22 and steps[-1].startswith("Training, step 400 of 400: loss 0.00")
    assert re.search(r"[\d.e-]+ s a step, \d+ s left", steps[5])
    assert "Validation after step 5: loss 2" in said and "nan" not in said


@pytest.mark.parametrize(("seconds", "words"), [(7.4, "7 s"), (600, "10 min"), (36_000, "10 h"), (40_000, "11.1 h")])
def test_durations_are_short(seconds, words):
    assert watch._duration(seconds) == words


def test_without_tensorboard_it_is_said(tmp_path, monkeypatch):
    monkeypatch.delattr(torch.utils, "tensorboard", raising=False)
    for name in ("torch.utils.tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=r'pip install "ccella-core\[train\]"'):
        RunLog(tmp_path, steps=1, console=quiet())
    RunLog(tmp_path, steps=1, console=quiet(), log_with=())


def test_a_folder_that_cannot_be_written_is_explained(tmp_path):
    (tmp_path / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(SaveError, match="cannot be written"):
        RunLog(tmp_path / "taken", steps=1, console=quiet())


def test_the_silent_log_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SilentLog() as log:
        log.step(1, {"loss": 1.0})
        log.validation(1, {"loss": 1.0})
        log.picture(1, Image.new("L", (2, 2)))
    assert not list(tmp_path.iterdir()) and read_log(tmp_path) == []
