"""NRRD (``.nrrd``, ``.nhdr``): its header checked before ITK reads it, its voxels counted; also where it is no file."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.errors import InputError
from ccella_core.imaging.itk_files import (
    MOST_HEADER_LINES,
    check_place,
    check_voxels,
    read_by_itk,
    twice,
    whole_numbers,
)
from ccella_core.imaging.orientation import RAS_FROM_LPS, set_affine
from ccella_core.imaging.raw_files import OnWarning, check_size, opened_unpacked

NRRD_IO = "NrrdImageIO"
NRRD_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "longlong": "i8",
              "ulonglong": "u8", "float": "f4", "double": "f8"}  # fmt: skip
"""As NumPy calls them, without the order of their bytes."""
NRRD_ENCODINGS = {"gz": "gzip", "gzip": "gzip", "bz2": "bzip2", "bzip2": "bzip2", "raw": "raw"}
NRRD_SPACES = re.compile(r"(left|right)-anterior-superior|left-posterior-superior|ras|las|lps", re.IGNORECASE)
"""Those that ITK brings to its own."""
NRRD_TO_RAS = {"left-posterior-superior": RAS_FROM_LPS, "right-anterior-superior": np.eye(3)}
"""Those that ITK and Slicer write."""
SPACE_AXES = 3
IN_SPACE, UNSAID = frozenset(("domain", "space")), frozenset(("none", "???"))
"""Kinds of axes."""
UNITS_IN_MM = {"mm": 1.0, "millimeter": 1.0, "m": 1000.0, "cm": 10.0, "um": 0.001, "μm": 0.001, "micron": 0.001}


def read_nrrd(path: Path, on_warning: OnWarning) -> sitk.Image:
    """A NRRD, as ITK reads it, in mm. Raises InputError as ``read_meta`` does."""
    with opened_unpacked(path) as file:
        header = _checked_nrrd(file, path, on_warning)
    return _in_mm(read_by_itk(path, NRRD_IO), header, path, on_warning)


def nrrd_geometry(path: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Size and spacing that a header announces. Raises InputError or ValueError where it is damaged."""
    with opened_unpacked(path) as file:
        header = _nrrd_header(file, path)
    vectors = re.findall(r"\(([^)]*)\)", header.get("space directions", ""))
    lengths = (float(np.linalg.norm(np.array(vector.split(","), dtype=np.float64))) for vector in vectors)
    return whole_numbers(header.get("sizes", ""), path), tuple(lengths)


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
    shape, to_ras = whole_numbers(header["sizes"], path), NRRD_TO_RAS.get(header["space"].casefold())
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
    shape = whole_numbers(header.get("sizes", ""), path)
    check_size(path, shape)
    kinds = header.get("kinds", "").split()
    in_space = IN_SPACE if len(shape) > SPACE_AXES else IN_SPACE | UNSAID
    layers = [size for size, kind in zip(shape, kinds, strict=False) if kind not in in_space]
    if len(shape) >= SPACE_AXES and max(layers, default=1) > 1:
        raise InputError(f"{path} has {max(layers)} layers; export each segment, or layer, as a file of its own.")
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
    check_voxels(file, apart, path, announced, NRRD_ENCODINGS[encoding], on_warning)
    return header


def _in_mm(image: sitk.Image, header: dict[str, str], path: Path, on_warning: OnWarning) -> sitk.Image:
    factor = _nrrd_unit(header, path, on_warning)
    if factor != 1:
        image.SetSpacing([length * factor for length in image.GetSpacing()])
        image.SetOrigin([place * factor for place in image.GetOrigin()])
    return image


def _unheard(_warning: str) -> None:
    """Whoever sent the file has read it before."""


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
            if header.setdefault(key.strip().casefold(), value.strip()) != value.strip():
                raise twice(key.strip(), path)
    if "data file" in header or "datafile" in header:  # a detached header may end with its file
        return header
    raise InputError(f"Cannot read {path} as a scan: its header is incomplete; get it again.")


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
        check_place(vector.strip("() ").replace(",", " "), SPACE_AXES, "space directions and origin", path)
    if len(in_space) == SPACE_AXES:
        columns = np.array([vector.strip("() ").split(",") for vector in in_space], dtype=np.float64)
        if not np.linalg.det(columns):
            raise InputError(
                f"{path} has no usable position: two of its axes run in the same direction, or one nowhere."
            )


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
