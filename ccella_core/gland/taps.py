"""TAPS, a segmentation of the prostate by others.

The package lavlab-taps (LaViolette lab, Medical College of Wisconsin; MIT licence) brings its network along, 80 MB of
ONNX within the package, and downloads nothing. It was trained on T2-weighted scans of patients.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np

from ccella_core.errors import InputError

HOW_TO_INSTALL = 'pip install "ccella-core[judges]"'
IMAGE_NAME, MASK_NAME = "t2w.nii.gz", "gland.nii.gz"


class Taps:
    """Finds the gland in T2-weighted volumes, on the processor.

    Raises:
        InputError: the package is not installed, or cannot be used.
    """

    def __init__(self) -> None:
        self._taps = _import_taps()
        self.name = f"taps {self._taps.__version__}"

    def find(self, voxels: np.ndarray, affine: np.ndarray) -> np.ndarray:
        """The gland in T2-weighted voxels (X, Y, Z), bool, empty where TAPS sees none.

        Raises ``InputError`` where TAPS fails.
        """
        voxels = np.asarray(voxels, dtype=np.float32)
        with tempfile.TemporaryDirectory() as folder:
            image, mask = Path(folder) / IMAGE_NAME, Path(folder) / MASK_NAME
            nib.Nifti1Image(voxels, affine).to_filename(image)
            try:
                # exact: a mask that it finds odd, in size for instance, keeps its name and is judged like any other.
                written = self._taps.segment(image, mask, None, "cpu", exact=True)
            except self._taps.inference.BlankMaskError:
                return np.zeros(voxels.shape, bool)
            except Exception as error:  # whatever another's network raises
                raise InputError(f"TAPS could not segment a volume: {type(error).__name__}: {error}") from error
            found = np.asarray(nib.load(written).dataobj) > 0  # type: ignore[attr-defined]  # nibabel has no types
        if found.shape != voxels.shape:
            raise InputError(f"TAPS answered with a mask of shape {found.shape} for a volume of {voxels.shape}.")
        return found


def _import_taps() -> ModuleType:
    """The package. It sets up the root logger when it is imported, which is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        import taps
        import taps.inference
    except ImportError as error:
        raise InputError(
            f"The package lavlab-taps, which finds the gland, is not installed or incomplete ({error}): "
            f"{HOW_TO_INSTALL}. It brings its weights along and is under the MIT licence."
        ) from error
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    logging.getLogger("taps.inference").setLevel(logging.ERROR)  # its remarks on odd masks
    return taps
