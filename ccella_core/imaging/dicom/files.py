"""DICOM files taken apart into frames: voxels with slope, place and what tells one image of a place from another."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ccella_core.errors import InputError
from ccella_core.imaging.dicom.claims import Claims, claims_of
from ccella_core.imaging.dicom.padding import padding_mask
from ccella_core.imaging.dicom.pixels import voxels_of
from ccella_core.imaging.raw_files import check_size, damage_explained, first_bytes, opened_unpacked, short_words

PREAMBLE_BYTES = 132
DIRECTORY = "DICOMDIR"
"""What a list of DICOM files is called."""
IMAGE_ENDINGS = (".dcm", ".dicom", ".ima")
COMMON = {"patients": "PatientID", "studies": "StudyInstanceUID", "frames of reference": "FrameOfReferenceUID"}
"""What only one of may be in a scan, and the elements that say which."""
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
IMAGES = ("other", "MR", "CT", "PT")  # modalities of which a file without an image is not whole
B_VALUE_ELSEWHERE = ((0x0019, 0x100C), (0x0043, 0x1039), (0x2001, 0x1003))
"""Siemens', GE's and Philips' own elements, from before there was one for all."""
MOST_CHARACTERS = 32
"""Of a damaged value that a sentence shows."""
GE_OFFSET = 100_000  # GE adds 10⁹ to some b-values


@dataclass(frozen=True)
class Frame:
    """One image of a DICOM file."""

    file: Path
    voxels: np.ndarray
    """(rows, columns), with slope and intercept."""
    position: np.ndarray | None
    """(3,) LPS mm: the middle of the first voxel."""
    axes: np.ndarray | None
    """(2, 3): unit vectors along a row and along a column."""
    spacing: tuple[float, float] | None
    """mm between neighbours in a row, and in a column."""
    claims: Claims
    belongs_to: tuple[str, ...]
    """What all images of a scan have in common, ``COMMON``; empty where it is not said."""
    is_scaled: bool
    """Whether it says how its numbers are scaled."""
    facts: dict[str, Any]
    """What may differ between images at one place, by its name in the plural."""
    padding: np.ndarray | None = None
    """Which voxels are none, bool."""
    is_negative: bool = False
    """Whether it is to be shown with its high numbers dark."""


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM by its content, with or without the preamble; what its name ends in does not matter."""
    start = first_bytes(path, PREAMBLE_BYTES + 4)
    return start[128:132] == b"DICM" or start[:4] in (b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00",
                                                      b"\x02\x00\x00\x00")  # fmt: skip


def dicom_files(folder: Path) -> list[Path]:
    """The DICOM images in a folder, by content. Raises InputError for one that is damaged beyond recognition."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.upper() == DIRECTORY or not path.is_file():
            continue
        if is_dicom(path):
            found.append(path)
        elif path.name.lower().endswith(IMAGE_ENDINGS):
            size = path.stat().st_size
            raise InputError(f"{path} is no DICOM file, though it is called one ({size} bytes); get it again.")
    return found


@damage_explained
def frames_of(path: Path) -> tuple[str, list[Frame], bool]:
    """The images in a file.

    Args:
        path: a DICOM file.

    Returns:
        The series they belong to, the images in the order of the file, and whether they are segments.

    Raises:
        InputError: damaged or incomplete, no image, colours, or something that no reader here understands.
    """
    data = dataset(path, pixels=True)
    modality = str(data.get("Modality", "") or "other")
    if "DirectoryRecordSequence" in data:
        raise InputError(f"{path} is a list of DICOM files (DICOMDIR); give the folder that one series lies in.")
    if "Rows" not in data or "Columns" not in data:
        if modality in IMAGES:
            raise InputError(f"{path} is incomplete DICOM: it does not say how large its images are; get it again.")
        raise InputError(f"{path} holds no image ({modality}); export contours or reports as label map or text first.")
    if int(data.get("SamplesPerPixel", 1) or 1) != 1 or data.get("PhotometricInterpretation") == "PALETTE COLOR":
        raise InputError(f"{path} holds colours, not intensities; give the series as the scanner stored it.")
    try:
        count = int(data.get("NumberOfFrames", 1) or 1)
        shape = (int(data.Rows), int(data.Columns), count)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: it does not say how large its images are.") from error
    check_size(path, shape)
    groups = _groups(data, count, path)
    voxels, by_gdcm = voxels_of(data, shape, path, scaled_alike=len({_scale(group, path) for group in groups}) == 1)
    is_scaled = by_gdcm and not _is_scaled_otherwise(groups[0])  # GDCM knows Rescale Slope, not real-world values
    frames = [_frame(data, group, image, is_scaled, path) for group, image in zip(groups, voxels, strict=True)]
    series = str(data.get("SeriesInstanceUID", ""))
    return series, frames, str(data.get("SOPClassUID", "")) == SEGMENTATION


@damage_explained
def segment_names(path: Path) -> list[str]:
    """What the segments of a DICOM segmentation are called."""
    segments = dataset(path, pixels=False).get("SegmentSequence", [])
    return [str(each.get("SegmentLabel", "unnamed")) for each in segments]


@damage_explained
def refuse_probabilities(path: Path) -> None:
    """Raises InputError where a segmentation says how probable each voxel is, not which it is."""
    data = dataset(path, pixels=False)
    if str(data.get("SegmentationType", "BINARY")).upper() == "FRACTIONAL":
        raise InputError(f"{path} holds probabilities, not a mask; threshold it, at one half for instance.")


def dataset(path: Path, *, pixels: bool) -> Any:
    """The header of a file, with or without its voxels. Raises InputError."""
    import pydicom

    with opened_unpacked(path) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are odd and not needed
        try:
            data = pydicom.dcmread(file, stop_before_pixels=not pixels, force=True)
            if "TransferSyntaxUID" not in data.file_meta:
                data.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian
            return data
        except Exception as error:  # pydicom raises whatever its parser meets
            raise InputError(f"{path} is damaged or incomplete DICOM ({short_words(error)}); get it again.") from error


def _groups(data: Any, count: int, path: Path) -> list[list[Any]]:
    """For each frame, where to look for what is said of it: its own groups, the shared ones, the file."""
    own = data.get("PerFrameFunctionalGroupsSequence") or []
    if own and len(own) != count:
        raise InputError(f"{path} is incomplete: it describes {len(own)} of its {count} images; get it again.")
    shared = list(data.get("SharedFunctionalGroupsSequence") or [])[:1]
    return [[*([own[index]] if own else []), *shared, data] for index in range(count)]


def _element(group: list[Any], sequence: str, name: str) -> Any:
    """A value by the functional group it stands in, or by itself."""
    for place in group:
        inside = place.get(sequence)
        if inside and inside[0].get(name) is not None:
            return inside[0].get(name)
        if place.get(name) is not None:
            return place.get(name)
    return None


def _numbers(value: Any, count: int) -> np.ndarray | None:
    try:
        numbers = np.array([float(each) for each in value], dtype=float)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count and np.isfinite(numbers).all() else None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _frame(data: Any, group: list[Any], image: np.ndarray, is_scaled: bool, path: Path) -> Frame:
    slope, intercept = _scale(group, path)
    padding = padding_mask(data, image, (slope, intercept) if is_scaled else (1.0, 0.0))
    if not is_scaled and (slope, intercept) != (1.0, 0.0):
        image = image * np.float64(slope) + np.float64(intercept)
    spacing = _numbers(_element(group, "PixelMeasuresSequence", "PixelSpacing"), 2)
    directions = _numbers(_element(group, "PlaneOrientationSequence", "ImageOrientationPatient"), 6)
    return Frame(
        file=path,
        voxels=image,
        position=_numbers(_element(group, "PlanePositionSequence", "ImagePositionPatient"), 3),
        axes=None if directions is None else directions.reshape(2, 3),
        spacing=None if spacing is None else (float(spacing[1]), float(spacing[0])),
        claims=claims_of(
            data,
            _number(_element(group, "PixelMeasuresSequence", "SpacingBetweenSlices")),
            _number(_element(group, "PixelMeasuresSequence", "SliceThickness")),
        ),
        belongs_to=tuple(str(data.get(element, "") or "").strip() for element in COMMON.values()),
        is_scaled=_element(group, "PixelValueTransformationSequence", "RescaleSlope") is not None
        or _is_real_world(group),
        facts={name: value for name, value in _facts(data, group) if value is not None},
        padding=padding,
        is_negative=str(data.get("PhotometricInterpretation", "")).strip() == "MONOCHROME1",
    )


def _scale(group: list[Any], path: Path) -> tuple[float, float]:
    """Slope and intercept; those of the real-world values where there are no others. Raises InputError."""
    sequence, names = "PixelValueTransformationSequence", ("RescaleSlope", "RescaleIntercept")
    slope, intercept = (_element(group, sequence, name) for name in names)
    if _is_scaled_otherwise(group):
        sequence, names = "RealWorldValueMappingSequence", ("RealWorldValueSlope", "RealWorldValueIntercept")
        slope, intercept = (_element(group, sequence, name) for name in names)
    for name, value in zip(names, (slope, intercept), strict=True):
        if value not in (None, "") and _number(value) is None:
            raise InputError(f"{path} is damaged: its {name} is {str(value)[:MOST_CHARACTERS]!r}; get it again.")
    if _number(slope) == 0:
        raise InputError(f"{path} is damaged: its {names[0]} is 0, which makes all its voxels the same; get it again.")
    return _number(slope) or 1.0, _number(intercept) or 0.0


def _is_scaled_otherwise(group: list[Any]) -> bool:
    """Whether real-world values are all that scales it."""
    names = ("RescaleSlope", "RescaleIntercept")
    plain = all(_element(group, "PixelValueTransformationSequence", name) is None for name in names)
    return plain and _is_real_world(group)


def _is_real_world(group: list[Any]) -> bool:
    """Whether real-world values are said to be a line, as they are of numbers that a scanner measured."""
    return _element(group, "RealWorldValueMappingSequence", "RealWorldValueSlope") is not None


def _facts(data: Any, group: list[Any]) -> Iterator[tuple[str, Any]]:
    yield "b-values", _b_value(data, group)
    for name, sequence, elements in (
        ("echo times", "MREchoSequence", ("EffectiveEchoTime", "EchoTime")),
        ("time points", "FrameContentSequence", ("TemporalPositionIndex", "TemporalPositionIdentifier")),
        ("inversion times", "MRModifierSequence", ("InversionTimes", "InversionTime")),
        ("segments", "SegmentIdentificationSequence", ("ReferencedSegmentNumber",)),
        ("acquisitions", "FrameContentSequence", ("FrameAcquisitionNumber", "AcquisitionNumber")),
        ("kinds of image", "MRImageFrameTypeSequence", ("FrameType", "ImageType")),
    ):
        found = (_element(group, sequence, element) for element in elements)
        value = next((each for each in found if each not in (None, "")), None)
        yield name, None if value is None else _plain(value)


def _b_value(data: Any, group: list[Any]) -> float | None:
    value = _number(_element(group, "MRDiffusionSequence", "DiffusionBValue"))
    for tag in () if value is not None else B_VALUE_ELSEWHERE:
        found = data.get(tag)
        if found is None:
            continue
        content = found.value
        first = content[0] if isinstance(content, (list, tuple)) or hasattr(content, "append") else content
        text = first.decode("latin-1", "replace").strip("\0 ") if isinstance(first, bytes) else first
        number = _number(str(text).split("\\")[0])
        if number is not None:
            return number % GE_OFFSET
    return value


def _plain(value: Any) -> float | str:
    number = _number(value)
    return number if number is not None else "/".join(map(str, value)) if not isinstance(value, str) else value
