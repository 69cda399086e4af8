"""Preparing cases: what comes out, what is refused and why, and a run that was stopped."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from patience import PATIENCE_SECONDS
from PIL import Image
from typer.testing import CliRunner

from ccella_core.cases import prepare as module
from ccella_core.cases.case import Case, RejectedCase, SourceCases
from ccella_core.cases.manifest import write_manifest
from ccella_core.cases.prepare import prepare
from ccella_core.cases.prepared import PreparedSet, PrepareSettings
from ccella_core.cases.quality import ReportLength, write_quality_report
from ccella_core.cli import app
from ccella_core.errors import InputError, SaveError
from ccella_core.evaluation.data.volume_set import open_volume_set

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "prostatex-0000"
SETTINGS = PrepareSettings(sequences=("t2w", "adc"), shape=(16, 16, 8), spacing=(2.0, 2.0, 4.0))


def write_image(path: Path, voxels: np.ndarray, *, spacing=(2.0, 2.0, 4.0), origin=(0.0, 0.0, 0.0)) -> Path:
    """(X, Y, Z) voxels whose axes run to the patient's left, to the back and up, as ITK's own do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(path))
    return path


def new_case(folder: Path, name: str, **changes) -> Case:
    """A T2-weighted ramp from left to right with a gland in the middle, and an ADC of 1500 everywhere."""
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None, None], (16, 16, 8)).copy()
    gland = np.zeros((16, 16, 8), np.uint8)
    gland[4:12, 4:12, 2:6] = 1
    lesion = np.zeros_like(gland)
    lesion[10, 8, 4] = 1
    adc = np.full((8, 8, 8), 1500, np.float32)
    adc[0, 0, 0] = 900
    content = {
        "id": name, "patient": name, "pathology": "positive", "split": "train", "reports": ("One.",),
        "report_source": "given",
        "images": {
            "t2w": write_image(folder / f"{name}_t2w.mha", ramp),
            "adc": write_image(folder / f"{name}_adc.mha", adc, spacing=(4.0, 4.0, 4.0), origin=(1.0, 1.0, 0.0)),
        },
        "gland": write_image(folder / f"{name}_gland.nii.gz", gland),
        "lesion": write_image(folder / f"{name}_lesion.nii.gz", lesion),
    }  # fmt: skip
    return Case(**{**content, **changes})


@pytest.fixture
def cases(tmp_path) -> tuple[Case, ...]:
    return tuple(new_case(tmp_path / "source", f"case{number}") for number in range(3))


def test_voxels_regions_and_picture(cases, tmp_path):
    prepared, refused = prepare(SourceCases(cases), SETTINGS, tmp_path / "out")
    assert not refused and [case.id for case in prepared.cases] == ["case0", "case1", "case2"]
    case = prepared.cases[0]
    t2w, adc = (prepared.voxels(case, name) for name in ("t2w", "adc"))
    # The scan's first axis runs to the left, the grid's to the right: the ramp falls.
    expected = np.clip((15 - np.arange(16)) / 15, 0, 1)
    np.testing.assert_allclose(t2w[:, 8, 4], expected, atol=0.01)
    np.testing.assert_allclose(adc[2:14, 2:14, 2:6], 0.5, atol=1e-4)
    gland, lesion = prepared.regions(case)
    assert gland.sum() == 8 * 8 * 4 and lesion.sum() == 1 and lesion[5, 7, 4] and gland[5, 7, 4]
    with Image.open(tmp_path / "out" / "pictures" / "case0.png") as picture:
        assert picture.size == (6 * 16, 16)
    assert case.source_spacing_mm == (2, 2, 4) and case.source_shape == (16, 16, 8)
    assert PreparedSet.open(tmp_path / "out").fingerprint == prepared.fingerprint


def test_the_whole_field_of_view_and_a_spacing_a_case(tmp_path):
    thick = new_case(tmp_path / "source", "thick")
    ramp = np.broadcast_to(np.arange(16, dtype=np.float32)[:, None, None], (16, 16, 8)).copy()
    image = write_image(tmp_path / "source" / "thick_t2w.mha", ramp, spacing=(2.0, 2.0, 5.0))
    thick = thick.model_copy(update={"images": {"t2w": image}, "gland": None, "lesion": None})
    cases = (new_case(tmp_path / "source", "thin"), thick)
    settings = PrepareSettings(sequences=("t2w", "adc"), grid="whole", shape=(32, 32, 16))
    prepared, refused = prepare(SourceCases(cases), settings, tmp_path / "out")
    assert not refused
    first, second = prepared.cases
    assert (
        (first.spacing_mm, second.spacing_mm)
        == ((1, 1, 2), (1, 1, 2.5))
        == tuple(map(prepared.spacing_of, (first, second)))
    )
    assert prepared.spacing == (1, 1, 2.25), "the median"
    t2w = prepared.voxels(first, "t2w")
    assert t2w.shape == (32, 32, 16) and (t2w[:31] > 0).all(), "all of the scan, and nothing beside it"
    np.testing.assert_allclose(t2w[1:-1, 16, 8], ((15 - (np.arange(1, 31) - 0.5) / 2) / 15).clip(0, 1), atol=0.01)
    gland, _ = prepared.regions(first)
    assert gland.sum() == 8 * 8 * 4 * 8, "eight voxels for one"
    with pytest.raises(InputError, match=r"have a spacing each .* prepare them once more .* `--grid crop`"):
        prepared.one_spacing  # noqa: B018
    with pytest.raises(InputError, match="spacing each"):
        open_volume_set(tmp_path / "out")
    page = write_quality_report(prepared, refused).read_text(encoding="utf-8")
    assert "32 x 32 x 16 voxels of 1 x 1 x 2.25 mm in the median, each case with its own" in page
    assert PreparedSet.open(tmp_path / "out").fingerprint == prepared.fingerprint


def test_a_folder_of_before_there_was_a_choice_of_grids_keeps_its_fingerprint():
    """Caches, syntheses and studies go by it."""
    assert "grid" not in SETTINGS.identity() and '"spacing":[2.0,2.0,4.0]' in SETTINGS.identity()
    whole = SETTINGS.model_copy(update={"grid": "whole"})
    assert "whole" in whole.identity() and "spacing" not in whole.identity()


def test_the_command_has_the_published_grid(cases, tmp_path):
    manifest = write_manifest(cases, tmp_path / "cases.jsonl")
    command = ["prepare", str(manifest), "--jobs", "1", "--shape", "16", "16", "8"]
    result = CliRunner().invoke(app, [*command, "--preset", "published++", "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    settings = PreparedSet.open(tmp_path / "out").settings
    assert (settings.grid, settings.sequences) == ("whole", ("t2w", "hbv", "adc"))
    crop = [*command, "--preset", "published", "--grid", "crop", "--spacing", "2", "2", "4"]
    assert CliRunner().invoke(app, [*crop, "--out", str(tmp_path / "crop")]).exit_code == 0
    settings = PreparedSet.open(tmp_path / "crop").settings
    assert (settings.grid, settings.sequences, settings.spacing) == ("crop", ("t2w",), (2, 2, 4))
    both = [*command, "--grid", "whole", "--spacing", "2", "2", "4", "--out", str(tmp_path / "both")]
    refused = CliRunner().invoke(app, both)
    assert refused.exit_code == 2 and "leave out --spacing" in " ".join(refused.stderr.split())


def test_a_gland_to_the_side_comes_to_the_middle(tmp_path):
    gland = np.zeros((16, 16, 8), np.uint8)
    gland[8:16, 4:12, 2:6] = 1  # eight millimetres to the left
    case = new_case(tmp_path, "case", gland=write_image(tmp_path / "off.nii.gz", gland))
    small = SETTINGS.model_copy(update={"shape": (8, 8, 4), "sequences": ("t2w",)})
    prepared, _ = prepare(SourceCases((case,)), small, tmp_path / "out")
    found = np.argwhere(prepared.regions(prepared.cases[0])[0]).mean(axis=0)
    np.testing.assert_allclose(found, [3.5, 3.5, 1.5], atol=0.01)
    prepared, _ = prepare(SourceCases((case,)), SETTINGS, tmp_path / "as large as the scan")
    assert np.argwhere(prepared.regions(prepared.cases[0])[0]).mean(axis=0)[0] == pytest.approx(3.5), "none is cut off"
    middle = SETTINGS.model_copy(update={"centre": "image"})
    prepared, _ = prepare(SourceCases((case,)), middle, tmp_path / "image")
    assert np.argwhere(prepared.regions(prepared.cases[0])[0]).mean(axis=0)[0] == pytest.approx(3.5)


def bad_images(folder: Path) -> dict[str, Case]:
    ramp = np.random.default_rng(0).random((16, 16, 8)).astype(np.float32)
    holes = ramp.copy()
    holes[1, 2, 3] = np.nan
    far = write_image(folder / "far.mha", ramp * 1000, origin=(500.0, 0.0, 0.0))
    flat = write_image(folder / "flat.mha", ramp * 0)
    thin = (0.5, 0.5, 3.0)
    return {
        "NaN or infinite": new_case(folder, "nan", images={"t2w": write_image(folder / "n.mha", holes), "adc": far}),
        "holds NaN": new_case(folder, "nan-nifti", images={"t2w": write_image(folder / "n.nii.gz", holes), "adc": far}),
        "the same everywhere": new_case(folder, "flat", images={"t2w": flat, "adc": far}),
        "covers 0% of the T2-weighted scan": new_case(
            folder, "far", images={"t2w": write_image(folder / "t.mha", ramp), "adc": far}
        ),
        "There is no scan": new_case(folder, "gone", images={"t2w": folder / "gone.mha", "adc": far}),
        "stated as 0.5 x 0.5 x 3 mm and the scan has 2 x 2 x 4 mm": new_case(folder, "said", spacing_mm=thin),
        "mask of the gland is empty": new_case(
            folder, "empty", gland=write_image(folder / "e.nii.gz", np.zeros((16, 16, 8), np.uint8))
        ),
    }  # fmt: skip


@pytest.mark.medium
def test_bad_cases_are_refused_with_the_reason_and_the_others_prepared(cases, tmp_path, caplog):
    bad = bad_images(tmp_path / "bad")
    listing = SourceCases((*cases, *bad.values()), (RejectedCase(id="source", reason="No class."),))
    with caplog.at_level(logging.WARNING, "ccella_core"):
        prepared, refused = prepare(listing, SETTINGS, tmp_path / "out")
    assert len(prepared.cases) == 3
    reasons = {each.id: each.reason for each in refused}
    assert reasons.pop("source") == "No class."
    for words, case in bad.items():
        assert words in reasons[case.id] and case.id in caplog.text
    page = write_quality_report(prepared, refused).read_text(encoding="utf-8")
    ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>"))
    assert "Refused (8)" in page and "covers 0% of the T2-weighted scan" in page


def test_a_case_may_lack_sequences_but_not_all_of_them(cases, tmp_path):
    ramp = np.random.default_rng(0).random((16, 16, 8)).astype(np.float32)
    alone = new_case(tmp_path, "alone", images={"t2w": write_image(tmp_path / "t.mha", ramp)}, pathology=None)
    prepared, refused = prepare(SourceCases((cases[0], alone)), SETTINGS, tmp_path / "out")
    assert not refused and prepared.settings.sequences == ("t2w", "adc")
    whole, partial = prepared.cases
    assert [prepared.has(whole, name) for name in ("t2w", "adc", "hbv")] == [True, True, False]
    assert [prepared.has(partial, name) for name in ("t2w", "adc", "gland", "lesion")] == [True, False, True, True]
    assert partial.positive is None
    with pytest.raises(InputError, match="prepared without"):
        prepared.voxels(partial, "adc")
    page = write_quality_report(prepared, refused).read_text(encoding="utf-8")
    assert "t2w of 2, adc of 1 cases" in page and "class unknown" in page
    adc_alone = SETTINGS.model_copy(update={"sequences": ("adc", "hbv")})
    _, refused = prepare(SourceCases((cases[0], alone)), adc_alone, tmp_path / "adc")
    assert [(each.id, each.reason) for each in refused] == [
        ("alone", "There is no adc and no hbv; it needs one of the sequences at least.")
    ]


def test_where_nothing_can_be_used_it_is_said(tmp_path):
    case = new_case(tmp_path, "said", spacing_mm=(0.5, 0.5, 3.0))
    with pytest.raises(InputError, match=r"None of the 1 cases can be used \(said: Its spacing"):
        prepare(SourceCases((case,)), SETTINGS, tmp_path / "out")


def test_a_patient_in_two_splits_is_refused(tmp_path):
    one, other = (
        new_case(tmp_path, name, patient="same", split=split) for name, split in (("a", "train"), ("b", "test"))
    )
    with pytest.raises(InputError, match="The patient same stands in two splits, train and test"):
        prepare(SourceCases((one, other)), SETTINGS, tmp_path / "out")


def test_other_settings_in_the_same_folder_are_refused(cases, tmp_path):
    prepare(SourceCases(cases), SETTINGS, tmp_path / "out")
    with pytest.raises(InputError, match=r"another way \(shape was \[16, 16, 8\] and is \[8, 16, 8\]\)"):
        prepare(SourceCases(cases), SETTINGS.model_copy(update={"shape": (8, 16, 8)}), tmp_path / "out")


def test_nothing_is_done_twice_but_what_changed(cases, tmp_path, monkeypatch):
    done = []
    plain = module.prepare_case
    monkeypatch.setattr(module, "prepare_case", lambda case, **rest: done.append(case.id) or plain(case, **rest))
    prepare(SourceCases(cases), SETTINGS, tmp_path / "out")
    prepare(SourceCases(cases), SETTINGS, tmp_path / "out")
    assert done == ["case0", "case1", "case2"]
    os.utime(cases[1].images["adc"], (1, 1))
    (tmp_path / "out" / "volumes" / "case2_t2w.nii.gz").unlink()
    relabelled = tuple(case.model_copy(update={"reports": ("Another.",)}) for case in cases)
    prepared, _ = prepare(SourceCases(relabelled), SETTINGS, tmp_path / "out")
    assert done[3:] == ["case1", "case2"] and prepared.cases[0].reports == ("Another.",)


@pytest.mark.medium
def test_several_processes_make_the_same(cases, tmp_path):
    alone, _ = prepare(SourceCases(cases), SETTINGS, tmp_path / "alone")
    together, _ = prepare(SourceCases(cases), SETTINGS, tmp_path / "together", jobs=2)
    assert [case.id for case in together.cases] == [case.id for case in alone.cases]
    for one, other in zip(alone.cases, together.cases, strict=True):
        assert np.array_equal(alone.voxels(one, "adc"), together.voxels(other, "adc"))


@pytest.mark.medium
def test_a_killed_run_goes_on(tmp_path):
    many = [new_case(tmp_path / "source", f"case{number}") for number in range(12)]
    write_manifest(many, tmp_path / "source" / "cases.jsonl")
    command = [
        sys.executable, "-m", "ccella_core", "prepare", str(tmp_path / "source" / "cases.jsonl"),
        "--out", str(tmp_path / "out"), "--sequences", "t2w,adc",
        "--shape", "16", "16", "8", "--spacing", "2", "2", "4", "--jobs", "1",
    ]  # fmt: skip
    state = tmp_path / "out" / "state"
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        if state.is_dir() and len(list(state.glob("[!.]*.json"))) >= 2:
            process.kill()
        time.sleep(0.002)
    process.wait(PATIENCE_SECONDS)
    times = {path.name: path.stat().st_mtime_ns for path in state.glob("[!.]*.json")}
    assert 2 <= len(times) < 12, "it was over before it could be killed"
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert len(PreparedSet.open(tmp_path / "out").cases) == 12
    assert {name: (state / name).stat().st_mtime_ns for name in times} == times


def test_a_full_disk_is_explained(cases, tmp_path, monkeypatch):
    def no_room(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_volume", no_room)
    with pytest.raises(SaveError, match=r"case0 could not be written .*No space left.*What is finished stays"):
        prepare(SourceCases(cases), SETTINGS, tmp_path / "out")


def test_what_was_not_prepared_or_is_damaged_is_said(cases, tmp_path):
    with pytest.raises(InputError, match="holds no prepared cases"):
        PreparedSet.open(tmp_path)
    prepared, _ = prepare(SourceCases(cases), SETTINGS, tmp_path / "out")
    with pytest.raises(InputError, match="was prepared without volumes/case0_hbv"):
        prepared.voxels(prepared.cases[0], "hbv")
    for damaged in (b"damaged", b"", bytes(400)):
        (tmp_path / "out" / "volumes" / "case0_t2w.nii.gz").write_bytes(damaged)
        with pytest.raises(InputError, match=r"case0_t2w.nii.gz is missing or damaged"):
            prepared.voxels(prepared.cases[0], "t2w")
    (tmp_path / "out" / "cases.jsonl").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        PreparedSet.open(tmp_path / "out")


def test_reports_are_counted_in_tokens(cases, tmp_path):
    prepared, _ = prepare(SourceCases(cases), SETTINGS, tmp_path / "out")
    page = write_quality_report(prepared, (), length=ReportLength("tokens", len, 3)).read_text(encoding="utf-8")
    assert "3 (100%) are longer than 3 and lose their beginning" in page
    page = write_quality_report(prepared, ()).read_text(encoding="utf-8")
    assert "Give a tokenizer to see how many would be truncated" in page


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real examination is not in {REAL}")
def test_a_real_examination_at_the_published_size(tmp_path):
    images = {name: REAL / f"{name}_dicom" for name in ("t2w", "hbv", "adc")}
    case = Case(id="real", patient="real", images=images, pathology="positive", split="train")
    prepared, refused = prepare(
        SourceCases((case,)), PrepareSettings(sequences=("t2w", "hbv", "adc")), tmp_path / "out"
    )
    assert not refused
    for sequence in ("t2w", "hbv", "adc"):
        voxels = prepared.voxels(prepared.cases[0], sequence)
        assert voxels.shape == (256, 256, 128) and voxels.min() == 0 and voxels.max() <= 1 and voxels.mean() > 0.02
