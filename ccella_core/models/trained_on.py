"""Whether a volume that is asked for is like those that a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ccella_core.models.model import ModelIndex

TOLERANCE = 0.25
"""Share by which shape and spacing may differ from the model's own, where its index gives no range."""


def far_from_training(index: ModelIndex, shape: Sequence[int], spacing: Sequence[float]) -> list[str]:
    """A sentence each for a shape and a spacing that the model has not learnt; they are generated all the same.

    Args:
        index: of the model.
        shape: (X, Y, Z) in voxels.
        spacing: (X, Y, Z) in mm.
    """
    sentences = []
    for what, unit, requested, own, known in (
        ("shape", "voxels", shape, index.native_shape, index.trained_shape),
        ("spacing", "mm", spacing, index.native_spacing_mm, index.trained_spacing_mm),
    ):
        ranges = known or tuple(((1 - TOLERANCE) * value, (1 + TOLERANCE) * value) for value in own)
        for axis, value, (low, high) in zip("XYZ", requested, ranges, strict=True):
            if not low <= value <= high:
                limits = f"{low:g}" if low == high else f"{low:.4g} to {high:.4g}"
                sentences.append(
                    f"The {what} of {value:g} {unit} along {axis} is far from what the model {index.name} was trained "
                    f"on ({limits}): the volume may look like nothing real."
                )
                break
    return sentences
