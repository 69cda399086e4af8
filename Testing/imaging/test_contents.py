"""Files by what they hold, not by their names: misnamed, packed, in two halves, contradicting, beyond any scan."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from ccella_core.errors import InputError
from ccella_core.imaging.raw_files import MOST_VOXELS
from ccella_core.imaging.scans import read_mask, read_scan
from ccella_core.imaging.volume import read_image

VOXELS = np.random.default_rng(0).integers(1, 1000, (7, 6, 5)).astype(np.int16)
SUFFIXES = (".nii", ".mha", ".nrrd")


def written(path: Path, voxels: np.ndarray = VOXELS) -> Path:
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    image.SetSpacing((0.5, 0.6, 3.0))
    sitk.WriteImage(image, str(path))
    return path


def replaced(path: Path, before: bytes, after: bytes) -> Path:
    data = path.read_bytes()
    assert before in data
    path.write_bytes(data.replace(before, after, 1))
    return path


@pytest.mark.parametrize("holds", SUFFIXES)
@pytest.mark.parametrize("called", [".nii", ".nii.gz", ".mha", ".nrrd", ".dcm", ""])
def test_what_a_file_is_called_does_not_matter(tmp_path, capfd, holds, called):
    path = written(tmp_path / f"a{holds}").rename(tmp_path / f"b{called}")
    read = read_scan(path)
    assert np.array_equal(sitk.GetArrayFromImage(read).T, VOXELS)
    assert read.GetSpacing() == pytest.approx((0.5, 0.6, 3.0))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("holds", SUFFIXES)
def test_a_broken_file_of_another_name_leaves_the_terminal_clean(tmp_path, capfd, holds):
    whole = written(tmp_path / f"a{holds}").read_bytes()
    for called in (".nii", ".mha", ".nrrd"):
        for end in (20, 200, 360, len(whole) - 1):
            (tmp_path / f"b{called}").write_bytes(whole[:end])
            with pytest.raises(InputError, match=f"b{called}"):
                read_scan(tmp_path / f"b{called}")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", [np.int64, np.uint64])
def test_whole_numbers_of_64_bits(tmp_path, suffix, kind):
    most = written(tmp_path / f"most{suffix}", VOXELS.astype(kind) + (kind(1) << kind(53)) - kind(VOXELS.max()))
    assert sitk.GetArrayFromImage(read_scan(most)).max() == 2**53
    one = VOXELS.astype(kind)
    one[1, 2, 3] = np.iinfo(kind).max
    for voxels in (one, VOXELS.astype(kind) + kind(1 << 62) + kind(kind is np.uint64 and 1 << 62)):
        path = written(tmp_path / f"beyond{suffix}", voxels)
        for read in (read_scan, read_mask):
            with pytest.raises(InputError, match=r"beyond.* whole numbers of up to \d.*e\+1\d, which no scan has"):
                read(path)


def test_the_lowest_whole_number_of_all_is_met(tmp_path):
    voxels = VOXELS.astype(np.int64)
    voxels[0, 0, 0] = np.iinfo(np.int64).min
    with pytest.raises(InputError, match=r"whole numbers of up to 9\.2e\+18"):
        read_scan(written(tmp_path / "a.nii", voxels))


@pytest.mark.parametrize(
    ("pack", "words"),
    [
        (gzip.compress, r"is packed \(gzip\)"),
        (bz2.compress, r"is packed \(bzip2\)"),
        (lzma.compress, r"is packed \(xz\)"),
        (lambda data: b"\x28\xb5\x2f\xfd" + data, r"is packed \(Zstandard\)"),
        (
            lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
            "pointer of Git LFS .*`git lfs pull`",
        ),
        (lambda _: b"%PDF-1.4", "is a PDF"),
    ],
)
@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz"])
def test_what_is_packed_is_said_to_be(tmp_path, pack, words, suffix):
    holds = suffix.removesuffix(".gz")
    path = written(tmp_path / f"a{holds}")
    path.write_bytes(pack(path.read_bytes()))
    path = path.rename(tmp_path / f"b{suffix}")
    if suffix == ".nii.gz" and pack is gzip.compress:
        assert np.array_equal(sitk.GetArrayFromImage(read_scan(path)).T, VOXELS)
        return
    with pytest.raises(InputError, match=words):
        read_scan(path)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
def test_both_halves_of_a_pair_say_where_the_other_is(tmp_path, kind):
    kind(VOXELS, np.diag([0.5, 0.6, 3, 1])).to_filename(tmp_path / "a.hdr")
    with pytest.raises(InputError, match=r"The voxels of .*a\.hdr lie in another file \(\.img\); save both as one"):
        read_scan(tmp_path / "a.hdr")
    with pytest.raises(InputError, match=r"a\.img holds voxels alone, and a\.hdr says what they are; save both as one"):
        read_scan(tmp_path / "a.img")


def test_what_follows_a_packed_file_is_a_warning(tmp_path):
    path = written(tmp_path / "a.nii.gz")
    path.write_bytes(path.read_bytes() + b"junk")
    told = []
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(path, told.append)).T, VOXELS)
    assert told == ["a.nii.gz has something behind its end that is not packed; it is not read."]


@pytest.mark.parametrize(
    ("suffix", "before", "after", "words"),
    [
        (".mha", b"ElementType", b"ElementNumberOfChannels = 0\nElementType", "announces 0 values a voxel"),
        (".mha", b"ElementType", b"ElementNumberOfChannels = -1\nElementType", "announces -1 values a voxel"),
        (".mha", b"DimSize", b"DimSize = 7 6 4\nDimSize", "its header has DimSize twice"),
        (".mha", b"LOCAL", b"gone.raw", r"The voxels of .*a\.mha are missing: they lie in gone\.raw"),
        (".nrrd", b"sizes:", b"sizes: 7 6 4\nsizes:", "its header has sizes twice"),
        (".nrrd", b"kinds: domain", b"kinds: vector", "has 7 layers; export each segment"),
        (".nrrd", b"(0.5,0,0)", b"(0,0,0)", "two of its axes run in the same direction, or one nowhere"),
        (".nrrd", b"(0.5,0,0)", b"(0,0.6,0)", "two of its axes run in the same direction"),
        (".nii", b"\x04\x00\x10\x00", b"\x00\x00\x10\x00", "does not say which type of number it holds"),
    ],
)
def test_a_header_that_contradicts_itself_is_explained(tmp_path, capfd, suffix, before, after, words):
    path = replaced(written(tmp_path / f"a{suffix}"), before, after)
    with pytest.raises(InputError, match=words):
        read_scan(path)
    assert capfd.readouterr().err == ""


def test_an_infinite_slope_is_refused_and_none_is_none(tmp_path):
    path = written(tmp_path / "a.nii")
    data = path.read_bytes()
    path.write_bytes(data[:112] + np.float32(np.inf).tobytes() + data[116:])
    with pytest.raises(InputError, match="slope that is no number"):
        read_scan(path)
    path.write_bytes(data[:112] + np.float32(np.nan).tobytes() + data[116:])
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(path)).T, VOXELS)


def test_a_header_may_name_its_voxels_from_its_own_folder(tmp_path):
    written(tmp_path / "a.mhd")
    replaced(tmp_path / "a.mhd", b"a.raw", b"./a.raw")
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(tmp_path / "a.mhd")).T, VOXELS)


def test_more_voxels_than_a_scan_has_are_not_unpacked(tmp_path):
    path = written(tmp_path / "a.nii")
    data = bytearray(path.read_bytes())
    data[42:48] = np.array([512, 512, MOST_VOXELS // 512**2 + 1], "<i2").tobytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(InputError, match="announces 512 x 512 x 513 voxels, more than any scan"):
        read_scan(tmp_path / "b.nii.gz")


@pytest.mark.parametrize("content", [b"", b"none" * 100, gzip.compress(b"\0" * 3000)[:-9], gzip.compress(b"\0" * 400)])
@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_a_synthetic_volume_that_was_altered_with_its_hash_is_read_as_any_scan(tmp_path, content, suffix):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(InputError, match=f"a{suffix}"):
        read_image(tmp_path / f"a{suffix}")
