"""What is kept of an examination: so many millimetres around its gland."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from ccella_core.errors import InputError
from ccella_core.gland.taps import Taps
from ccella_core.imaging.volume import SyntheticVolume

NOT_FOUND = "The volume was cropped around its middle, not around the gland: {why}"


def cropped_around_gland(examination: list[SyntheticVolume], size_mm: Sequence[float]) -> list[SyntheticVolume]:
    """The volumes of one seed, and their label map, cropped around the middle of the gland.

    The gland is the one that the model drew as a label; without that, the one that TAPS sees in the T2-weighted volume,
    where lavlab-taps is installed. Where neither says where it is, the middle of the volume is kept, which the
    provenance warns of.

    Args:
        examination: on one grid; cropped together.
        size_mm: what is kept along X, Y and Z; at the border of the volume the gland is not in the middle of it.
    """
    center, warnings = None, []
    try:
        center = _middle_of_gland(examination)
    except InputError as error:
        warnings = [NOT_FOUND.format(why=error)]
    kept = []
    for volume in examination:
        how = volume.provenance.model_copy(
            update={"crop_center_mm": center, "warnings": [*volume.provenance.warnings, *warnings]}
        )
        labels = None if volume.labels is None else replace(volume.labels, provenance=how)
        kept.append(replace(volume, provenance=how, labels=labels).cropped(size_mm, center))
    return kept


def _middle_of_gland(examination: list[SyntheticVolume]) -> tuple[float, ...]:
    """In RAS mm. Raises InputError where nobody can say where it is."""
    mask = _gland(examination)
    if not mask.any():
        raise InputError("none was found in it.")
    affine = examination[0].affine
    return tuple((affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + affine[:3, 3]).tolist())


def _gland(examination: list[SyntheticVolume]) -> np.ndarray:
    labels = examination[0].labels
    if labels is not None and "gland" in labels.values:
        return labels.mask("gland")
    t2w = next((volume for volume in examination if volume.sequence == "t2w"), None)
    if t2w is None:
        raise InputError("the model draws no gland label, and it is looked for in T2-weighted volumes alone.")
    return installed_taps().find(t2w.voxels, t2w.affine)


@lru_cache(1)
def installed_taps() -> Taps:
    """Loaded once. Raises ``InputError`` where it is not installed."""
    return Taps()
