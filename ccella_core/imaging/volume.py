"""Synthetic scans: voxels, geometry and how they were made, saved so that they can never be taken for real ones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from pydantic import ValidationError

from ccella_core.config import sentence_of
from ccella_core.errors import InputError, NonFiniteError, SaveError
from ccella_core.files import locked, read_bytes, sha256_of, whole_file
from ccella_core.imaging.orientation import (
    affine_of,
    centre_of,
    centred_affine,
    crop_around,
    directions_of,
    nearest_directions,
    set_affine,
    spacing_of,
)
from ccella_core.imaging.scans import IMAGE_SUFFIXES, ITK_SUFFIXES, read_scan
from ccella_core.limits import SYNTHETIC_PREFIX
from ccella_core.provenance import Provenance, SequenceName, Sidecar

LOCK_NAME = ".ccella-names.lock"
"""Held for the moment in which an image and its sidecar get their names."""

if TYPE_CHECKING:
    from PIL.Image import Image

    from ccella_core.imaging.dicom.export import DicomSource
    from ccella_core.imaging.label_map import LabelMap

NIFTI_DESCRIPTION_BYTES, NIFTI_SCANNER_COORDINATES = 79, 1  # the header field has 80, the last of which ends the string
ITK_LABEL_KEY = "SyntheticLabel"


class SyntheticImage:
    """What a generated scan and its label map have in common: where they lie, and how they are saved.

    ``voxels`` is (X, Y, Z); ``affine`` (4, 4) float64 takes a voxel index to RAS+ mm. Raises ``InputError`` for another
    shape, a singular or non-finite affine.
    """

    voxels: np.ndarray
    affine: np.ndarray
    provenance: Provenance

    def __post_init__(self) -> None:
        self.affine = np.asarray(self.affine, dtype=np.float64)
        if self.voxels.ndim != 3 or 0 in self.voxels.shape:
            raise InputError(f"A volume has three axes (X, Y, Z), none of them empty; got shape {self.voxels.shape}.")
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all() or np.linalg.det(self.affine) == 0:
            raise InputError("The affine must be an invertible 4x4 matrix of finite numbers, in mm.")

    def _content(self) -> dict[str, Any]:
        """Which sequence or labels it holds, as its sidecar says it."""
        raise NotImplementedError

    def _header(self, image: nib.Nifti1Image) -> str:
        """Complete a NIfTI header, and return a word for its description."""
        raise NotImplementedError

    @property
    def spacing(self) -> np.ndarray:
        """Distance in mm between neighbouring voxels along each of the three array axes."""
        return spacing_of(self.affine)

    def save(self, path: Path | str, *, overwrite: bool = False) -> Path:
        """Write ``.nii.gz``, ``.nii``, ``.nrrd`` or ``.mha`` and a JSON sidecar beside it; return the image's path.

        The name gets the prefix ``SYNTHETIC_`` if it does not begin with ``SYNTHETIC``. Each file appears whole or not
        at all, and the sidecar first, so that no image ever stands without one. Raises ``NonFiniteError`` for NaN or
        infinity, ``InputError`` for an unknown extension or a name already taken, ``SaveError`` if the disk refuses.
        """
        image_path = synthetic_name(Path(path))
        sidecar_path = sidecar_of(image_path)
        self._refuse_non_finite(image_path.name)
        try:
            _refuse_taken_names(image_path, sidecar_path, overwrite)
            image_path.parent.mkdir(parents=True, exist_ok=True)
            with (
                ExitStack() as until_both_have_their_names,
                whole_file(image_path) as temporary_image,
                whole_file(sidecar_path, private=True) as temporary_sidecar,
            ):
                self._write(temporary_image)
                sidecar = self._sidecar(image_path.name, sha256_of(temporary_image))
                temporary_sidecar.write_text(sidecar, encoding="utf-8")
                # Others may save under this name at the same time: both files are theirs or ours.
                until_both_have_their_names.enter_context(locked(image_path.parent / LOCK_NAME, wait=True))
                _refuse_taken_names(image_path, sidecar_path, overwrite)
                image_path.unlink(missing_ok=True)  # so that an image never stands beside another's sidecar
        except InputError:
            raise
        except (OSError, RuntimeError) as error:  # SimpleITK reports every failure to write as RuntimeError
            why = getattr(error, "strerror", None) or error
            raise SaveError(f"Could not save {image_path}: {why}. Free disk space or choose another folder.") from error
        return image_path

    def to_bytes(self, name: str) -> tuple[bytes, bytes]:
        """What ``save`` would write into ``name``, which ends in ``.nii``, and into its sidecar.

        Raises:
            NonFiniteError: NaN or infinity.
        """
        self._refuse_non_finite(name)
        image = self._nifti().to_bytes()
        return image, self._sidecar(name, hashlib.sha256(image).hexdigest()).encode()

    def _refuse_non_finite(self, name: str) -> None:
        if not np.isfinite(self.voxels).all():
            count = int((~np.isfinite(self.voxels)).sum())
            raise NonFiniteError(f"{count} voxels are NaN or infinite, so {name} was not saved.")

    def _sidecar(self, name: str, sha256: str) -> str:
        sidecar = Sidecar(
            label=self.provenance.label,
            image=name,
            sha256=sha256,
            **self._content(),
            provenance=self.provenance,
        )
        return sidecar.model_dump_json(indent=2)

    def _write(self, path: Path) -> None:
        if image_suffix(path) in ITK_SUFFIXES:
            sitk.WriteImage(self.to_sitk(), str(path), useCompression=True)
            return
        self._nifti().to_filename(path)

    def _nifti(self) -> nib.Nifti1Image:
        image = nib.Nifti1Image(self.voxels, self.affine, dtype=self.voxels.dtype)
        image.set_qform(self.affine, NIFTI_SCANNER_COORDINATES)
        image.set_sform(self.affine, NIFTI_SCANNER_COORDINATES)
        image.header.set_xyzt_units(xyz="mm")
        maker = f"{self._header(image)}, {self.provenance.model_name} {self.provenance.model_version}"
        image.header["descrip"] = f"{self.provenance.label}; {maker}".encode()[:NIFTI_DESCRIPTION_BYTES]
        return image

    def to_sitk(self) -> sitk.Image:
        """The same as a SimpleITK image, whose physical space is LPS mm."""
        image = sitk.GetImageFromArray(np.ascontiguousarray(self.voxels.transpose(2, 1, 0)))
        set_affine(image, self.affine)
        image.SetMetaData(ITK_LABEL_KEY, self.provenance.label)
        return image

    def _placed_on(self, reference: sitk.Image | Path | str) -> np.ndarray:
        """The affine that lays the voxels along the axes of a real scan, with the centres at the same point.

        Each axis of this image takes the direction of the reference's axis that is nearest to it anatomically, so
        left stays left and up stays up whatever way (axial, sagittal, coronal, oblique) the reference was acquired.
        ``reference`` is an image, an image file, or a folder of one DICOM series. Raises ``InputError`` if unreadable.
        """
        scan = reference if isinstance(reference, sitk.Image) else read_scan(Path(reference))
        if scan.GetDimension() != 3:
            raise InputError(f"The reference has {scan.GetDimension()} dimensions; a volume can only be placed on 3.")
        target = affine_of(scan)
        directions = nearest_directions(directions_of(self.affine), directions_of(target))
        centre = centre_of(target, scan.GetSize())
        return centred_affine(directions, self.spacing, self.voxels.shape, centre)


@dataclass(eq=False)
class SyntheticVolume(SyntheticImage):
    """A generated scan.

    ``voxels`` is int16 if it is given so, else float32; of an edited scan they keep the scan's type. ``sequence`` is
    "t2w", "hbv" or "adc"; ``labels`` is the label map of its examination, where the model draws one. Raises
    ``InputError`` for an unknown sequence too.
    """

    voxels: np.ndarray
    affine: np.ndarray
    sequence: SequenceName
    provenance: Provenance
    labels: LabelMap | None = None

    def __post_init__(self) -> None:
        self.voxels = np.asarray(self.voxels)
        if self.voxels.dtype != np.int16 and self.provenance.source_sha256 is None:
            self.voxels = self.voxels.astype(np.float32, copy=False)
        super().__post_init__()
        if self.sequence not in get_args(SequenceName):
            raise InputError(f"Unknown sequence {self.sequence!r}: use one of {', '.join(get_args(SequenceName))}.")

    def _content(self) -> dict[str, Any]:
        return {"sequence": self.sequence}

    def _header(self, image: nib.Nifti1Image) -> str:
        return self.sequence

    @classmethod
    def load(cls, path: Path | str) -> SyntheticVolume:
        """Read back what ``save`` wrote; a label map is a file of its own, see ``LabelMap.load``.

        Raises ``InputError`` where the image or its sidecar is missing or unreadable, the image has been altered, or it
        is a label map.
        """
        sidecar = read_sidecar(Path(path))
        if sidecar.sequence is None:
            raise InputError(f"{path} is a label map, not a volume.")
        return cls(*read_image(Path(path)), sidecar.sequence, sidecar.provenance)

    def dicom_source(self, name: str | None = None) -> DicomSource:
        """The volume as ``imaging.dicom.export.export_dicom`` takes it; ``name`` is what its sentences call it."""
        from ccella_core.imaging.dicom.export import DicomSource

        made = self.provenance.model_dump(mode="json")
        return DicomSource(name or f"The {self.sequence} volume", self.voxels, self.affine, self.sequence, made)

    def place_on(self, reference: sitk.Image | Path | str) -> SyntheticVolume:
        """The same voxels and spacing, laid along the axes of a real scan, with the centres at the same point.

        Each axis of this volume takes the direction of the reference's axis that is nearest to it anatomically, so
        left stays left and up stays up whatever way (axial, sagittal, coronal, oblique) the reference was acquired. Its
        label map is laid there with it.
        ``reference`` is an image, an image file, or a folder of one DICOM series. Raises ``InputError`` if unreadable.
        """
        affine = self._placed_on(reference)
        return replace(self, affine=affine, labels=None if self.labels is None else replace(self.labels, affine=affine))

    def cropped(self, size_mm: Sequence[float], center_mm: Sequence[float] | None = None) -> SyntheticVolume:
        """A part of the volume and of its labels, by default their middle; see ``crop_around``."""
        voxels, affine = crop_around(self.voxels, self.affine, size_mm, center_mm)
        if (labels := self.labels) is not None:
            kept, _ = crop_around(labels.voxels, labels.affine, size_mm, center_mm)
            labels = replace(labels, voxels=kept, affine=affine)
        return replace(self, voxels=voxels, affine=affine, labels=labels)

    def contact_sheet(self, path: Path | str | None = None, *, width: int = 1600) -> Image:
        """A picture of the volume, ``width`` pixels wide, labelled synthetic; also saved as PNG when a path is given.

        Raises ``InputError`` for a width or extension that cannot be used, ``SaveError`` if the disk refuses.
        """
        from ccella_core.imaging.contact_sheet import draw_contact_sheet, save_contact_sheet

        sheet = draw_contact_sheet(self, width=width)
        if path is not None:
            save_contact_sheet(sheet, Path(path))
        return sheet


def read_image(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (X, Y, Z) and affine of a file that ``save`` wrote. Raises InputError as ``read_scan`` does."""
    image = read_scan(path)
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), affine_of(image)


def synthetic_name(path: Path) -> Path:
    """``path`` with the prefix ``SYNTHETIC_`` unless its name already begins with ``SYNTHETIC``."""
    return path if path.name.startswith(SYNTHETIC_PREFIX) else path.with_name(f"{SYNTHETIC_PREFIX}_{path.name}")


def image_suffix(path: Path) -> str:
    """The extension, in lower case, that names the image's format; ``InputError`` if it is not one of ours."""
    for suffix in IMAGE_SUFFIXES:
        if path.name.lower().endswith(suffix):
            return suffix
    raise InputError(f"Cannot tell the format of {path.name!r}: end the name with {', '.join(IMAGE_SUFFIXES)}.")


def sidecar_of(image_path: Path) -> Path:
    """The JSON file that stands beside an image."""
    return image_path.with_name(image_path.name[: -len(image_suffix(image_path))] + ".json")


def read_sidecar(image_path: Path, *, verify: bool = True) -> Sidecar:
    """What stands beside an image; ``verify``: after the image's hash was compared.

    Raises ``InputError`` where the image or its sidecar is missing or unreadable, or the image has been altered.
    """
    sidecar_path = sidecar_of(image_path)
    try:
        sidecar = Sidecar.model_validate_json(read_bytes(sidecar_path))
        altered = verify and sha256_of(image_path) != sidecar.sha256
    except OSError as error:
        why = f"{error.filename or sidecar_path}: {error.strerror or error}"
        raise InputError(
            f"{image_path} is not a saved synthetic volume ({why}); give one with its JSON beside it."
        ) from error
    except ValidationError as error:
        raise InputError(f"{sidecar_path} is no sidecar: {sentence_of(error, private=True)}.") from error
    if altered:
        raise InputError(f"{image_path} is not the file that {sidecar_path.name} describes: its SHA-256 differs.")
    return sidecar


def _refuse_taken_names(image_path: Path, sidecar_path: Path, overwrite: bool) -> None:
    if image_path.exists() and not overwrite:
        raise InputError(f"{image_path} exists already: choose another name, or ask to overwrite it.")
    if not sidecar_path.exists():
        return
    try:
        described = Sidecar.model_validate_json(read_bytes(sidecar_path)).image
    except ValidationError:
        described = ""
    if described != image_path.name:
        raise InputError(f"{sidecar_path} belongs to {described or 'something else'}: choose another name.")
