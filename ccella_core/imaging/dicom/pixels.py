"""The voxels of a DICOM file: all that is announced is there, before any library unpacks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.errors import InputError
from ccella_core.imaging.raw_files import incomplete, short_words

RUN_LENGTH = "1.2.840.10008.1.2.5"
"""The transfer syntax of RLE, which pydicom unpacks by itself and GDCM not always."""
JPEG_AND_KIN = "1.2.840.10008.1.2.4."
"""How the transfer syntaxes of JPEG, JPEG-LS and JPEG 2000 begin."""
END_OF_IMAGE = b"\xff\xd9"
"""With which each of them ends an image."""


def voxels_of(data: Any, shape: tuple[int, int, int], path: Path, *, scaled_alike: bool) -> tuple[np.ndarray, bool]:
    """The voxels of a file.

    Args:
        data: what pydicom read of it.
        shape: rows, columns and images.
        path: for messages.
        scaled_alike: whether all its images have one slope and intercept.

    Returns:
        (images, rows, columns), and whether GDCM unpacked them, which applies the slope.

    Raises:
        InputError: less is there than announced, or it cannot be unpacked.
    """
    rows, columns, count = shape
    pixels = next((name for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if name in data), None)
    if pixels is None:
        raise InputError(f"{path} is incomplete: none of its voxels are there; get it again.")
    syntax = data.file_meta.TransferSyntaxUID
    if syntax.is_compressed and not syntax.is_deflated and syntax != RUN_LENGTH:  # which pydicom unpacks itself
        if syntax.startswith(JPEG_AND_KIN):
            _check_ends(data, count, path)
        if not scaled_alike:
            raise InputError(
                f"The images in {path} are compressed and scaled each otherwise; decompress the file first."
            )
        return _unpacked(shape, path), True
    bits = int(data.get("BitsAllocated", 0) or {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(pixels, 0))
    if not bits:
        raise InputError(f"{path} is damaged: it does not say how many bits its voxels have; get it again.")
    announced, got = (rows * columns * count * bits + 7) // 8, len(data[pixels].value or b"")
    if got < announced and not syntax.is_compressed:
        raise incomplete(path, got, announced)
    try:
        return np.asarray(data.pixel_array).reshape(count, rows, columns), False
    except Exception as error:  # pydicom raises whatever its parser meets
        raise InputError(f"The voxels of {path} cannot be read ({short_words(error)}); get it again.") from error


def _check_ends(data: Any, count: int, path: Path) -> None:
    """Raises InputError unless each compressed image has its end; of one that was cut off, codecs complain aloud."""
    from pydicom import encaps

    try:
        if hasattr(encaps, "generate_frames"):
            images = list(encaps.generate_frames(data.PixelData, number_of_frames=count))
        else:  # pydicom 2
            images = list(encaps.generate_pixel_data_frame(data.PixelData, count))
    except Exception as error:  # pydicom raises whatever its parser meets
        raise InputError(f"The voxels of {path} cannot be read ({short_words(error)}); get it again.") from error
    whole = sum(image.rstrip(b"\0").endswith(END_OF_IMAGE) for image in images)
    if whole < count:
        raise InputError(f"{path} is incomplete: {whole} of its {count} compressed images are whole; get it again.")


def _unpacked(shape: tuple[int, int, int], path: Path) -> np.ndarray:
    """GDCM unpacks JPEG and its kin; of several images it scales all by the first one's slope."""
    try:
        image = sitk.GetArrayFromImage(sitk.ReadImage(str(path), imageIO="GDCMImageIO"))
    except RuntimeError as error:  # SimpleITK has no other class
        reason = str(error).strip().splitlines()[-1]
        raise InputError(f"The compressed voxels of {path} cannot be read ({reason}); get it again.") from error
    rows, columns, count = shape
    if image.size != rows * columns * count:
        raise InputError(f"{path} is incomplete: {image.size} of {rows * columns * count} voxels are there.")
    return image.reshape(count, rows, columns)
