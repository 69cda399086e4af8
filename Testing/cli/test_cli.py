"""The ``ccella`` command: what it prints, what it writes, and how it ends."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from typer.testing import CliRunner, Result

from ccella_core.__main__ import main as script
from ccella_core.cli import app, train
from ccella_core.cli.generate import _report_text
from ccella_core.errors import Cancelled
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.provenance import SYNTHETIC_LABEL

ROOT = Path(__file__).resolve().parent.parent.parent
REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex."
STEM = "SYNTHETIC_tiny_seed7"


def ccella(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def generate(model: Path, out: Path, *more: object) -> Result:
    return ccella("generate", "--model", model, "--report", REPORT, "--device", "cpu", "--out", out, *more)


@pytest.fixture
def models(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of models holds the tiny one and a broken one, and nothing else is found."""
    broken = tiny_model.parent / "broken" / "denoiser"
    broken.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr("ccella_core.models.search.default_search_paths", lambda: [tiny_model.parent])
    return tiny_model.parent


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


def test_a_training_without_some_cases_ends_with_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(train._PREPARE, "denoiser", lambda *_: (None, lambda: tmp_path))
    for left_out, code in (({"case7": "It is damaged."}, 3), ({}, 0)):
        (tmp_path / "run.json").write_text(json.dumps({"data": {"left_out": left_out}}), encoding="utf-8")
        result = ccella("train", "denoiser")
        assert result.exit_code == code and f"The run is in {tmp_path}" in result.stdout
        assert ("Left out: case7: It is damaged." in result.stderr) == bool(left_out)


def test_other_failures_end_with_1(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", encoding="utf-8")
    result = generate(tiny_model, file / "folder")
    assert result.exit_code == 1 and "Nothing can be written" in result.stderr
    result = generate(tmp_path / "nowhere", tmp_path)
    assert result.exit_code == 1 and "There is no folder" in result.stderr


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Cancelled("Stopped.")])
def test_stopping_ends_with_130(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def stop(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("ccella_core.generation.pipeline.sample", stop)
    result = generate(tiny_model, tmp_path, "--seed", 7)
    assert result.exit_code == 130 and "Stopped." in result.stderr and list(tmp_path.iterdir()) == []


def test_stopping_while_python_imports_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stopping(ModuleType):
        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "ccella_core.cli", Stopping("ccella_core.cli"))
    with pytest.raises(SystemExit) as ended:
        script()
    assert ended.value.code == 130 and capsys.readouterr().err == "Stopped.\n"


def test_ctrl_c_while_a_library_is_imported_cannot_be_swallowed() -> None:
    """Nor by code that catches everything, as some libraries do around their own imports."""
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # as where the tests run in the foreground
        "class Swallows:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'ccella_core.cli':\n"
        "            try:\n                signal.raise_signal(signal.SIGINT)\n"
        "            except BaseException:\n                pass\n"
        "sys.meta_path.insert(0, Swallows())\n"
        "sys.argv = ['ccella', '--version']\n"
        "from ccella_core.__main__ import main\n"
        "main()\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr, ended.stdout) == (130, "Stopped.\n", "")


def test_nothing_is_imported_before_ctrl_c_is_met() -> None:
    program = (
        "import sys\nbefore = set(sys.modules)\n"
        "import ccella_core.__main__\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["ccella_core", "ccella_core.__main__"]


def test_the_script_is_what_meets_ctrl_c() -> None:
    assert '\nccella = "ccella_core.__main__:main"\n' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


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


@pytest.mark.medium
def test_models_list_show_and_verify(models: Path) -> None:
    listed = json.loads(ccella("models", "list", "--json").stdout)
    assert [model["name"] for model in listed["models"]] == ["tiny"]
    assert [Path(entry["path"]).name for entry in listed["broken"]] == ["broken"]
    plain = ccella("models", "list")
    assert "tiny 1" in plain.stdout and "Cannot be used" in plain.stderr

    assert "licence: Apache-2.0" in ccella("models", "show", "tiny").stdout
    assert json.loads(ccella("models", "show", "tiny", "--json").stdout)["native_shape"] == [16, 16, 8]
    assert "tiny is whole" in ccella("models", "verify", "tiny").stdout
    assert json.loads(ccella("models", "verify", "tiny", "--json").stdout)["files"] > 5

    unknown = ccella("models", "show", "tinny")
    assert unknown.exit_code == 1 and "Did you mean tiny?" in unknown.stderr


def test_an_unverified_model_ends_with_1(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    (copy / "scheduler" / "config.json").write_text("{}", encoding="utf-8")
    result = ccella("models", "verify", copy)
    assert result.exit_code == 1 and "truncated" in result.stderr


def test_download_needs_a_reference_and_is_what_the_error_names(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccella_core.models.search.user_models_dir", lambda: models)
    assert ccella("models", "download", "tiny").exit_code == 2
    result = ccella("models", "show", "hf:nobody/nothing")
    assert result.exit_code == 1 and "`ccella models download hf:nobody/nothing`" in result.stderr


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


@pytest.mark.parametrize("command", [[], ["generate"], ["models"], ["phantom"]])
def test_help_tells_the_exit_codes(command: list[str]) -> None:
    result = ccella(*command, "--help")
    assert result.exit_code == 0 and "Exit codes" in result.stdout


def test_help_works_as_a_module_without_heavy_libraries() -> None:
    program = (
        "import runpy, sys\n"
        "sys.argv = ['ccella', '--help']\n"
        "try:\n    runpy.run_module('ccella_core', run_name='__main__')\n"
        "except SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'torch', 'monai', 'transformers', 'diffusers', 'numpy', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, result.stderr
    assert "generate" in result.stdout and "models" in result.stdout


def test_a_poor_console_gets_question_marks_not_a_traceback(tiny_model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ccella_core", "models", "show", str(tmp_path / "Größe")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, env=environment)
    assert result.returncode == 1 and b"Traceback" not in result.stderr and b"There is no folder" in result.stderr


def test_a_model_is_removed_and_one_that_came_along_is_not(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(models / "broken", tmp_path / "mine" / "old")
    monkeypatch.setattr("ccella_core.models.search.default_search_paths", lambda: [tmp_path / "mine", models])
    monkeypatch.setattr("ccella_core.models.search.shipped_models_dir", lambda: models)
    kept = CliRunner().invoke(app, ["models", "remove", "old"], input="n\n")
    assert kept.exit_code == 0 and "Delete" in kept.output and (tmp_path / "mine" / "old").exists()
    removed = ccella("models", "remove", "old", "--yes", "--json")
    assert json.loads(removed.stdout) == {"removed": str(tmp_path / "mine" / "old")}
    assert not list((tmp_path / "mine").iterdir())
    refused = ccella("models", "remove", "tiny", "--yes")
    assert refused.exit_code == 1 and "came with this software" in refused.stderr and (models / "broken").exists()
    assert "There is no model named 'old'" in ccella("models", "remove", "old", "--yes").stderr


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


@pytest.mark.parametrize(("options", "said"), [([], False), (["-W", "default"], True)])
def test_warnings_of_libraries_reach_those_who_ask_for_them(options: list[str], said: bool) -> None:
    code = (
        "import sys, warnings; import ccella_core.cli as cli; sys.argv = ['ccella']; "
        "cli.app = lambda: warnings.warn('of a library'); cli.main()"
    )
    run = subprocess.run([sys.executable, *options, "-c", code], capture_output=True, text=True, check=True)
    assert ("of a library" in run.stderr) == said
