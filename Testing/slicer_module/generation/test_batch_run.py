"""What becomes of each row of a table: in the scene, in a folder, at the second try, and when something fails."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from fake_client import FakeClient, Request

from ccella_core.files import sha256_of
from ccella_core.imaging.volume import SyntheticVolume

HEADER = "name,report,report_file,pathology,seed,count,steps"


class Room:
    """A generator with a client that answers by itself, and a folder for the results."""

    def __init__(self, folder: Path) -> None:
        from CCELLAGeneratorLib.generation.generator import Generator
        from CCELLAGeneratorLib.generation.run import GenerationError

        self.error_class = GenerationError
        self.folder = folder
        self.out = folder / "Ergebnisse"
        self.log: list[str] = []
        self.client = FakeClient()
        self.client.answer = Request.finish
        self.generator = Generator(self.client, self.log.append)

    def table(self, *rows: str) -> Path:
        path = self.folder / "reports.csv"
        path.write_text("\n".join([HEADER, *rows]), encoding="utf-8")
        return path

    def results(self) -> list[dict[str, str]]:
        with (self.out / "results.csv").open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    def images(self) -> list[str]:
        return sorted(path.name for path in self.out.glob("*.nii"))

    def asked(self) -> list[str]:
        return [request.params["name"] for request in self.client.requests.values()]


@pytest.fixture
def room(slicer_bench: Any, tmp_path: Path) -> Room:
    return Room(tmp_path)


def volume_nodes() -> list[Any]:
    return slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")


# Into the scene.


def test_into_the_scene(room: Room) -> None:
    scan = slicer.util.addVolumeFromArray(np.zeros((4, 4, 4)), name="T2")
    scan.SetOrigin(10, 20, 30)
    table = room.table("first,PI-RADS 2.,,negative,3,2,5", "second,PI-RADS 4.,,,,,")
    outcomes = room.generator.processBatch(table, referenceVolume=scan, model="other", scheduler="unipc", device="cpu")
    assert [(outcome.row.name, outcome.state, len(outcome.volumes)) for outcome in outcomes] == [
        ("first", "done", 2),
        ("second", "done", 1),
    ]
    assert [node.GetName() for node in volume_nodes()[1:]] == [
        "SYNTHETIC first t2w seed 3 (tiny)",
        "SYNTHETIC first t2w seed 4 (tiny)",
        "SYNTHETIC second t2w seed 100 (tiny)",
    ]
    first, second = (request.params for request in room.client.requests.values())
    assert {key: first[key] for key in ("report", "pathology", "seed", "count", "num_inference_steps")} == {
        "report": "PI-RADS 2.", "pathology": "negative", "seed": 3, "count": 2, "num_inference_steps": 5,
    }  # fmt: skip
    assert (second["model"], second["scheduler"], second["device"], second["seed"]) == ("other", "unipc", "cpu", None)
    boxes = [[0.0] * 6, [0.0] * 6]
    scan.GetRASBounds(boxes[0])
    outcomes[1].volumes[0].GetRASBounds(boxes[1])
    centres = [[(box[axis] + box[axis + 1]) / 2 for axis in (0, 2, 4)] for box in boxes]
    assert centres[0] == pytest.approx(centres[1], abs=1e-4)


def test_closing_the_scene_stops_the_batch(room: Room) -> None:
    room.client.answer = lambda request: slicer.mrmlScene.Clear(False)
    outcomes = room.generator.processBatch(room.table("a,Text,,,,,", "b,Text,,,,,"))
    assert [outcome.state for outcome in outcomes] == ["cancelled", "cancelled"]
    assert "scene was closed" in outcomes[0].message and room.asked() == ["a"]


# Into a folder.


def test_into_a_folder(room: Room) -> None:
    outcomes = room.generator.processBatch(room.table("Fall Ä,Läsion,,,3,2,", "b,Text,,,,,"), room.out)
    assert room.images() == ["SYNTHETIC_Fall Ä_seed3.nii", "SYNTHETIC_Fall Ä_seed4.nii", "SYNTHETIC_b_seed100.nii"]
    assert [path.name for outcome in outcomes for path in outcome.volumes] == room.images()
    assert all(SyntheticVolume.load(room.out / name).provenance.num_inference_steps == 2 for name in room.images())
    results = room.results()
    assert [line["file"] for line in results] == room.images()
    assert [(line["line"], line["name"], line["state"], line["seed"]) for line in results] == [
        ("2", "Fall Ä", "done", "3"),
        ("2", "Fall Ä", "done", "4"),
        ("3", "b", "done", "100"),
    ]
    assert all(line["sha256"] == sha256_of(room.out / line["file"]) for line in results)
    assert {line["positive_probability"] for line in results} == {"0.25"}
    assert len(list(room.out.iterdir())) == 7  # three images, three sidecars, the results; nothing else stays
    assert volume_nodes() == []


def test_a_relative_folder(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(room.folder)
    room.table("a,Text,,,,,")
    room.generator.processBatch("reports.csv", "Ergebnisse")
    assert room.images() == ["SYNTHETIC_a_seed100.nii"]


def test_a_row_that_fails_does_not_stop_the_others(room: Room) -> None:
    def answer(request: Request) -> None:
        if request.params["name"] == "b":
            request.fail("memory", "Too little memory.", "Close something.")
        else:
            request.finish()

    room.client.answer = answer
    told: list[str] = []
    outcomes = room.generator.processBatch(
        room.table("a,Text,,,,,", "b,Text,,,,,", "c,Text,,,,,"),
        room.out,
        onRow=lambda outcome: told.append(f"{outcome.row.name} {outcome.state}"),
    )
    assert told == ["a done", "b failed", "c done"]
    assert [outcome.message for outcome in outcomes] == ["", "Too little memory. Close something.", ""]
    assert [(line["state"], line["message"]) for line in room.results()] == [
        ("done", ""),
        ("failed", "Too little memory. Close something."),
        ("done", ""),
    ]


def test_goes_on_where_it_stopped(room: Room) -> None:
    table = room.table("a,Text,,,,2,", "b,Text,,,,,", "c,Text,,,,,")
    room.client.answer = lambda request: room.generator.cancel() if request.params["name"] == "b" else request.finish()
    states = [outcome.state for outcome in room.generator.processBatch(table, room.out)]
    assert states == ["done", "cancelled", "cancelled"] and room.asked() == ["a", "b"]
    assert [line["state"] for line in room.results()] == ["done", "done", "cancelled", "cancelled"]

    room.client.answer = Request.finish
    outcomes = room.generator.processBatch(table, room.out)
    assert [outcome.state for outcome in outcomes] == ["skipped", "done", "done"]
    assert [path.name for path in outcomes[0].volumes] == room.images()[:2]
    assert room.asked() == ["a", "b", "b", "c"]
    assert [line["state"] for line in room.results()] == ["skipped", "skipped", "done", "done"]
    assert all(line["sha256"] for line in room.results())

    (room.out / "SYNTHETIC_a_seed101.nii").unlink()  # one of two is gone, so the row is generated again
    room.generator.processBatch(table, room.out)
    assert room.asked()[4:] == ["a"]


@pytest.mark.parametrize(
    "change", ["a,Other text,,,7,1,5", "a,Text,,positive,7,1,5", "a,Text,,,8,1,5", "a,Text,,,7,1,6"]
)
def test_volumes_of_other_input_are_not_taken_for_done(room: Room, change: str) -> None:
    room.generator.processBatch(room.table("a,Text,,,7,1,5"), room.out)
    with pytest.raises(room.error_class, match=r"Line 2: .*a that were made of other input") as caught:
        room.generator.processBatch(room.table(change), room.out)
    assert caught.value.code == "input" and room.asked() == ["a"]


def test_a_model_of_several_sequences(room: Room) -> None:
    table = room.table("a,Text,,,7,2,", "b,Text,,,1,1,")
    room.client.answer = lambda request: request.finish("t2w", "adc")
    outcomes = room.generator.processBatch(table, room.out)
    assert [path.name for path in outcomes[0].volumes] == [
        "SYNTHETIC_a_seed7_t2w.nii", "SYNTHETIC_a_seed7_adc.nii",
        "SYNTHETIC_a_seed8_t2w.nii", "SYNTHETIC_a_seed8_adc.nii",
    ]  # fmt: skip
    assert [line["sequence"] for line in room.results()] == ["t2w", "adc"] * 3
    assert [line["seed"] for line in room.results()] == ["7", "7", "8", "8", "1", "1"]
    assert {outcome.state for outcome in room.generator.processBatch(table, room.out)} == {"skipped"}
    (room.out / "SYNTHETIC_b_seed1_adc.nii").unlink()  # as if the computer had gone off while files were moved
    outcomes = room.generator.processBatch(table, room.out)
    assert [outcome.state for outcome in outcomes] == ["skipped", "done"] and len(room.images()) == 6


def test_names_that_begin_alike_are_kept_apart(room: Room) -> None:
    room.generator.processBatch(room.table("a_seed1,Text,,,,,"), room.out)
    outcomes = room.generator.processBatch(room.table("a,Text,,,,,", "a_seed1,Text,,,,,"), room.out)
    assert [outcome.state for outcome in outcomes] == ["done", "skipped"]


@pytest.mark.parametrize("sidecar", [None, "{half a side", '{"other": 1}'])
def test_images_without_a_proper_sidecar_count_for_nothing(room: Room, sidecar: str | None) -> None:
    room.generator.processBatch(room.table("a,Text,,,7,,"), room.out)
    path = room.out / "SYNTHETIC_a_seed7.json"
    path.unlink()
    if sidecar is not None:
        path.write_text(sidecar, encoding="utf-8")
    (outcome,) = room.generator.processBatch(room.table("a,Text,,,7,,"), room.out)
    assert outcome.state == "done"
    assert json.loads(path.read_text(encoding="utf-8"))["provenance"]["seed"] == 7


def test_bad_rows_are_left_out_by_name_and_the_others_go_on(room: Room) -> None:
    room.generator.processBatch(room.table("b,Text,,,7,1,"), room.out)
    table = room.table("a,Text,,,,,", "b,other,,,7,1,", "c,Text,,perhaps,,,", "A,Text,,,,,", "d,Text,,,,,")
    outcomes = room.generator.processBatch(table, room.out)
    assert [outcome.state for outcome in outcomes] == ["done", "left_out", "left_out", "left_out", "done"]
    assert [words in outcome.message for words, outcome in zip(
        ("", "made of other input", "the pathology is", "is that of line 2 too", ""), outcomes, strict=True
    )] == [True] * 5  # fmt: skip
    table_of_results = (room.out / "results.csv").read_text(encoding="utf-8-sig")
    assert "4,line4,left_out" in table_of_results and "the pathology is" in table_of_results
    if os.name == "posix":
        assert (room.out / "results.csv").stat().st_mode & 0o077 == 0


def test_a_table_without_a_row_that_can_be_used_starts_nothing(room: Room) -> None:
    with pytest.raises(room.error_class, match="Line 2: the pathology") as caught:
        room.generator.processBatch(room.table("b,Text,,perhaps,,,"), room.out)
    assert caught.value.code == "input"
    assert room.client.requests == {} and not room.out.exists()


def test_a_folder_that_cannot_be_written(room: Room) -> None:
    room.out.write_text("a file of that name", encoding="utf-8")
    with pytest.raises(room.error_class) as caught:
        room.generator.processBatch(room.table("a,Text,,,,,"), room.out)
    assert caught.value.code == "save" and room.client.requests == {}


def test_a_table_of_results_that_is_locked_costs_no_volume(room: Room) -> None:
    room.out.mkdir()
    (room.out / "results.csv").mkdir()  # cannot be replaced by a file, like one that is open in Excel on Windows
    (outcome,) = room.generator.processBatch(room.table("a,Text,,,,,"), room.out)
    assert outcome.state == "done" and room.images() == ["SYNTHETIC_a_seed100.nii"]
    assert all(line.startswith("The table of results could not be written") for line in room.log) and room.log


def test_a_long_table_does_not_nest(slicer_bench: Any) -> None:
    from CCELLAGeneratorLib.client.errors import ClientError
    from CCELLAGeneratorLib.generation.batch import BatchRow
    from CCELLAGeneratorLib.generation.batch_run import BatchRun

    def fail(row: Any, **_: Any) -> None:
        raise ClientError("save", "There is no room.")

    rows = [BatchRow(line, f"line{line}", "Text") for line in range(2, 2000)]
    run = BatchRun(rows, fail, log=print)
    run.start()
    slicer_bench.wait_until(lambda: run.finished)
    assert {(outcome.state, outcome.message) for outcome in run.outcomes} == {("failed", "There is no room.")}


def test_without_waiting(room: Room, slicer_bench: Any) -> None:
    finished: list[Any] = []
    steps: list[dict[str, Any]] = []
    room.client.answer = lambda request: (request.progress(stage="denoise", step=1, steps=2), request.finish())
    table = room.table("a,Text,,,,,", "b,Text,,,,,")
    answer = room.generator.processBatch(table, wait=False, onFinished=finished.append, onProgress=steps.append)
    assert answer is None and room.client.requests == {}
    with pytest.raises(room.error_class, match="running already") as caught:
        room.generator.processBatch(table)
    assert caught.value.code == "busy"
    slicer_bench.wait_until(lambda: finished)
    assert [outcome.state for outcome in finished[0]] == ["done", "done"]
    assert [(step["row"], step["rows"], step["step"]) for step in steps] == [(1, 2, 1), (2, 2, 1)]
    room.generator.processBatch(table)  # the way is free again


def test_close_ends_it_without_a_word(room: Room, slicer_bench: Any) -> None:
    finished: list[Any] = []
    room.client.answer = lambda request: room.generator.close()
    table = room.table("a,Text,,,,,", "b,Text,,,,,")
    outcomes = room.generator.processBatch(table, onFinished=finished.append)
    assert [outcome.state for outcome in outcomes] == ["cancelled", "cancelled"]
    slicer_bench.process_events(0.05)
    assert finished == [] and room.asked() == ["a"]
