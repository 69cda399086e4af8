"""NIfTI-1 and NIfTI-2, ``.nii`` and ``.nii.gz``: complete, with a position that exists, its unit known.

ITK's reader forgives a file that ends early and takes NaN for 0, which is why nibabel's header and our own reading of
the voxels stand here instead.
"""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from ccella_core.errors import InputError
from ccella_core.imaging.raw_files import GZIP_MAGIC, OnWarning, check_size, first_bytes, opened, read_announced

HEADER_BYTES = {348: 352, 540: 544}
"""Size of a NIfTI-1 and a NIfTI-2 header, and where the voxels begin at the earliest."""
MAGIC = {348: slice(344, 348), 540: slice(4, 8)}
PAIRED = (b"ni1", b"ni2")
"""What the magic of a header says whose voxels lie in a file of their own."""
MILLIMETRES = {"meter": 1000.0, "micron": 0.001}
FORMS_DIFFER = 0.01
"""mm, or the share of a voxel, by which the two descriptions of where a NIfTI lies may differ."""


def is_nifti(start: bytes) -> bool:
    """Whether a file that begins so, unpacked, is NIfTI, or the Analyze that it was made from."""
    return _header_size(start) is not None


def read_nifti(path: Path, on_warning: OnWarning) -> tuple[np.ndarray, np.ndarray]:
    """Voxels and affine.

    Args:
        path: the file.
        on_warning: hears what is odd and usable.

    Returns:
        The voxels as stored, scaled by its slope, of any number of axes; and the affine (4, 4) to RAS+ mm.

    Raises:
        InputError: damaged or incomplete, complex or coloured voxels, or no position.
    """
    with opened(path) as file:
        packed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        stream = gzip.GzipFile(fileobj=file) if packed else file
        start = read_start(stream, path)
        header, offset = _header(start, path)
        shape = tuple(int(size) for size in header["dim"][1 : int(header["dim"][0]) + 1])
        check_size(path, shape)
        dtype = _stored_type(header, path)
        announced = offset + int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        data = read_announced(stream, path, announced, on_warning, before=start)
    voxels = np.frombuffer(data, dtype, int(np.prod(shape)), offset).reshape(shape, order="F")
    try:
        if np.isinf(header["scl_slope"]):  # NaN says that there is none
            raise nib.spatialimages.HeaderDataError("infinite")
        slope, intercept = header.get_slope_inter()
    except nib.spatialimages.HeaderDataError as error:
        raise InputError(f"{path} cannot be scaled: its header has a slope that is no number.") from error
    if slope is not None and slope < 0:
        on_warning(f"{path.name} turns its numbers around (its slope is {slope:g}); look whether it is a negative.")
    if slope is not None and (slope, intercept) != (1, 0):
        voxels = voxels * np.float64(slope) + np.float64(intercept)
    return voxels.astype(voxels.dtype.newbyteorder("="), copy=False), _affine(header, path, on_warning)


def nifti_geometry(path: Path) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Size and spacing that a header announces. Raises InputError where it is damaged beyond that."""
    header, _ = _header(first_bytes(path, HEADER_BYTES[540]), path)
    axes = int(header["dim"][0])
    return tuple(map(int, header["dim"][1 : axes + 1])), tuple(map(float, header["pixdim"][1 : axes + 1]))


def read_start(stream: Any, path: Path) -> bytes:
    """The header's bytes. Raises InputError where not even they are there."""
    try:
        start = stream.read(544)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged: not even its header can be unpacked ({error}).") from error
    if len(start) < 352 and start[MAGIC[348]][:3] not in PAIRED:
        raise InputError(f"{path} is incomplete: {len(start)} bytes are there, less than a header; get it again.")
    return start


def _header_size(start: bytes) -> int | None:
    for order in ("little", "big"):
        size = int.from_bytes(start[:4], order)  # type: ignore[arg-type]
        if size in HEADER_BYTES:
            return size
    return None


def _header(start: bytes, path: Path) -> tuple[nib.Nifti1Header, int]:
    size = _header_size(start)
    if size is None:
        raise InputError(f"{path} is damaged: its header does not begin as NIfTI's.")
    magic = start[MAGIC[size]][:3]
    if magic in PAIRED:
        raise InputError(f"The voxels of {path} lie in another file (.img); save both as one .nii.gz.")
    if magic not in (b"n+1", b"n+2"):
        raise InputError(
            f"{path} is of the format Analyze, which does not say where left and right are; convert the scan to "
            "NIfTI from its source."
        )
    kind = nib.Nifti1Header if size == 348 else nib.Nifti2Header
    header = kind(start[:size], endianness=_byte_order(start), check=False)
    if not 1 <= int(header["dim"][0]) <= 7:
        raise InputError(f"{path} is damaged: its header announces {int(header['dim'][0])} axes.")
    offset = float(header["vox_offset"])
    if not np.isfinite(offset) or not offset.is_integer() or (offset and offset < HEADER_BYTES[size]):
        raise InputError(f"{path} is damaged: its header says that its voxels begin at byte {offset:g}.")
    return header, int(offset) or HEADER_BYTES[size]


def _byte_order(start: bytes) -> str:
    return "<" if int.from_bytes(start[:4], "little") in HEADER_BYTES else ">"


def _stored_type(header: nib.Nifti1Header, path: Path) -> np.dtype:
    try:
        dtype = header.get_data_dtype()
    except (nib.spatialimages.HeaderDataError, KeyError) as error:
        raise InputError(f"{path} is damaged: its header names no known type of number.") from error
    if dtype.kind == "c":
        raise InputError(f"{path} holds complex numbers; save their magnitude as an image.")
    if dtype.kind not in "iuf" and not dtype.names:
        raise InputError(f"{path} is damaged: its header does not say which type of number it holds.")
    if dtype.kind not in "iuf":
        raise InputError(f"{path} holds colours, not intensities; save one value a voxel.")
    if int(header["bitpix"]) != dtype.itemsize * 8:
        raise InputError(
            f"{path} is damaged: its header announces {int(header['bitpix'])} bits a voxel and numbers of "
            f"{dtype.itemsize * 8}."
        )
    return dtype


def _affine(header: nib.Nifti1Header, path: Path, on_warning: OnWarning) -> np.ndarray:
    """By the sform, else by the qform, in mm."""
    lengths = np.asarray(header["pixdim"][1:4], dtype=float)
    if not np.isfinite(lengths).all() or (lengths <= 0).any():
        stated = " x ".join(f"{length:g}" for length in lengths)
        raise InputError(f"{path} has no usable spacing: its header says {stated}.")
    try:
        both = {"sform": header.get_sform(coded=True)[0], "qform": header.get_qform(coded=True)[0]}
        forms = {name: form for name, form in both.items() if form is not None}
    except (nib.spatialimages.HeaderDataError, ValueError, np.linalg.LinAlgError) as error:
        raise InputError(f"{path} does not say where it lies: its qform is no rotation ({error}).") from error
    if not forms:
        raise InputError(
            f"{path} does not say where it lies, nor where left and right are (its sform and qform are not set); "
            "convert the scan again from its source."
        )
    affine = np.array(next(iter(forms.values())), dtype=np.float64)
    if not np.isfinite(affine).all():
        raise InputError(f"{path} does not say where it lies: its {next(iter(forms))} holds NaN or infinity.")
    if len(forms) == 2 and not np.allclose(forms["sform"], forms["qform"], rtol=FORMS_DIFFER, atol=FORMS_DIFFER):
        on_warning(f"{path.name} says in two ways where it lies, and they differ: its sform is taken, not its qform.")
    taken = np.linalg.norm(affine[:3, :3], axis=0)
    if len(forms) == 1 and not np.allclose(taken, lengths, rtol=FORMS_DIFFER, atol=FORMS_DIFFER):
        said, form = (" x ".join(f"{each:g}" for each in sizes) for sizes in (lengths, taken))
        on_warning(f"{path.name} says two sizes of its voxels: its {next(iter(forms))}'s {form} are taken, not {said}.")
    return _in_millimetres(affine, header, path, on_warning)


def _in_millimetres(affine: np.ndarray, header: nib.Nifti1Header, path: Path, on_warning: OnWarning) -> np.ndarray:
    try:
        unit = header.get_xyzt_units()[0]
    except KeyError:
        unit = "unknown"
    if unit in MILLIMETRES:
        affine[:3] *= MILLIMETRES[unit]
        lengths = " x ".join(f"{each:g}" for each in np.linalg.norm(affine[:3, :3], axis=0))
        on_warning(f"{path.name} is measured in {unit}s, as its header says: its voxels are {lengths} mm.")
    return affine
