"""Where volumes of the scene lie in the world, and what they hold where they overlap."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import slicer
import vtk

from ..client.command import ensure_core_on_path

# Percentiles of so many voxels, drawn at random, differ from those of all by less than the eye sees in a window, and
# are found within a tenth of a second whatever the size of the volume. Smaller volumes are looked at as a whole.
MAX_SAMPLES = 200_000
SAMPLING_SEED = 0  # the same voxels each time, so that the same pair looks the same each time
# Volumes with less in common than this part of the synthetic one only touch.
MIN_OVERLAP = 0.01
MIN_EXTENT_MM3 = 1e-6  # of a whole volume; any real one has far more


class Samples(NamedTuple):
    """Finite intensities of both volumes, each (n,): at the same points of the world if they overlap."""

    synthetic: np.ndarray
    real: np.ndarray
    overlap: bool


def sample_both(synthetic: slicer.vtkMRMLScalarVolumeNode, real: slicer.vtkMRMLScalarVolumeNode) -> Samples:
    """Intensities of two scalar volumes: inside their overlap, or of each volume anywhere if there is none."""
    indices = _indices(synthetic)
    real_from_synthetic = np.linalg.inv(world_from_ijk(real)) @ world_from_ijk(synthetic)
    nearest = np.rint(real_from_synthetic[:3, :3] @ indices + real_from_synthetic[:3, 3:]).astype(int)
    size = np.array(real.GetImageData().GetDimensions())[:, None]
    covered = ((nearest >= 0) & (nearest < size)).all(axis=0)
    overlap = bool(covered.mean() >= MIN_OVERLAP)
    if overlap:
        return Samples(_values(synthetic, indices[:, covered]), _values(real, nearest[:, covered]), overlap)
    return Samples(_values(synthetic, indices), _values(real, _indices(real)), overlap)


def world_from_ijk(volume: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """(4, 4) from voxel indices to RAS mm of the world, with the volume's transforms, which must be linear."""
    matrix, to_world = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(volume.GetParentTransformNode(), None, to_world)
    return slicer.util.arrayFromVTKMatrix(to_world) @ slicer.util.arrayFromVTKMatrix(matrix)


def ijk_bounds(volume: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """(3, 2): where the outer faces of the first and the last voxel lie along i, j and k."""
    size = np.array(volume.GetImageData().GetDimensions())
    return np.stack([np.full(3, -0.5), size - 0.5], axis=1)


def corners(volume: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """(8, 3): the corners of the volume, RAS mm of the world."""
    ijk = np.stack(np.meshgrid(*ijk_bounds(volume), indexing="ij"), axis=-1).reshape(-1, 3)
    matrix = world_from_ijk(volume)
    return ijk @ matrix[:3, :3].T + matrix[:3, 3]


def _indices(volume: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """(3, n) voxel indices i, j, k."""
    size = volume.GetImageData().GetDimensions()
    total = int(np.prod(size))
    if total <= MAX_SAMPLES:
        chosen = np.arange(total)
    else:
        chosen = np.random.default_rng(SAMPLING_SEED).integers(total, size=MAX_SAMPLES)
    return np.stack(np.unravel_index(chosen, size, order="F"))


def _values(volume: slicer.vtkMRMLScalarVolumeNode, indices: np.ndarray) -> np.ndarray:
    i, j, k = indices
    values = slicer.util.arrayFromVolume(volume)[k, j, i].astype(float)
    return values[np.isfinite(values)]


def has_extent(volume: slicer.vtkMRMLVolumeNode) -> bool:
    """Whether the volume fills a part of the world: no transform over it flattens it or takes it to infinity."""
    axes = _axes_in_world(volume)[1]
    return bool(np.isfinite(axes).all() and abs(np.linalg.det(axes)) > MIN_EXTENT_MM3)


def ijk_to_world_on(volume: slicer.vtkMRMLScalarVolumeNode, reference: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """(4, 4) from ``volume``'s voxel index to RAS mm of the world, that lays it on ``reference`` as the views show it.

    Centres meet. Each axis of ``volume`` takes the direction of the reference's axis nearest to it anatomically, so
    left stays left and up stays up whatever way the reference was acquired; the spacing stays. All parent transforms
    of the reference count. Under one that shears or warps, the axes are turned as little as makes them a right-angled
    frame: voxels stay boxes.
    """
    ensure_core_on_path()
    from ccella_core.imaging.orientation import nearest_directions

    own = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(volume))
    spacing = np.linalg.norm(own[:3, :3], axis=0)
    centre, directions = _in_world(reference)
    placed = np.eye(4)
    placed[:3, :3] = nearest_directions(own[:3, :3] / spacing, directions) * spacing
    placed[:3, 3] = centre - placed[:3, :3] @ _middle(volume)
    return placed


def _ijk_to_ras(volume: slicer.vtkMRMLVolumeNode) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix


def _middle(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    return (np.array(volume.GetImageData().GetDimensions()) - 1) / 2


def _in_world(volume: slicer.vtkMRMLVolumeNode) -> tuple[np.ndarray, np.ndarray]:
    """The volume's centre (3,) in mm, and its axes as the orthonormal columns of (3, 3)."""
    centre, axes = _axes_in_world(volume)
    left, _, right = np.linalg.svd(axes / np.linalg.norm(axes, axis=0))
    return centre, left @ right


def _axes_in_world(volume: slicer.vtkMRMLVolumeNode) -> tuple[np.ndarray, np.ndarray]:
    """The volume's centre (3,), and the columns of (3, 3) that lead from face to face through it, in mm."""
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volume.GetParentTransformNode(), None, to_world)
    to_ras = _ijk_to_ras(volume)

    def world(ijk: np.ndarray) -> np.ndarray:
        return np.array(to_world.TransformPoint(to_ras.MultiplyPoint((*ijk, 1))[:3]))

    middle = _middle(volume)
    half_axes = np.diag(middle + 0.5)  # to the outer faces, so that a single slice has a direction too
    axes = np.column_stack([world(middle + half) - world(middle - half) for half in half_axes])
    return world(middle), axes
