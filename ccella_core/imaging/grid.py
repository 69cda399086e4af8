"""The grid that every case is brought onto: RAS, of fixed shape and spacing, around the gland.

The axes are the T2-weighted scan's own, turned and flipped so that they run as nearly as they can to the right, to the
front and up; an oblique scan stays oblique. Every image is interpolated once, from its own grid straight to this one,
by physical coordinates: that is how sequences of different resolution and direction come to lie on each other.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.errors import InputError
from ccella_core.imaging.orientation import (
    affine_of,
    centre_of,
    centred_affine,
    directions_of,
    nearest_directions,
    set_affine,
    spacing_of,
)

SAME_SPACING = 1e-3
"""Relative: less is how lengths are rounded in headers."""
LEAST_OVERLAP = 0.5
"""Share of the target grid's T2 voxels that another sequence must cover: below it, it shows something else."""


def target_grid(
    scan: sitk.Image, shape: tuple[int, int, int], spacing: tuple[float, float, float], centre: np.ndarray | None = None
) -> sitk.Image:
    """An empty image on the grid.

    Args:
        scan: the T2-weighted scan.
        shape: voxels along X, Y, Z.
        spacing: mm.
        centre: of the grid in RAS mm; by default the scan's own. A grid that would leave the scan is moved as far as it
            takes to stay within, and one that is larger than the scan as far as it takes to hold all of it. Along an
            axis where both have the same spacing, voxels coincide, so that nothing is interpolated there.
    """
    affine = affine_of(scan)
    directions = nearest_directions(np.eye(3), directions_of(affine))
    middle = centre_of(affine, scan.GetSize())
    wanted = np.zeros(3) if centre is None else directions.T @ (centre - middle)
    along = np.abs(directions.T @ directions_of(affine)).argmax(axis=1)  # the scan's axis that is each of the grid's
    size, step = np.array(scan.GetSize())[along], spacing_of(affine)[along]
    room = np.abs(size * step - np.multiply(shape, spacing)) / 2
    offset = wanted.clip(-room, room)
    half = (size - shape) % 2 * step / 2
    offset = np.where(
        np.isclose(step, spacing, rtol=SAME_SPACING), np.round((offset - half) / step) * step + half, offset
    )
    grid = sitk.Image(list(shape), sitk.sitkFloat32)
    set_affine(grid, centred_affine(directions, spacing, shape, middle + directions @ offset))
    return grid


def whole_grid(scan: sitk.Image, shape: tuple[int, int, int]) -> sitk.Image:
    """An empty image of ``shape`` voxels over the whole field of view of a scan; its spacing follows."""
    affine = affine_of(scan)
    directions = nearest_directions(np.eye(3), directions_of(affine))
    along = np.abs(directions.T @ directions_of(affine)).argmax(axis=1)  # the scan's axis that is each of the grid's
    spacing = np.array(scan.GetSize())[along] * spacing_of(affine)[along] / shape
    grid = sitk.Image(list(shape), sitk.sitkFloat32)
    set_affine(grid, centred_affine(directions, spacing, shape, centre_of(affine, scan.GetSize())))
    return grid


def onto(grid: sitk.Image, image: sitk.Image, *, labels: bool = False, beyond_edges: bool = False) -> np.ndarray:
    """The image's voxels on the grid, (X, Y, Z) float32, 0 outside of it.

    Args:
        grid: where they are wanted.
        image: where they are.
        labels: nearest neighbour, not interpolated.
        beyond_edges: outside of the image its nearest voxel, not 0.
    """
    interpolator = sitk.sitkNearestNeighbor if labels else sitk.sitkLinear
    values = sitk.Cast(image, sitk.sitkFloat32)
    placed = sitk.Resample(values, grid, sitk.Transform(), interpolator, 0.0, sitk.sitkFloat32, beyond_edges)
    return sitk.GetArrayFromImage(placed).transpose(2, 1, 0)


def coverage(grid: sitk.Image, image: sitk.Image) -> np.ndarray:
    """Which voxels of the grid lie within the image, (X, Y, Z) bool."""
    inside = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    inside.CopyInformation(image)
    return onto(grid, inside + 1, labels=True) > 0


def share_inside(mask: sitk.Image, image: sitk.Image) -> float:
    """Share of a mask's voxels that lie within an image, 0 … 1. Raises InputError where the mask is empty."""
    indices = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1]
    if not len(indices):
        raise InputError("The mask is empty.")
    onto_image = np.linalg.inv(affine_of(image)) @ affine_of(mask)
    places = indices @ onto_image[:3, :3].T + onto_image[:3, 3]
    return float(((places >= -0.5) & (places <= np.array(image.GetSize()) - 0.5)).all(axis=1).mean())


def centroid(mask: sitk.Image) -> np.ndarray:
    """Where the mask's middle is, in RAS mm. Raises InputError where it is empty."""
    indices = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)
    if not len(indices):
        raise InputError("The mask of the gland is empty.")
    return affine_of(mask)[:3, :3] @ indices.mean(axis=0)[::-1] + affine_of(mask)[:3, 3]
