"""The volume as it forms, as a small picture."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

PREVIEW_PIXELS = 96
"""The longer side."""


def preview_event(pixels: np.ndarray, size_mm: Sequence[float]) -> dict[str, int | str]:
    """``width``, ``height`` and ``png`` (base64) of an axial slice in radiological convention, true to scale.

    Args:
        pixels: uint8 (x, y) along R and A, as ``StepInfo.preview`` gives it.
        size_mm: of the slice along x and y.
    """
    # The patient's right is at the left, anterior is up.
    picture = Image.fromarray(np.ascontiguousarray(pixels.T[::-1, ::-1]))
    width, height = (max(1, round(PREVIEW_PIXELS * side / max(size_mm))) for side in size_mm)
    file = io.BytesIO()
    picture.resize((width, height), Image.Resampling.BICUBIC).save(file, "PNG")
    return {"width": width, "height": height, "png": base64.b64encode(file.getvalue()).decode("ascii")}
