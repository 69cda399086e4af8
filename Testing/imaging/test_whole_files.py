"""Files that are damaged, cut off, without a place or in another unit: refused in words, or read and said."""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from ccella_core.errors import InputError
from ccella_core.imaging.orientation import affine_of
from ccella_core.imaging.scans import read_mask, read_scan

VOXELS = np.random.default_rng(0).integers(1, 1000, (7, 6, 5)).astype(np.int16)
AFFINE = np.array([[-0.5, 0, 0, 9.0], [0, 0.6, 0, -4.0], [0, 0, 3.0, 2.0], [0, 0, 0, 1]])


def nifti(path: Path, voxels: np.ndarray = VOXELS, affine: np.ndarray | None = AFFINE, *, unit: str = "mm",
          kind: type = nib.Nifti1Image, **header) -> Path:  # fmt: skip
    image = kind(voxels, affine)
    image.header.set_xyzt_units(xyz=unit)
    for name, value in header.items():
        image.header[name] = value
    image.to_filename(path)
    return path


def image(path: Path, voxels: np.ndarray = VOXELS, *, packed: bool = False) -> Path:
    written = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    written.SetSpacing((0.5, 0.6, 3.0))
    written.SetOrigin((1.0, 2.0, 3.0))
    sitk.WriteImage(written, str(path), packed)
    return path


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_nifti_keeps_voxels_and_place(tmp_path, kind, suffix):
    read = read_scan(nifti(tmp_path / f"a{suffix}", kind=kind))
    assert np.array_equal(sitk.GetArrayFromImage(read).transpose(2, 1, 0), VOXELS)
    np.testing.assert_allclose(affine_of(read), AFFINE, atol=1e-5)


def test_a_meta_image_s_slope_and_offset_are_applied(tmp_path):
    path = image(tmp_path / "a.mha")
    scale = b"ElementToIntensityFunctionSlope = 2.5\nElementToIntensityFunctionOffset = -10\nElementDataFile"
    path.write_bytes(path.read_bytes().replace(b"ElementDataFile", scale))
    read = read_scan(path)
    np.testing.assert_allclose(sitk.GetArrayFromImage(read).T, VOXELS * 2.5 - 10)
    assert read.GetSpacing() == (0.5, 0.6, 3.0) and read.GetOrigin() == (1.0, 2.0, 3.0)


def test_a_slope_and_the_other_byte_order_are_applied(tmp_path):
    scaled = nib.Nifti1Image(VOXELS, AFFINE)
    scaled.header.set_slope_inter(0.5, 10)
    scaled.to_filename(tmp_path / "slope.nii")
    np.testing.assert_allclose(sitk.GetArrayFromImage(read_scan(tmp_path / "slope.nii")).T, VOXELS * 0.5 + 10)
    swapped = nib.Nifti1Image(VOXELS.astype(">i2"), AFFINE, nib.Nifti1Header(endianness=">"))
    swapped.to_filename(tmp_path / "big.nii")
    assert np.array_equal(sitk.GetArrayFromImage(read_scan(tmp_path / "big.nii")).T, VOXELS)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd", "packed.mha", "packed.nrrd"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.99])
def test_a_file_that_ends_early_is_never_taken_as_whole(tmp_path, name, share):
    path = tmp_path / name
    voxels = np.tile(VOXELS, (4, 4, 4))
    nifti(path, voxels) if "nii" in name else image(path, voxels, packed="packed" in name)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=rf"{name} is (incomplete: \d+ of \d+ bytes|damaged)"):
        read_scan(path)


@pytest.mark.parametrize("place", [-8, -4, 60])
def test_a_wrong_checksum_is_noticed(tmp_path, place):
    path = nifti(tmp_path / "a.nii.gz")
    data = bytearray(path.read_bytes())
    data[place] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a.nii.gz is (damaged|incomplete)"):
        read_scan(path)


def test_bytes_that_follow_are_a_warning_and_a_bomb_is_refused(tmp_path):
    path = nifti(tmp_path / "a.nii")
    path.write_bytes(path.read_bytes() + b"\0" * 10)
    warnings: list[str] = []
    read_scan(path, warnings.append)
    assert warnings == ["a.nii holds 10 bytes more than its header announces; they are not read."]
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(path.read_bytes() + b"\0" * (40 << 20)))
    with pytest.raises(InputError, match=r"holds more than 1048576 bytes beyond"):
        read_scan(tmp_path / "bomb.nii.gz")


def test_a_header_that_announces_too_much_is_refused_before_it_is_read(tmp_path):
    path = nifti(tmp_path / "a.nii.gz")
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[42:48] = struct.pack("<3h", 20_000, 20_000, 20_000)
    path.write_bytes(gzip.compress(bytes(data)))
    with pytest.raises(InputError, match=r"announces 20000 x 20000 x 20000 voxels, more than any scan"):
        read_scan(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pixdim": [1, 0, 1, 1, 1, 1, 1, 1]}, "no usable spacing"),
        ({"pixdim": [1, np.nan, 1, 1, 1, 1, 1, 1]}, "no usable spacing"),
        ({"sform_code": 0, "qform_code": 0}, "does not say where it lies, nor where left and right are"),
        ({"srow_x": [np.nan, 0, 0, 0]}, "sform holds NaN"),
        ({"srow_x": [0, 0, 0, 0]}, "voxels of 0 x 0.6 x 3 mm"),
        ({"srow_x": [1e-30, 0, 0, 0]}, "which no scan of a prostate has"),
        ({"srow_x": [1e30, 0, 0, 0]}, "which no scan of a prostate has"),
        ({"srow_y": [0.5, 0, 0, 0], "srow_x": [0.5, 0, 0.0, 0]}, "voxels of|same direction|right angles"),
        ({"vox_offset": 100}, "voxels begin at byte 100"),
        ({"vox_offset": 4000}, "is incomplete"),
        ({"datatype": 12345}, "no known type of number"),
        ({"magic": b"ni1"}, r"lie in another file \(.img\)"),
        ({"magic": b""}, "is of the format Analyze"),
    ],
)
def test_a_header_that_cannot_be_is_explained(tmp_path, change, words):
    path = nifti(tmp_path / "a.nii")
    header = nib.Nifti1Header(path.read_bytes()[:348], check=False)
    for name, value in change.items():
        header[name] = value
    path.write_bytes(header.binaryblock + path.read_bytes()[348:])
    with pytest.raises(InputError, match=words):
        read_scan(path)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 0.001), ("micron", 1000.0)])
def test_other_units_are_brought_to_millimetres_and_said(tmp_path, unit, factor):
    warnings: list[str] = []
    read = read_scan(nifti(tmp_path / "a.nii", affine=np.diag([factor] * 3 + [1]) @ AFFINE, unit=unit), warnings.append)
    np.testing.assert_allclose(affine_of(read), AFFINE, atol=1e-4)
    assert f"is measured in {unit}s, as its header says: its voxels are 0.5 x 0.6 x 3 mm" in warnings[0]
    with pytest.raises(InputError, match=r"Is it measured in another unit than its header says"):
        read_scan(nifti(tmp_path / "b.nii", unit=unit))  # millimetres that are called otherwise


def test_a_slight_shear_is_straightened_and_a_large_one_refused(tmp_path):
    sheared = AFFINE.copy()
    sheared[0, 1] = 0.003
    warnings: list[str] = []
    read = read_scan(nifti(tmp_path / "a.nii", affine=sheared), warnings.append)
    assert "were 0.29 degrees off right angles and were straightened" in warnings[0]
    middle = (np.array(VOXELS.shape) - 1) / 2
    np.testing.assert_allclose(affine_of(read) @ [*middle, 1], sheared @ [*middle, 1], atol=1e-4)
    sheared[0, 1] = 0.3
    with pytest.raises(InputError, match=r"not at right angles .* resample it"):
        read_scan(nifti(tmp_path / "b.nii", affine=sheared))


def test_two_statements_of_the_place_that_differ_are_a_warning(tmp_path):
    written = nib.Nifti1Image(VOXELS, AFFINE)
    written.set_sform(AFFINE, 1)
    moved = AFFINE.copy()
    moved[0, 3] += 5
    written.set_qform(moved, 1)
    written.to_filename(tmp_path / "a.nii")
    warnings: list[str] = []
    np.testing.assert_allclose(affine_of(read_scan(tmp_path / "a.nii", warnings.append)), AFFINE, atol=1e-5)
    assert "says in two ways where it lies" in warnings[0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd"])
def test_voxels_are_finite(tmp_path, name, value):
    voxels = VOXELS.astype(np.float32)
    voxels[1, 2, 3] = value
    nifti(tmp_path / name, voxels) if "nii" in name else image(tmp_path / name, voxels)
    with pytest.raises(InputError, match=rf"{name} holds NaN or infinite voxels \(1 of 210\)"):
        read_scan(tmp_path / name)


def test_what_has_no_single_value_a_voxel_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds complex numbers"):
        read_scan(nifti(tmp_path / "c.nii", VOXELS.astype(np.complex64)))
    colours = np.zeros((4, 4, 4), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    with pytest.raises(InputError, match=r"holds colours"):
        read_scan(nifti(tmp_path / "rgb.nii", colours))
    with pytest.raises(InputError, match=r"7 x 6 x 5 x 2 voxels\): it holds 2 volumes"):
        read_scan(nifti(tmp_path / "film.nii", np.stack([VOXELS, VOXELS], axis=-1)))
    assert read_scan(nifti(tmp_path / "single.nii", VOXELS[..., None])).GetSize() == (7, 6, 5)
    with pytest.raises(InputError, match=r"is one slice"):
        read_scan(nifti(tmp_path / "slice.nii", VOXELS[:, :, :1]))


NRRD = """NRRD0004
type: unsigned char
dimension: {dimension}
space: {space}
sizes: {sizes}
space directions: {directions}
kinds: {kinds}
encoding: raw
{more}space origin: (1,2,3)

"""


def nrrd(path: Path, voxels: bytes, **changes: str) -> Path:
    content = {"dimension": "3", "space": "left-posterior-superior", "sizes": "4 4 3",
               "directions": "(1,0,0) (0,1,0) (0,0,3)", "kinds": "domain domain domain", "more": ""}  # fmt: skip
    content |= changes
    path.write_bytes(NRRD.format(**content).encode() + voxels)
    return path


def test_nrrd_says_its_layers_space_and_unit(tmp_path):
    assert read_scan(nrrd(tmp_path / "a.nrrd", bytes(range(48)))).GetOrigin() == (1, 2, 3)
    layers = nrrd(tmp_path / "l.seg.nrrd", bytes(96), dimension="4", sizes="2 4 4 3",
                  kinds="vector domain domain domain", directions="none (1,0,0) (0,1,0) (0,0,3)")  # fmt: skip
    with pytest.raises(InputError, match=r"has 2 layers; export each segment"):
        read_scan(layers)
    with pytest.raises(InputError, match=r"where left and right are \(space 'scanner-xyz'\)"):
        read_scan(nrrd(tmp_path / "s.nrrd", bytes(48), space="scanner-xyz"))
    warnings: list[str] = []
    read = read_scan(nrrd(tmp_path / "u.nrrd", bytes(range(48)), more='space units: "cm" "cm" "cm"\n',
                          directions="(.1,0,0) (0,.1,0) (0,0,.3)"), warnings.append)  # fmt: skip
    assert read.GetSpacing() == pytest.approx((1, 1, 3)) and "measured in cm" in warnings[0]


@pytest.mark.parametrize("key", ["ElementSpacing", "Offset"])
def test_meta_image_without_place_or_spacing_is_refused(tmp_path, key):
    path = image(tmp_path / "a.mha")
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(line for line in lines if not line.startswith(key.encode() + b" =")))
    with pytest.raises(InputError, match=r"a.mha does not say (how large|where)"):
        read_scan(path)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("ElementSpacing = ", "ElementSpacing = 1 ", "should have 3 numbers as ElementSpacing and has '1 0.5"),
        ("ElementSpacing = 0", "ElementSpacing = nan 0", "3 numbers as ElementSpacing"),
        ("Offset = 1", "Offset = 1e400", "3 numbers as Offset"),
        ("Offset = 1", "Offset = 1e30", r"lies 1e\+27 m away from the middle of the scanner"),
        ("TransformMatrix = 1 0 0", "TransformMatrix = 0 0 0", "two of its axes run in the same direction"),
        ("NDims = 3", "NDims = 4", "announces 4 axes and has 3 sizes"),
        ("BinaryData = True", "BinaryData = False", "are written as text"),
        ("ElementDataFile", "HeaderSize = 40\nElementDataFile", "another header within"),
        ("ElementDataFile", "ElementToIntensityFunctionSlope = 0\nElementDataFile", "slope of its intensities is 0"),
        ("ElementDataFile", "ElementToIntensityFunctionOffset = nan\nElementDataFile", "1 numbers as ElementToInt"),
    ],
)  # fmt: skip
def test_a_meta_header_that_cannot_be_is_explained(tmp_path, before, after, words):
    path = image(tmp_path / "a.mha")
    assert before.encode() in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(before.encode(), after.encode()))
    with pytest.raises(InputError, match=words):
        read_scan(path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dimension": "2"}, "announces 2 axes and has 3 sizes"),
        ({"directions": "none (0,1,0) (0,0,3)"}, "how large its voxels are along each axis"),
        ({"directions": "(nan,0,0) (0,1,0) (0,0,3)"}, "3 numbers as space directions"),
        ({"directions": "(1,0,0) (0,1) (0,0,3)"}, "3 numbers as space directions"),
        ({"more": "byte skip: 8\n"}, "another header within"),
        ({"more": "line skip: 1\n"}, "another header within"),
    ],
)
def test_a_nrrd_header_that_cannot_be_is_explained(tmp_path, changes, words):
    with pytest.raises(InputError, match=words):
        read_scan(nrrd(tmp_path / "a.nrrd", bytes(range(48)), **changes))


def test_a_nrrd_without_the_order_of_its_bytes_is_refused(tmp_path):
    path = image(tmp_path / "a.nrrd")
    path.write_bytes(path.read_bytes().replace(b"endian: little\n", b""))
    with pytest.raises(InputError, match=r"in which order its bytes stand"):
        read_scan(path)


@pytest.mark.parametrize("elsewhere", ["/etc/passwd", "../other.raw", "LIST"])
def test_voxels_elsewhere_are_not_followed(tmp_path, elsewhere):
    path = image(tmp_path / "a.mhd")
    path.write_text(path.read_text().replace("a.raw", elsewhere))
    with pytest.raises(InputError, match=r"lie elsewhere .*save the scan as one file"):
        read_scan(path)


def test_voxels_beside_a_header_are_counted(tmp_path):
    path = image(tmp_path / "a.mhd")
    assert read_scan(path).GetSize() == (7, 6, 5)
    (tmp_path / "a.raw").write_bytes(b"\0" * 100)
    with pytest.raises(InputError, match=r"a.raw is incomplete: 100 of 420 bytes"):
        read_scan(path)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (b"PK\x03\x04", "archive .ZIP.; unpack it"), (b"%PDF-1.4", "is a PDF"), (b"\x89PNG\r\n", "is a picture"),
        (b"", "it is empty"), (b"hello", "it is none of NIfTI, NRRD, MetaImage and DICOM"),
        (b"ObjectType = Image\nNDims = 3\n", "its header is incomplete"), (b"NRRD0004\ntype: uchar\n", "incomplete"),
    ],
)  # fmt: skip
def test_what_is_no_scan_is_said(tmp_path, start, words):
    (tmp_path / "a.mha").write_bytes(start)
    with pytest.raises(InputError, match=words):
        read_scan(tmp_path / "a.mha")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    with pytest.raises(InputError, match=r"neither a file nor a folder"):
        read_scan(tmp_path / "pipe.nii")
    with pytest.raises(InputError, match=r"cannot be (opened|read): File name too long|There is no scan"):
        read_scan(tmp_path / ("x" * 300))


@pytest.mark.parametrize("broken", range(60))
def test_altered_bytes_end_in_a_sentence_or_a_whole_scan(tmp_path, broken):
    """Sixty alterations, drawn, of a header or of packed voxels: never another error."""
    rng = np.random.default_rng(broken)
    name = ["a.nii", "a.nii.gz", "a.mha", "packed.mha", "a.nrrd", "packed.nrrd"][broken % 6]
    path = tmp_path / name
    nifti(path) if "nii" in name else image(path, packed="packed" in name)
    data = bytearray(path.read_bytes())
    for place in rng.integers(0, min(len(data), 400), rng.integers(1, 6)):
        data[place] = rng.integers(256)
    path.write_bytes(data)
    try:
        read = read_scan(path, lambda _: None)
    except InputError as error:
        assert len(str(error)) > 20
    else:
        assert np.isfinite(sitk.GetArrayViewFromImage(read)).all() and len(read.GetSize()) == 3


def test_a_mask_is_a_mask(tmp_path):
    mask = (VOXELS > 500).astype(np.float32)
    assert sitk.GetArrayFromImage(read_mask(nifti(tmp_path / "m.nii", mask))).sum() == mask.sum()
    assert sitk.GetArrayFromImage(read_mask(nifti(tmp_path / "z.nii", mask * 3))).max() == 1
    with pytest.raises(InputError, match=r"holds probabilities .*threshold it"):
        read_mask(nifti(tmp_path / "p.nii", mask * 0.9))
    with pytest.raises(InputError, match=r"different values, which no mask does"):
        read_mask(nifti(tmp_path / "i.nii", VOXELS))
    mask[0, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"holds NaN"):
        read_mask(nifti(tmp_path / "n.nii", mask))


def test_zlib_is_what_meta_image_packs_with(tmp_path):
    path = image(tmp_path / "a.mha", packed=True)
    assert zlib.decompress(path.read_bytes().split(b"ElementDataFile = LOCAL\n")[1]) == VOXELS.tobytes(order="F")
