"""Reading a scan: an image file or a folder with one DICOM series, as a 3-D SimpleITK image."""

from __future__ import annotations

import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.errors import InputError

UNEVEN_SLICES = 0.05
"""Share of the slice spacing by which slices may lie off before a series counts as incomplete."""
NIFTI_SUFFIXES = (".nii.gz", ".nii")
SERIES_DESCRIPTION = "0008|103e"


def read_scan(path: Path) -> sitk.Image:
    """The image at ``path``, in its own geometry (LPS mm).

    Raises:
        InputError: nothing there, not readable, no or several DICOM series, slices missing, or not three-dimensional.
    """
    if not path.exists():
        raise InputError(f"There is no scan {path}.")
    try:
        image = _read_series(path) if path.is_dir() else sitk.ReadImage(str(path))
    except RuntimeError as error:  # SimpleITK has no other class
        raise InputError(f"Cannot read {path} as a scan: {str(error).strip().splitlines()[-1]}") from error
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        image = image[:, :, :, 0]
    if image.GetDimension() != 3 or min(image.GetSize()) < 2 or image.GetNumberOfComponentsPerPixel() != 1:
        size = " x ".join(map(str, image.GetSize()))
        raise InputError(f"{path} is no three-dimensional scan ({size} voxels).")
    return image


def refuse_nan(path: Path) -> None:
    """Raise InputError where a NIfTI holds NaN or infinity, which SimpleITK silently reads as 0; other files pass."""
    if not path.name.lower().endswith(NIFTI_SUFFIXES):
        return
    stored = nib.Nifti1Image.from_filename(path, mmap=False).dataobj
    if stored.dtype.kind == "f" and not np.isfinite(np.asarray(stored)).all():  # type: ignore[attr-defined]
        raise InputError(f"{path} holds NaN or infinite voxels.")


def series_descriptions(folder: Path) -> dict[str, str]:
    """The DICOM series in a folder: its description (empty where it has none) by its UID."""
    described = {}
    for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder)) or ():
        files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid)
        reader = sitk.ImageFileReader()
        reader.SetFileName(files[0])
        reader.ReadImageInformation()
        has = reader.HasMetaDataKey(SERIES_DESCRIPTION)
        described[uid] = reader.GetMetaData(SERIES_DESCRIPTION).strip() if has else ""
    return described


def _read_series(folder: Path) -> sitk.Image:
    series = series_descriptions(folder)
    if not series:
        raise InputError(f"There is no DICOM series in {folder}.")
    if len(series) > 1:
        names = ", ".join(description or uid for uid, description in series.items())
        raise InputError(f"There are {len(series)} DICOM series in {folder} ({names}); keep one in a folder.")
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), next(iter(series)))
    _refuse_gaps(files, folder)
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    return reader.Execute()


def _refuse_gaps(files: tuple[str, ...], folder: Path) -> None:
    """GDCM sorts slices by their place, and would read a series with a hole in it as if there were none."""
    if len(files) < 3:
        return
    places = []
    for file in files:
        reader = sitk.ImageFileReader()
        reader.SetFileName(file)
        reader.ReadImageInformation()
        places.append(reader.GetOrigin())
    steps = [sum((b - a) ** 2 for a, b in zip(one, next_, strict=True)) ** 0.5
             for one, next_ in itertools.pairwise(places)]  # fmt: skip
    typical = sorted(steps)[len(steps) // 2]
    if typical == 0 or max(abs(step - typical) for step in steps) > UNEVEN_SLICES * typical:
        raise InputError(
            f"The slices in {folder} are not evenly spaced ({min(steps):.2f} to {max(steps):.2f} mm): some are missing."
        )
