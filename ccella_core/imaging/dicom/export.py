"""Synthetic volumes as DICOM series of MR images, one a slice; ``dicom_header`` says what stands in their header.

NumPy and pydicom only, both of which Slicer brings: its *Export to DICOM* runs in Slicer's own Python.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ccella_core.errors import InputError, NonFiniteError, SaveError, first_line
from ccella_core.files import replace_folder
from ccella_core.imaging.dicom.header import MR_IMAGE_STORAGE, decimal_string, edited_examination, series_header, uid_of
from ccella_core.imaging.orientation import RAS_FROM_LPS, directions_of, spacing_of
from ccella_core.limits import SYNTHETIC_PREFIX

NOT_OF_THE_EXAMINATION = ("created", "device", "dtype", "software", "warnings", "predicted_positive_probability",
                          "output_range", "source_sha256")  # fmt: skip
"""Facts of a provenance that may differ between two makings of the same examination, or between its sequences."""
SAME_PLACE_DECIMALS = 3
"""Of the affine in mm: NIfTI keeps it in single precision, and a volume that was saved is the same volume."""
RIGHT_ANGLED = 1e-4
"""Cosine between two axes, up to which they count as right-angled."""
INT16 = np.iinfo(np.int16)
UINT16 = np.iinfo(np.uint16)


@dataclass(frozen=True, eq=False)
class DicomSource:
    """A synthetic volume to export.

    ``voxels`` is (X, Y, Z); ``affine`` (4, 4) takes a voxel index to RAS+ mm; ``provenance`` is what ``Provenance``
    writes as JSON. ``name`` is what sentences call it.
    """

    name: str
    voxels: np.ndarray
    affine: np.ndarray
    sequence: str
    provenance: Mapping[str, Any]


class Slices(NamedTuple):
    """The volume as images: (slices, rows, columns), in the order of their places along the normal."""

    voxels: np.ndarray
    affine: np.ndarray
    """(4, 4) to LPS+ mm of (column, row, slice)."""


class StoredVoxels(NamedTuple):
    """What is written of the voxels."""

    numbers: np.ndarray
    """int16 or uint16."""
    scale: tuple[str, str] | None
    """Slope and intercept as they are written; nothing where the numbers are the values."""


class _Series(NamedTuple):
    folder: Path
    key: str
    """From which the UIDs of its images are derived."""
    header: Any
    slices: Slices
    stored: StoredVoxels


def export_dicom(sources: Iterable[DicomSource], folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write volumes as series of MR images, one a slice.

    Whole numbers that fit 16 bits are stored as they are; other values are scaled to 16 bits, with the slope that
    brings them back. Patient, study and frame of reference are derived from how the examination was made, and series
    and images from voxels and place as well: so the sequences of one examination meet in one study, and the same
    volume has the same UIDs wherever it is exported. Nothing of a real scan enters, nor the report's text.

    Args:
        sources: the volumes.
        folder: where ``SYNTHETIC_<examination>/<sequence>_<series>`` is made for each, with the images in it.
        overwrite: replace series that are there.

    Returns:
        The folder of each series, which appears whole or not at all.

    Raises:
        InputError: a volume that is not right-angled, lacks its provenance, is given twice or is there already; then
            nothing was written.
        NonFiniteError: voxels that are NaN or infinite; the same.
        SaveError: the disk refuses.
    """
    every = [_prepared(source, folder) for source in sources]
    for number, series in enumerate(every):
        if series.folder.exists() and not overwrite:
            raise InputError(f"{series.folder} exists already: choose another folder, or ask to overwrite it.")
        if any(series.folder == before.folder for before in every[:number]):
            raise InputError(f"Two of the volumes are the same, {series.header.SeriesDescription}: give it once.")
    for series in every:
        try:
            with replace_folder(series.folder) as unfinished:
                for index in range(len(series.stored.numbers)):
                    _write_image(series, index, unfinished / f"{index + 1:04d}.dcm")
        except OSError as error:
            reason = error.strerror or first_line(error)  # pydicom puts a whole traceback into it
            raise SaveError(
                f"Could not save {series.folder}: {reason}. Free disk space or choose another folder."
            ) from error
    return [series.folder for series in every]


def _prepared(source: DicomSource, folder: Path) -> _Series:
    examination = _examination(source)
    slices = _sliced(source)
    stored = _stored(slices.voxels)
    key = _digest(examination, source.sequence, np.round(slices.affine, SAME_PLACE_DECIMALS) + 0.0,
                  np.asarray(slices.voxels, np.float32))  # fmt: skip
    name = Path(f"{SYNTHETIC_PREFIX}_{examination[:12]}", f"{source.sequence}_{key[:8]}")
    return _Series(folder / name, key, series_header(source, examination, key, slices, stored), slices, stored)


def _examination(source: DicomSource) -> str:
    """The hash of how it was made, which the sequences of an examination share."""
    made = {key: value for key, value in source.provenance.items() if key not in NOT_OF_THE_EXAMINATION}
    if missing := [key for key in ("model_name", "model_version", "model_sha256", "seed") if key not in made]:
        raise InputError(f"{source.name} does not say how it was made (no {missing[0]}), so it is not exported.")
    made["examination_sha256"] = edited_examination(source.provenance)
    return _digest(json.dumps(made, sort_keys=True, ensure_ascii=True))


def _digest(*parts: str | np.ndarray) -> str:
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode())
        else:
            digest.update(repr(part.shape).encode())
            digest.update(part.astype(part.dtype.newbyteorder("<"), copy=False).tobytes())  # the same on every machine
    return digest.hexdigest()


def _sliced(source: DicomSource) -> Slices:
    """Rows and columns turned the way that viewers show images: to the patient's left, back and feet."""
    if source.voxels.ndim != 3 or max(source.voxels.shape[:2]) > UINT16.max or 0 in source.voxels.shape:
        raise InputError(f"{source.name} is no three-dimensional volume that DICOM can hold ({source.voxels.shape}).")
    if not np.isfinite(source.voxels).all():
        count = int((~np.isfinite(source.voxels)).sum())
        raise NonFiniteError(f"{count} voxels of {source.name} are NaN or infinite, so it is not exported.")
    affine = np.array(source.affine, dtype=np.float64)
    affine[:3] = RAS_FROM_LPS @ affine[:3]
    if not np.isfinite(affine).all() or spacing_of(affine).min() <= 0:
        raise InputError(f"{source.name} has no usable place: its affine holds NaN, infinity or an axis of no length.")
    directions = directions_of(affine)
    cosine = abs(directions.T @ directions - np.eye(3)).max()
    if cosine > RIGHT_ANGLED:
        raise InputError(f"The axes of {source.name} are not at right angles, as DICOM needs them: resample it first.")
    voxels = source.voxels
    for axis in (0, 1):
        way = int(np.abs(directions[:, axis]).argmax())
        if (directions[way, axis] < 0) != (way == 2):  # left and back are positive; feet are not
            voxels, affine = _turned(voxels, affine, axis)
    if np.linalg.det(affine[:3, :3]) < 0:  # images are counted along the normal of their rows and columns
        voxels, affine = _turned(voxels, affine, 2)
    return Slices(voxels.transpose(2, 1, 0), affine)


def _turned(voxels: np.ndarray, affine: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    turned = affine.copy()
    turned[:3, 3] += affine[:3, axis] * (voxels.shape[axis] - 1)
    turned[:3, axis] *= -1
    return np.flip(voxels, axis), turned


def _stored(voxels: np.ndarray) -> StoredVoxels:
    low, high = float(voxels.min()), float(voxels.max())
    if INT16.min <= low and high <= INT16.max and (voxels == np.rint(voxels)).all():
        return StoredVoxels(voxels.astype("<i2"), None)
    slope, intercept = decimal_string((high - low) / UINT16.max or 1.0), decimal_string(low)
    numbers = np.rint((np.asarray(voxels, np.float64) - float(intercept)) / float(slope))
    return StoredVoxels(numbers.clip(0, UINT16.max).astype("<u2"), (slope, intercept))


def _write_image(series: _Series, index: int, path: Path) -> None:
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta: Any = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MR_IMAGE_STORAGE
    meta.MediaStorageSOPInstanceUID = uid_of("image", series.key, index)
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data = FileDataset(str(path), series.header, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=False)
    data.SOPInstanceUID, data.InstanceNumber = meta.MediaStorageSOPInstanceUID, index + 1
    affine = series.slices.affine
    place = affine[:3, 3] + affine[:3, 2] * index
    data.ImagePositionPatient = [decimal_string(part) for part in place]
    data.PixelData = series.stored.numbers[index].tobytes()
    # pydicom 3 has another word for "whole, with preamble and header".
    whole = {"enforce_file_format": True}
    if "enforce_file_format" not in inspect.signature(pydicom.dcmwrite).parameters:
        whole = {"write_like_original": False}
    data.save_as(path, **whole)
