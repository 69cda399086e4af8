"""A model on disk: what is written is what is read, and everything else is refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from ccella_core.errors import Cancelled, InputError, ModelError, SaveError
from ccella_core.models.model import FORMAT_VERSION, ModelFolder, ModelIndex, write_model

WEIGHTS = b"\x02\x00\x00\x00\x00\x00\x00\x00{}" + b"\x01" * 5000  # an empty safetensors header, then bytes to count


def make_index(**changes: object) -> ModelIndex:
    fields: dict[str, object] = {
        "name": "tiny",
        "version": "1.0",
        "licence": "Apache-2.0",
        "intended_use": "tests",
        "description": "A model that generates nothing.",
        "variant": "ccella",
        "sequences": ["t2w", "adc"],
        "native_shape": [32, 48, 16],
        "native_spacing_mm": [0.5, 0.5, 3.0],
        "intensity_range": {"t2w": [0, 1000], "adc": [0, 3000]},
        "latent_scale_factor": 1.25,
        "max_report_tokens": 64,
        "default_scheduler": "unipc",
        "default_num_inference_steps": 20,
        "trained_on": "nothing",
        "training": {"seed": 0},
        "components": {"denoiser": "ConditionalDenoiser", "scheduler": "DDPMScheduler"},
    }
    return ModelIndex.model_validate({**fields, **changes})


def write_denoiser(folder: Path) -> None:
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(WEIGHTS)


def write_scheduler(folder: Path) -> None:
    (folder / "config.json").write_text('{"steps": 1000}', encoding="utf-8")


COMPONENTS = {"denoiser": write_denoiser, "scheduler": write_scheduler}


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    return write_model(tmp_path / "tiny", make_index(), COMPONENTS)


@pytest.mark.skipif(os.name != "posix", reason="modes are of Unix")
def test_a_model_can_be_read_by_colleagues(tmp_path: Path) -> None:
    def for_the_owner_alone(folder: Path) -> None:
        write_denoiser(folder)
        (folder / "model.safetensors").chmod(0o600)

    model = write_model(tmp_path / "tiny", make_index(), {**COMPONENTS, "denoiser": for_the_owner_alone})
    modes = {file.stat().st_mode for file in model.path.rglob("*") if file.is_file()}
    assert len(modes) == 1


def edit_index(model: ModelFolder, **changes: object) -> None:
    file = model.path / "model_index.json"
    content = {**json.loads(file.read_text(encoding="utf-8")), **changes}
    file.write_text(json.dumps(content), encoding="utf-8")


def test_written_model_opens_and_verifies(model: ModelFolder) -> None:
    opened = ModelFolder.open(model.path)
    assert opened == model
    opened.verify()
    assert set(opened.index.sha256) == {"denoiser/config.json", "denoiser/model.safetensors", "scheduler/config.json"}
    assert opened.index.sha256["denoiser/model.safetensors"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert opened.index.size_bytes["denoiser/model.safetensors"] == len(WEIGHTS)
    assert opened.component_path("denoiser") == model.path / "denoiser"
    assert [path.name for path in model.path.parent.iterdir()] == ["tiny"]


def test_verify_reports_progress_up_to_the_total(model: ModelFolder) -> None:
    steps: list[tuple[int, int]] = []
    model.verify(lambda done, total: steps.append((done, total)))
    total = len(WEIGHTS) + 2 + len('{"steps": 1000}')
    assert steps[-1] == (total, total)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_verify_can_be_cancelled_by_its_progress(model: ModelFolder) -> None:
    def stop(_done: int, _total: int) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        model.verify(stop)


def test_describe_is_json_with_sizes(model: ModelFolder) -> None:
    told = json.loads(json.dumps(model.describe()))
    assert told["native_shape"] == [32, 48, 16]
    assert told["native_size_mm"] == [16.0, 24.0, 48.0]
    assert told["file_size_bytes"] == len(WEIGHTS) + 2 + len('{"steps": 1000}')
    assert told["sha256"] == model.sha256
    assert (told["name"], told["licence"], told["intended_use"]) == ("tiny", "Apache-2.0", "tests")


def test_hash_names_the_model_wherever_it_lies(model: ModelFolder, tmp_path: Path) -> None:
    same = write_model(tmp_path / "elsewhere", make_index(measured={"fid": 3.0}), COMPONENTS)
    assert same.sha256 == model.sha256
    assert len(model.sha256) == 64
    other = write_model(tmp_path / "other", make_index(latent_scale_factor=1.26), COMPONENTS)
    assert other.sha256 != model.sha256
    weights = {**COMPONENTS, "scheduler": lambda folder: (folder / "config.json").write_text('{"steps": 1001}')}
    assert write_model(tmp_path / "third", make_index(), weights).sha256 != model.sha256


def test_verify_names_a_missing_file(model: ModelFolder) -> None:
    (model.path / "denoiser" / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        model.verify()


def test_verify_names_a_missing_component(model: ModelFolder) -> None:
    (model.path / "scheduler" / "config.json").unlink()
    (model.path / "scheduler").rmdir()
    with pytest.raises(ModelError, match="not whole: its folder scheduler is missing"):
        model.verify()
    with pytest.raises(ModelError, match="no component 'autoencoder'; it has denoiser, scheduler"):
        model.component_path("autoencoder")


@pytest.mark.parametrize("kept", [0, 4, 100])
def test_verify_names_a_truncated_file(model: ModelFolder, kept: int) -> None:
    os.truncate(model.path / "denoiser" / "model.safetensors", kept)
    with pytest.raises(ModelError, match=rf"model\.safetensors is truncated \({kept} of 5010 bytes\)"):
        model.verify()


@pytest.mark.parametrize("content", [WEIGHTS[:-1] + b"\x02", WEIGHTS + b"\x01"])
def test_verify_names_an_altered_file(model: ModelFolder, content: bytes) -> None:
    (model.path / "denoiser" / "model.safetensors").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors was altered"):
        model.verify()


def test_verify_recognises_a_pickle_in_place_of_the_weights(model: ModelFolder) -> None:
    (model.path / "denoiser" / "model.safetensors").write_bytes(b"\x80\x04\x95" + b"\xff" * 6000)
    with pytest.raises(ModelError, match=r"is not safetensors \(looks like a pickle\)"):
        model.verify()


@pytest.mark.parametrize("name", ["denoiser/pytorch_model.bin", "extra.PT", "scheduler/a.npy", "deep/er/x.ckpt"])
def test_verify_refuses_pickles_anywhere(model: ModelFolder, name: str) -> None:
    (model.path / name).parent.mkdir(parents=True, exist_ok=True)
    (model.path / name).write_bytes(b"")
    with pytest.raises(ModelError, match="may hold a pickle"):
        model.verify()


def test_verify_refuses_an_unlisted_file_in_a_component(model: ModelFolder) -> None:
    (model.path / "README.md").write_text("welcome", encoding="utf-8")
    (model.path / "denoiser" / ".DS_Store").write_bytes(b"")
    model.verify()
    (model.path / "denoiser" / "other.safetensors").write_bytes(WEIGHTS)
    with pytest.raises(ModelError, match=r"other\.safetensors is not listed"):
        model.verify()


def test_open_explains_a_newer_format_before_its_unknown_fields(model: ModelFolder) -> None:
    edit_index(model, format_version=FORMAT_VERSION + 1, something_new=1)
    with pytest.raises(ModelError, match=r"made by a newer version .*update ccella-core"):
        ModelFolder.open(model.path)


def test_open_refuses_what_is_not_a_model(tmp_path: Path, model: ModelFolder) -> None:
    with pytest.raises(ModelError, match="There is no folder"):
        ModelFolder.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"model_index\.json is missing"):
        ModelFolder.open(tmp_path / "empty")
    edit_index(model, format=None)
    with pytest.raises(ModelError, match="does not describe a CCELLA model"):
        ModelFolder.open(model.path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b'"text"'])
def test_open_refuses_an_index_that_is_no_json_object(model: ModelFolder, content: bytes) -> None:
    (model.path / "model_index.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"model_index\.json (is not JSON|holds no JSON object)"):
        ModelFolder.open(model.path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"colour": "red"}, "colour"),
        ({"name": "../x"}, "name"),
        ({"components": {"../x": "Y"}}, "components"),
        ({"native_shape": [0, 1, 1]}, "native_shape"),
        ({"latent_scale_factor": float("nan")}, "latent_scale_factor"),
        ({"sequences": ["t1w"]}, "sequences"),
        ({"sequences": ["t2w"]}, "intensity_range must name exactly the sequences"),
        ({"intensity_range": {"t2w": [1, 1], "adc": [0, 1]}}, "from low to high"),
        ({"size_bytes": {}}, "must name the same files"),
        ({"format_version": "one"}, "format_version"),
    ],
)
def test_open_names_the_field_that_does_not_fit(model: ModelFolder, changes: dict[str, object], told: str) -> None:
    edit_index(model, **changes)
    with pytest.raises(ModelError, match=told):
        ModelFolder.open(model.path)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a//b", "C:/x", "a\\..\\x", "", "./x"])
def test_open_refuses_paths_that_lead_out(model: ModelFolder, name: str) -> None:
    edit_index(model, sha256={name: "0" * 64}, size_bytes={name: 0})
    with pytest.raises(ModelError, match="leads out of the model"):
        ModelFolder.open(model.path)


def test_write_refuses_an_existing_folder_unless_told(model: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="exists already"):
        write_model(model.path, make_index(version="2.0"), COMPONENTS)
    assert write_model(model.path, make_index(version="2.0"), COMPONENTS, overwrite=True).index.version == "2.0"
    assert ModelFolder.open(model.path).index.version == "2.0"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]

    mine = tmp_path / "thesis"
    mine.mkdir()
    with pytest.raises(SaveError, match="is not a model, so it is not overwritten"):
        write_model(mine, make_index(), COMPONENTS, overwrite=True)
    assert mine.is_dir()


def test_write_leaves_nothing_when_a_component_fails(model: ModelFolder, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half", encoding="utf-8")
        raise OSError("disk full")

    with pytest.raises(SaveError, match="disk full"):
        write_model(model.path, make_index(), {**COMPONENTS, "scheduler": fail}, overwrite=True)
    with pytest.raises(ModelError, match="may hold a pickle"):
        write_model(
            tmp_path / "new", make_index(), {**COMPONENTS, "scheduler": lambda f: (f / "a.pt").write_bytes(b"")}
        )
    model.verify()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_write_wants_exactly_the_components_of_the_index(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\['denoiser', 'scheduler'\].*\['denoiser'\]"):
        write_model(tmp_path / "tiny", make_index(), {"denoiser": write_denoiser})
