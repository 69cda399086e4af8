"""DICOM from the field: one image a place, sorted, even, unsheared, each scaled by its own slope; or said why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_writing import SEG, write_frames, write_slice
from pydicom.datadict import tag_for_keyword

from ccella_core.errors import InputError
from ccella_core.imaging.scans import read_mask, read_scan


def picture(value: int, shape: tuple[int, int] = (6, 5)) -> np.ndarray:
    voxels = np.full(shape, 100 + value, np.uint16)
    voxels[0, 1] = value
    return voxels


def stack(folder: Path, count: int = 6, **more) -> Path:
    for index in range(count):
        write_slice(folder / f"{index:02d}.dcm", 3.0 * index, picture(index), **more)
    return folder


def heights(image: sitk.Image) -> list[int]:
    return sitk.GetArrayViewFromImage(image)[:, 0, 1].tolist()


def test_a_series_has_its_axes_and_its_place(tmp_path):
    image = read_scan(stack(tmp_path / "t2"))
    assert image.GetSize() == (5, 6, 6) and image.GetSpacing() == pytest.approx((1.5, 1, 3))
    assert image.GetOrigin() == pytest.approx((-8, -8, 0)) and heights(image) == [0, 1, 2, 3, 4, 5]


def test_it_is_what_itk_reads(tmp_path):
    oblique = [0.8, 0.0, -0.6, 0.0, 1.0, 0.0]
    for index in range(4):
        place = 3.0 * index * np.array([0.6, 0.0, 0.8])
        write_slice(tmp_path / "o" / f"{9 - index}.dcm", 0, picture(index), orientation=oblique,
                    ImagePositionPatient=[*place])  # fmt: skip
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "o")))
    expected, found = reader.Execute(), read_scan(tmp_path / "o")
    assert np.array_equal(sitk.GetArrayFromImage(found), sitk.GetArrayFromImage(expected))
    for ours, theirs in ((found.GetOrigin(), expected.GetOrigin()), (found.GetDirection(), expected.GetDirection())):
        assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("name", ["1.IMA", "IM0001", "slice.dat"])
def test_files_are_known_by_their_content(tmp_path, name):
    for index in range(3):
        write_slice(tmp_path / "t2" / f"{index}{name}", 3.0 * index, picture(index))
    (tmp_path / "t2" / "notes.txt").write_text("not DICOM")
    assert read_scan(tmp_path / "t2").GetSize() == (5, 6, 3)


@pytest.mark.parametrize("element", ["DiffusionBValue", "EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber"])
def test_several_images_at_one_place_are_told_apart(tmp_path, element):
    words = {"DiffusionBValue": "b-values", "EchoTime": "echo times", "TemporalPositionIdentifier": "time points",
             "AcquisitionNumber": "acquisitions"}  # fmt: skip
    for value in (0, 400, 1400):
        for index in range(4):
            write_slice(
                tmp_path / "dwi" / f"{value}-{index}.dcm", 3.0 * index, picture(index + value), **{element: value}
            )
    with pytest.raises(InputError, match=rf"has 3 images at each place \({words[element]} 0, 400, 1400\); keep one"):
        read_scan(tmp_path / "dwi")


def test_one_place_with_two_images_is_not_passed_over(tmp_path):
    write_slice(stack(tmp_path / "t2") / "again.dcm", 6.0, picture(77))
    with pytest.raises(InputError, match=r"1 to 2 images at a place \(which differ in their voxels alone: "):
        read_scan(tmp_path / "t2")


@pytest.mark.parametrize("copied", [1, 6])
def test_identical_copies_are_read_once_and_said(tmp_path, copied):
    for index in range(copied):
        write_slice(stack(tmp_path / "t2") / f"{index} (1).dcm", 3.0 * index, picture(index))
    warnings: list[str] = []
    assert read_scan(tmp_path / "t2", warnings.append).GetSize() == (5, 6, 6)
    assert len(warnings) == 1 and f"holds {copied} cop" in warnings[0]


@pytest.mark.parametrize("missing", ["ImagePositionPatient", "ImageOrientationPatient"])
def test_without_a_place_there_is_no_scan(tmp_path, missing):
    with pytest.raises(InputError, match=r"does not say where 6 of its 6 images lie .*as the scanner stored it"):
        read_scan(stack(tmp_path / "t2", **{missing: None}))


def test_a_negative_and_a_place_that_cannot_be_are_noticed(tmp_path):
    told: list[str] = []
    read_scan(stack(tmp_path / "dark", PhotometricInterpretation="MONOCHROME1"), told.append)
    assert len(told) == 1 and "high numbers are dark (MONOCHROME1)" in told[0]
    for index in range(3):
        write_slice(tmp_path / "far" / f"{index}.dcm", 0, picture(index), ImagePositionPatient=[1e9, 0, 3.0 * index])
    with pytest.raises(InputError, match=r"lies 1e\+06 m away from the middle of the scanner"):
        read_scan(tmp_path / "far")


@pytest.mark.skipif(not Path("/proc/kmsg").exists(), reason="Linux")
def test_a_file_that_the_system_makes_up_is_not_waited_for(tmp_path):
    (tmp_path / "kmsg").symlink_to("/proc/kmsg")  # a regular file whose reader waits for the kernel's next message
    with pytest.raises(InputError, match="There is no DICOM series"):
        read_scan(tmp_path)


def test_without_a_spacing_there_is_no_scan(tmp_path):
    with pytest.raises(InputError, match=r"does not say how large its voxels are"):
        read_scan(stack(tmp_path / "t2", PixelSpacing=None))


@pytest.mark.parametrize("shift", [0.2, 1.0, -3.0])
def test_a_tilted_stack_is_refused_with_its_shift(tmp_path, shift):
    for index in range(6):
        write_slice(tmp_path / "t2" / f"{index}.dcm", 3.0 * index, picture(index), aside=shift * index)
    with pytest.raises(InputError, match=rf"shifted against each other, by {5 * abs(shift):.1f} mm"):
        read_scan(tmp_path / "t2")


def test_another_size_direction_or_spacing_is_named(tmp_path):
    write_slice(stack(tmp_path / "size") / "02.dcm", 6.0, picture(2, (4, 4)))
    with pytest.raises(InputError, match=r"02.dcm in .* has 4 x 4 voxels, the others 5 x 6"):
        read_scan(tmp_path / "size")
    write_slice(stack(tmp_path / "turned") / "02.dcm", 6.0, picture(2), orientation=[0, 1, 0, 0, 0, -1])
    with pytest.raises(InputError, match=r"1 of the 6 images in .* lie in another direction"):
        read_scan(tmp_path / "turned")
    write_slice(stack(tmp_path / "spacing") / "02.dcm", 6.0, picture(2), PixelSpacing=[2.0, 2.0])
    with pytest.raises(InputError, match=r"have another spacing"):
        read_scan(tmp_path / "spacing")


def test_one_slice_is_said_to_be_one(tmp_path):
    path = write_slice(tmp_path / "one" / "1.dcm", 0.0, picture(1))
    with pytest.raises(InputError, match=r"1.dcm is one slice, .*give the folder that its series lies in"):
        read_scan(path)
    with pytest.raises(InputError, match=r"one is one slice.*others? slices are missing|other slices are missing"):
        read_scan(path.parent)


def test_a_cut_file_is_named(tmp_path):
    file = stack(tmp_path / "t2") / "03.dcm"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"03.dcm is (damaged or )?incomplete"):
        read_scan(tmp_path / "t2")
    file.write_bytes(b"")
    with pytest.raises(InputError, match=r"03.dcm is no DICOM file, though it is called one \(0 bytes\)"):
        read_scan(tmp_path / "t2")


@pytest.mark.parametrize(
    ("element", "kind", "value"),
    [
        ("SamplesPerPixel", "US", [1, 1]),
        ("BitsAllocated", "US", [16, 16]),
        ("PerFrameFunctionalGroupsSequence", "OB", b"\0\1"),
        ("SharedFunctionalGroupsSequence", "OB", b"\0\1"),
        ("TransferSyntaxUID", "UI", "1.2"),
    ],
)
def test_a_value_that_cannot_be_read_is_named_with_its_file(tmp_path, element, kind, value):
    stack(tmp_path / "scan", 3)
    path = next((tmp_path / "scan").iterdir())
    data = pydicom.dcmread(path)
    (data.file_meta if element == "TransferSyntaxUID" else data).add_new(tag_for_keyword(element), kind, value)
    data.save_as(path, implicit_vr=False, little_endian=True, enforce_file_format=False)
    with pytest.raises(InputError, match=rf"{path.name} is (damaged|incomplete)"):
        read_scan(tmp_path / "scan")


@pytest.mark.parametrize(
    ("element", "value", "words"),
    [
        ("PatientID", "another", "are of 2 patients; keep those of one scan"),
        ("StudyInstanceUID", "1.2.3", "are of 2 studies"),
        ("FrameOfReferenceUID", "1.2.4", "are of 2 frames of reference"),
        (
            "RescaleSlope",
            None,
            r"1 of the 3 images in .* do not say how .* scaled \(.*: no Rescale Slope",
        ),
    ],
)
def test_images_that_do_not_belong_together_are_refused(tmp_path, element, value, words):
    stack(tmp_path / "scan", 3, slope=4.0, PatientID="one", FrameOfReferenceUID="1.2.5")
    path = next((tmp_path / "scan").iterdir())
    data = pydicom.dcmread(path)
    setattr(data, element, value) if value else delattr(data, element)
    data.save_as(path)
    with pytest.raises(InputError, match=words):
        read_scan(tmp_path / "scan")


def test_a_file_that_ends_before_its_image_is_incomplete(tmp_path):
    stack(tmp_path / "scan", 3)
    path = next((tmp_path / "scan").iterdir())
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(InputError, match="is incomplete DICOM: it does not say how large its images are"):
        read_scan(tmp_path / "scan")


def test_every_slice_has_its_own_slope(tmp_path):
    for index in range(4):
        write_slice(tmp_path / "adc" / f"{index}.dcm", 3.0 * index, picture(8), slope=0.5 * (index + 1))
    assert heights(read_scan(tmp_path / "adc")) == [4, 8, 12, 16]


def test_a_folder_of_folders_is_explained(tmp_path):
    stack(tmp_path / "study" / "t2")
    with pytest.raises(InputError, match=r"There is no DICOM series in .*study; there is one in .*t2"):
        read_scan(tmp_path / "study")


def test_interleaved_frames_are_sorted(tmp_path):
    order = [0, 2, 4, 1, 3, 5]
    path = write_frames(tmp_path / "t2.dcm", [(3.0 * index, picture(index), {}) for index in order])
    image = read_scan(path)
    assert image.GetSpacing() == pytest.approx((1.5, 1, 3)) and heights(image) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("by_slice", [True, False])
def test_frames_of_two_b_values_are_refused(tmp_path, by_slice):
    frames = [(3.0 * index, picture(index + b), {"b": b}) for b in (0, 1400) for index in range(4)]
    path = write_frames(tmp_path / "dwi.dcm", sorted(frames, key=lambda each: each[0]) if by_slice else frames)
    with pytest.raises(InputError, match=r"2 images at each place \(b-values 0, 1400\)"):
        read_scan(path)


def test_every_frame_has_its_own_slope(tmp_path):
    path = write_frames(tmp_path / "adc.dcm", [(3.0 * index, picture(8), {"slope": index + 1}) for index in range(4)])
    assert heights(read_scan(path)) == [8, 16, 24, 32]


def test_frames_with_a_hole_or_cut_off_are_refused(tmp_path):
    path = write_frames(tmp_path / "hole.dcm", [(3.0 * index, picture(index), {}) for index in (0, 1, 2, 4)])
    with pytest.raises(InputError, match=r"not evenly spaced \(3.00 to 6.00 mm\)"):
        read_scan(path)
    path = write_frames(tmp_path / "cut.dcm", [(3.0 * index, picture(index), {}) for index in range(4)], cut=60)
    with pytest.raises(InputError, match=r"cut.dcm is incomplete: 180 of 240 bytes"):
        read_scan(path)


def test_segments_are_taken_together_where_they_lie(tmp_path):
    """Two zones; slices without either are not stored."""
    voxels = np.zeros((6, 5), np.uint16)
    one, other = voxels.copy(), voxels.copy()
    one[1, 1], other[2, 2] = 1, 1
    path = write_frames(tmp_path / "seg.dcm", [(6.0, one, {"segment": 1}), (12.0, one, {"segment": 1}),
                                               (6.0, other, {"segment": 2})], kind=SEG)  # fmt: skip
    warnings: list[str] = []
    mask = read_mask(path, warnings.append)
    assert mask.GetSize() == (5, 6, 3) and mask.GetOrigin() == pytest.approx((-8, -8, 6))
    found = sitk.GetArrayFromImage(mask)
    assert found.sum() == 3 and found[0, 1, 1] and found[0, 2, 2] and found[2, 1, 1]
    assert warnings == ["seg.dcm has 2 segments (zone 1, zone 2), which are taken together."]
    with pytest.raises(InputError, match=r"is a segmentation, not a scan"):
        read_scan(path)
