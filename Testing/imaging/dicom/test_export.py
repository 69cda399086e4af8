"""Synthetic volumes as DICOM: the same voxels at the same place in every reader, and a header that names nobody."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.errors import InputError, NonFiniteError, SaveError
from ccella_core.imaging.dicom.export import DicomSource
from ccella_core.imaging.dicom.export import export_dicom as export_all
from ccella_core.imaging.dicom.header import MOST_CHARACTERS, SYNTHETIC_DATA
from ccella_core.imaging.orientation import affine_of
from ccella_core.imaging.scans import read_scan
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.provenance import Provenance

SHAPE, SPACING = (7, 6, 5), np.array([0.5, 0.75, 3.0])
REPORT = "Mr Example-Name, born 1950-01-01: lesion, left, 5 mm."
OLD_CHECKERS_DO_NOT_KNOW = "(0008,001c)"  # dicom3tools' dictionary ends before the tag was made


def rotation(seed: int) -> np.ndarray:
    """Any rotation or, as often, a rotation and a reflection."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


DIRECTIONS = {
    "upright": np.eye(3),
    "as ITK counts": np.diag([-1.0, -1.0, 1.0]),
    "coronal": np.eye(3)[[0, 2, 1]],
    "sagittal": np.eye(3)[[1, 2, 0]],
    "upside down": np.diag([1.0, 1.0, -1.0]),
    **{f"oblique {seed}": rotation(seed) for seed in range(4)},
}


def affine(directions: np.ndarray) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = directions * SPACING
    matrix[:3, 3] = -31.7, 12.3, 101.9
    return matrix


def made(**changes: Any) -> dict[str, Any]:
    facts = {
        "model_name": "tiny", "model_version": "1.0", "model_sha256": "0" * 64, "report": REPORT,
        "pathology_requested": None, "predicted_positive_probability": 0.25, "seed": 7, "scheduler": "unipc",
        "num_inference_steps": 20, "guidance_scale": 1.5, "shape": SHAPE, "spacing": tuple(SPACING), "device": "cpu",
        "dtype": "float32",
    }  # fmt: skip
    return Provenance(**{**facts, **changes}).model_dump(mode="json")


def source(voxels: np.ndarray | None = None, directions: np.ndarray = DIRECTIONS["upright"], sequence: str = "t2w",
           **changes: Any) -> DicomSource:  # fmt: skip
    if voxels is None:
        voxels = np.random.default_rng(0).normal(300, 100, SHAPE).astype(np.float32)
    return DicomSource("The volume", voxels, affine(directions), sequence, made(**changes))


def export_dicom(exported: DicomSource, folder: Path, **options: Any) -> Path:
    (series,) = export_all([exported], folder, **options)
    return series


def images(series: Path) -> list[Any]:
    return [pydicom.dcmread(path) for path in sorted(series.iterdir())]


def matrix_of(found: list[Any]) -> np.ndarray:
    """To RAS mm of (column, row, slice), by the standard's own formula (PS3.3 C.7.6.2.1.1)."""
    first, last = (np.array(each.ImagePositionPatient, float) for each in (found[0], found[-1]))
    row, column = np.reshape(np.array(found[0].ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = map(float, found[0].PixelSpacing)
    lps = np.eye(4)
    lps[:3, :3] = np.column_stack([row * between_columns, column * between_rows, (last - first) / (len(found) - 1)])
    lps[:3, 3] = first
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps


def assert_same_place(voxels: np.ndarray, matrix: np.ndarray, expected: np.ndarray, expected_matrix: np.ndarray,
                      tolerance: float = 0.0) -> None:  # fmt: skip
    """Every voxel of one is the other's at that point of the world."""
    indices = np.stack(np.meshgrid(*map(np.arange, expected.shape), indexing="ij"), -1).reshape(-1, 3)
    world = indices @ expected_matrix[:3, :3].T + expected_matrix[:3, 3]
    inverse = np.linalg.inv(matrix)
    there = world @ inverse[:3, :3].T + inverse[:3, 3]
    np.testing.assert_allclose(there, np.rint(there), atol=1e-4)
    i, j, k = np.rint(there).astype(int).T
    assert voxels.shape[0] * voxels.shape[1] * voxels.shape[2] == expected.size and min(map(min, (i, j, k))) >= 0
    np.testing.assert_allclose(voxels[i, j, k], expected[tuple(indices.T)], rtol=0, atol=tolerance)


@pytest.mark.parametrize("directions", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize("whole", [True, False], ids=["whole numbers", "scaled"])
def test_every_reader_finds_the_same_voxels_at_the_same_place(
    tmp_path: Path, directions: np.ndarray, whole: bool
) -> None:
    exported = source(directions=directions)
    if whole:
        exported = source(np.rint(exported.voxels - 300).astype(np.int16), directions)
    series = export_dicom(exported, tmp_path)
    found = images(series)
    slope, intercept = (float(found[0].get(name, default)) for name, default in
                        (("RescaleSlope", 1), ("RescaleIntercept", 0)))  # fmt: skip
    stored = np.stack([each.pixel_array for each in found]).transpose(2, 1, 0)
    values, tolerance = stored * slope + intercept, 0.0 if whole else slope / 2 + 1e-9
    assert ("RescaleSlope" in found[0]) is not whole
    assert_same_place(values, matrix_of(found), exported.voxels, exported.affine, tolerance)

    for image in (read_scan(series), sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(series)))):
        read = sitk.GetArrayFromImage(image).transpose(2, 1, 0)
        numbers = np.rint((read.astype(float) - intercept) / slope)
        assert_same_place(numbers, affine_of(image), stored, matrix_of(found))


def test_viewers_show_it_the_way_radiologists_look_at_it(tmp_path: Path) -> None:
    """Rows run to the patient's left, columns to the back; on a coronal or sagittal image down to the feet."""
    for name, expected in (("upright", [1, 0, 0, 0, 1, 0]), ("upside down", [1, 0, 0, 0, 1, 0]),
                           ("coronal", [1, 0, 0, 0, 0, -1]), ("sagittal", [0, 0, -1, 1, 0, 0])):  # fmt: skip
        first = images(export_dicom(source(directions=DIRECTIONS[name]), tmp_path / name))[0]
        assert np.allclose(np.array(first.ImageOrientationPatient, float), expected), name


def test_the_header_says_that_it_is_synthetic(tmp_path: Path) -> None:
    for sequence, kind, number in (("t2w", "OTHER", 1), ("hbv", "OTHER", 2), ("adc", "DIFFUSION MAP", 3)):
        for index, image in enumerate(images(export_dicom(source(sequence=sequence), tmp_path))):
            assert image.file_meta.MediaStorageSOPClassUID == image.SOPClassUID == "1.2.840.10008.5.1.4.1.1.4"
            assert image.Modality == "MR" and image.InstanceNumber == index + 1 and image.SeriesNumber == number
            assert image[SYNTHETIC_DATA].VR == "CS" and image[SYNTHETIC_DATA].value == "YES"
            assert list(image.ImageType) == ["DERIVED", "SECONDARY", kind, "SYNTHETIC"]
            assert image.ContentQualification == "RESEARCH" and image.BurnedInAnnotation == "NO"
            assert str(image.PatientName).startswith("SYNTHETIC^") and image.PatientID.startswith("SYNTHETIC-")
            assert image.SeriesDescription == f"SYNTHETIC {sequence} seed 7 (tiny 1.0)"
            for words in ("not for diagnosis", "tiny 1.0", "0" * 64, "seed 7", "20 steps of unipc", "guidance 1.5"):
                assert words in image.DerivationDescription
            (equipment,) = image.ContributingEquipmentSequence
            assert equipment.SoftwareVersions.startswith("ccella-core ") and "CCELLA" in equipment.Manufacturer
            assert float(image.SliceThickness) == float(image.SpacingBetweenSlices) == 3.0


def test_an_edited_scan_says_so_and_not_that_it_shows_nobody(tmp_path: Path) -> None:
    series = export_dicom(source(source_sha256="ab" * 32), tmp_path)
    header = images(series)[0]
    assert header.ImageComments == "SYNTHETIC (EDITED FROM abababab) - not for diagnosis"
    assert header.SeriesDescription.startswith("SYNTHETIC (EDITED FROM abababab)")
    assert "nobody" not in header.DerivationDescription
    assert header.PatientID.startswith("SYNTHETIC-")


def test_nothing_of_the_report_and_no_date_of_an_examination_enters(tmp_path: Path) -> None:
    series = export_dicom(source(), tmp_path)
    for path, image in zip(sorted(series.iterdir()), images(series), strict=True):
        assert not any(word.encode() in path.read_bytes() for word in ("Example", "1950", "lesion"))
        assert not (image.StudyDate or image.StudyTime or image.PatientBirthDate or image.PatientSex)
        assert not (image.AccessionNumber or image.ReferringPhysicianName)


def test_the_same_volume_has_the_same_uids_and_files(tmp_path: Path) -> None:
    when = "2026-03-04T05:06:07+00:00"
    voxels = np.random.default_rng(0).normal(300, 100, SHAPE)
    volume = SyntheticVolume(voxels, affine(rotation(1)), "t2w", Provenance(**made(created=when)))
    saved = SyntheticVolume.load(volume.save(tmp_path / "case.nii.gz"))
    series = [
        export_dicom(
            DicomSource("It", each.voxels, each.affine, "t2w", each.provenance.model_dump(mode="json")), folder
        )
        for each, folder in ((volume, tmp_path / "a"), (saved, tmp_path / "b"), (volume, tmp_path / "c"))
    ]
    assert series[0].relative_to(tmp_path / "a") == series[1].relative_to(tmp_path / "b")
    uids = [[str(each.SOPInstanceUID) for each in images(folder)] for folder in series]
    assert uids[0] == uids[1] and len(set(uids[0])) == SHAPE[2]
    first, again = (sorted(folder.iterdir()) for folder in (series[0], series[2]))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert images(series[0])[0].InstanceCreationDate == "20260304"


def test_the_sequences_of_an_examination_meet_in_one_study_and_others_do_not(tmp_path: Path) -> None:
    def uids(exported: DicomSource) -> tuple[str, ...]:
        first = images(export_dicom(exported, tmp_path))[0]
        return first.PatientID, first.StudyInstanceUID, first.FrameOfReferenceUID, first.SeriesInstanceUID

    t2w, adc = uids(source()), uids(source(sequence="adc"))
    moved = uids(source(directions=DIRECTIONS["coronal"]))
    changed = source().voxels.copy()
    changed[0, 0, 0] += 1
    touched, other = uids(source(changed)), uids(source(seed=8))
    later = uids(source(sequence="hbv", created="2026-03-04T05:06:07+00:00", device="cuda:0", dtype="bfloat16"))
    assert t2w[:3] == adc[:3] == moved[:3] == touched[:3] == later[:3]
    assert not set(t2w) & set(other)
    assert len({each[3] for each in (t2w, adc, moved, touched, other, later)}) == 6
    assert all(len(uid) <= 64 and uid.startswith("2.25.") for uid in t2w[1:])


def test_scans_that_were_edited_together_meet_in_one_study(tmp_path: Path) -> None:
    def study(sequence: str, scan: str, examination: str | None = "ab" * 32) -> tuple[str, ...]:
        edited = source(sequence=sequence, source_sha256=scan, examination_sha256=examination, mask_sha256="0" * 64)
        first = images(export_dicom(edited, tmp_path))[0]
        assert first.ImageComments == f"SYNTHETIC (EDITED FROM {scan[:8]}) - not for diagnosis"
        return first.PatientID, first.PatientComments, first.StudyInstanceUID, first.StudyDescription, \
            first.FrameOfReferenceUID  # fmt: skip

    t2w, hbv, adc = study("t2w", "ab" * 32), study("hbv", "cd" * 32), study("adc", "ef" * 32)
    assert t2w == hbv == adc
    assert t2w[1] == "SYNTHETIC (EDITED FROM abababab) - not for diagnosis"
    assert not set(t2w) & set(study("t2w", "12" * 32, "12" * 32))
    assert study("hbv", "34" * 32, None) != study("adc", "56" * 32, None)  # no word of an examination: one each


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-3.0e4, 7.0e4), (1e-9, 2e-9), (0.0, 3e38), (123.456, 123.456), (-1e-30, 1e30)]
)
def test_values_of_any_range_come_back(tmp_path: Path, low: float, high: float) -> None:
    voxels = np.random.default_rng(0).uniform(low, high, SHAPE).astype(np.float32)
    found = images(export_dicom(source(voxels), tmp_path))
    slope, intercept = float(found[0].RescaleSlope), float(found[0].RescaleIntercept)
    values = np.stack([each.pixel_array for each in found]).transpose(2, 1, 0) * slope + intercept
    span = float(voxels.max()) - float(voxels.min())
    expected = np.flip(voxels, (0, 1))  # upright, seen as radiologists do
    assert np.abs(values - expected).max() <= (0.5001 * span / 65535 or 1e-4)


def test_names_of_any_kind_fit(tmp_path: Path) -> None:
    name = "Modell\\Läsion 前列腺 " * 8
    first = images(export_dicom(source(model_name=name), tmp_path))[0]
    assert len(first.SeriesDescription) == MOST_CHARACTERS and "前列腺" in first.SeriesDescription
    assert isinstance(first.SeriesDescription, str) and "\\" not in first.SeriesDescription


def test_what_cannot_be_exported_is_refused_in_a_sentence(tmp_path: Path) -> None:
    sheared = affine(np.eye(3))
    sheared[0, 1] = 0.1
    flat = affine(np.eye(3))
    flat[:, 2] = 0
    good = source()
    broken = good.voxels.copy()
    broken[1, 2, 3] = np.nan
    for bad, error, words in (
        (DicomSource("It", good.voxels, sheared, "t2w", made()), InputError, "not at right angles"),
        (DicomSource("It", good.voxels, flat, "t2w", made()), InputError, "no usable place"),
        (DicomSource("It", broken, good.affine, "t2w", made()), NonFiniteError, "1 voxels of It are NaN or infinite"),
        (DicomSource("It", good.voxels[0], good.affine, "t2w", made()), InputError, "no three-dimensional volume"),
        (DicomSource("It", good.voxels, good.affine, "t2w", {}), InputError, "does not say how it was made"),
    ):
        with pytest.raises(error, match=words):
            export_dicom(bad, tmp_path)
        with pytest.raises(error, match=words):
            export_all([good, bad], tmp_path)
    with pytest.raises(InputError, match=r"Two of the volumes are the same, SYNTHETIC t2w seed 7 \(tiny 1.0\)"):
        export_all([good, good], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_series_that_is_there_is_replaced_only_when_asked(tmp_path: Path) -> None:
    series = export_dicom(source(), tmp_path)
    (series / "0001.dcm").write_bytes(b"")
    with pytest.raises(InputError, match="exists already: choose another folder, or ask to overwrite it"):
        export_dicom(source(), tmp_path)
    assert export_dicom(source(), tmp_path, overwrite=True) == series and len(images(series)) == SHAPE[2]


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []

    def save_as(self: Any, path: Path, **options: Any) -> None:
        written.append(path)
        if len(written) == 3:
            # As pydicom does: the system's number is gone, and a whole traceback is in the message.
            raise OSError("With tag (7FE0,0010) got exception: [Errno 28] No space left on device\nTraceback (most …")
        Path(path).touch()

    monkeypatch.setattr(pydicom.dataset.FileDataset, "save_as", save_as)
    with pytest.raises(SaveError, match=r"No space left on device\. Free disk space") as refused:
        export_dicom(source(), tmp_path)
    assert "\n" not in str(refused.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith(("t2w", "."))] == []


@pytest.mark.medium
def test_the_checkers_of_dicom3tools_and_dcmtk_have_nothing_to_say(tmp_path: Path) -> None:
    if missing := [tool for tool in ("dciodvfy", "dcentvfy", "dcmdump") if shutil.which(tool) is None]:
        pytest.skip(f"{' and '.join(missing)} of dicom3tools and dcmtk are not installed")
    whole = np.rint(source().voxels).astype(np.int16)
    files = []
    for exported in (source(), source(whole, rotation(2), "adc"), source(whole, sequence="hbv")):
        files += sorted(export_dicom(exported, tmp_path).iterdir())
    for file in files:
        said = subprocess.run(["dciodvfy", "-new", file], capture_output=True, encoding="utf-8")
        errors = [line for line in (said.stderr + said.stdout).splitlines() if line.startswith("Error")]
        assert [line for line in errors if OLD_CHECKERS_DO_NOT_KNOW not in line] == []
        subprocess.run(["dcmdump", "--quiet", file], check=True, stdout=subprocess.DEVNULL)
    together = subprocess.run(["dcentvfy", *files], capture_output=True, encoding="utf-8")
    assert (together.returncode, together.stdout, together.stderr) == (0, "", "")


def test_provenance_as_slicer_keeps_it_gives_the_same_study(tmp_path: Path) -> None:
    """There it is a text in the scene, and goes through JSON once more."""
    first = source()
    through_json = DicomSource("It", first.voxels, first.affine, "t2w", json.loads(json.dumps(first.provenance)))
    series = export_dicom(first, tmp_path)
    assert export_dicom(through_json, tmp_path, overwrite=True) == series
