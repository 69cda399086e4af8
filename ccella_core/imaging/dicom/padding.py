"""Voxels that a DICOM image says are none: what stands outside of a reformatted or corrected picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ccella_core.imaging.raw_files import OnWarning

NOTICEABLE = 0.1
"""Share of the scan's own range by which padding must lie off to be worth a word."""


def padding_mask(data: Any, stored: np.ndarray, scale: tuple[float, float]) -> np.ndarray | None:
    """Which voxels are padding, bool; ``None`` where the header names no PixelPaddingValue, or none has it.

    Args:
        data: the header.
        stored: (rows, columns) as they are stored, or scaled already.
        scale: slope and intercept by which ``stored`` was scaled; (1, 0) where it was not.
    """
    limits = [_stored_number(data, name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if limits[0] is None:
        return None
    first, last = (limits[0] if each is None else each for each in limits)
    low, high = sorted(scale[0] * each + scale[1] for each in (first, last))
    slack = 1e-3 * abs(scale[0])
    mask: np.ndarray = (stored >= low - slack) & (stored <= high + slack)
    return mask if mask.any() and not mask.all() else None


def as_background(
    voxels: np.ndarray, masks: Sequence[np.ndarray | None], path: Path, on_warning: OnWarning
) -> np.ndarray:
    """Voxels (slices, rows, columns) with padding as dark as the darkest of the others; ``masks``: one a slice."""
    if all(mask is None for mask in masks):
        return voxels
    padding = np.stack([np.zeros(voxels.shape[1:], bool) if mask is None else mask for mask in masks])
    real = voxels[~padding]
    low, high = float(real.min()), float(real.max())
    beyond = np.abs(voxels[padding] - np.clip(voxels[padding], low, high)).max()
    if beyond > NOTICEABLE * (high - low):
        on_warning(f"{path.name}: {padding.mean():.0%} of its voxels are padding and were taken as background.")
    return np.where(padding, real.min(), voxels)


def _stored_number(data: Any, name: str) -> int | None:
    value = data.get(name)
    is_signed = int(data.get("PixelRepresentation", 0) or 0) == 1
    if isinstance(value, bytes):  # whether it is signed was not known when it was read
        value = int.from_bytes(value[:2], "little", signed=is_signed) if len(value) >= 2 else None
    try:
        number = int(value)
    except (TypeError, ValueError):
        return None
    bits = int(data.get("BitsAllocated", 16) or 16)
    return number - 2**bits if is_signed and number >= 2 ** (bits - 1) else number
