"""What a map of the pelvis says, in the words of a report: a lesion or none, its side, zone, level and size; volumes.

Every number follows from voxels by a rule that is written down here, so that a reading can be checked by eye.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from scipy import ndimage

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.phantom.anatomy import GLAND_TISSUES, Tissue
from ccella_core.phantom.findings import Level, Side, Zone

MM3_PER_ML = 1000.0
LEVEL_BOUNDARY = 0.24  # of the gland's half height; halfway between mid-gland (0) and base or apex (0.48)
CALIPER_DIRECTIONS = 36  # every 5 degrees: the largest diameter is found within 0.1 %
TOUCHING = np.ones((3, 3, 3), dtype=bool)  # voxels that share a face, an edge or a corner are one body


class Region(IntEnum):
    """What the phantom reader tells apart. The bladder and the bowel are there because they help to place the gland."""

    OTHER = 0
    GLAND = 1
    LESION = 2
    BLADDER = 3
    BOWEL = 4


REGION_OF_TISSUE = np.zeros(len(Tissue), np.uint8)
REGION_OF_TISSUE[list(GLAND_TISSUES)] = Region.GLAND
REGION_OF_TISSUE[Tissue.LESION] = Region.LESION
REGION_OF_TISSUE[[Tissue.BLADDER_WALL, Tissue.URINE]] = Region.BLADDER
REGION_OF_TISSUE[[Tissue.BOWEL_WALL, Tissue.GAS, Tissue.STOOL]] = Region.BOWEL


class MeasuredFinding(StrictModel):
    """What one volume shows. Volumes in ml, the size in mm; nothing is said of a lesion where there is none."""

    has_lesion: bool
    side: Side | None = None
    zone: Zone | None = None
    level: Level | None = None
    size_mm: float | None = None
    """Largest diameter in the axial plane."""
    gland_volume_ml: float
    lesion_volume_ml: float
    """Of the largest suspicious body, also where it is too small to count as a lesion."""


class MeasuredPlace(StrictModel):
    """Where in the gland something lies."""

    side: Side
    zone: Zone
    level: Level


def measure(
    probability: np.ndarray, spacing: tuple[float, float, float], lesion_threshold_ml: float
) -> MeasuredFinding:
    """Read a map of probabilities.

    Args:
        probability: (len(Region), X, Y, Z) in 0 … 1, one over the regions, on a RAS+ grid.
        spacing: of the grid, in mm.
        lesion_threshold_ml: the smallest volume that counts as a lesion; weighed with its probability.

    The gland is the largest body of gland and lesion; the lesion is the largest body of lesion in it. The side is that
    of the lesion's centre from the gland's own midline, the zone whether it lies behind or in front of the gland's
    centre, the level its height within the gland.

    Raises:
        InputError: another number of regions, or NaN among the probabilities.
    """
    if probability.ndim != 4 or probability.shape[0] != len(Region):
        raise InputError(f"A map to read has shape ({len(Region)}, X, Y, Z), not {probability.shape}.")
    if not np.isfinite(probability).all():
        raise InputError("The map to read holds NaN or infinity: the volume that it was made from is damaged.")
    regions = probability.argmax(axis=0)
    voxel_ml = float(np.prod(spacing)) / MM3_PER_ML
    gland = largest_body((regions == Region.GLAND) | (regions == Region.LESION))
    lesion = largest_body(gland & (regions == Region.LESION))
    lesion_volume_ml = float(probability[Region.LESION][lesion].sum(dtype=np.float64)) * voxel_ml
    volumes = {"gland_volume_ml": int(gland.sum()) * voxel_ml, "lesion_volume_ml": lesion_volume_ml}
    if not lesion.any() or lesion_volume_ml < lesion_threshold_ml:
        return MeasuredFinding(has_lesion=False, **volumes)

    place = place_of(_centre(lesion), gland)
    return MeasuredFinding(has_lesion=True, **place.model_dump(), size_mm=_axial_diameter(lesion, spacing), **volumes)


def place_of(point: np.ndarray, gland: np.ndarray) -> MeasuredPlace:
    """Where an index (3,) lies in a gland (X, Y, Z), which is not empty, on a RAS+ grid."""
    x, y, _ = point - _centre(gland)
    heights = np.flatnonzero(gland.any(axis=(0, 1)))
    height = (point[2] - (heights[0] + heights[-1]) / 2) / ((heights[-1] - heights[0] + 1) / 2)
    return MeasuredPlace(
        side="right" if x > 0 else "left",
        zone="transition" if y > 0 else "peripheral",
        level="base" if height > LEVEL_BOUNDARY else "apex" if height < -LEVEL_BOUNDARY else "mid",
    )


def region_of(place: MeasuredPlace, gland: np.ndarray) -> np.ndarray:
    """(X, Y, Z) bool: the voxels of a gland that `place_of` calls ``place``."""
    x, y, z = np.ogrid[: gland.shape[0], : gland.shape[1], : gland.shape[2]]
    centre = _centre(gland)
    heights = np.flatnonzero(gland.any(axis=(0, 1)))
    height = (z - (heights[0] + heights[-1]) / 2) / ((heights[-1] - heights[0] + 1) / 2)
    level = {"base": height > LEVEL_BOUNDARY, "apex": height < -LEVEL_BOUNDARY, "mid": abs(height) <= LEVEL_BOUNDARY}
    on_side = x > centre[0] if place.side == "right" else x <= centre[0]
    in_zone = y > centre[1] if place.zone == "transition" else y <= centre[1]
    return gland & on_side & in_zone & level[place.level]


def largest_body(mask: np.ndarray) -> np.ndarray:
    """(X, Y, Z) bool: the largest body of a mask; empty where that is."""
    bodies, count = ndimage.label(mask, TOUCHING)
    if count == 0:
        return np.zeros_like(mask)
    return bodies == 1 + np.bincount(bodies.ravel())[1:].argmax()


def _centre(mask: np.ndarray) -> np.ndarray:
    """Mean index (3,) of the voxels in `mask`."""
    return np.argwhere(mask).mean(axis=0)


def _axial_diameter(mask: np.ndarray, spacing: tuple[float, float, float]) -> float:
    """The largest caliper width in mm of the mask's shadow on the axial plane, voxels counted whole."""
    points = np.argwhere(mask.any(axis=2)) * np.asarray(spacing[:2])
    angles = np.pi * np.arange(CALIPER_DIRECTIONS) / CALIPER_DIRECTIONS
    widths = np.ptp(points @ np.stack([np.cos(angles), np.sin(angles)]), axis=0)
    return float(widths.max()) + float(np.mean(spacing[:2]))
