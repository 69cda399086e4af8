"""Describing, downloading and deleting models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import huggingface_hub
import platformdirs
import pytest

from ccella_core.client.protocol import ProtocolError
from ccella_core.errors import InputError, ModelError, SaveError
from ccella_core.models.model import INDEX_NAME
from ccella_core.worker.models import delete, describe, download
from ccella_core.worker.tasks import Task, WorkerState


def run(method: Any, **params: Any) -> dict[str, Any]:
    return method(Task(1, method.__name__, params, send=lambda *_, **__: None), WorkerState())


@pytest.fixture
def user_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own folder of models, empty; `$CCELLA_HOME` is another."""
    monkeypatch.setattr(platformdirs, "user_data_path", lambda *_, **__: tmp_path / "user")
    monkeypatch.setenv("CCELLA_HOME", str(tmp_path / "home"))
    models = tmp_path / "user" / "models"
    models.mkdir(parents=True)
    return models


def copy_of(model: Path, target: Path) -> Path:
    return Path(shutil.copytree(model, target))


def test_models_are_listed_with_their_origin_and_problems(tiny_model: Path, user_models: Path, tmp_path: Path) -> None:
    own = copy_of(tiny_model, user_models / "own")
    home = copy_of(tiny_model, tmp_path / "home" / "models" / "at home")
    chosen = copy_of(tiny_model, tmp_path / "gewählt" / "模型")
    broken = copy_of(tiny_model, tmp_path / "gewählt" / "broken")
    (broken / INDEX_NAME).write_text("{", encoding="utf-8")
    # The folder, one model in it once more, a broken model, and a folder that is gone.
    folders = [str(path) for path in (chosen.parent, chosen, broken, tmp_path / "nowhere")]
    value = run(describe, model_folders=folders)
    listed = {entry["path"]: entry for entry in value["models"]}
    assert len(listed) == len(value["models"])
    origins = {path: listed[str(path)]["origin"] for path in (own, home, chosen, broken)}
    assert origins == {own: "user", home: "home", chosen: "folder", broken: "folder"}
    assert [path for path, entry in listed.items() if entry["deletable"]] == [str(own)]
    assert listed[str(broken)]["problem"].startswith(f"{broken / INDEX_NAME} is not JSON")
    assert (listed[str(broken)]["name"], listed[str(broken)]["variant"]) == ("broken", None)
    demo = next(entry for entry in value["models"] if entry["name"] == "ccella-demo")
    assert demo["origin"] == "shipped" and demo["problem"] is None


def test_a_model_is_described_in_full(tiny_model: Path, user_models: Path) -> None:
    copy_of(tiny_model, user_models / "own")
    entry = next(entry for entry in run(describe)["models"] if entry["origin"] == "user")
    index = json.loads((tiny_model / INDEX_NAME).read_text(encoding="utf-8"))
    assert entry == {
        "name": "tiny",
        "version": "1",
        "path": str(user_models / "own"),
        "origin": "user",
        "licence": "Apache-2.0",
        "intended_use": "tests",
        "description": "random weights",
        "variant": "ccella",
        "sequences": ["t2w"],
        "labels": [],
        "native_shape": [16, 16, 8],
        "native_spacing_mm": [1.0, 1.0, 3.0],
        "default_num_inference_steps": 2,
        "default_scheduler": "dpm++",
        "max_report_tokens": 16,
        "reads_report": True,
        "size_bytes": sum(index["size_bytes"].values()),
        "deletable": True,
        "problem": None,
    }


def test_devices_and_schedulers_are_listed(user_models: Path) -> None:
    value = run(describe)
    cpu = value["devices"][-1]
    assert cpu["id"] == "cpu" and cpu["name"].startswith("CPU, ") and cpu["memory_gib"] >= cpu["free_gib"] > 0
    assert value["schedulers"][0] == "dpm++"
    with pytest.raises(ProtocolError, match="parameter model_folders"):
        run(describe, model_folders="/one/folder")


def test_only_what_was_downloaded_is_deleted(tiny_model: Path, user_models: Path, tmp_path: Path) -> None:
    own, kept = copy_of(tiny_model, user_models / "own"), copy_of(tiny_model, user_models / "kept")
    elsewhere = copy_of(tiny_model, tmp_path / "elsewhere")
    (user_models / "link").symlink_to(elsewhere, target_is_directory=True)
    (user_models / "notes").mkdir()
    for path in (elsewhere, user_models / "link", user_models, user_models / "notes", user_models / ".." / "models"):
        with pytest.raises(InputError, match="not a downloaded model"):
            run(delete, path=str(path))
    assert run(delete, path=str(own)) == {}
    assert sorted(path.name for path in user_models.iterdir()) == ["kept", "link", "notes"]
    assert (kept / INDEX_NAME).is_file() and (elsewhere / INDEX_NAME).is_file()
    with pytest.raises(InputError):
        run(delete, path=str(own))


def test_a_disk_that_refuses_leaves_the_model_whole(
    tiny_model: Path, user_models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = copy_of(tiny_model, user_models / "own")

    def refuse(self: Path, target: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(SaveError, match="could not be deleted"):
        run(delete, path=str(own))
    assert (own / INDEX_NAME).is_file()


def test_a_download_is_described(tiny_model: Path, user_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(repository: str, local_dir: Path, **_: Any) -> None:
        shutil.copytree(tiny_model, local_dir, dirs_exist_ok=True)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    value = run(download, name="hf:somebody/prostate")
    assert (value["name"], value["origin"], value["deletable"]) == ("tiny", "user", True)
    assert value["path"] == str(user_models / "somebody--prostate")


def test_a_download_that_fails_or_is_no_name_is_explained(user_models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    with pytest.raises(ModelError, match="no route to host"):
        run(download, name="hf:somebody/prostate")
    with pytest.raises(InputError, match="write hf:owner/name"):
        run(download, name="somebody/prostate")
