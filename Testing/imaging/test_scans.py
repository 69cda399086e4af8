"""Reading a scan: files and DICOM folders, and what cannot be read said in a sentence."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from ccella_core.errors import InputError
from ccella_core.imaging.dicom.series import series_headers
from ccella_core.imaging.scans import read_scan

REAL = Path(__file__).resolve().parents[3] / "shared" / "data" / "prostatex-0000"


def write_slices(folder: Path, places, *, series="1", description="t2_tse_tra") -> None:
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for number, z in enumerate(places):
        image = sitk.GetImageFromArray(np.full((4, 5), number, np.int16))
        uid = "1.2.826.0.1.3680043.8.498.77"
        for tag, value in {
            "0008|0060": "MR", "0008|103e": description, "0020|000d": uid, "0020|000e": f"{uid}.{series}",
            "0008|0018": f"{uid}.{series}.{number}", "0020|0032": f"0\\0\\{z}", "0020|0037": "1\\0\\0\\0\\1\\0",
        }.items():  # fmt: skip
            image.SetMetaData(tag, value)
        writer.SetFileName(str(folder / f"{series}-{number}.dcm"))
        writer.Execute(image)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_files_keep_their_geometry(tmp_path, suffix):
    image = sitk.GetImageFromArray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
    image.SetSpacing((0.5, 0.6, 3.0))
    image.SetOrigin((1.0, 2.0, 3.0))
    sitk.WriteImage(image, str(tmp_path / f"scan{suffix}"))
    read = read_scan(tmp_path / f"scan{suffix}")
    assert read.GetSize() == (4, 3, 2) and read.GetSpacing() == pytest.approx((0.5, 0.6, 3.0))
    assert read.GetOrigin() == pytest.approx((1, 2, 3))


def test_a_dicom_series_is_sorted_by_place(tmp_path):
    write_slices(tmp_path / "t2", [0.0, 9.0, 3.0, 6.0])
    read = read_scan(tmp_path / "t2")
    assert read.GetSize() == (5, 4, 4) and read.GetSpacing()[2] == pytest.approx(3)
    assert sitk.GetArrayFromImage(read)[:, 0, 0].tolist() == [0, 2, 3, 1]
    assert [each.description for each in series_headers(tmp_path / "t2")] == ["t2_tse_tra"]


def test_what_cannot_be_read_is_said(tmp_path):
    with pytest.raises(InputError, match="There is no scan"):
        read_scan(tmp_path / "none.mha")
    with pytest.raises(InputError, match="There is no DICOM series in"):
        read_scan(tmp_path)
    (tmp_path / "text.mha").write_text("no scan", encoding="utf-8")
    with pytest.raises(InputError, match=r"Cannot read .*text\.mha as a scan"):
        read_scan(tmp_path / "text.mha")
    sitk.WriteImage(sitk.Image(4, 4, sitk.sitkFloat32), str(tmp_path / "flat.mha"))
    with pytest.raises(InputError, match=r"is no three-dimensional scan \(4 x 4 voxels\)"):
        read_scan(tmp_path / "flat.mha")
    sitk.WriteImage(sitk.Image([4, 4, 4, 3], sitk.sitkFloat32), str(tmp_path / "film.nii.gz"))
    with pytest.raises(InputError, match="is no three-dimensional scan"):
        read_scan(tmp_path / "film.nii.gz")
    sitk.WriteImage(sitk.Image([4, 4, 4], sitk.sitkVectorUInt8, 3), str(tmp_path / "colour.mha"))
    with pytest.raises(InputError, match="is no three-dimensional scan"):
        read_scan(tmp_path / "colour.mha")


def test_a_missing_slice_is_noticed(tmp_path):
    write_slices(tmp_path / "t2", [0.0, 3.0, 6.0, 12.0])
    with pytest.raises(InputError, match=r"not evenly spaced \(3.00 to 6.00 mm\): some are missing"):
        read_scan(tmp_path / "t2")


def test_several_series_are_named(tmp_path):
    write_slices(tmp_path / "all", [0.0, 3.0], series="1", description="t2_tse_tra")
    write_slices(tmp_path / "all", [0.0, 3.0], series="2", description="ADC")
    with pytest.raises(InputError, match=r"There are 2 DICOM series in .* \((t2_tse_tra, ADC|ADC, t2_tse_tra)\)"):
        read_scan(tmp_path / "all")


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real examination is not in {REAL}")
def test_a_real_examination():
    read = read_scan(REAL / "t2w_dicom")
    assert read.GetSize() == (384, 384, 19) and read.GetSpacing() == pytest.approx((0.5, 0.5, 3.0), rel=1e-3)


def test_a_scale_that_no_scan_has_is_refused(tmp_path):
    image = nib.Nifti1Image(np.full((6, 6, 6), 900, np.int16), np.eye(4))
    image.header.set_slope_inter(1e38, 0)
    image.to_filename(tmp_path / "a.nii")
    with pytest.raises(InputError, match=r"a\.nii holds voxels of up to 9e\+40, which no scan has"):
        read_scan(tmp_path / "a.nii")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (("ElementSpacing = 1 1 3", "ElementSpacing = 1 1 -3"), r"no usable spacing: its header says 1 1 -3"),
        (("ElementSpacing = 1 1 3", "ElementSpacing = 1 1 3\nElementSize = 1 1 4"), "ElementSpacing and ElementSize"),
        (
            ("Offset = 0 0 0", "Offset = 0 0 0\nPosition = 0 0 9"),
            r"that differ \(Offset and Position\); convert it again",
        ),
    ],
    ids=str,
)
def test_a_metaimage_that_contradicts_itself_is_refused(tmp_path, changed, words):
    image = sitk.Image(4, 4, 4, sitk.sitkFloat32)
    image.SetSpacing((1, 1, 3))
    path = tmp_path / "scan.mha"
    sitk.WriteImage(image, str(path))
    assert read_scan(path).GetSpacing() == (1, 1, 3)
    content = path.read_bytes()
    assert changed[0].encode() in content
    path.write_bytes(content.replace(*(each.encode() for each in changed)))
    with pytest.raises(InputError, match=words):
        read_scan(path)


def test_a_nifti_that_is_odd_is_said_to_be(tmp_path):
    image = nib.Nifti1Image(np.ones((4, 4, 4), np.int16), np.diag([1.0, 1, 3, 1]))
    image.set_qform(None, 0)
    image.header["pixdim"][1:4] = 2
    image.header.set_slope_inter(-1, 0)
    nib.save(image, tmp_path / "odd.nii")
    raw = bytearray((tmp_path / "odd.nii").read_bytes())
    raw[112:116] = np.float32(-1).tobytes()  # nibabel writes the slope as it likes
    (tmp_path / "odd.nii").write_bytes(raw)
    said: list[str] = []
    read_scan(tmp_path / "odd.nii", on_warning=said.append)
    assert said == [
        "odd.nii turns its numbers around (its slope is -1); look whether it is a negative.",
        "odd.nii says two sizes of its voxels: its sform's 1 x 1 x 3 are taken, not 2 x 2 x 2.",
    ]
