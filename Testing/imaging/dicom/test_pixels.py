"""The voxels of DICOM files: packed, compressed and cut off, in colours, without their size, and lists of files."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_writing import item, write_slice
from pydicom.sequence import Sequence

from ccella_core.errors import InputError
from ccella_core.imaging.dicom.files import frames_of
from ccella_core.imaging.scans import read_scan

VOXELS = np.random.default_rng(0).integers(0, 1000, (1, 48, 40)).astype(np.uint16)


def compressed(path: Path, compressor: str) -> Path:
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.UseCompressionOn()
    writer.SetCompressor(compressor)
    writer.Execute(sitk.GetImageFromArray(VOXELS))
    return path


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_a_compressed_image_that_was_cut_off_is_refused_before_a_codec_speaks(tmp_path, capfd, compressor):
    from pydicom.encaps import encapsulate, generate_frames

    path = compressed(tmp_path / "a.dcm", compressor)
    _, (frame,), _ = frames_of(path)
    assert np.array_equal(frame.voxels, VOXELS[0])
    data = pydicom.dcmread(path)
    (whole,) = generate_frames(data.PixelData, number_of_frames=1)
    for share in (0.02, 0.5, 0.95):
        data.PixelData = encapsulate([whole[: int(len(whole) * share)]])
        data["PixelData"].is_undefined_length = True
        data.save_as(path)
        with pytest.raises(InputError, match=r"a\.dcm is incomplete: 0 of its 1 compressed images are whole"):
            frames_of(path)
    assert capfd.readouterr() == ("", "")


def test_what_is_no_image_of_a_scanner_is_named(tmp_path):
    path = write_slice(tmp_path / "a.dcm", 0.0, VOXELS[0])
    for change, words in (
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "holds colours, not intensities"),
        ({"BitsAllocated": None}, "does not say how many bits its voxels have"),
        (
            {"DirectoryRecordSequence": Sequence([item(DirectoryRecordType="PATIENT")])},
            r"list of DICOM files \(DICOM",
        ),
    ):
        with pytest.raises(InputError, match=words):
            frames_of(write_slice(tmp_path / "a.dcm", 0.0, VOXELS[0], **change))
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(InputError, match=r"a\.dcm is packed \(gzip\); unpack it first"):
        read_scan(path)


def test_a_folder_without_a_series_says_what_to_give(tmp_path):
    (tmp_path / "t2.nii.gz").touch()
    (tmp_path / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(InputError, match=r"no DICOM series in .*; give an image file, or the folder that one series"):
        read_scan(tmp_path)
