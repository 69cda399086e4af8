"""One odd case ends no training: it is left out by name, with the reason, and the command's exit code is 3."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from ccella_core.cases.prepared import PreparedCase, PreparedSet, PrepareSettings, volume_path, write_cases, write_index
from ccella_core.cli import app
from ccella_core.files import sha256_of
from ccella_core.runs.folder import read_run

SHAPE = (8, 8, 8)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Three training cases and two of the validation."""
    folder, cases = tmp_path / "prepared", []
    settings = PrepareSettings(shape=SHAPE, spacing=(1, 1, 1))
    write_index(folder, settings)
    (folder / "volumes").mkdir()
    for number, split in enumerate(("train", "train", "train", "validation", "validation")):
        name = f"case{number}"
        path = folder / volume_path(name, "t2w")
        nib.save(nib.Nifti1Image(np.full(SHAPE, 1000 * number, np.uint16), np.eye(4)), path)
        cases.append(
            PreparedCase(
                id=name,
                patient=name,
                split=split,
                pathology="positive",
                pirads=4,
                report_source="given",
                reports=(f"PI-RADS 4 lesion {number} in the left apex.",),
                fields=None,
                source_spacing_mm=(1, 1, 1),
                source_shape=SHAPE,
                has_regions=False,
                sha256={volume_path(name, "t2w"): sha256_of(path)},
            )
        )
    write_cases(folder, cases)
    return folder


def train(network: str, folder: Path, **settings: object) -> Result:
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"output": str(folder / "run"), **settings}), encoding="utf-8")
    return CliRunner().invoke(app, ["train", network, str(file)])


def autoencoder(prepared: Path) -> Result:
    network = {"latent_channels": 2, "num_channels": [8, 8], "num_res_blocks": [1, 1], "norm_num_groups": 4}
    training = {"network": network, "steps": 2, "batch_size": 2, "crop": [8, 8, 4]}
    return train("autoencoder", prepared.parent, data=str(prepared), autoencoder=training, log_with=[])


@pytest.mark.medium
def test_an_autoencoder_goes_on_without_damaged_volumes(prepared: Path) -> None:
    (prepared / volume_path("case1", "t2w")).write_bytes(b"damaged")
    (prepared / volume_path("case3", "t2w")).unlink()
    ended = autoencoder(prepared)
    assert ended.exit_code == 3 and "Traceback" not in ended.output, ended.output
    assert "Left out: case1: " in ended.stderr and "Left out: case3: " in ended.stderr and "2 left out." in ended.stderr
    data = read_run(prepared.parent / "run")["data"]
    assert data["cases"] == {"train": 2, "validation": 1} and set(data["left_out"]) == {"case1", "case3"}


def test_an_autoencoder_of_no_usable_case_is_refused(prepared: Path) -> None:
    for number in range(3):
        (prepared / volume_path(f"case{number}", "t2w")).write_bytes(b"damaged")
    ended = autoencoder(prepared)
    assert ended.exit_code == 2 and "There are no training cases in" in ended.stderr
    assert "that can be used (" in ended.stderr and not (prepared.parent / "run" / "run.json").exists()


@pytest.mark.medium
@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ("", "The report is empty"),
        ("\x07\x08", "no printable characters"),
        ("x" * 30_000, "30000 characters"),
        ("{\\rtf1 lesion}", "RTF"),
    ],
)
def test_a_text_encoder_goes_on_without_an_odd_report(prepared: Path, report: str, reason: str) -> None:
    cases = list(PreparedSet.open(prepared).cases)
    cases[1] = cases[1].model_copy(update={"reports": (report,)})
    write_cases(prepared, cases)
    encoder = {
        "width": 16,
        "layers": 1,
        "heads": 2,
        "vocabulary": 300,
        "max_tokens": 16,
        "steps": 2,
        "batch_size": 2,
        "learning_rate": 1e-3,
    }
    ended = train("text-encoder", prepared.parent, data=str(prepared), text_encoder=encoder)
    assert ended.exit_code == 3 and "Traceback" not in ended.output, ended.output
    assert "Left out: case1: " in ended.stderr and reason in ended.stderr
    assert read_run(prepared.parent / "run")["data"]["reports"] == 2
