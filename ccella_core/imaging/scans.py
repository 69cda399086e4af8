"""Reading a scan, or a mask of it: an image file, a multi-frame DICOM file, or a folder with one DICOM series.

The one reader of all commands. What cannot be a scan is refused in a sentence that names the file, the cause and what
to do; what is odd and usable is a warning.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.errors import InputError
from ccella_core.imaging.dicom.files import is_dicom
from ccella_core.imaging.dicom.reading import read_dicom, read_dicom_mask
from ccella_core.imaging.itk_files import read_meta
from ccella_core.imaging.nifti import is_nifti, read_nifti
from ccella_core.imaging.nrrd import read_nrrd
from ccella_core.imaging.orientation import affine_of, centre_of, centred_affine, directions_of, set_affine, spacing_of
from ccella_core.imaging.raw_files import OnWarning, check_size, first_bytes

log = logging.getLogger(__name__)

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".nrrd", ".mha")
IMAGE_SUFFIXES = NIFTI_SUFFIXES + ITK_SUFFIXES
"""Of the formats that are written, and looked for in folders; others are recognised by their content."""
SPACING_TOLERANCE = 0.02
"""Share by which two statements of one spacing may differ: tables and headers round."""
SMALLEST_SPACING_MM, LARGEST_SPACING_MM = 0.02, 50.0
FARTHEST_MM = 1e5
"""From the middle of the scanner: a table moves two metres, and beyond this a header is damaged."""
MOST_OF_A_VOXEL = 1e30
"""Sums and differences of such are finite in float32; beyond, a slope in the header is wrong."""
MOST_OF_A_WHOLE_NUMBER = 1 << 53
"""Up to which float64 tells whole numbers apart; beyond, its type or the order of its bytes is wrong."""
STRAIGHT, SLIGHTLY_SHEARED = 1e-4, 0.01
"""Cosines between axes: up to the first is rounding; up to the second (half a degree) is straightened and said."""
MOST_LABELS = 64
"""Different values of a mask; more are probabilities in percent, or a scan."""
NOT_A_SCAN = {
    b"PK\x03\x04": "an archive (ZIP); unpack it and give the folder or file inside",
    b"7z\xbc\xaf": "an archive (7z); unpack it and give the folder or file inside",
    b"Rar!": "an archive (RAR); unpack it and give the folder or file inside",
    b"%PDF": "a PDF; give the scan itself",
    b"\x89PNG": "a picture (PNG); give the scan itself",
    b"\xff\xd8\xff": "a picture (JPEG); give the scan itself",
    b"II*\x00": "a picture (TIFF), which has no place in the patient; give the scan itself",
    b"MM\x00*": "a picture (TIFF), which has no place in the patient; give the scan itself",
    b"SIMPLE": "a FITS file; give the scan itself",
    b"BZh": "packed (bzip2); unpack it first",
    b"\xfd7zXZ": "packed (xz); unpack it first",
    b"\x28\xb5\x2f\xfd": "packed (Zstandard); unpack it first",
    b"version https://git-lfs": "a pointer of Git LFS and not the file itself; fetch it with `git lfs pull`",
}
LENGTH_OF_START = 512
UNNAMED = Path("The image")
"""What sentences call an image that was handed in and has no file."""


def read_scan(path: Path, on_warning: OnWarning | None = None) -> sitk.Image:
    """The image at ``path``, in its own geometry (LPS mm).

    Args:
        path: a NIfTI, NRRD, MetaImage or multi-frame DICOM file, or a folder with one DICOM series; told by content.
        on_warning: hears what is odd and usable; by default the log.

    Raises:
        InputError: nothing there, damaged, incomplete, several series or images a place, slices missing, no usable
            position, spacing or voxels, or not three-dimensional.
    """
    return _checked(_read(Path(path), on_warning or log.warning), Path(path), on_warning or log.warning)


def as_scan(image: sitk.Image | Path | str, on_warning: OnWarning | None = None) -> sitk.Image:
    """The same of what may be an image already, which is checked as one that was read. Raises InputError."""
    if isinstance(image, sitk.Image):
        return _checked(image, UNNAMED, on_warning or log.warning)
    return read_scan(Path(image), on_warning)


def read_mask(path: Path, on_warning: OnWarning | None = None) -> sitk.Image:
    """The same for a mask: uint8, 1 where the file holds anything but 0.

    Raises:
        InputError: as ``read_scan``, and where it holds probabilities, an image, or NaN.
    """
    return as_mask(_read(Path(path), on_warning or log.warning, is_mask=True), on_warning, name=Path(path))


def as_mask(image: sitk.Image | Path | str, on_warning: OnWarning | None = None, *, name: Path = UNNAMED) -> sitk.Image:
    """The same of what may be an image already; ``name`` is for the sentences. Raises InputError."""
    if not isinstance(image, sitk.Image):
        return read_mask(Path(image), on_warning)
    path = name
    image = _checked(image, path, on_warning or log.warning, fewest_slices=1)
    voxels = sitk.GetArrayViewFromImage(image)
    values = np.unique(voxels)
    if len(values) and not np.equal(np.mod(values, 1), 0).all():
        raise InputError(
            f"{path} holds probabilities or other fractions ({values[0]:g} to {values[-1]:g}), not a mask; "
            "threshold it, at one half for instance."
        )
    if len(values) > MOST_LABELS:
        raise InputError(
            f"{path} holds {len(values)} different values, which no mask does: it is an image, or probabilities in "
            "percent; threshold it."
        )
    mask = sitk.GetImageFromArray((voxels != 0).astype(np.uint8))
    mask.CopyInformation(image)
    return mask


def _read(path: Path, warn: OnWarning, *, is_mask: bool = False) -> sitk.Image:
    """An image of as many axes as the file has."""
    read = read_dicom_mask if is_mask else read_dicom
    try:
        if path.is_dir():
            return _as_image(*read(path, warn), path)
        start = first_bytes(path, LENGTH_OF_START)
        if is_dicom(path):
            return _as_image(*read(path, warn), path)
        if start.startswith(b"NRRD"):
            return read_nrrd(path, warn)
        other = next((what for magic, what in NOT_A_SCAN.items() if start.startswith(magic)), None)
        if other is None and b"=" in start and (b"NDims" in start or b"ObjectType" in start):
            return read_meta(path, warn)
        if is_nifti(start) or (path.name.lower().endswith(NIFTI_SUFFIXES) and other is None):
            return _as_image(*read_nifti(path, warn), path)
    except OSError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    except MemoryError as error:
        raise InputError(f"{path} needs more memory than there is.") from error
    if other is not None:
        raise InputError(f"{path} is {other}.")
    if path.suffix.lower() == ".img" and path.with_suffix(".hdr").is_file():
        raise InputError(
            f"{path} holds voxels alone, and {path.with_suffix('.hdr').name} says what they are; save both as one "
            ".nii.gz."
        )
    what = "it is empty" if not start else "it is none of NIfTI, NRRD, MetaImage and DICOM"
    raise InputError(f"Cannot read {path} as a scan: {what}.")


def _as_image(voxels: np.ndarray, affine: np.ndarray, path: Path) -> sitk.Image:
    """(X, Y, Z, …) voxels as ITK holds them; a last axis of one voxel is dropped."""
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    if voxels.ndim != 3:
        raise _not_three(path, voxels.shape)
    if voxels.dtype.itemsize > 8 or voxels.dtype == np.float16:
        voxels = voxels.astype(np.float64)
    if voxels.dtype == bool:
        voxels = voxels.astype(np.uint8)
    spacing = spacing_of(affine)
    if not np.isfinite(affine).all() or (spacing <= 0).any():
        raise _no_spacing(path, spacing)
    if abs(np.linalg.det(directions_of(affine))) < SLIGHTLY_SHEARED:
        raise InputError(f"{path} has no usable position: two of its axes run in the same direction.")
    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    set_affine(image, affine)
    return image


def _checked(image: sitk.Image, path: Path, warn: OnWarning, *, fewest_slices: int = 2) -> sitk.Image:
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    size = image.GetSize()
    components = image.GetNumberOfComponentsPerPixel()
    if components != 1:
        raise InputError(
            f"{path} is no three-dimensional scan ({' x '.join(map(str, size))} voxels of {components} values each, "
            "layers or colours); save each as a file of its own."
        )
    if image.GetDimension() != 3:
        raise _not_three(path, size)
    if min(size) < fewest_slices:
        raise InputError(
            f"{path} is one slice ({' x '.join(map(str, size))} voxels), not a three-dimensional scan; give the file "
            "or folder with all slices."
        )
    check_size(path, size)
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{path} holds complex numbers; save their magnitude as an image.")
    voxels = sitk.GetArrayViewFromImage(image)
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        count = int((~np.isfinite(voxels)).sum())
        raise InputError(
            f"{path} holds NaN or infinite voxels ({count} of {voxels.size}); fill them and save it again."
        )
    if voxels.dtype.itemsize == 8 and voxels.dtype.kind in "iu":
        most = max(int(voxels.max()), -int(voxels.min()))
        if most > MOST_OF_A_WHOLE_NUMBER:
            raise InputError(
                f"{path} holds whole numbers of up to {most:.2g}, which no scan has: the type of its numbers, or the "
                "order of their bytes, is wrong in its header; convert the scan again from its source."
            )
    if voxels.dtype.kind == "f" and (most := np.abs(voxels).max()) > MOST_OF_A_VOXEL:
        raise InputError(
            f"{path} holds voxels of up to {most:.1g}, which no scan has: its header's scale is damaged; get it again."
        )
    return _straightened(image, path, warn)


def _straightened(image: sitk.Image, path: Path, warn: OnWarning) -> sitk.Image:
    affine = affine_of(image)
    spacing = spacing_of(affine)
    if not np.isfinite(affine).all() or spacing.min() < SMALLEST_SPACING_MM or spacing.max() > LARGEST_SPACING_MM:
        raise _no_spacing(path, spacing)
    if (far := np.abs(affine[:3, 3]).max()) > FARTHEST_MM:
        raise InputError(
            f"{path} lies {far / 1000:.3g} m away from the middle of the scanner, as its header says wrongly: "
            "convert the scan again from its source."
        )
    directions = directions_of(affine)
    cosine = abs(directions.T @ directions - np.eye(3)).max()
    if cosine > SLIGHTLY_SHEARED:
        raise InputError(
            f"The axes of {path} are not at right angles ({np.degrees(np.arcsin(min(1.0, cosine))):.1f} degrees off): "
            "resample it onto a right-angled grid first."
        )
    if cosine > STRAIGHT:
        warn(f"The axes of {path.name} were {np.degrees(np.arcsin(cosine)):.2f} degrees off right angles and were "
             "straightened.")  # fmt: skip
        left, _, right = np.linalg.svd(directions)
        centre = centre_of(affine, image.GetSize())
        set_affine(image, centred_affine(left @ right, spacing.tolist(), image.GetSize(), centre))
    return image


def _not_three(path: Path, shape: tuple[int, ...]) -> InputError:
    text = " x ".join(map(str, shape))
    if len(shape) < 3:
        return InputError(
            f"{path} is no three-dimensional scan ({text} voxels); give the file or folder with all slices."
        )
    count = int(np.prod(shape[3:]))
    return InputError(
        f"{path} is no three-dimensional scan ({text} voxels): it holds {count} volumes (time points, b-values or "
        "layers); save the one that is meant."
    )


def _no_spacing(path: Path, spacing: np.ndarray) -> InputError:
    lengths = " x ".join(f"{length:g}" for length in spacing)
    return InputError(
        f"{path} has voxels of {lengths} mm, as its header says, which no scan of a prostate has. Is it measured in "
        "another unit than its header says? Set the unit, or convert the scan again from its source."
    )
