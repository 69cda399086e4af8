"""The generating part in this very process: what is loaded, kept and forgotten."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from ccella_core.errors import Cancelled, InputError
from ccella_core.generation.decoding import decode
from ccella_core.imaging.label_map import LabelMap
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.model import INDEX_NAME, ModelFolder
from ccella_core.worker.failures import explain
from ccella_core.worker.output import checked_name
from ccella_core.worker.tasks import Handlers, Task
from ccella_core.worker.timings import Timings

SHAPE = (16, 16, 8)


@pytest.fixture
def handlers(tmp_path: Path) -> Handlers:
    return Handlers(tmp_path / "timings.json")


def task_of(model: Path, folder: Path, **more: Any) -> Task:
    params = {"model": str(model), "device": "cpu", "report": "PI-RADS 4.", "seed": 7, "output_dir": str(folder)}
    return Task(1, "generate", params | more, send=lambda *_, **__: None)


@pytest.mark.medium
def test_measured_times_are_kept_and_warm_runs_keep_those_of_the_cold_one(
    tiny_model: Path, handlers: Handlers, tmp_path: Path
) -> None:
    timings, sha256 = Timings(tmp_path / "timings.json"), ModelFolder.open(tiny_model).sha256
    handlers(task_of(tiny_model, tmp_path))
    cold = timings.find(sha256, "cpu", SHAPE)
    handlers(task_of(tiny_model, tmp_path, count=2, guidance_scale=1.5))
    warm = timings.find(sha256, "cpu", SHAPE)
    assert cold is not None and warm is not None
    assert min(cold.load, cold.encode, cold.step, cold.decode) > 0
    assert (warm.load, warm.encode) == (cold.load, cold.encode) and warm.step != cold.step


@pytest.mark.medium
def test_another_model_takes_the_place_of_the_first(tiny_model: Path, handlers: Handlers, tmp_path: Path) -> None:
    other = Path(shutil.copytree(tiny_model, tmp_path / "other"))
    index = json.loads((other / INDEX_NAME).read_text(encoding="utf-8"))
    (other / INDEX_NAME).write_text(json.dumps(index | {"name": "other"}), encoding="utf-8")
    loaded = []
    for model in (tiny_model, tiny_model, other):
        handlers(task_of(model, tmp_path))
        loaded.append(handlers.state.pipeline)
    assert loaded[0] is loaded[1] is not loaded[2]
    assert handlers.state.holds(ModelFolder.open(other).sha256, "cpu")
    assert not handlers.state.holds(ModelFolder.open(tiny_model).sha256, "cpu")


@pytest.mark.medium
def test_a_model_of_several_sequences_and_labels_gives_a_file_of_each(
    labelled_model: Path, handlers: Handlers, tmp_path: Path
) -> None:
    value = handlers(task_of(labelled_model, tmp_path, count=2))
    sequences = ("t2w", "hbv", "adc")
    names = [Path(volume["path"]).name for volume in value["volumes"]]
    assert names == [f"SYNTHETIC_labelled_seed{seed}_{sequence}.nii" for seed in (7, 8) for sequence in sequences]
    assert [SyntheticVolume.load(tmp_path / name).sequence for name in names] == [*sequences, *sequences]
    for entry, seed in zip(value["volumes"], (7, 7, 7, 8, 8, 8), strict=True):
        path = tmp_path / f"SYNTHETIC_labelled_seed{seed}-labels.nii"
        assert entry["labels"] == {"path": str(path), "sidecar": str(path.with_suffix(".json"))}
        assert LabelMap.load(path).provenance.seed == seed
    (alone,) = handlers(task_of(labelled_model, tmp_path, sequences=["adc"], labels=False))["volumes"]
    assert Path(alone["path"]).name == "SYNTHETIC_labelled_seed7_adc_2.nii" and alone["labels"] is None


@pytest.mark.medium
def test_labels_are_sent_where_no_folder_is_given(labelled_model: Path, handlers: Handlers, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    task = task_of(labelled_model, tmp_path, sequences=["t2w"])
    del task.params["output_dir"]
    task.send = lambda event, **content: events.append(content) if event == "file" else None
    (entry,) = handlers(task)["volumes"]
    assert entry["labels"] == {
        "path": "SYNTHETIC_labelled_seed7-labels.nii", "sidecar": "SYNTHETIC_labelled_seed7-labels.json"
    }  # fmt: skip
    sent = {event["name"] for event in events}
    assert sent == {entry["path"], entry["sidecar"], *entry["labels"].values()} and len(sent) == 4


def test_a_request_that_fails_leaves_no_empty_folder(tiny_model: Path, handlers: Handlers, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nearest: 16 or 24"):
        handlers(task_of(tiny_model, tmp_path / "new" / "folder", shape=[16, 17, 8]))
    assert not (tmp_path / "new").exists()


def test_options_of_the_pipeline_are_parameters(tiny_model: Path, handlers: Handlers, tmp_path: Path) -> None:
    value = handlers(task_of(tiny_model, tmp_path, output_range="0-1", scheduler="ddim", shape=[8, 8, 8]))
    provenance = value["volumes"][0]["provenance"]
    assert (provenance["output_range"], provenance["scheduler"], provenance["shape"]) == ("0-1", "ddim", [8, 8, 8])


@pytest.mark.medium
def test_running_out_of_memory_is_survived(
    tiny_model: Path, handlers: Handlers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode_one(*arguments: Any, **more: Any) -> Any:
        monkeypatch.setattr("ccella_core.generation.pipeline.decode", fail)
        return decode(*arguments, **more)

    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("ccella_core.generation.pipeline.decode", decode_one)
    task = task_of(tiny_model, tmp_path, count=2)
    with pytest.raises(InputError) as caught:
        handlers(task)
    assert explain(caught.value).code == "memory"
    assert [Path(volume["path"]).name for volume in task.finished["volumes"]] == ["SYNTHETIC_tiny_seed7.nii"]
    monkeypatch.setattr("ccella_core.generation.pipeline.decode", decode)
    assert handlers(task_of(tiny_model, tmp_path))["load_seconds"] == 0


def test_a_cancellation_while_loading_is_heeded(tiny_model: Path, handlers: Handlers, tmp_path: Path) -> None:
    task = task_of(tiny_model, tmp_path / "out")
    task.cancelled.set()
    with pytest.raises(Cancelled):
        handlers(task)
    assert handlers.state.pipeline is None and not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", " .", "a/b", "a\\b", "C:", "what?", "line\nbreak", "n" * 101])
def test_names_that_some_file_system_refuses(name: str) -> None:
    with pytest.raises(InputError, match="name"):
        checked_name(name)
    assert checked_name("für mich, 前立腺 (2)") == "für mich, 前立腺 (2)"


def scan_file(folder: Path) -> Path:
    voxels = np.random.default_rng(0).gamma(2.0, 200.0, (9, 24, 24)).astype(np.int16)
    image = sitk.GetImageFromArray(voxels)
    image.SetSpacing((0.8, 0.8, 3.0))
    sitk.WriteImage(image, str(folder / "scan.nrrd"))
    return folder / "scan.nrrd"


def test_a_scan_is_edited_around_a_point(tiny_model: Path, handlers: Handlers, tmp_path: Path) -> None:
    scan = scan_file(tmp_path)
    place = {"around": [-9.2, -9.2, 12.0], "radius": 5.0}
    value = handlers(task_of(tiny_model, tmp_path / "out", image=str(scan), **place))
    (entry,) = value["volumes"]
    made = entry["provenance"]
    assert Path(entry["path"]).name == f"SYNTHETIC_EDITED_FROM_{made['source_sha256'][:8]}_tiny_seed7.nii"
    edited, own = SyntheticVolume.load(Path(entry["path"])), sitk.GetArrayFromImage(sitk.ReadImage(str(scan)))
    assert edited.voxels.dtype == np.int16 and edited.voxels.shape == (24, 24, 9)
    changed = np.argwhere(edited.voxels != own.transpose(2, 1, 0)) @ np.diag([0.8, 0.8, 3.0])
    assert len(changed) > 10 and np.linalg.norm(changed - [9.2, 9.2, 12.0], axis=1).max() <= 5.0
    assert not (tmp_path / "timings.json").exists()  # a part of the steps says nothing of a whole generation
    by_name = task_of(tiny_model, tmp_path / "out", image={"t2w": str(scan)}, strength=0.5)
    assert handlers(by_name)["volumes"][0]["provenance"]["strength"] == 0.5


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"image": "/no/such/scan.nrrd"}, "There is no scan"),
        ({"around": [0.0, 0.0, 0.0]}, "a point with a radius"),
        ({"around": [0.0, 0.0, 0.0], "radius": 5.0}, "give the scan as well"),
        ({"mask": "/m.nii", "around": [0.0, 0.0, 0.0], "radius": 5.0}, "not both"),
        ({"image": {"adc": "/a.nii"}}, "The model draws t2w, not adc"),
    ],
)
def test_what_cannot_be_edited_is_refused_before_the_model_is_loaded(
    tiny_model: Path, handlers: Handlers, tmp_path: Path, wrong: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        handlers(task_of(tiny_model, tmp_path / "out", **wrong))
    assert handlers.state.pipeline is None and not (tmp_path / "out").exists()
