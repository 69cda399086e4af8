"""``ccella generate --image``: a real scan edited from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from ccella_core.cli import app

pytestmark = pytest.mark.medium
POINT, RADIUS = "-2,3,4.5", 6


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    affine = np.diag([0.8, 0.8, 3.0, 1.0])
    affine[:3, 3] = -12, -10, -14
    voxels = np.random.default_rng(0).gamma(2.0, 200.0, (30, 26, 10)).astype(np.int16)
    nib.Nifti1Image(voxels, affine).to_filename(tmp_path / "a=b.nii.gz")
    return tmp_path / "a=b.nii.gz"


def edit(model: Path, out: Path, *arguments: object) -> Result:
    more = ["--model", model, "--out", out, "--device", "cpu", "--report", "PI-RADS 4.", "--seed", 7, *arguments]
    return CliRunner().invoke(app, ["generate", *map(str, more)])


def test_a_lesion_at_a_point(tiny_model: Path, scan: Path, tmp_path: Path) -> None:
    result = edit(tiny_model, tmp_path / "out", "--image", scan, "--around", POINT, "--radius", RADIUS, "--json")
    assert result.exit_code == 0, result.output
    (entry,) = json.loads(result.stdout)["volumes"]
    provenance = json.loads(Path(entry["sidecar"]).read_text(encoding="utf-8"))["provenance"]
    assert Path(entry["volume"]).name == f"SYNTHETIC_EDITED_FROM_{provenance['source_sha256'][:8]}_tiny_seed7.nii.gz"
    edited, own = (nib.Nifti1Image.from_filename(path) for path in (entry["volume"], scan))
    np.testing.assert_allclose(edited.affine, own.affine, atol=1e-5)
    changed = np.argwhere(np.asarray(edited.dataobj) != np.asarray(own.dataobj))
    places = changed @ own.affine[:3, :3] + own.affine[:3, 3]
    assert len(changed) > 100 and np.linalg.norm(places - [-2, 3, 4.5], axis=1).max() <= RADIUS
    assert edited.header["descrip"].item().decode().startswith("SYNTHETIC (EDITED FROM ")


def test_a_mask_and_a_strength(tiny_model: Path, scan: Path, tmp_path: Path) -> None:
    own = nib.Nifti1Image.from_filename(scan)
    mask = np.zeros(own.shape, np.uint8)
    mask[10:18, 8:16, 3:7] = 1
    nib.Nifti1Image(mask, own.affine).to_filename(tmp_path / "mask.nii.gz")
    named = f"t2w={scan}"
    result = edit(tiny_model, tmp_path, "--image", named, "--mask", tmp_path / "mask.nii.gz", "--strength", 0.5)
    assert result.exit_code == 0, result.output
    (path,) = tmp_path.glob("SYNTHETIC_EDITED*.nii.gz")
    changed = np.asarray(nib.Nifti1Image.from_filename(path).dataobj) != np.asarray(own.dataobj)
    assert not changed[mask == 0].any() and changed[mask == 1].mean() > 0.5
    again = edit(tiny_model, tmp_path, "--image", named, "--strength", 0.5)
    assert again.exit_code == 2 and "exists already" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--around", POINT], "--mask, --around and --radius say where an --image may change"),
        (["--strength", 0.5], "give a scan, or leave it out"),
        (["--image", "SCAN", "--around", POINT], "--around and --radius belong together"),
        (["--image", "SCAN", "--around", "1,2", "--radius", 5], "three numbers in mm with commas"),
        (["--image", "SCAN", "--around", "900,0,0", "--radius", 5], "lies outside the scan"),
        (["--image", "SCAN", "--around", POINT, "--radius", 5, "--mask", "SCAN"], "either --mask or --around"),
        (["--image", "SCAN", "--image", "SCAN"], "several images of one sequence"),
        (["--image", "adc=SCAN"], "The model draws t2w, not adc"),
        (["--image", "SCAN", "--place-on", "SCAN"], "leave --place-on out"),
        (["--image", "nothing.nii"], "There is no scan nothing.nii"),
        (["--image", "SCAN", "--strength", 2], "above 0 and up to 1"),
    ],
)
def test_mistakes_end_with_a_sentence_and_nothing_written(
    tiny_model: Path, scan: Path, tmp_path: Path, arguments: list[object], sentence: str
) -> None:
    result = edit(tiny_model, tmp_path / "out", *[str(each).replace("SCAN", str(scan)) for each in arguments])
    assert result.exit_code == 2 and sentence in " ".join(result.stderr.split()), result.output
    assert not list((tmp_path / "out").rglob("*"))
