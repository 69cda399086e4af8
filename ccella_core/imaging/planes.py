"""The three middle planes of a volume as small grey pictures, the way a radiologist looks at them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ccella_core.imaging.orientation import radiological


def middle_planes(volume: np.ndarray, spacing: Sequence[float]) -> list[np.ndarray]:
    """Axial, coronal and sagittal, uint8 with square pixels: the patient's right at the left, front and head up.

    Args:
        volume: (X, Y, Z) in RAS, in 0 … 1.
        spacing: mm along X, Y, Z.
    """
    x, y, z = (size // 2 for size in volume.shape)
    right, front, up = spacing
    return [
        _picture(volume[:, :, z], front / right),
        _picture(volume[:, y, :], up / right),
        _picture(volume[x, :, :], up / front),
    ]


def side_by_side(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """One picture of several, black where they are not equally high."""
    height = max(picture.shape[0] for picture in pictures)
    return np.concatenate([np.pad(each, ((0, height - each.shape[0]), (0, 0))) for each in pictures], axis=1)


def stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """One picture of several below each other, black where they are not equally wide."""
    return side_by_side([picture.T for picture in pictures]).T


def _picture(plane: np.ndarray, stretch: float) -> np.ndarray:
    """A plane whose second axis runs up, its rows stretched until pixels are square."""
    upright = (radiological(plane).clip(0, 1) * 255).round().astype(np.uint8)
    rows = max(1, round(upright.shape[0] * float(stretch)))
    return np.asarray(Image.fromarray(upright).resize((upright.shape[1], rows), Image.Resampling.BILINEAR))
