"""The real worker with the real pipeline: a report goes in, files come out, and mishaps are survived."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ccella_core.client.protocol import EXIT_PARENT_GONE
from ccella_core.client.transfer import ReceivedFiles
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.model import INDEX_NAME, ModelFolder

pytestmark = pytest.mark.medium

WorkerProcess = Any  # the client in conftest.py, which tests cannot import

REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex."
MANY_STEPS = 200  # some seconds, in which a test can do what it does in mid-run
LINE_ID = 10**6  # apart from those that the client counts


def asked(model: Path, output_dir: Path, **more: Any) -> dict[str, Any]:
    return {"report": REPORT, "model": str(model), "device": "cpu", "output_dir": str(output_dir), "seed": 7} | more


def test_a_generation_from_start_to_end(worker: WorkerProcess, tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "Ausgänge 出力"
    report = "Prostata vergrößert – kein Verdacht (前立腺)."
    number = worker.send("generate", **asked(tiny_model, folder, report=report, count=2, num_inference_steps=3))
    events = worker.events_of(number)

    progress = [event for event in events if event["event"] == "progress"]
    stages = list(dict.fromkeys((event["volume"], event["stage"]) for event in progress))
    assert stages == [(1, "load"), *[(v, stage) for v in (1, 2) for stage in ("encode", "denoise", "decode", "save")]]
    steps = [event["step"] for event in progress if (event["volume"], event["stage"]) == (2, "denoise")]
    assert steps == [1, 2, 3] and {event["volumes"] for event in progress} == {2}
    assert progress[-1]["memory_gib"] > 0.05
    previews = [event for event in events if event["event"] == "preview"]
    assert previews and (previews[0]["width"], previews[0]["height"]) == (96, 96)

    assert events[-1]["event"] == "result"
    value = events[-1]["value"]
    assert value["load_seconds"] > 0 and value["seconds"] >= value["load_seconds"]
    names = [f"SYNTHETIC_tiny_seed{seed}.nii" for seed in (7, 8)]
    assert [volume["path"] for volume in value["volumes"]] == [str(folder / name) for name in names]
    for volume, seed in zip(value["volumes"], (7, 8), strict=True):
        saved = SyntheticVolume.load(volume["path"])
        assert saved.voxels.shape == (16, 16, 8) and saved.provenance.report == report
        assert volume["provenance"] == json.loads(Path(volume["sidecar"]).read_text(encoding="utf-8"))["provenance"]
        assert (volume["provenance"]["seed"], volume["provenance"]["num_inference_steps"]) == (seed, 3)


def test_without_a_folder_the_files_come_through_the_pipe(
    worker: WorkerProcess, tiny_model: Path, tmp_path: Path
) -> None:
    params = {name: value for name, value in asked(tiny_model, tmp_path, count=2).items() if name != "output_dir"}
    events = worker.events_of(worker.send("generate", **params))
    files = ReceivedFiles(tmp_path)
    for event in events:
        if event["event"] == "file":
            files.take(event)
    for entry, seed in zip(files.here(events[-1]["value"])["volumes"], (7, 8), strict=True):
        saved = SyntheticVolume.load(entry["path"])
        assert Path(entry["path"]).name == f"SYNTHETIC_tiny_seed{seed}.nii" and saved.provenance.seed == seed
        assert entry["provenance"] == saved.provenance.model_dump(mode="json")


def test_the_second_run_loads_nothing_and_spares_the_first_ones_file(
    worker: WorkerProcess, tiny_model: Path, tmp_path: Path
) -> None:
    first, second = (worker.ask("generate", **asked(tiny_model, tmp_path, name="für mich")) for _ in range(2))
    assert second["value"]["load_seconds"] == 0.0
    paths = [Path(event["value"]["volumes"][0]["path"]) for event in (first, second)]
    assert [path.name for path in paths] == ["SYNTHETIC_für mich_seed7.nii", "SYNTHETIC_für mich_seed7_2.nii"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_cancel_in_mid_run_keeps_what_was_finished(worker: WorkerProcess, tiny_model: Path, tmp_path: Path) -> None:
    number = worker.send(
        "generate", **asked(tiny_model, tmp_path, num_inference_steps=MANY_STEPS, count=2, scheduler="ddpm")
    )
    worker.read_until(lambda event: event.get("volume") == 2 and event["stage"] == "denoise")
    cancel = worker.send("cancel", id=number)
    last = worker.read_until(lambda event: event["event"] == "error")
    assert {"event": "result", "id": cancel, "value": {"cancelled": True}} in last
    assert (last[-1]["id"], last[-1]["code"]) == (number, "cancelled")
    assert [Path(volume["path"]).name for volume in last[-1]["volumes"]] == ["SYNTHETIC_tiny_seed7.nii"]
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".nii"]
    assert worker.ask("generate", **asked(tiny_model, tmp_path))["value"]["load_seconds"] == 0.0


def test_questions_are_answered_while_a_volume_is_made(worker: WorkerProcess, tiny_model: Path, tmp_path: Path) -> None:
    number = worker.send(
        "generate", **asked(tiny_model, tmp_path, num_inference_steps=MANY_STEPS, count=64, scheduler="ddpm")
    )
    worker.read_until(lambda event: event.get("stage") == "denoise")
    described = worker.ask("describe", model_folders=[str(tiny_model)])["value"]
    tokens = worker.ask("count_tokens", model=str(tiny_model), report=REPORT)["value"]
    estimate = worker.ask("estimate", model=str(tiny_model), device="cpu")["value"]
    assert str(tiny_model) in {model["path"] for model in described["models"]}
    own = ReportEncoder.from_pretrained(
        tiny_model / "text_encoder", tokenizer_source=tiny_model / "tokenizer", max_tokens=16
    ).count_tokens(REPORT)
    assert tokens == {"tokens": own.tokens, "limit": own.limit, "truncated": own.truncated, "outside": None}
    assert estimate["fits"] is True and estimate["seconds"] >= 0
    assert worker.ask("generate", **asked(tiny_model, tmp_path))["code"] == "busy"
    worker.send("cancel", id=number)
    assert worker.events_of(number)[-1]["code"] == "cancelled"


def test_after_a_run_the_estimate_is_measured(worker: WorkerProcess, tiny_model: Path, tmp_path: Path) -> None:
    assert worker.ask("generate", **asked(tiny_model, tmp_path))["event"] == "result"
    value = worker.ask("estimate", model=str(tiny_model), device="cpu")["value"]
    assert value["basis"] == "measured" and value["seconds"] > 0


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        ({"report": ""}, "input", "empty"),
        ({"report": None}, "input", "reads a report"),
        ({"report": "PI-RADS 4 \ud800"}, "input", "not valid Unicode"),
        ({"pathology": "maybe"}, "input", "pathology"),
        ({"pathology": 1.5}, "input", "pathology"),
        ({"seed": -1}, "input", "seed"),
        ({"count": 0}, "input", "count"),
        ({"num_inference_steps": 0}, "input", "number of steps"),
        ({"scheduler": "euler"}, "input", "no scheduler 'euler'"),
        ({"guidance_scale": -1}, "input", "guidance"),
        ({"device": "cuda:99"}, "input", "no device 'cuda:99'"),
        ({"shape": [16, 16, 7]}, "input", "Z = 7"),
        ({"spacing": [1, 0, 1]}, "input", "spacing"),
        ({"output_dir": "here"}, "input", "from the root"),
        ({"output_range": "int8"}, "input", "no output range 'int8'"),
        ({"name": "../escape"}, "input", "name"),
        ({"name": "n" * 101}, "input", "name"),
        ({"memory_limit_gib": 1e-6}, "input", "GiB are allowed"),
        ({"model": "no-such-model"}, "model", "no model named"),
        ({"model": "hf:some/model"}, "model", "not on this computer"),
        ({"seed": "7"}, "protocol", "parameter seed"),
        ({"count": True}, "protocol", "parameter count"),
        ({"shape": [16, 16]}, "protocol", "parameter shape"),
        ({"pathology": [1]}, "protocol", "parameter pathology"),
        ({"temperature": 1}, "protocol", "parameter temperature"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    more: dict[str, Any], code: str, words: str, worker: WorkerProcess, tiny_model: Path, tmp_path: Path
) -> None:
    parameters = json.dumps(asked(tiny_model, tmp_path) | more)
    worker.write(f'{{"id": {LINE_ID}, "method": "generate", "params": {parameters}}}\n'.encode())
    error = worker.events_of(LINE_ID)[-1]
    assert (error["event"], error["code"]) == ("error", code) and words in error["message"] and error["hint"]
    assert "\n" not in error["message"] and not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_noticed_first(
    worker: WorkerProcess, tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    for folder, code in ((tmp_path / "file" / "below", "save"), (tmp_path / "nul\0", "input")):
        assert worker.ask("generate", **asked(tiny_model, folder))["code"] == code


def test_an_altered_model_is_refused(worker: WorkerProcess, tiny_model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    weights = copy / "denoiser" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    index = json.loads((copy / INDEX_NAME).read_text(encoding="utf-8"))
    (copy / INDEX_NAME).write_text(json.dumps(index | {"version": "altered"}), encoding="utf-8")
    error = worker.ask("generate", **asked(copy, tmp_path / "out"))
    assert error["code"] == "model" and "altered" in error["message"] and str(weights) in error["message"]
    shutil.rmtree(copy / "tokenizer")
    assert worker.ask("count_tokens", model=str(copy), report=REPORT)["code"] == "model"
    assert worker.ask("generate", **asked(tiny_model, tmp_path / "out"))["event"] == "result"


def test_a_model_without_reports_has_no_tokens(worker: WorkerProcess, tiny_model: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(tiny_model, tmp_path / "copy"))
    index = json.loads((copy / INDEX_NAME).read_text(encoding="utf-8"))
    del index["components"]["tokenizer"]
    (copy / INDEX_NAME).write_text(json.dumps(index), encoding="utf-8")
    assert ModelFolder.open(copy).index.name == "tiny"
    error = worker.ask("count_tokens", model=str(copy), report=REPORT)
    assert error["code"] == "input" and "reads no report" in error["message"]


def test_nothing_but_the_protocol_was_on_stdout(worker: WorkerProcess) -> None:
    assert worker.ask("describe")["event"] == "result"
    assert all({"event"} < json.loads(line).keys() for line in worker.lines)


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["load", "denoise"])
def test_a_parent_that_dies_in_mid_run_leaves_no_orphan(
    stage: str, start_worker: Callable[..., WorkerProcess], tiny_model: Path, tmp_path: Path
) -> None:
    process = start_worker("--timings", str(tmp_path / "timings.json"))
    assert process.read()["event"] == "ready"
    process.send("generate", **asked(tiny_model, tmp_path, num_inference_steps=MANY_STEPS, count=64, scheduler="ddpm"))
    process.read_until(lambda event: event.get("stage") == stage)
    process.close_stdin()
    assert process.wait() == EXIT_PARENT_GONE
    assert len(list(tmp_path.glob("*.nii"))) < 64, "it ended before the run was done"
    assert not list(tmp_path.glob(".*"))
