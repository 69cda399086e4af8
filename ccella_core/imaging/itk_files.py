"""MetaImage (``.mha``, ``.mhd``): its header checked before ITK reads it, its voxels counted; and what NRRD shares."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.errors import InputError
from ccella_core.imaging.raw_files import OnWarning, check_size, opened, opened_unpacked, read_announced, unpacked

MOST_HEADER_LINES = 1000
META_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_LONG": 4,
    "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
META_SPACING, META_ORIGIN = ("ElementSpacing", "ElementSize"), ("Offset", "Position", "Origin")
META_SCALE = {"ElementToIntensityFunctionSlope": "1", "ElementToIntensityFunctionOffset": "0"}
META_DIRECTION = ("TransformMatrix", "Orientation", "Rotation")
META_IO = "MetaImageIO"


def read_meta(path: Path, on_warning: OnWarning) -> sitk.Image:
    """A MetaImage, as ITK reads it, which passes over a slope and an offset of its intensities: they are applied here.

    Raises:
        InputError: damaged or incomplete, in several files elsewhere, or without spacing or position.
    """
    with opened_unpacked(path) as file:
        header = _meta_header(file, path)
        shape = whole_numbers(header.get("DimSize", ""), path)
        check_size(path, shape)
        kind = header.get("ElementType", "")
        if kind.endswith("_ARRAY") or kind not in META_BYTES:
            raise InputError(f"{path} holds voxels of the type {kind or 'unknown'!r}; save it again as .nii.gz.")
        for names, what in ((META_SPACING, "how large its voxels are"), (META_ORIGIN, "where it lies")):
            if not any(name in header for name in names):
                raise InputError(f"{path} does not say {what} (no {names[0]}); convert the scan again from its source.")
        if not any(name in header for name in META_DIRECTION):
            on_warning(f"{path.name} does not say how it is turned; its axes are taken to run left, back and up.")
        _check_meta(header, len(shape), path)
        channels = whole_numbers(header.get("ElementNumberOfChannels", "1"), path)[0]
        if channels < 1:
            raise InputError(f"{path} is damaged: its header announces {channels} values a voxel; get it again.")
        announced = int(np.prod(shape, dtype=np.int64)) * channels * META_BYTES[kind]
        encoding = "zlib" if header.get("CompressedData", "").casefold() == "true" else "raw"
        check_voxels(file, header["ElementDataFile"], path, announced, encoding, on_warning)
    slope, offset = (float(header.get(name, usual)) for name, usual in META_SCALE.items())
    image = read_by_itk(path, META_IO)
    return image if (slope, offset) == (1, 0) else sitk.Cast(image, sitk.sitkFloat64) * slope + offset


def meta_geometry(path: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Size and spacing that a header announces. Raises InputError or ValueError where it is damaged."""
    with opened_unpacked(path) as file:
        header = _meta_header(file, path)
    spacing = next((header[name] for name in META_SPACING if name in header), "")
    return whole_numbers(header.get("DimSize", ""), path), tuple(map(float, spacing.split()))


def _meta_header(file: BinaryIO, path: Path) -> dict[str, str]:
    header: dict[str, str] = {}
    for _ in range(MOST_HEADER_LINES):
        key, equals, value = file.readline(1 << 16).decode("latin-1").partition("=")
        if not equals:
            break
        if header.setdefault(key.strip(), value.strip()) != value.strip():
            raise twice(key.strip(), path)
        if key.strip() == "ElementDataFile":
            return header
    raise InputError(f"Cannot read {path} as a scan: its header is incomplete; get it again.")


def _check_meta(header: dict[str, str], axes: int, path: Path) -> None:
    """What ITK would meet with words of its own, or read otherwise than it is counted here."""
    if header.get("NDims", "") != str(axes):
        raise InputError(
            f"{path} is damaged: its header announces {header.get('NDims') or 'no'} axes and has {axes} sizes."
        )
    if header.get("BinaryData", "").casefold() not in ("true", "1"):
        raise InputError(f"The voxels of {path} are written as text (BinaryData); save it again as .nii.gz.")
    if header.get("HeaderSize", "0") not in ("0", "-1"):
        raise InputError(f"{path} has another header within (HeaderSize); save it again as .nii.gz.")
    for names, count in ((META_SPACING, axes), (META_ORIGIN, axes), (META_DIRECTION, axes * axes)):
        for name in names:
            if name in header:
                check_place(header[name], count, name, path)
    for name in META_SPACING:
        if name in header and min(float(length) for length in header[name].split()) <= 0:
            raise InputError(f"{path} has no usable spacing: its header says {header[name]} ({name}).")
    for name, usual in META_SCALE.items():
        check_place(header.get(name, usual), 1, name, path)
    if float(header.get("ElementToIntensityFunctionSlope", "1")) == 0:
        raise InputError(f"{path} is damaged: the slope of its intensities is 0; convert the scan again.")
    for names in (META_SPACING, META_ORIGIN, META_DIRECTION):
        told = [name for name in names if name in header]
        if any(_places_differ(header[told[0]], header[name]) for name in told[1:]):
            raise InputError(
                f"{path} says two things of its place that differ ({' and '.join(told)}); convert it again."
            )
    for name in META_DIRECTION:
        if name in header and not np.linalg.det(np.array(header[name].split(), float).reshape(axes, axes)):
            raise InputError(f"{path} has no usable position: two of its axes run in the same direction ({name}).")


def _places_differ(one: str, other: str) -> bool:
    return not np.allclose(np.array(one.split(), float), np.array(other.split(), float), rtol=1e-4, atol=1e-4)


def check_place(text: str, count: int, name: str, path: Path) -> None:
    """Raises InputError unless a text is so many finite numbers."""
    try:
        numbers = np.array(text.split(), dtype=np.float64)
    except ValueError:
        numbers = np.array([])
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise InputError(
            f"{path} is damaged: its header should have {count} numbers as {name} and has {text[:60]!r}; convert the "
            "scan again from its source."
        )


def check_voxels(file: BinaryIO, apart: str, path: Path, announced: int, encoding: str, on_warning: OnWarning) -> None:
    """Raises InputError unless what follows the header, or lies in a file beside it, is all that it announces."""
    if apart.upper() == "LOCAL":
        read_announced(unpacked(file, encoding, path), path, announced, on_warning)
        return
    beside = path.parent / apart
    is_one = len(Path(apart).parts) == 1 and apart.upper() != "LIST" and "%" not in apart
    if not is_one or (" " in apart and not beside.is_file()):
        raise InputError(f"The voxels of {path} lie elsewhere ({apart}); save the scan as one file, such as .nii.gz.")
    if not beside.exists():
        raise InputError(f"The voxels of {path} are missing: they lie in {apart}, which is to be put beside it.")
    with opened(beside) as voxels:
        read_announced(unpacked(voxels, encoding, beside), beside, announced, on_warning)


def whole_numbers(text: str, path: Path) -> tuple[int, ...]:
    """Those that a header has as sizes. Raises InputError where there are none."""
    try:
        numbers = tuple(int(part) for part in text.split())
    except ValueError:
        numbers = ()
    if not numbers:
        raise InputError(f"{path} is damaged: its header does not say how many voxels it has.")
    return numbers


def twice(key: str, path: Path) -> InputError:
    """The sentence for a header that says one thing in two ways, of which readers take the one or the other."""
    return InputError(f"{path} is damaged: its header has {key[:60]} twice; convert the scan again from its source.")


def read_by_itk(path: Path, reader: str) -> sitk.Image:
    """An image whose header was checked, whatever the file is called.

    ITK is told which reader to take: it would ask the one for NIfTI too, which prints what it thinks of the file.

    Raises:
        InputError: it cannot be read all the same.
    """
    try:
        return sitk.ReadImage(str(path), imageIO=reader)
    except RuntimeError as error:  # SimpleITK has no other class
        reason = str(error).strip().splitlines()[-1].split("): ")[-1]
        raise InputError(f"{path} is damaged, so that ITK cannot read it ({reason}); get it again.") from error
