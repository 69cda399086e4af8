"""PI-CAI and PROSTATEx as they are downloaded: which files belong together, which class, and what is left out."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813

from ccella_core.cases.layouts import read_source
from ccella_core.cases.picai import GLANDS, LESIONS, MARKSHEET
from ccella_core.errors import InputError

MARKSHEET_COLUMNS = ("patient_id", "study_id", "mri_date", "patient_age", "psa", "psad", "prostate_volume",
                     "histopath_type", "lesion_GS", "lesion_ISUP", "case_ISUP", "case_csPCa", "center")  # fmt: skip


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def write_table(path: Path, columns: tuple[str, ...], lines: list[dict[str, str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(lines)


@pytest.fixture(params=["beside", "labels"])
def picai(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Unpacked archives; the marksheet beside them, or where the repository ``picai_labels`` has it."""
    for fold, name in ((0, "10000_1000000"), (0, "10001_1000001"), (1, "10002_1000002"), (1, "10003_1000003")):
        images = tmp_path / f"picai_public_images_fold{fold}" / name.partition("_")[0]
        for sequence in ("t2w", "adc", "hbv", "cor"):
            touch(images / f"{name}_{sequence}.mha")
    touch(tmp_path / "picai_labels" / GLANDS / "10000_1000000.nii.gz")
    for lesions in LESIONS:
        touch(tmp_path / "picai_labels" / lesions / "10001_1000001.nii.gz")
    clinical = tmp_path / "picai_labels" / "clinical_information"
    write_table(
        (tmp_path if request.param == "beside" else clinical) / MARKSHEET,
        MARKSHEET_COLUMNS,
        [
            {"patient_id": "10000", "study_id": "1000000", "patient_age": "73", "psa": "7.7",
             "prostate_volume": "55.0", "case_csPCa": "NO"},
            {"patient_id": "10001", "study_id": "1000001", "psa": "", "prostate_volume": "N/A", "lesion_ISUP": "0,2",
             "case_ISUP": "2", "case_csPCa": "YES"},
            {"patient_id": "10002", "study_id": "1000002", "case_csPCa": "MAYBE"},
            {"patient_id": "10009", "study_id": "1000009", "case_csPCa": "NO"},
        ],
    )  # fmt: skip
    return tmp_path


def test_picai(picai):
    (negative, positive), refused = read_source(picai)[:2]
    assert (negative.id, negative.patient, negative.pathology) == ("10000_1000000", "10000", "negative")
    folder = picai / "picai_public_images_fold0" / "10000"
    assert negative.images == {name: folder / f"10000_1000000_{name}.mha" for name in ("t2w", "hbv", "adc")}
    assert negative.gland == picai / "picai_labels" / GLANDS / "10000_1000000.nii.gz" and negative.lesion is None
    assert negative.fields.model_dump(exclude_none=True) == {
        "age_years": 73, "psa_ng_ml": 7.7, "gland_volume_ml": 55,
    }  # fmt: skip
    assert positive.pathology == "positive" and positive.gland is None
    assert positive.lesion == picai / "picai_labels" / LESIONS[0] / "10001_1000001.nii.gz", "the experts' first"
    assert positive.fields.isup == 2 and [lesion.isup for lesion in positive.fields.lesions] == [0, 2]
    assert not negative.reports and not positive.reports
    reasons = {each.id: each.reason for each in refused}
    assert "MAYBE" in reasons.pop("10002_1000002")
    assert reasons == {
        "10009_1000009": "There is no T2-weighted image of it.",
        "10003_1000003": f"It is not in {MARKSHEET}.",
    }


def test_picai_without_a_marksheet_is_said(tmp_path):
    with pytest.raises(InputError, match=r"There is no marksheet\.csv in .*; it comes with .* picai_labels"):
        read_source(tmp_path, "picai")


def write_slice(folder: Path, description: str) -> None:
    """One is enough to tell what a series is."""
    folder.mkdir(parents=True)
    image = sitk.Image(4, 4, 1, sitk.sitkInt16)
    for tag, value in {"0008|0060": "MR", "0008|103e": description}.items():
        image.SetMetaData(tag, value)
    sitk.WriteImage(image, str(folder / "1-01.dcm"))


@pytest.fixture
def prostatex(tmp_path: Path) -> Path:
    """The Cancer Imaging Archive's folders and names."""
    for number, descriptions in {
        0: ("t2_tse_cor", "t2_tse_tra", "ep2d_diff_tra_DYNDIST", "ep2d_diff_tra_DYNDIST_ADC",
            "ep2d_diff_tra_DYNDISTCALC_BVAL"),
        1: ("t2_tse_tra", "t2_tse_tra"),
        2: ("t2_tse_cor",),
        3: ("t2_tse_tra",),
    }.items():  # fmt: skip
        for series, description in enumerate(descriptions):
            folder = tmp_path / "PROSTATEx" / f"ProstateX-{number:04d}" / "07-07-2011-NA-MR" / f"{series}.000000-NA-1"
            write_slice(folder, description)
    write_table(
        tmp_path / "ProstateX-Findings-Train.csv",
        ("ProxID", "fid", "pos", "zone", "ClinSig"),
        [
            {"ProxID": "ProstateX-0000", "fid": "1", "zone": "PZ", "ClinSig": "TRUE"},
            {"ProxID": "ProstateX-0000", "fid": "2", "zone": "AS", "ClinSig": "FALSE"},
            {"ProxID": "ProstateX-0001", "fid": "1", "zone": "TZ", "ClinSig": "FALSE"},
            {"ProxID": "ProstateX-0002", "fid": "1", "zone": "TZ", "ClinSig": "FALSE"},
        ],
    )
    return tmp_path


def test_prostatex(prostatex):
    (positive, negative), refused = read_source(prostatex)[:2]
    study = prostatex / "PROSTATEx" / "ProstateX-0000" / "07-07-2011-NA-MR"
    assert (positive.id, positive.patient, positive.pathology) == ("ProstateX-0000", "ProstateX-0000", "positive")
    assert positive.images == {
        "t2w": study / "1.000000-NA-1", "adc": study / "3.000000-NA-1", "hbv": study / "4.000000-NA-1",
    }  # fmt: skip
    assert [lesion.zone for lesion in positive.fields.lesions] == ["peripheral", None]
    assert negative.pathology == "negative" and negative.fields is None
    assert negative.images["t2w"].name == "1.000000-NA-1", "the last, repeated for a reason"
    assert {each.id: each.reason for each in refused} == {
        "ProstateX-0002": "There is no axial T2-weighted series.",
        "ProstateX-0003": "It is not in a table *Findings*.csv, and so has no class.",
    }


def test_prostatex_without_patients_is_said(tmp_path):
    with pytest.raises(InputError, match="There are no folders ProstateX-0000"):
        read_source(tmp_path, "prostatex")


def test_what_is_not_there_or_not_known_is_said(tmp_path):
    with pytest.raises(InputError, match="There is no file or folder"):
        read_source(tmp_path / "none")
    with pytest.raises(InputError, match="There is no layout 'dicom'; choose one of auto, manifest, authors"):
        read_source(tmp_path, "dicom")
