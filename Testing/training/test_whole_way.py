"""From DICOM folders and a table of reports to a volume: the commands, one after the other, at a tiny size."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from typer.testing import CliRunner

from ccella_core.cases.prepared import PreparedSet
from ccella_core.cli import app
from ccella_core.imaging.orientation import RAS_FROM_LPS
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.model import ModelFolder
from ccella_core.models.weights import stored_as_int8
from ccella_core.phantom.patient import draw_patient
from ccella_core.phantom.render import render
from ccella_core.phantom.report import write_report
from ccella_core.runs.folder import read_run
from ccella_core.runs.logging import read_log
from ccella_core.training.data.cached_cases import read_index

pytestmark = pytest.mark.slow

SHAPE, SPACING = (16, 16, 8), (6.0, 6.0, 12.0)
PATIENTS = range(10)
AUTOENCODER = {
    "data": "prepared", "output": "autoencoder", "validate_every": 2,
    "autoencoder": {
        "network": {"latent_channels": 2, "num_channels": [8, 8], "num_res_blocks": [1, 1], "norm_num_groups": 4},
        "steps": 4, "crop": [8, 8, 8], "learning_rate": 1e-3, "checkpoint_every": 2,
    },
}  # fmt: skip
TEXT_ENCODER = {
    "output": "text_encoder", "data": "prepared",
    "text_encoder": {"vocabulary": 300, "width": 16, "layers": 1, "heads": 2, "max_tokens": 24, "steps": 2,
                     "batch_size": 2, "learning_rate": 1e-3},
}  # fmt: skip
DENOISER = {
    "preset": "small-ccella", "name": "tiny", "data": "prepared", "output": "run", "autoencoder": "autoencoder",
    "text_encoder": "text_encoder", "max_tokens": 24,
    "read_first": {"steps": 2, "batch_size": 2, "learning_rate": 1e-3},
    "denoiser": {
        "network": {
            "unet": {"latent_channels": 2, "num_channels": [8, 16], "attention_levels": [False, True],
                     "num_head_channels": [0, 8], "num_res_blocks": 1, "norm_num_groups": 4},
            "adapter": {"text_width": 16, "width": 16, "num_latents": 4, "layers": 2, "heads": 2, "time_channels": 8,
                        "class_hidden": 4},
        },
        "steps": 24, "batch_size": 2, "checkpoint_every": 8, "warmup_steps": 2,
    },
    "logging": {"validate_every": 8, "picture_every": 12, "picture_cases": 2, "picture_steps": 2},
}  # fmt: skip


def write_dicom(folder: Path, voxels: np.ndarray, affine: np.ndarray, description: str) -> None:
    """A series as a scanner writes it: a file a slice, 16-bit whole numbers."""
    folder.mkdir(parents=True)
    image = sitk.GetImageFromArray((voxels.transpose(2, 1, 0) * 1000).round().astype(np.int16))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    direction = RAS_FROM_LPS @ affine[:3, :3] / spacing
    image.SetDirection(direction.ravel().tolist())
    image.SetOrigin((RAS_FROM_LPS @ affine[:3, 3]).tolist())
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    uid = f"1.2.826.0.1.3680043.8.498.{abs(hash(str(folder))) % 10**12}"
    for z in range(image.GetDepth()):
        piece = image[:, :, z]
        position = image.TransformIndexToPhysicalPoint((0, 0, z))
        orientation = [*direction[:, 0], *direction[:, 1]]
        for tag, value in {
            "0008|0060": "MR", "0008|103e": description, "0020|000d": f"{uid}.1", "0020|000e": f"{uid}.2",
            "0008|0018": f"{uid}.3.{z}", "0020|0013": str(z + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": "\\".join(f"{value:.6f}" for value in orientation),
        }.items():  # fmt: skip
            piece.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{z:03d}.dcm"))
        writer.Execute(piece)


def write_archive(folder: Path) -> Path:
    """Examinations as DICOM folders and a table of their reports."""
    lines = []
    for seed in PATIENTS:
        patient = draw_patient(seed, pathology="positive" if seed % 2 else "negative")
        rendering = render(patient, "t2w", shape=SHAPE, spacing=SPACING)
        write_dicom(folder / f"patient{seed}" / "t2", rendering.voxels, rendering.affine, "t2_tse_tra")
        lines.append({
            "case": f"patient{seed}", "t2w": f"patient{seed}/t2", "pirads": patient.findings.pirads,
            "report": write_report(patient.findings, seed=seed) if seed else "",
            "psa_ng_ml": round(patient.findings.psa_ng_ml, 1),
            "split": "validation" if seed in (3, 4) else "test" if seed == 9 else "train",
        })  # fmt: skip
    with (folder / "cases.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    return folder / "cases.csv"


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder in which every command was given once."""
    folder = tmp_path_factory.mktemp("work")
    manifest = write_archive(folder / "archive")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, content in (("autoencoder", AUTOENCODER), ("text_encoder", TEXT_ENCODER), ("denoiser", DENOISER)):
            Path(f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        ccella("prepare", manifest, "--out", "prepared", "--shape", *SHAPE, "--spacing", *SPACING, "--jobs", 1)
        ccella("train", "autoencoder", "autoencoder.yaml")
        ccella("train", "text-encoder", "text_encoder.yaml")
        ccella("train", "denoiser", "denoiser.yaml")
        ccella("models", "export", "run", "--out", "model", "--licence", "CC0-1.0", "--intended-use", "Tests.",
               "--trained-on", "ten phantoms")  # fmt: skip
        ccella(
            "generate", "--model", "model", "--report", "PI-RADS 4 lesion.", "--steps", 2, "--seed", 1, "--out", "out"
        )
    return folder


def ccella(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


def test_every_case_is_prepared_and_its_report_source_known(work):
    prepared = PreparedSet.open(work / "prepared")
    assert {split: len(prepared.split(split)) for split in ("train", "validation", "test")} == {
        "train": 7, "validation": 2, "test": 1,
    }  # fmt: skip
    sources = {case.id: case.report_source for case in prepared.cases}
    assert sources["patient0"] == "written" and sources["patient1"] == "given"
    assert "PSA" in next(case.reports[0] for case in prepared.cases if case.id == "patient0")
    assert (work / "prepared" / "quality.html").stat().st_size > 5000


def test_test_cases_are_never_trained_on(work):
    index = read_index(work / "prepared" / "cache" / "t2w")
    assert {split: sum(shard.rows for shard in shards) for split, shards in index.shards.items()} == {
        "train": 14, "validation": 4,
    }  # fmt: skip


def test_the_run_is_watched(work):
    log = read_log(work / "run")
    steps = [record for record in log if record["kind"] == "step"]
    assert [record["step"] for record in steps] == list(range(1, 25))
    assert {"loss", "loss/denoising", "loss/focal", "learning_rate", "gradient_norm", "accuracy"} <= steps[0].keys()
    looks = [record for record in log if record["kind"] == "validation"]
    assert [record["step"] for record in looks] == [8, 16, 24] and "auroc" in looks[0]
    assert sorted(path.name for path in (work / "run" / "pictures").iterdir()) == [
        "step-00000012.png", "step-00000024.png",
    ]  # fmt: skip
    events = EventAccumulator(str(work / "run" / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= {
        "train/loss/denoising", "train/loss/focal", "train/learning_rate", "train/gradient_norm",
        "validation/loss/denoising", "validation/accuracy", "validation/auroc",
    }  # fmt: skip
    assert [event.step for event in events.Images("SYNTHETIC - not for diagnosis")] == [12, 24]
    assert "AUROC" in (work / "run" / "summary.html").read_text(encoding="utf-8")
    assert read_run(work / "run")["data"]["cases"] == {"train": 14, "validation": 4}
    assert read_run(work / "run")["data"]["positive_means"] == ["pirads"]
    assert read_run(work / "run")["data"]["left_out"] == {}


def test_the_last_checkpoints_and_the_best_are_kept(work):
    names = sorted(path.name for path in (work / "run" / "checkpoints").iterdir())
    assert names == ["best.safetensors", *(f"step-{step:08d}.safetensors" for step in (8, 16, 24))]


def test_the_model_is_whole_and_makes_a_volume(work):
    model = ModelFolder.open(work / "model")
    model.verify()
    assert model.index.licence == "CC0-1.0" and model.index.name == "tiny"
    assert model.index.native_shape == SHAPE and model.index.native_spacing_mm == SPACING
    (image,) = (work / "out").glob("SYNTHETIC*.nii.gz")
    volume = SyntheticVolume.load(image)
    assert volume.voxels.shape == SHAPE and volume.provenance.model_sha256 == model.sha256


def test_the_model_tells_of_its_making(work):
    training = ModelFolder.open(work / "model").index.training
    stages = training["stages"]
    assert training["positive_means"] == ["pirads"]
    assert [stage["stage"] for stage in stages] == ["autoencoder", "text_encoder", "read_first", "denoiser"]
    assert all(stage["seconds"] > 0 for stage in stages)
    autoencoder, text_encoder, read_first, denoiser = (stage["recipe"] for stage in stages)
    assert autoencoder["autoencoder"]["steps"] == 4 and text_encoder["text_encoder"]["vocabulary"] == 300
    assert read_first["steps"] == 2 and denoiser["denoiser"]["steps"] == 24
    assert stages[3]["data"]["cases"] == {"train": 14, "validation": 4} and "torch" in stages[3]["software"]


def test_best_weights_can_be_exported(work, monkeypatch):
    monkeypatch.chdir(work)
    about = ["--licence", "CC0-1.0", "--intended-use", "Tests.", "--trained-on", "ten phantoms"]
    best = ["--weights", "best", "--storage", "int8"]
    printed = ccella("models", "export", "run", "--out", "best", *best, *about, "--json")
    assert json.loads(printed[printed.index("{") :])["name"] == "tiny", "after what the log says"
    assert stored_as_int8(Path("best", "denoiser", "model.safetensors"))
    assert not stored_as_int8(Path("model", "denoiser", "model.safetensors"))
    assert "exists already" in ccella("models", "export", "run", "--out", "best", *about, code=1)
    assert "is not the folder of a training" in ccella("models", "export", "prepared", "--out", "other", *about, code=2)


def test_a_finished_training_is_not_repeated(work, monkeypatch):
    monkeypatch.chdir(work)
    before = {path: path.stat().st_mtime_ns for path in (work / "run" / "checkpoints").iterdir()}
    ccella("train", "denoiser", "denoiser.yaml")
    assert {path: path.stat().st_mtime_ns for path in (work / "run" / "checkpoints").iterdir()} == before


def test_another_configuration_is_refused_by_name(work, monkeypatch):
    monkeypatch.chdir(work)
    said = ccella("train", "denoiser", "denoiser.yaml", "--set", "denoiser.learning_rate=0.5", code=2)
    assert "denoiser.learning_rate was 0.001 and is 0.5" in said and "Traceback" not in said
    said = ccella("train", "denoiser", "denoiser.yaml", "--set", "output=other", "--set", "cache.mirror=false", code=2)
    assert "mirror was True and is False" in said
    ccella("train", "denoiser", "denoiser.yaml", "--set", "logging.validate_every=5")


def test_what_is_missing_is_said(work, monkeypatch):
    monkeypatch.chdir(work)
    assert "holds no prepared cases" in ccella(
        "train", "denoiser", "denoiser.yaml", "--set", "data=nowhere", "--set", "output=o", code=2
    )
    said = ccella("train", "denoiser", "denoiser.yaml", "--set", "autoencoder=nowhere", "--set", "output=o", code=2)
    assert "There is no trained autoencoder in nowhere" in said
    said = ccella("train", "denoiser", "denoiser.yaml", "--set", "text_encoder=nowhere", "--set", "output=o", code=2)
    assert "There is no text encoder in nowhere" in said


def test_a_network_that_expects_nothing_learns_to_and_goes_on(work, monkeypatch):
    monkeypatch.chdir(work)
    content = json.loads(json.dumps(DENOISER))
    content["denoiser"]["network"]["unet"] |= {"kind": "planar", "gaussian": True}
    content["denoiser"] |= {"scheduler": {"prediction_type": "flow"}, "steps": 2}
    Path("planar.yaml").write_text(yaml.safe_dump(content | {"output": "first"}), encoding="utf-8")
    ccella("train", "denoiser", "planar.yaml")
    content["denoiser"]["network"]["unet"]["expected"] = True
    content |= {
        "output": "second",
        "start_from": "first",
        "expect_first": {"steps": 2, "batch_size": 2, "learning_rate": 1e-3},
    }
    Path("expects.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    said = ccella("train", "denoiser", "expects.yaml", "--set", "expect_first=null", code=2)
    assert "first holds a network that expects nothing; have expect_first teach it" in said
    ccella("train", "denoiser", "expects.yaml")
    about = ["--licence", "CC0-1.0", "--intended-use", "Tests.", "--trained-on", "ten phantoms"]
    ccella("models", "export", "second", "--out", "expecting", *about)
    stages = ModelFolder.open(Path("expecting")).index.training["stages"]
    names = [(stage["stage"], stage.get("run")) for stage in stages[2:]]
    assert names[:2] == [("read_first", None), ("denoiser", "first")]
    assert names[2:] == [("read_first", None), ("expect_first", None), ("denoiser", "second")]
    ccella("generate", "--model", "expecting", "--report", "PI-RADS 4 lesion.", "--steps", 2, "--out", "out2")
