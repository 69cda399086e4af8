"""MetaImage (``.mha``, ``.mhd``) and NRRD: their headers checked before ITK reads them, their voxels counted."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.errors import InputError
from ccella_core.imaging.orientation import RAS_FROM_LPS, set_affine
from ccella_core.imaging.raw_files import OnWarning, check_size, opened, read_announced, unpacked

MOST_HEADER_LINES = 1000
META_BYTES = {
    "MET_CHAR": 1, "MET_UCHAR": 1, "MET_SHORT": 2, "MET_USHORT": 2, "MET_INT": 4, "MET_UINT": 4, "MET_LONG": 4,
    "MET_ULONG": 4, "MET_LONG_LONG": 8, "MET_ULONG_LONG": 8, "MET_FLOAT": 4, "MET_DOUBLE": 8,
}  # fmt: skip
META_SPACING, META_ORIGIN = ("ElementSpacing", "ElementSize"), ("Offset", "Position", "Origin")
META_SCALE = {"ElementToIntensityFunctionSlope": "1", "ElementToIntensityFunctionOffset": "0"}
META_DIRECTION = ("TransformMatrix", "Orientation", "Rotation")
NRRD_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "longlong": "i8",
              "ulonglong": "u8", "float": "f4", "double": "f8"}  # fmt: skip
"""As NumPy calls them, without the order of their bytes."""
NRRD_ENCODINGS = {"gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2", "raw": "raw"}
NRRD_SPACES = re.compile(r"(left|right)-anterior-superior|left-posterior-superior|ras|las|lps", re.IGNORECASE)
"""Those that ITK brings to its own."""
NRRD_TO_RAS = {"left-posterior-superior": RAS_FROM_LPS, "right-anterior-superior": np.eye(3)}
"""Those that ITK and Slicer write."""
SPACE_AXES = 3
UNITS_IN_MM = {"mm": 1.0, "millimeter": 1.0, "m": 1000.0, "cm": 10.0, "um": 0.001, "μm": 0.001, "micron": 0.001}


def read_meta(path: Path, on_warning: OnWarning) -> sitk.Image:
    """A MetaImage, as ITK reads it, which passes over a slope and an offset of its intensities: they are applied here.

    Raises:
        InputError: damaged or incomplete, in several files elsewhere, or without spacing or position.
    """
    with opened(path) as file:
        header = _meta_header(file, path)
        shape = _numbers(header.get("DimSize", ""), path)
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
        channels = _numbers(header.get("ElementNumberOfChannels", "1"), path)[0]
        announced = int(np.prod(shape, dtype=np.int64)) * channels * META_BYTES[kind]
        encoding = "zlib" if header.get("CompressedData", "").casefold() == "true" else "raw"
        _check_voxels(file, header["ElementDataFile"], path, announced, encoding, on_warning)
    slope, offset = (float(header.get(name, usual)) for name, usual in META_SCALE.items())
    image = _read(path)
    return image if (slope, offset) == (1, 0) else sitk.Cast(image, sitk.sitkFloat64) * slope + offset


def read_nrrd(path: Path, on_warning: OnWarning) -> sitk.Image:
    """A NRRD, as ITK reads it, in mm. Raises InputError as ``read_meta`` does."""
    with opened(path) as file:
        header = _checked_nrrd(file, path, on_warning)
    return _in_mm(_read(path), header, path, on_warning)


def nrrd_in_memory(content: bytes, path: Path) -> sitk.Image:
    """An uncompressed NRRD that is no file on this computer.

    Args:
        content: what the file would hold.
        path: what sentences call it.

    Raises:
        InputError: as ``read_nrrd`` does, or it is compressed, or not as ITK and Slicer write it.
    """
    if re.search(rb"^data ?file:", content.partition(b"\n\n")[0], re.IGNORECASE | re.MULTILINE):
        raise InputError(f"{path} is in two parts; send it as one.")
    header = _checked_nrrd(io.BytesIO(content), path, _unheard)
    shape, to_ras = _numbers(header["sizes"], path), NRRD_TO_RAS.get(header["space"].casefold())
    if header.get("encoding", "raw").casefold() != "raw" or to_ras is None or len(shape) != 3:
        raise InputError(f"{path} is no three-dimensional NRRD as ITK writes it without compression.")
    kind = np.dtype(NRRD_TYPES[_nrrd_type(header["type"])])
    stored = kind.newbyteorder(">" if header.get("endian", "little").casefold() == "big" else "<")
    voxels = np.frombuffer(content, stored, int(np.prod(shape)), content.index(b"\n\n") + 2).astype(kind)
    image = sitk.GetImageFromArray(voxels.reshape(shape[::-1]))
    columns = [
        column.split(",")
        for column in re.findall(r"\(([^)]*)\)", f"{header['space directions']} {header['space origin']}")
    ]
    affine = np.eye(4)
    try:
        affine[:3] = to_ras @ np.array(columns, dtype=np.float64).T
    except ValueError as error:
        raise InputError(f"{path} does not say where it lies; convert it again from its source.") from error
    set_affine(image, affine)
    return _in_mm(image, header, path, _unheard)


def _checked_nrrd(file: BinaryIO, path: Path, on_warning: OnWarning) -> dict[str, str]:
    """The header, once it and the voxels that it announces are known to be there."""
    header = _nrrd_header(file, path)
    shape = _numbers(header.get("sizes", ""), path)
    check_size(path, shape)
    kinds = header.get("kinds", "").split()
    layers = [size for size, kind in zip(shape, kinds, strict=False) if kind not in ("domain", "space")]
    if len(shape) == 4 and layers and layers[0] > 1:
        raise InputError(f"{path} has {layers[0]} layers; export each segment, or layer, as a file of its own.")
    if header.get("dimension", "") != str(len(shape)):
        raise InputError(
            f"{path} is damaged: its header announces {header.get('dimension') or 'no'} axes and has "
            f"{len(shape)} sizes."
        )
    if any(
        header.get(skipped, "0") not in ("0", "-1") for skipped in ("byte skip", "line skip", "byteskip", "lineskip")
    ):
        raise InputError(f"{path} has another header within (byte skip); save it again as .nii.gz.")
    _check_nrrd_place(header, len(shape), path)
    kind = _nrrd_type(header.get("type", ""))
    encoding = header.get("encoding", "raw").casefold()
    if kind not in NRRD_TYPES or encoding not in NRRD_ENCODINGS:
        raise InputError(f"{path} holds {header.get('type')!r} as {encoding!r}; save it again as .nii.gz.")
    size = np.dtype(NRRD_TYPES[kind]).itemsize
    if size > 1 and header.get("endian", "").casefold() not in ("little", "big"):
        raise InputError(f"{path} does not say in which order its bytes stand (endian); save it again as .nii.gz.")
    announced = int(np.prod(shape, dtype=np.int64)) * size
    apart = header.get("data file", header.get("datafile", "LOCAL"))
    _check_voxels(file, apart, path, announced, NRRD_ENCODINGS[encoding], on_warning)
    return header


def _in_mm(image: sitk.Image, header: dict[str, str], path: Path, on_warning: OnWarning) -> sitk.Image:
    factor = _nrrd_unit(header, path, on_warning)
    if factor != 1:
        image.SetSpacing([length * factor for length in image.GetSpacing()])
        image.SetOrigin([place * factor for place in image.GetOrigin()])
    return image


def _unheard(_warning: str) -> None:
    """Whoever sent the file has read it before."""


def _meta_header(file: BinaryIO, path: Path) -> dict[str, str]:
    header = {}
    for _ in range(MOST_HEADER_LINES):
        key, equals, value = file.readline(1 << 16).decode("latin-1").partition("=")
        if not equals:
            break
        header[key.strip()] = value.strip()
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
                _check_place(header[name], count, name, path)
    for name in META_SPACING:
        if name in header and min(float(length) for length in header[name].split()) <= 0:
            raise InputError(f"{path} has no usable spacing: its header says {header[name]} ({name}).")
    for name, usual in META_SCALE.items():
        _check_place(header.get(name, usual), 1, name, path)
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


def _check_place(text: str, count: int, name: str, path: Path) -> None:
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


def _nrrd_header(file: BinaryIO, path: Path) -> dict[str, str]:
    header: dict[str, str] = {}
    for _ in range(MOST_HEADER_LINES):
        line = file.readline(1 << 16).decode("latin-1")
        if not line:
            break
        if not line.strip():
            return header
        if not line.startswith(("#", "NRRD")) and ":=" not in line:
            key, _, value = line.partition(":")
            header[key.strip().casefold()] = value.strip()
    if "data file" in header or "datafile" in header:  # a detached header may end with its file
        return header
    raise InputError(f"Cannot read {path} as a scan: its header is incomplete; get it again.")


def _check_voxels(file: BinaryIO, apart: str, path: Path, announced: int, encoding: str, on_warning: OnWarning) -> None:
    """What follows the header, or lies in a file beside it, is all that the header announces."""
    if apart.upper() == "LOCAL":
        read_announced(unpacked(file, encoding, path), path, announced, on_warning)
        return
    beside = path.parent / apart
    if Path(apart).name != apart or apart.upper() == "LIST" or "%" in apart or (" " in apart and not beside.is_file()):
        raise InputError(f"The voxels of {path} lie elsewhere ({apart}); save the scan as one file, such as .nii.gz.")
    with opened(beside) as voxels:
        read_announced(unpacked(voxels, encoding, beside), beside, announced, on_warning)


def _check_nrrd_place(header: dict[str, str], axes: int, path: Path) -> None:
    space = header.get("space", "")
    if not space or not NRRD_SPACES.fullmatch(space) or "space directions" not in header:
        raise InputError(
            f"{path} does not say where left and right are (space {space!r}); convert the scan again from its source."
        )
    if "space origin" not in header:
        raise InputError(f"{path} does not say where it lies (no space origin); convert it again from its source.")
    directions = re.findall(r"none|\([^)]*\)", header["space directions"].casefold())
    in_space = [each for each in directions if each != "none"]
    if len(directions) != axes or (axes >= SPACE_AXES and len(in_space) != SPACE_AXES):
        raise InputError(
            f"{path} does not say how large its voxels are along each axis (space directions "
            f"{header['space directions'][:80]!r}); convert the scan again from its source."
        )
    for vector in (*in_space, header["space origin"]):
        _check_place(vector.strip("() ").replace(",", " "), SPACE_AXES, "space directions and origin", path)


def _nrrd_unit(header: dict[str, str], path: Path, on_warning: OnWarning) -> float:
    units = set(re.findall(r'"([^"]*)"', header.get("space units", ""))) - {""}
    if not units or units == {"mm"}:
        return 1.0
    if len(units) > 1 or not units <= UNITS_IN_MM.keys():
        raise InputError(f"{path} is measured in {', '.join(sorted(units))}; save it again in mm.")
    (unit,) = units
    on_warning(f"{path.name} is measured in {unit}, as its header says, and is brought to mm.")
    return UNITS_IN_MM[unit]


def _nrrd_type(name: str) -> str:
    """``unsigned short int``, ``ushort`` and ``uint16`` are one."""
    words = [word for word in name.casefold().replace("_t", "").split() if word != "signed"]
    unsigned = "unsigned" in words
    words = [word for word in words if word != "unsigned"]
    if len(words) > 1 and words[-1] == "int":
        words.pop()
    plain = "".join(words)
    bits = re.fullmatch(r"(u?)int(8|16|32|64)", plain)
    if bits:
        plain = bits[1] + {"8": "char", "16": "short", "32": "int", "64": "longlong"}[bits[2]]
    return "u" * unsigned + plain


def _numbers(text: str, path: Path) -> tuple[int, ...]:
    try:
        numbers = tuple(int(part) for part in text.split())
    except ValueError:
        numbers = ()
    if not numbers:
        raise InputError(f"{path} is damaged: its header does not say how many voxels it has.")
    return numbers


def _read(path: Path) -> sitk.Image:
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:  # SimpleITK has no other class
        reason = str(error).strip().splitlines()[-1].split("): ")[-1]
        raise InputError(f"{path} is damaged, so that ITK cannot read it ({reason}); get it again.") from error
