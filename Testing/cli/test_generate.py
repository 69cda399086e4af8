"""``ccella generate``: what it writes and prints, and what it refuses before anything is made."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from ccella_command import STEM, ccella, generate

from ccella_core.cli.generate import _report_text
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.volume import SyntheticVolume


@pytest.mark.medium
def test_generate_writes_volume_sidecar_and_picture(tiny_model: Path, tmp_path: Path) -> None:
    result = generate(tiny_model, tmp_path / "new", "--seed", 7, "--pathology", "0.7", "--count", 2)
    assert result.exit_code == 0, result.output
    assert {file.name for file in (tmp_path / "new").iterdir()} == {
        f"SYNTHETIC_tiny_seed{seed}{suffix}" for seed in (7, 8) for suffix in (".nii.gz", ".json", ".png")
    }
    volume = SyntheticVolume.load(tmp_path / "new" / f"{STEM}.nii.gz")
    assert volume.provenance.pathology_requested == 0.7
    assert str(tmp_path / "new" / f"{STEM}.nii.gz") in result.stdout
    assert str(tmp_path / "new" / f"{STEM}.png") in result.stdout
    assert "reads the report as 56% positive" in result.stdout
    assert "2 synthetic volumes" in result.stdout
    assert "Denoising 2/2" in result.stderr and "Denoising" not in result.stdout


def test_generate_writes_the_requested_output_range(tiny_model: Path, tmp_path: Path) -> None:
    result = generate(tiny_model, tmp_path, "--seed", 7, "--output-range", "0-1", "--no-picture")
    assert result.exit_code == 0, result.output
    assert SyntheticVolume.load(tmp_path / f"{STEM}.nii.gz").provenance.output_range == "0-1"
    refused = generate(tiny_model, tmp_path, "--seed", 8, "--output-range", "int16")
    assert refused.exit_code == 2 and "which int16 cannot hold" in refused.stderr


@pytest.mark.medium
def test_generate_prints_one_json_object(tiny_model: Path, tmp_path: Path) -> None:
    result = generate(tiny_model, tmp_path, "--seed", 7, "--json", "--no-picture", "--pathology", "negative")
    printed = json.loads(result.stdout)
    (volume,) = printed["volumes"]
    assert Path(volume["volume"]).is_file() and Path(volume["sidecar"]).is_file() and volume["picture"] is None
    assert volume["seed"] == 7 and volume["positive_probability"] == pytest.approx(0.5593, abs=1e-3)
    assert len(volume["warnings"]) == 1 and printed["model"] == "tiny"


@pytest.mark.medium
def test_generate_takes_shape_format_report_file_and_place(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "report.txt").write_bytes("\ufeffThe prostate is enlarged.".encode())
    scan = sitk.Image(10, 10, 10, sitk.sitkFloat32)
    scan.SetOrigin((100, 0, 0))
    sitk.WriteImage(scan, str(tmp_path / "scan.nii"))
    options = ["--shape", 8, 16, 8, "--spacing", 1, 2, 3, "--format", "nrrd", "--place-on", tmp_path / "scan.nii"]
    files = ["--report-file", tmp_path / "report.txt", "--out", tmp_path]
    scheduler = ["--steps", 1, "--scheduler", "ddim", "--seed", 7, "--device", "cpu"]
    result = ccella("generate", "--model", tiny_model, *files, *options, *scheduler)
    assert result.exit_code == 0, result.output
    volume = SyntheticVolume.load(tmp_path / f"{STEM}.nrrd")
    assert volume.voxels.shape == (8, 16, 8) and volume.provenance.report == "The prostate is enlarged."
    assert (volume.provenance.scheduler, volume.provenance.num_inference_steps) == ("ddim", 1)
    np.testing.assert_allclose(sorted(volume.spacing), [1, 2, 3])
    assert volume.affine[0, 3] < -90  # the scan lies 100 mm to the left


@pytest.mark.medium
def test_generate_refuses_a_taken_name_before_it_generates(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / f"{STEM}.nii.gz").write_bytes(b"precious")
    result = generate(tiny_model, tmp_path, "--seed", 7)
    assert result.exit_code == 2 and "exists already" in result.stderr and "Denoising" not in result.stderr
    assert generate(tiny_model, tmp_path, "--seed", 7, "--overwrite").exit_code == 0


@pytest.mark.medium
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--pathology", "maybe"], "'negative', 'positive' or a probability"),
        (["--steps", "0"], "from 1 to 1000"),
        (["--count", "-1"], "from 1 to 64"),
        (["--seed", "-1"], "A seed is a whole number"),
        (["--scheduler", "magic"], "no scheduler 'magic'"),
        (["--shape", "16", "17", "8"], "nearest: 16 or 24"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["--report-file", "nowhere.txt"], "not both"),
        (["--place-on", "nowhere.nii"], "no scan nowhere.nii"),
        (["--format", "jpg"], "jpg"),
    ],
)
def test_bad_arguments_end_with_2_and_a_sentence(tiny_model: Path, tmp_path: Path, more: list[str], words: str) -> None:
    result = generate(tiny_model, tmp_path / "new" / "folder", *more)
    assert result.exit_code == 2
    assert words in result.stderr and "Traceback" not in result.output and not result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_shape_that_the_model_cannot_make_is_refused_before_its_weights_are_read(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CCELLAPipeline, "from_pretrained", None)
    result = generate(tiny_model, tmp_path / "new", "--shape", 16, 17, 8)
    assert result.exit_code == 2 and "nearest: 16 or 24" in result.stderr and not (tmp_path / "new").exists()


def test_a_report_that_cannot_be_read_ends_with_2(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "picture.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(32)))
    for name, words in (("missing.txt", "There is no file"), ("picture.txt", "is no text")):
        result = ccella("generate", "--report-file", tmp_path / name, "--model", tiny_model, "--out", tmp_path)
        assert result.exit_code == 2 and words in result.stderr


@pytest.mark.parametrize("data", ["Läsion".encode("latin-1"), "Läsion".encode("utf-16"), b"{\\rtf1 L\\'e4sion}"])
def test_a_report_is_read_as_prepare_reads_it(tmp_path: Path, data: bytes) -> None:
    """In the encodings of tables, and out of RTF."""
    (tmp_path / "report.txt").write_bytes(data)
    assert _report_text(None, tmp_path / "report.txt") == "Läsion"


@pytest.mark.medium
def test_one_label_map_lies_beside_the_volumes_of_a_seed(labelled_model: Path, tmp_path: Path) -> None:
    result = generate(labelled_model, tmp_path, "--seed", 7, "--sequences", "t2w, adc", "--no-picture", "--json")
    assert result.exit_code == 0, result.output
    stem = tmp_path / "SYNTHETIC_labelled_seed7"
    entries = json.loads(result.stdout)["volumes"]
    assert [entry["volume"] for entry in entries] == [f"{stem}_t2w.nii.gz", f"{stem}_adc.nii.gz"]
    assert [entry["labels"] for entry in entries] == [f"{stem}-labels.nii.gz"] * 2
    labels = nib.Nifti1Image.from_filename(f"{stem}-labels.nii.gz")
    assert set(np.unique(np.asarray(labels.dataobj))) == {0, 1, 2} and labels.get_data_dtype() == np.uint8
    again = generate(labelled_model, tmp_path, "--seed", 7, "--sequences", "hbv")
    assert again.exit_code == 2 and "seed7-labels.nii.gz exists already" in again.stderr
    plain = generate(labelled_model, tmp_path, "--seed", 7, "--sequences", "hbv", "--no-labels", "--no-picture")
    assert plain.exit_code == 0 and "Labels" not in plain.stdout and Path(f"{stem}_hbv.nii.gz").is_file()
    unknown = generate(labelled_model, tmp_path, "--sequences", "t2w,flair")
    assert unknown.exit_code == 2 and "a list of some of t2w, hbv, adc, not 'flair'" in unknown.stderr
