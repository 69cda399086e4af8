"""What a header says and the images do not bear out is a warning; what makes its numbers meaningless is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_writing import item, write_slice

from ccella_core.errors import InputError
from ccella_core.imaging.dicom.claims import claims_of
from ccella_core.imaging.scans import read_scan


def stack(folder: Path, places: list[float], **more) -> Path:
    for index, place in enumerate(places):
        changes = {name: value(index) if callable(value) else value for name, value in more.items()}
        write_slice(folder / f"{index:02d}.dcm", place, np.full((6, 5), 100 + index, np.uint16), **changes)
    return folder


def warnings_of(folder: Path) -> list[str]:
    told: list[str] = []
    read_scan(folder, told.append)
    return told


EVEN = [3.0 * index for index in range(6)]


@pytest.mark.parametrize(
    ("places", "more", "said"),
    [
        (EVEN, {"ImagesInAcquisition": 9}, ["has 6 slices, and its header says that 9 images were acquired"]),
        (EVEN[::2], {"SpacingBetweenSlices": 3.0}, ["lie 6.00 mm apart, and its header says 3.00 mm"]),
        (EVEN[::2], {}, ["lie 6.00 mm apart and are 3.00 mm thick"]),
        (EVEN, {"InstanceNumber": lambda index: 2 * index + 1}, ["have every second number"]),
        (EVEN, {"InstanceNumber": lambda index: 40 - 2 * index}, ["have every second number"]),
        (EVEN, {"Modality": "CT"}, ["is of the modality CT, as it says itself, and no MR"]),
        (EVEN, {"BitsStored": 12}, ["are 16 times too large, or its header is wrong: their lowest 4 bits are unused"]),
        # What is usual is not odd.
        (EVEN, {"ImagesInAcquisition": 6, "SpacingBetweenSlices": 3.0, "InstanceNumber": lambda index: 6 - index}, []),
        (EVEN, {"BitsStored": 12, "HighBit": 11, "Modality": "OT"}, []),
        (EVEN, {"SpacingBetweenSlices": 0, "SliceThickness": 2.5}, []),
        (EVEN, {"InstanceNumber": lambda index: 7 * index}, []),
        ([0.0, 3.0], {"InstanceNumber": lambda index: 2 * index}, []),
    ],
)
def test_a_series_that_is_not_what_it_says(tmp_path, places: list[float], more, said: list[str]) -> None:
    told = warnings_of(stack(tmp_path / "t2", places, **more))
    assert len(told) == len(said) and all(words in line for words, line in zip(said, told, strict=True)), told


def test_values_that_say_nothing_claim_nothing() -> None:
    claims = claims_of({"BitsAllocated": "many", "InstanceNumber": "", "ImagesInAcquisition": None}, -3.0, 0.0)
    assert (claims.number, claims.announced, claims.step, claims.unused_bits, claims.modality) == (None,) * 3 + (0, "")


@pytest.mark.parametrize("in_groups", [False, True])
def test_real_world_values_scale_where_nothing_else_does(tmp_path, in_groups: bool) -> None:
    line = [item(RealWorldValueSlope=2.0, RealWorldValueIntercept=-50.0)]
    scale = {"RescaleSlope": 4.0, "RescaleIntercept": 0.0} if in_groups else {}
    folder = stack(tmp_path / "adc", EVEN, RealWorldValueMappingSequence=line, **scale)
    first = read_scan(folder).GetPixel(0, 0, 0)
    assert first == (400 if in_groups else 150), "Rescale Slope goes before"


@pytest.mark.parametrize("scale", [{}, {"RescaleSlope": 4.0, "RescaleIntercept": -8.0}])
@pytest.mark.parametrize("by_line", [False, True])
def test_run_lengths_say_what_plain_voxels_say(tmp_path, scale, by_line: bool) -> None:
    import pydicom

    line = {"RealWorldValueMappingSequence": [item(RealWorldValueSlope=2.0, RealWorldValueIntercept=-50.0)]}
    folder = stack(tmp_path / "adc", EVEN, **scale, **(line if by_line else {}))
    plain = sitk.GetArrayFromImage(read_scan(folder))
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.compress(pydicom.uid.RLELossless)
        data.save_as(path)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read_scan(folder)), plain)


def test_real_world_values_scale_what_gdcm_unpacks(tmp_path) -> None:
    import pydicom

    folder = tmp_path / "adc"
    for index, place in enumerate(EVEN):
        write_slice(folder / f"{index}.dcm", place, np.full((64, 64), 100 + index, np.uint16))  # GDCM packs no smaller
    writer = sitk.ImageFileWriter()
    writer.SetUseCompression(True)
    writer.SetCompressor("JPEG2000")
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        writer.SetFileName(str(tmp_path / "packed.dcm"))
        writer.Execute(sitk.GetImageFromArray(data.pixel_array[None]))
        packed = pydicom.dcmread(tmp_path / "packed.dcm")
        data.PixelData, data["PixelData"].VR = packed.PixelData, "OB"
        data["PixelData"].is_undefined_length = True
        data.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
        data.RealWorldValueMappingSequence = [item(RealWorldValueSlope=2.0, RealWorldValueIntercept=-50.0)]
        data.save_as(path)
    assert read_scan(folder).GetPixel(0, 0, 0) == 150


@pytest.mark.parametrize("slope", ["one", "0", "0.0", "nan"])
def test_a_slope_that_is_no_scale_is_refused(tmp_path, slope: str) -> None:
    import pydicom

    folder = stack(tmp_path / "adc", EVEN, slope=1.0)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data["RescaleSlope"] = pydicom.DataElement("RescaleSlope", "LO", slope)
        data.save_as(path)
    with pytest.raises(InputError, match=r"00\.dcm is damaged: .*[Gg]et it again|00\.dcm.*RescaleSlope"):
        read_scan(folder)
