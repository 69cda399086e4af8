"""A model on disk: what is written is what is read, and everything else is refused in one sentence."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from ccella_core.errors import BundleError, Cancelled, InputError, SaveError
from ccella_core.models.model import Bundle, BundleIndex, write_bundle

WEIGHTS = b"\x02\x00\x00\x00\x00\x00\x00\x00{}" + b"\x01" * 5000  # an empty safetensors header, then bytes to count


def make_index(**changes: object) -> BundleIndex:
    fields: dict[str, object] = {
        "name": "tiny",
        "version": "1.0",
        "licence": "Apache-2.0",
        "intended_use": "tests",
        "description": "A bundle that generates nothing.",
        "variant": "ccella",
        "sequences": ["t2w", "adc"],
        "native_shape": [32, 48, 16],
        "native_spacing_mm": [0.5, 0.5, 3.0],
        "intensity_range": {"t2w": [0, 1000], "adc": [0, 3000]},
        "latent_scale_factor": 1.25,
        "max_report_tokens": 64,
        "default_solver": "unipc",
        "default_steps": 20,
        "trained_on": "nothing",
        "training": {"seed": 0},
        "components": {"denoiser": "ConditionalDenoiser", "scheduler": "DDPMScheduler"},
    }
    return BundleIndex.model_validate({**fields, **changes})


def write_denoiser(folder: Path) -> None:
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(WEIGHTS)


def write_scheduler(folder: Path) -> None:
    (folder / "config.json").write_text('{"steps": 1000}', encoding="utf-8")


COMPONENTS = {"denoiser": write_denoiser, "scheduler": write_scheduler}


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_bundle(tmp_path / "tiny", make_index(), COMPONENTS)


def edit_index(bundle: Bundle, **changes: object) -> None:
    file = bundle.path / "model_index.json"
    content = {**json.loads(file.read_text(encoding="utf-8")), **changes}
    file.write_text(json.dumps(content), encoding="utf-8")


def test_written_bundle_opens_and_verifies(bundle: Bundle) -> None:
    opened = Bundle.open(bundle.path)
    assert opened == bundle
    opened.verify()
    assert set(opened.index.sha256) == {"denoiser/config.json", "denoiser/model.safetensors", "scheduler/config.json"}
    assert opened.index.sha256["denoiser/model.safetensors"] == hashlib.sha256(WEIGHTS).hexdigest()
    assert opened.index.size_bytes["denoiser/model.safetensors"] == len(WEIGHTS)
    assert opened.component_path("denoiser") == bundle.path / "denoiser"
    assert [path.name for path in bundle.path.parent.iterdir()] == ["tiny"]


def test_verify_reports_progress_up_to_the_total(bundle: Bundle) -> None:
    steps: list[tuple[int, int]] = []
    bundle.verify(lambda done, total: steps.append((done, total)))
    total = len(WEIGHTS) + 2 + len('{"steps": 1000}')
    assert steps[-1] == (total, total)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_verify_can_be_cancelled_by_its_progress(bundle: Bundle) -> None:
    def stop(_done: int, _total: int) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        bundle.verify(stop)


def test_describe_is_json_with_sizes(bundle: Bundle) -> None:
    told = json.loads(json.dumps(bundle.describe()))
    assert told["native_shape"] == [32, 48, 16]
    assert told["native_size_mm"] == [16.0, 24.0, 48.0]
    assert told["file_size_bytes"] == len(WEIGHTS) + 2 + len('{"steps": 1000}')
    assert told["sha256"] == bundle.sha256
    assert (told["name"], told["licence"], told["intended_use"]) == ("tiny", "Apache-2.0", "tests")


def test_hash_names_the_model_wherever_it_lies(bundle: Bundle, tmp_path: Path) -> None:
    same = write_bundle(tmp_path / "elsewhere", make_index(measured={"fid": 3.0}), COMPONENTS)
    assert same.sha256 == bundle.sha256
    assert len(bundle.sha256) == 64
    other = write_bundle(tmp_path / "other", make_index(latent_scale_factor=1.26), COMPONENTS)
    assert other.sha256 != bundle.sha256
    weights = {**COMPONENTS, "scheduler": lambda folder: (folder / "config.json").write_text('{"steps": 1001}')}
    assert write_bundle(tmp_path / "third", make_index(), weights).sha256 != bundle.sha256


def test_verify_names_a_missing_file(bundle: Bundle) -> None:
    (bundle.path / "denoiser" / "model.safetensors").unlink()
    with pytest.raises(BundleError, match=r"model\.safetensors is missing"):
        bundle.verify()


def test_verify_names_a_missing_component(bundle: Bundle) -> None:
    (bundle.path / "scheduler" / "config.json").unlink()
    (bundle.path / "scheduler").rmdir()
    with pytest.raises(BundleError, match="not whole: its folder scheduler is missing"):
        bundle.verify()
    with pytest.raises(BundleError, match="no component 'autoencoder'; it has denoiser, scheduler"):
        bundle.component_path("autoencoder")


@pytest.mark.parametrize("kept", [0, 4, 100])
def test_verify_names_a_truncated_file(bundle: Bundle, kept: int) -> None:
    os.truncate(bundle.path / "denoiser" / "model.safetensors", kept)
    with pytest.raises(BundleError, match=rf"model\.safetensors is truncated \({kept} of 5010 bytes\)"):
        bundle.verify()


@pytest.mark.parametrize("content", [WEIGHTS[:-1] + b"\x02", WEIGHTS + b"\x01"])
def test_verify_names_an_altered_file(bundle: Bundle, content: bytes) -> None:
    (bundle.path / "denoiser" / "model.safetensors").write_bytes(content)
    with pytest.raises(BundleError, match=r"model\.safetensors was altered"):
        bundle.verify()


def test_verify_recognises_a_pickle_in_place_of_the_weights(bundle: Bundle) -> None:
    (bundle.path / "denoiser" / "model.safetensors").write_bytes(b"\x80\x04\x95" + b"\xff" * 6000)
    with pytest.raises(BundleError, match=r"is not safetensors \(looks like a pickle\)"):
        bundle.verify()


@pytest.mark.parametrize("name", ["denoiser/pytorch_model.bin", "extra.PT", "scheduler/a.npy", "deep/er/x.ckpt"])
def test_verify_refuses_pickles_anywhere(bundle: Bundle, name: str) -> None:
    (bundle.path / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle.path / name).write_bytes(b"")
    with pytest.raises(BundleError, match="may hold a pickle"):
        bundle.verify()


def test_verify_refuses_an_unlisted_file_in_a_component(bundle: Bundle) -> None:
    (bundle.path / "README.md").write_text("welcome", encoding="utf-8")
    (bundle.path / "denoiser" / ".DS_Store").write_bytes(b"")
    bundle.verify()
    (bundle.path / "denoiser" / "other.safetensors").write_bytes(WEIGHTS)
    with pytest.raises(BundleError, match=r"other\.safetensors is not listed"):
        bundle.verify()


def test_open_explains_a_newer_format_before_its_unknown_fields(bundle: Bundle) -> None:
    edit_index(bundle, format_version=2, something_new=1)
    with pytest.raises(BundleError, match=r"made by a newer version .*update ccella-core"):
        Bundle.open(bundle.path)


def test_open_refuses_what_is_not_a_bundle(tmp_path: Path, bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="There is no folder"):
        Bundle.open(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=r"model_index\.json is missing"):
        Bundle.open(tmp_path / "empty")
    edit_index(bundle, format=None)
    with pytest.raises(BundleError, match="does not describe a CCELLA bundle"):
        Bundle.open(bundle.path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 200_000, b'"text"'])
def test_open_refuses_an_index_that_is_no_json_object(bundle: Bundle, content: bytes) -> None:
    (bundle.path / "model_index.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"model_index\.json (is not JSON|holds no JSON object)"):
        Bundle.open(bundle.path)


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
def test_open_names_the_field_that_does_not_fit(bundle: Bundle, changes: dict[str, object], told: str) -> None:
    edit_index(bundle, **changes)
    with pytest.raises(BundleError, match=told):
        Bundle.open(bundle.path)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "a//b", "C:/x", "a\\..\\x", "", "./x"])
def test_open_refuses_paths_that_lead_out(bundle: Bundle, name: str) -> None:
    edit_index(bundle, sha256={name: "0" * 64}, size_bytes={name: 0})
    with pytest.raises(BundleError, match="leads out of the bundle"):
        Bundle.open(bundle.path)


def test_write_refuses_an_existing_folder_unless_told(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="exists already"):
        write_bundle(bundle.path, make_index(version="2.0"), COMPONENTS)
    assert write_bundle(bundle.path, make_index(version="2.0"), COMPONENTS, overwrite=True).index.version == "2.0"
    assert Bundle.open(bundle.path).index.version == "2.0"
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]

    mine = tmp_path / "thesis"
    mine.mkdir()
    with pytest.raises(SaveError, match="is not a bundle, so it is not overwritten"):
        write_bundle(mine, make_index(), COMPONENTS, overwrite=True)
    assert mine.is_dir()


def test_write_leaves_nothing_when_a_component_fails(bundle: Bundle, tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half", encoding="utf-8")
        raise OSError("disk full")

    with pytest.raises(SaveError, match="disk full"):
        write_bundle(bundle.path, make_index(), {**COMPONENTS, "scheduler": fail}, overwrite=True)
    with pytest.raises(BundleError, match="may hold a pickle"):
        write_bundle(
            tmp_path / "new", make_index(), {**COMPONENTS, "scheduler": lambda f: (f / "a.pt").write_bytes(b"")}
        )
    bundle.verify()
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_write_wants_exactly_the_components_of_the_index(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\['denoiser', 'scheduler'\].*\['denoiser'\]"):
        write_bundle(tmp_path / "tiny", make_index(), {"denoiser": write_denoiser})
