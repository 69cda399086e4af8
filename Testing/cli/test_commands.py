"""The smaller commands: phantoms, adherence, DICOM and ``info``, and trainings that are refused in words."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from ccella_command import STEM, ccella, generate

from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.provenance import SYNTHETIC_LABEL


def test_phantom_writes_labelled_volumes_report_and_findings(tmp_path: Path) -> None:
    result = ccella("phantom", "--seed", 3, "--pathology", "positive", "--sequence", "t2w", "--out", tmp_path, "--json")
    assert result.exit_code == 0, result.output
    (patient,) = json.loads(result.stdout)["patients"]
    stem = "SYNTHETIC_PHANTOM_seed3"
    assert [Path(file).name for file in patient["files"]] == [
        f"{stem}_t2w.nii.gz", f"{stem}_labels.nii.gz", f"{stem}_report.txt", f"{stem}_findings.json",
    ]  # fmt: skip
    image = nib.Nifti1Image.from_filename(tmp_path / f"{stem}_t2w.nii.gz")
    assert image.header["descrip"].item().decode() == SYNTHETIC_LABEL
    from ccella_core.phantom.patient import draw_patient
    from ccella_core.phantom.render import render

    rendering = render(draw_patient(3, pathology="positive"), "t2w")
    np.testing.assert_array_equal(np.asarray(image.dataobj), rendering.voxels)
    np.testing.assert_allclose(image.affine, rendering.affine, atol=1e-4)
    labels = nib.Nifti1Image.from_filename(tmp_path / f"{stem}_labels.nii.gz")
    np.testing.assert_array_equal(np.asarray(labels.dataobj), rendering.labels)
    findings = json.loads((tmp_path / f"{stem}_findings.json").read_text(encoding="utf-8"))
    assert findings["pathology"] == "positive" and findings["synthetic"] is True and findings["findings"]["lesions"]
    assert (tmp_path / f"{stem}_report.txt").read_text(encoding="utf-8").strip() == patient["report"]

    assert ccella("phantom", "--seed", 3, "--sequence", "t2w", "--out", tmp_path).exit_code == 2
    flat = ccella("phantom", "--seed", 3, "--spacing", "1", "1", "0", "--out", tmp_path / "flat")
    assert flat.exit_code == 2 and "This grid cannot be used: spacing" in flat.output
    assert ccella("phantom", "--seed", -3, "--out", tmp_path).exit_code == 2


@pytest.mark.medium
def test_phantoms_of_several_processes_are_the_same(tmp_path: Path) -> None:
    drawn = {}
    for jobs in (1, 2):
        out = tmp_path / str(jobs)
        result = ccella("phantom", "--seed", 3, "--count", 2, "--sequence", "t2w", "--manifest", "train",
                        "--jobs", jobs, "--format", "nii", "--out", out, "--json")  # fmt: skip
        assert result.exit_code == 0, result.output
        assert [each["seed"] for each in json.loads(result.stdout)["patients"]] == [3, 4]
        drawn[jobs] = {file.name: file.read_bytes() for file in out.iterdir()}
    assert drawn[1] == drawn[2] and len(drawn[1]) == 2 * 6 + 1


@pytest.mark.medium
def test_evaluate_adherence_reads_what_the_model_makes(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ccella_core.evaluation.adherence.measurements import MeasuredFinding

    class Reader:
        validation = None
        fingerprint = "0123"

        def read(self, voxels: np.ndarray, affine: np.ndarray) -> MeasuredFinding:
            return MeasuredFinding(has_lesion=False, gland_volume_ml=40, lesion_volume_ml=0)

    monkeypatch.setattr("ccella_core.evaluation.adherence.phantom_reader.PhantomReader.load", lambda _: Reader())
    large = tmp_path / "large"  # the phantom reader's window must fit into what the model makes
    shutil.copytree(tiny_model, large)
    index = json.loads((large / "model_index.json").read_text(encoding="utf-8"))
    index["native_shape"] = [80, 64, 32]
    (large / "model_index.json").write_text(json.dumps(index), encoding="utf-8")
    arguments = ["--model", large, "--phantom-reader", tmp_path, "--out", tmp_path / "out", "--cases", 2]
    more = ["--counterfactuals", 1, "--facts", "volume", "--json", "--steps", 1, "--device", "cpu"]
    result = ccella("evaluate", "adherence", *arguments, *more)
    assert result.exit_code == 0, result.output
    assert [case["changed_fact"] for case in json.loads(result.stdout)["cases"]] == [None, None, "volume"]
    assert "Volumes: 3 of 3" in result.stderr and (tmp_path / "out" / "adherence.md").is_file()


def test_evaluate_adherence_says_what_it_needs(tmp_path: Path) -> None:
    alone = ccella("evaluate", "adherence", "--synthetic", tmp_path, "--out", tmp_path / "out")
    assert alone.exit_code == 2 and "--synthetic and --data go together" in alone.stderr
    unknown = ccella("evaluate", "adherence", "--facts", "side,colour", "--out", tmp_path / "out")
    assert unknown.exit_code == 2 and "There is no fact colour" in unknown.stderr


def test_evaluate_adherence_refuses_before_a_phantom_reader_is_trained(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = "ccella_core.evaluation.adherence.phantom_reader_training.load_or_train_phantom_reader"
    monkeypatch.setattr(training, lambda *_: pytest.fail("it was trained"))
    for arguments, words in (
        (["--cases", 0, "--model", tiny_model], "needs at least one case"),
        (["--model", tmp_path / "nowhere"], "nowhere"),
        (["--model", tiny_model, "--scheduler", "dpm--"], "There is no scheduler 'dpm--'"),
        (["--model", tiny_model, "--steps", 0], "must be a whole number from 1 to 1000, not 0"),
        (["--model", tiny_model, "--guidance", -1], "guidance scale"),
        (["--model", tiny_model], "What tiny makes cannot be read: The phantom reader needs a volume of at least"),
        (["--synthetic", tmp_path, "--data", tmp_path], "was not made by `ccella synthesize`"),
    ):
        result = ccella("evaluate", "adherence", "--out", tmp_path / "out", "--device", "cpu", *arguments)
        assert result.exit_code != 0 and words in " ".join(result.stderr.split()), result.output
        assert "Traceback" not in result.output


def test_export_dicom_writes_a_series_a_volume(tiny_model: Path, tmp_path: Path) -> None:
    generate(tiny_model, tmp_path, "--seed", 7, "--no-picture")
    volume = tmp_path / f"{STEM}.nii.gz"
    result = ccella("export-dicom", volume, "--out", tmp_path / "dicom", "--json")
    (series,) = json.loads(result.stdout)["series"]
    shape = SyntheticVolume.load(volume).voxels.shape
    assert len(list(Path(series).glob("*.dcm"))) == shape[2]
    again = ccella("export-dicom", volume, "--out", tmp_path / "dicom")
    assert again.exit_code == 2 and "exists already" in again.stderr
    replaced = ccella("export-dicom", volume, "--out", tmp_path / "dicom", "--overwrite")
    assert replaced.stdout == f"{series}\n1 synthetic series, not for diagnosis.\n"


def test_export_dicom_takes_no_scan_that_it_did_not_make(tmp_path: Path) -> None:
    scan = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), scan)
    result = ccella("export-dicom", scan, "--out", tmp_path / "dicom")
    assert result.exit_code == 2 and "is not a saved synthetic volume" in result.stderr
    assert not (tmp_path / "dicom").exists()


def test_info(models: Path) -> None:
    printed = json.loads(ccella("info", "--json").stdout)
    assert {"python", "torch", "ccella-core"} <= printed["versions"].keys()
    assert printed["devices"][-1]["kind"] == "cpu" and printed["model_folders"] == [str(models)]
    assert "Models are looked for in" in ccella("info").stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["decoder"], "'decoder' is not one of"),
        (["autoencoder", "--preset", "small"], "There are no presets of autoencoders"),
        (["text-encoder", "--set", "outptu=x"], "there is no key outptu; did you mean output"),
        (["classifier", "--preset", "smal"], "There is no preset 'smal'"),
    ],
)
def test_what_cannot_be_trained_is_explained(arguments: list[str], said: str) -> None:
    refused = ccella("train", *arguments)
    assert refused.exit_code == 2 and said in refused.output + refused.stderr
