"""How a name becomes a model, and that nothing is downloaded unasked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import platformdirs
import pytest

import ccella_core
from ccella_core.errors import ModelError
from ccella_core.models.model import ModelFolder, ModelIndex, write_model
from ccella_core.models.search import BrokenModel, default_search_paths, find_models, resolve_model


def write_scheduler(folder: Path) -> None:
    (folder / "config.json").write_text("{}", encoding="utf-8")


def make_model(path: Path, name: str = "prostate-demo") -> ModelFolder:
    index = ModelIndex(
        name=name,
        version="1.0",
        licence="Apache-2.0",
        intended_use="tests",
        description="",
        variant="maisi",
        sequences=["t2w"],
        native_shape=(8, 8, 8),
        native_spacing_mm=(1.0, 1.0, 1.0),
        intensity_range={"t2w": (0.0, 1.0)},
        latent_scale_factor=1.0,
        max_report_tokens=8,
        default_scheduler="unipc",
        default_num_inference_steps=2,
        trained_on="nothing",
        training={},
        components={"scheduler": "DDPMScheduler"},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_model(path, index, {"scheduler": write_scheduler})


@pytest.fixture
def user_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(platformdirs, "user_data_path", lambda *_, **__: tmp_path / "user")
    return tmp_path / "user" / "models"


def test_search_order(user_dir: Path, tmp_path: Path) -> None:
    shipped = Path(ccella_core.__file__).resolve().parent.parent / "Resources" / "Models"
    assert default_search_paths({}) == [user_dir, shipped]
    assert default_search_paths({"CCELLA_HOME": str(tmp_path)}) == [tmp_path / "models", user_dir, shipped]


def test_find_lists_broken_models_beside_whole_ones(tmp_path: Path) -> None:
    whole = make_model(tmp_path / "b-whole")
    newer = make_model(tmp_path / "c-newer").path / "model_index.json"
    newer.write_text(json.dumps({"format": "ccella-model", "format_version": 9}), encoding="utf-8")
    (make_model(tmp_path / "a-garbled").path / "model_index.json").write_bytes(b"\x00\xff")
    (make_model(tmp_path / "d-no-index").path / "model_index.json").unlink()
    (tmp_path / "unrelated").mkdir()
    make_model(tmp_path / ".hidden")
    (tmp_path / "file.txt").write_text("x", encoding="utf-8")

    garbled, found, from_future, no_index = find_models([tmp_path / "nowhere", tmp_path, tmp_path / "file.txt"])
    assert found == whole
    assert isinstance(garbled, BrokenModel) and "is not JSON" in garbled.reason
    assert isinstance(from_future, BrokenModel) and "newer version" in from_future.reason
    assert isinstance(no_index, BrokenModel) and "is missing" in no_index.reason


def test_resolve_takes_paths_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(tmp_path / "one" / "folder-name")
    make_model(tmp_path / "two" / "other")
    paths = [tmp_path / "one", tmp_path / "two"]
    assert resolve_model(model.path) == model
    assert resolve_model(str(model.path), search_paths=[]) == model
    assert resolve_model("prostate-demo", search_paths=paths) == model  # both have that name: the first wins
    assert resolve_model("folder-name", search_paths=paths) == model
    assert resolve_model("other", search_paths=paths).path == tmp_path / "two" / "other"
    monkeypatch.chdir(tmp_path / "one")
    assert resolve_model("folder-name", search_paths=[]).index == model.index
    with pytest.raises(ModelError, match="There is no folder"):
        resolve_model(str(tmp_path / "nowhere"))


def test_resolve_explains_an_unknown_name(tmp_path: Path) -> None:
    make_model(tmp_path / "prostate-demo")
    with pytest.raises(ModelError) as caught:
        resolve_model("prostate-dmeo", search_paths=[tmp_path])
    text = str(caught.value)
    assert "no model named 'prostate-dmeo'. Did you mean prostate-demo? Found: prostate-demo;" in text
    assert str(tmp_path) in text
    with pytest.raises(ModelError, match="Found: none; looked in no folder"):
        resolve_model("x", search_paths=[])


def test_resolve_gives_the_reason_of_a_broken_model(tmp_path: Path) -> None:
    (make_model(tmp_path / "mine").path / "model_index.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="is not JSON"):
        resolve_model("mine", search_paths=[tmp_path])


def fake_download(monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], object]) -> list[str]:
    asked: list[str] = []

    def snapshot_download(repo_id: str, *, local_dir: Path, ignore_patterns: list[str]) -> str:
        assert "*.bin" in ignore_patterns
        asked.append(repo_id)
        write(local_dir)
        return str(local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def download_whole(folder: Path) -> None:
    source = make_model(folder.parent / "source", name="from-hub")
    for file in source.path.rglob("*"):
        target = folder / file.relative_to(source.path)
        if file.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    (folder / ".cache").mkdir()


def test_hub_is_asked_only_when_allowed_and_only_once(user_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_download(monkeypatch, download_whole)
    with pytest.raises(ModelError, match=r"download it with `ccella .*hf:someone/model`"):
        resolve_model("hf:someone/model")
    assert asked == []
    model = resolve_model("hf:someone/model", allow_download=True)
    assert model.path == user_dir / "someone--model"
    assert sorted(path.name for path in model.path.iterdir()) == ["model_index.json", "scheduler"]
    model.verify()
    assert resolve_model("hf:someone/model") == model
    assert asked == ["someone/model"]


def test_a_download_that_is_no_model_is_removed(user_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def altered(folder: Path) -> None:
        download_whole(folder)
        (folder / "scheduler" / "config.json").write_text("[]", encoding="utf-8")

    fake_download(monkeypatch, altered)
    with pytest.raises(ModelError, match=r"no usable model, so it was removed: .*altered"):
        resolve_model("hf:someone/model", allow_download=True)
    assert [path.name for path in user_dir.iterdir()] == ["source"]


def test_a_failed_connection_is_one_sentence(user_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(folder: Path) -> None:
        raise ConnectionError("no route to host")

    fake_download(monkeypatch, fail)
    with pytest.raises(ModelError, match=r"could not be downloaded \(no route to host\)"):
        resolve_model("hf:someone/model", allow_download=True)
    assert not (user_dir / "someone--model").exists()


@pytest.mark.parametrize("reference", ["hf:", "hf:model", "hf:a/b/c", "hf:../x", "hf:a/..", "hf:a b/c"])
def test_a_reference_must_name_a_repository(reference: str) -> None:
    with pytest.raises(ModelError, match="write hf:owner/name"):
        resolve_model(reference, allow_download=True)
