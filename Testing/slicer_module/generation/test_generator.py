"""The logic without the panel: what it asks the worker, what it makes of the answer, and every way a run can end."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from fake_client import FakeClient, Request, save_volume


class Room:
    """A generator, its client, and what came of the runs."""

    def __init__(self, bench: Any) -> None:
        from CCELLAGeneratorLib.generation import generator
        from CCELLAGeneratorLib.generation import run as generation_run

        self.bench = bench
        self.error_class = generation_run.GenerationError
        self.client = FakeClient()
        self.log: list[str] = []
        self.finished: list[list[Any]] = []
        self.errors: list[Any] = []
        self.generator = generator.Generator(self.client, self.log.append)

    def start(self, **arguments: Any) -> Request:
        """Begin a run that does not wait; its ends are noted."""
        asked = {"report": "PI-RADS 4.", "onFinished": self.finished.append, "onError": self.errors.append, **arguments}
        number = self.generator.process(wait=False, **asked)
        return self.client.requests[number]

    @property
    def error(self) -> Any:
        """The one way in which the one run ended."""
        assert (self.finished, len(self.errors)) == ([], 1)
        return self.errors[0]


@pytest.fixture
def room(slicer_bench: Any) -> Room:
    return Room(slicer_bench)


def volume_nodes() -> list[Any]:
    return slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")


def add_scan(name: str = "T2 of a patient") -> Any:
    return slicer.util.addVolumeFromArray(np.zeros((4, 5, 6)), np.diag([1.0, 1.0, 3.0, 1.0]), name)


def test_what_the_worker_is_asked(room: Room) -> None:
    request = room.start(
        report="Läsion", pathology=np.float64(0.25), model=Path("some") / "model", seed=np.int64(3), count=2,
        numInferenceSteps=9, scheduler="unipc", guidanceScale=2.0, device="cuda:1",
        shape=(16, 16, 8), spacing=np.ones(3),
    )  # fmt: skip
    params = dict(request.params)
    assert Path(params.pop("output_dir")).is_absolute()
    assert request.method == "generate" and params == {
        "report": "Läsion", "pathology": 0.25, "model": str(Path("some") / "model"), "seed": 3, "count": 2,
        "num_inference_steps": 9, "scheduler": "unipc", "guidance_scale": 2.0, "device": "cuda:1", "shape": [16, 16, 8],
        "spacing": [1.0, 1.0, 1.0],
    }  # fmt: skip
    assert {type(params[name]) for name in ("seed", "pathology")} == {int, float}  # JSON has no NumPy numbers


def test_what_a_slicer_left_that_was_killed_is_removed(room: Room) -> None:
    from ccella_core import files

    folder = Path(slicer.app.temporaryPath)
    living, dead = files.hidden_name(folder), files.hidden_name(folder)
    dead = dead.with_name(dead.name.replace(f"-{os.getpid()}-", f"-{2**22 + 1}-"))  # beyond the numbers of processes
    for each in (living, dead):
        each.mkdir()
    request = room.start()
    own = Path(request.params["output_dir"])
    assert own.is_dir() and living.is_dir() and not dead.exists()
    assert os.name == "nt" or own.stat().st_mode & 0o777 == 0o700
    living.rmdir()


def test_the_worker_is_asked_with_parameters_that_it_knows(room: Room) -> None:
    from ccella_core.worker.params import GenerateParams

    request = room.start()
    assert GenerateParams.model_validate(request.params).report == "PI-RADS 4."


def test_other_options_of_the_library_are_passed_on(room: Room) -> None:
    assert room.start(output_range="int16").params["output_range"] == "int16"


def test_waits_for_the_nodes(room: Room) -> None:
    room.client.answer = Request.finish
    nodes = room.generator.process("PI-RADS 2.", seed=5, count=2)
    assert [node.GetName() for node in nodes] == [f"SYNTHETIC t2w seed {seed} (tiny)" for seed in (5, 6)]
    assert nodes == volume_nodes() and nodes[0].GetAttribute("CCELLA.Report") == "PI-RADS 2."
    assert not room.client.last.folder.exists()  # nothing stays behind on the disk


def test_the_window_lives_while_it_waits_and_the_processor_rests(room: Room) -> None:
    import qt

    seconds = 2.0
    room.client.answer = lambda request: qt.QTimer.singleShot(round(1000 * seconds), request.finish)
    with room.bench.heartbeat() as heart:
        before, processor = time.monotonic(), time.process_time()
        room.generator.process("PI-RADS 2.")
        waited, worked = time.monotonic() - before, time.process_time() - processor
    assert waited >= 0.9 * seconds  # Qt's timers are coarse: within 5 %, to either side
    assert heart.longest_ms < 1000  # the reading of the volume; had the window waited, it would be two seconds
    assert worked < 0.6 * waited


def test_returns_at_once_and_calls_back(room: Room) -> None:
    steps: list[dict[str, Any]] = []
    previews: list[bytes] = []
    request = room.start(onProgress=steps.append, onPreview=previews.append)
    assert volume_nodes() == [] and room.finished == []
    request.progress(stage="denoise", step=1, steps=2)
    request.preview(b"PNG")
    request.finish()
    assert room.finished == [volume_nodes()] and len(volume_nodes()) == 1 and room.errors == []
    assert steps == [{"stage": "denoise", "step": 1, "steps": 2}] and previews == [b"PNG"]
    assert not request.folder.exists()


def test_callbacks_may_be_left_out(room: Room) -> None:
    room.generator.process("PI-RADS 2.", wait=False)
    room.client.last.finish()
    room.generator.process("PI-RADS 2.", wait=False)
    room.client.last.fail("memory", "Too little.")
    assert len(volume_nodes()) == 1


def test_failures_are_raised_or_told(room: Room) -> None:
    room.client.answer = lambda request: request.fail("gpu_memory", "The GPU is full.", "Use the CPU.")
    with pytest.raises(room.error_class, match=r"The GPU is full\. Use the CPU\.") as caught:
        room.generator.process("PI-RADS 2.")
    assert (caught.value.code, caught.value.message, caught.value.hint) == (
        "gpu_memory", "The GPU is full.", "Use the CPU.",
    )  # fmt: skip
    room.client.answer = None
    room.start().fail("died", "It died.")
    assert (room.error.code, room.error.message) == ("died", "It died.")
    assert not room.client.last.folder.exists() and volume_nodes() == []


def test_lies_on_the_reference_and_in_the_output(room: Room) -> None:
    scan = add_scan()
    scan.SetOrigin(100, 50, -30)
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Output")
    room.client.answer = Request.finish
    assert room.generator.process("PI-RADS 2.", referenceVolume=scan, outputVolume=output) == [output]
    bounds = [np.zeros(6), np.zeros(6)]
    for node, box in zip((scan, output), bounds, strict=True):
        node.GetRASBounds(box)
    centres = [box.reshape(3, 2).mean(axis=1) for box in bounds]
    np.testing.assert_allclose(centres[0], centres[1], atol=1e-4)


def test_what_is_not_synthetic_is_never_overwritten(room: Room) -> None:
    scan = add_scan()
    before = scan.GetImageData()
    for arguments in ({"outputVolume": scan}, {"outputVolume": scan, "referenceVolume": scan}):
        with pytest.raises(room.error_class, match="T2 of a patient holds an image that is not synthetic") as caught:
            room.generator.process("PI-RADS 2.", **arguments)
        assert caught.value.code == "input" and caught.value.hint
    assert room.client.requests == {} and scan.GetImageData() is before


def test_an_output_that_gets_a_real_image_meanwhile(room: Room) -> None:
    output = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Output")
    request = room.start(outputVolume=output)
    output.SetAndObserveImageData(add_scan().GetImageData())
    request.finish()
    assert room.error.code == "input" and output.GetName() == "Output"


def test_a_synthetic_reference_is_not_its_own_output(room: Room) -> None:
    synthetic = add_scan("SYNTHETIC t2w")
    with pytest.raises(room.error_class):
        room.generator.process("PI-RADS 2.", referenceVolume=synthetic, outputVolume=synthetic)


@pytest.mark.parametrize("kind", ["vtkMRMLTextNode", "vtkMRMLLabelMapVolumeNode", "vtkMRMLScalarVolumeNode"])
def test_nodes_that_cannot_be_used(room: Room, kind: str) -> None:
    node = slicer.mrmlScene.AddNewNodeByClass(kind)  # without an image
    with pytest.raises(room.error_class, match="real scan"):
        room.generator.process("PI-RADS 2.", referenceVolume=node)
    if kind != "vtkMRMLScalarVolumeNode":
        with pytest.raises(room.error_class, match="not a scalar volume"):
            room.generator.process("PI-RADS 2.", outputVolume=node)
    assert room.client.requests == {}


def test_cancel(room: Room) -> None:
    request = room.start()
    room.generator.cancel()
    assert room.error.code == "cancelled" and room.client.cancelled == [1] and not request.folder.exists()
    room.generator.cancel()  # nothing runs any more
    assert room.client.cancelled == [1]


def test_cancel_from_a_callback_ends_the_call_that_waits(room: Room) -> None:
    room.client.answer = lambda request: request.progress(stage="denoise", step=1, steps=30)
    with pytest.raises(room.error_class) as caught:
        room.generator.process("PI-RADS 2.", onProgress=lambda event: room.generator.cancel())
    assert caught.value.code == "cancelled"


@pytest.mark.parametrize("role", ["referenceVolume", "outputVolume"])
def test_a_node_that_is_deleted_meanwhile(room: Room, role: str) -> None:
    node = add_scan("SYNTHETIC old")
    request = room.start(**{role: node})
    slicer.mrmlScene.RemoveNode(node)
    request.finish()
    assert room.error.code == "cancelled" and "was removed" in room.error.message
    assert room.log == [room.error.message]
    assert volume_nodes() == [] and not request.folder.exists()


def test_the_scene_is_closed_meanwhile(room: Room) -> None:
    request = room.start()
    slicer.mrmlScene.Clear(False)
    assert room.client.cancelled == [1]  # the worker does not go on for nothing
    assert room.error.code == "cancelled" and "scene was closed" in room.error.message
    assert room.log == [room.error.message] and not request.folder.exists()
    slicer.mrmlScene.Clear(False)  # nobody listens any more
    assert len(room.errors) == 1
    room.start().finish()  # and it works again
    assert len(volume_nodes()) == 1


def test_a_result_that_overtakes_the_cancelling_of_a_closed_scene(room: Room) -> None:
    request = room.start()
    room.client.cancel = room.client.cancelled.append  # as the real client: the error comes later
    slicer.mrmlScene.Clear(False)
    request.finish()
    assert "scene was closed" in room.error.message and volume_nodes() == []


@pytest.mark.parametrize("code", ["cancelled", "memory"])
def test_volumes_that_were_finished_before_a_failure_are_kept(room: Room, code: str) -> None:
    request = room.start(count=3)
    request.fail(
        code, "It ended.", volumes=[save_volume(request.folder, f"tiny_seed{seed}", seed=seed) for seed in (4, 5)]
    )
    assert room.error.code == code and not request.folder.exists()
    assert [node.GetAttribute("CCELLA.Seed") for node in volume_nodes()] == ["4", "5"]
    names = ", ".join(node.GetName() for node in volume_nodes())
    assert str(room.error) == f"It ended. Finished before, and kept: {names}."


def test_volumes_that_were_finished_are_dropped_with_the_scene_or_the_node_they_were_for(room: Room) -> None:
    scan = add_scan()
    for leave in (lambda: slicer.mrmlScene.RemoveNode(scan), lambda: slicer.mrmlScene.Clear(False)):
        request = room.start(count=2, **({"referenceVolume": scan} if scan.GetScene() else {}))
        room.client.cancel = room.client.cancelled.append
        leave()
        request.fail("cancelled", "It ended.", volumes=[save_volume(request.folder)])
        assert volume_nodes() == [] and not request.folder.exists()


def test_finished_volumes_that_cannot_be_read_do_not_hide_the_failure(room: Room) -> None:
    request = room.start(count=2)
    request.fail("memory", "It ended.", volumes=[{"path": "gone.nii", "sidecar": "gone.json", "provenance": {}}])
    assert room.error.code == "memory" and "Traceback" in room.log[-1] and volume_nodes() == []


def test_files_that_cannot_be_read(room: Room, tmp_path: Path) -> None:
    request = room.start()
    entry = save_volume(request.folder)
    Path(entry["path"]).unlink()
    request.give(entry)
    assert room.error.code == "save" and "SYNTHETIC_volume.nii" in room.error.message
    assert not request.folder.exists()


def test_an_answer_that_makes_no_sense_ends_the_run(room: Room) -> None:
    room.start().give({"nonsense": 1})
    assert room.error.code == "internal" and "KeyError" in room.error.message
    assert "Traceback" in room.log[0]


def test_no_room_for_files(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(room.error_class, match="No space left on device") as caught:
        room.start()
    assert caught.value.code == "save"


def test_a_name_instead_of_a_node_is_refused_before_the_run(room: Room) -> None:
    for argument in ("referenceVolume", "outputVolume"):
        with pytest.raises(room.error_class, match="node of the scene, not as 'T2'"):
            room.start(**{argument: "T2"})
    assert room.client.requests == {}


@pytest.mark.parametrize("bad", [0.0, float("nan")])
def test_a_scan_under_a_singular_transform_is_refused_before_the_run(room: Room, bad: float) -> None:
    scan = add_scan()
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1.0, bad, 1.0, 1.0])))
    scan.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(room.error_class, match="T2 of a patient has no extent"):
        room.start(referenceVolume=scan)
    assert room.client.requests == {}


def test_close_calls_nobody_back(room: Room) -> None:
    request = room.start()
    room.generator.close()
    room.generator.close()
    assert room.finished == room.errors == [] and room.client.closed == 2 and not request.folder.exists()


def test_close_frees_the_call_that_waits(room: Room) -> None:
    room.client.answer = lambda request: room.generator.close()
    with pytest.raises(room.error_class) as caught:
        room.generator.process("PI-RADS 2.")
    assert caught.value.code == "cancelled"


def test_an_unused_generator_starts_nothing(slicer_bench: Any) -> None:
    from CCELLAGeneratorLib.client.client import WorkerClient
    from CCELLAGeneratorLib.generation.generator import Generator

    threads = threading.active_count()
    generator = Generator(WorkerClient(["nothing to start"], {}, print))
    generator.cancel()
    generator.close()
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("ask", "method", "params"),
    [
        (("describe", ["/a", Path("b")]), "describe", {"model_folders": ["/a", "b"]}),
        (("countTokens", "text"), "count_tokens", {"model": "ccella-demo", "report": "text"}),
        (
            ("estimate", "m", "cpu", 9, 2, 1.5),
            "estimate",
            {"model": "m", "device": "cpu", "num_inference_steps": 9, "count": 2, "guidance_scale": 1.5},
        ),
        (("download", "hf:a/b"), "download", {"name": "hf:a/b"}),
        (("deleteModel", Path("c")), "delete", {"path": "c"}),
    ],
)
def test_questions_are_passed_on(room: Room, ask: tuple, method: str, params: dict) -> None:
    answers: list[Any] = []
    getattr(room.generator, ask[0])(*ask[1:], onResult=answers.append, onError=room.errors.append)
    request = room.client.last
    assert (request.method, request.params) == (method, params)
    request.give()
    request.fail("model", "No such model.")
    assert answers[0]["volumes"] == [] and room.error.code == "model"
