"""Intensities in 0 … 1, by the published rule for each sequence (paper, section "Data preprocessing")."""

from __future__ import annotations

import numpy as np

from ccella_core.errors import InputError
from ccella_core.provenance import SequenceName

PERCENTILES = (0.0, 99.5)
"""Of a scan in arbitrary units (t2w, hbv): the brightest voxels are vessels and artefacts."""
ADC_RANGE = (0.0, 3000.0)
"""In 10⁻⁶ mm²/s: an apparent diffusion coefficient has units, and 3000 is that of free water at body temperature."""


def intensity_range(voxels: np.ndarray, sequence: SequenceName) -> tuple[float, float]:
    """The values of a whole scan that become 0 and 1.

    Raises:
        InputError: there is a NaN or infinity, or nothing but one value.
    """
    if not np.isfinite(voxels).all():
        raise InputError(f"The {sequence} scan has voxels that are NaN or infinite.")
    low, high = ADC_RANGE if sequence == "adc" else np.percentile(voxels, PERCENTILES)
    if not low < high or voxels.min() == voxels.max():
        raise InputError(f"The {sequence} scan is the same everywhere ({voxels.min():g}).")
    return float(low), float(high)


def scaled_range(sequence: SequenceName) -> tuple[float, float]:
    """What 0 and 1 stand for in a scaled volume: 10⁻⁶ mm²/s for adc; the others have no unit."""
    return ADC_RANGE if sequence == "adc" else (0.0, 1.0)


def scaled(voxels: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Voxels with ``limits`` at 0 and 1 and everything beyond cut off, float32."""
    low, high = limits
    return np.clip((voxels.astype(np.float32) - low) / (high - low), 0, 1)
