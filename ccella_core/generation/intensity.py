"""From what an autoencoder gives to the grey values that were asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import fft

from ccella_core.models.calibration import Calibration
from ccella_core.models.index import ModelIndex
from ccella_core.provenance import Provenance, SequenceName


def in_range(decoded: np.ndarray, sequence: SequenceName, index: ModelIndex, provenance: Provenance) -> np.ndarray:
    """A volume (X, Y, Z) that a model decoded, calibrated where the model is, in ``provenance.output_range``."""
    voxels = decoded.clip(0, 1)
    if sequence in index.calibration:
        voxels = calibrated(voxels, provenance.spacing, index.calibration[sequence])
    if provenance.output_range != "0-1":
        low, high = index.intensity_range[sequence]
        voxels = low + (high - low) * voxels
    if provenance.output_range == "int16":
        voxels = np.rint(voxels).astype(np.int16)
    return voxels


def calibrated(voxels: np.ndarray, spacing: Sequence[float], calibration: Calibration) -> np.ndarray:
    """What the calibration makes of a volume.

    Args:
        voxels: (X, Y, Z) in 0 … 1.
        spacing: mm along X, Y, Z: gains are of lengths, not of voxels.
        calibration: of its sequence.

    Returns:
        The same, float32 in 0 … 1.
    """
    drawn, meant = np.transpose(calibration.tone)
    toned = np.interp(voxels, drawn, meant).astype(np.float32)
    # A cosine transform goes on in mirrors beyond the edges; a Fourier transform would jump to the other side.
    along_x, along_y = (np.arange(n) / (2 * n * mm) for n, mm in zip(voxels.shape[:2], spacing, strict=False))
    bands = len(calibration.gain)
    middles = (np.arange(bands) + 0.5) / bands * calibration.finest_per_mm
    waves = np.hypot(along_x[:, None], along_y[None])
    gain = np.interp(waves, [0, *middles], [1, *calibration.gain]).astype(np.float32)  # the mean stays
    changed = fft.idctn(fft.dctn(toned, axes=(0, 1), norm="ortho") * gain[..., None], axes=(0, 1), norm="ortho")
    return np.asarray(changed.clip(0, 1), dtype=np.float32)
