"""Where a synthetic volume lies in the room: at the centre of a real scan and along its axes."""

from __future__ import annotations

import numpy as np
import slicer
import vtk


def ijk_to_world_on(volume: slicer.vtkMRMLScalarVolumeNode, reference: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    """(4, 4) from ``volume``'s voxel index to RAS mm of the world, that lays it on ``reference`` as the views show it.

    Centres meet. Each axis of ``volume`` takes the direction of the reference's axis nearest to it anatomically, so
    left stays left and up stays up whatever way the reference was acquired; the spacing stays. All parent transforms
    of the reference count. Under one that shears or warps, the axes are turned as little as makes them a right-angled
    frame: voxels stay boxes.
    """
    own = slicer.util.arrayFromVTKMatrix(_ijk_to_ras(volume))
    spacing = np.linalg.norm(own[:3, :3], axis=0)
    centre, directions = _in_world(reference)
    placed = np.eye(4)
    placed[:3, :3] = _aligned(own[:3, :3] / spacing, directions) * spacing
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
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(volume.GetParentTransformNode(), None, to_world)
    to_ras = _ijk_to_ras(volume)

    def world(ijk: np.ndarray) -> np.ndarray:
        return np.array(to_world.TransformPoint(to_ras.MultiplyPoint((*ijk, 1))[:3]))

    middle = _middle(volume)
    half_axes = np.diag(middle + 0.5)  # to the outer faces, so that a single slice has a direction too
    axes = np.column_stack([world(middle + half) - world(middle - half) for half in half_axes])
    left, _, right = np.linalg.svd(axes / np.linalg.norm(axes, axis=0))
    return world(middle), left @ right


def _aligned(own: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The columns of ``theirs``, each put and turned to where the nearest column of ``own`` is; the closest first."""
    likeness = own.T @ theirs
    aligned = np.empty((3, 3))
    for column in np.argsort(-np.abs(likeness).max(axis=0), kind="stable"):
        row = np.abs(likeness[:, column]).argmax()
        aligned[:, row] = np.sign(likeness[row, column]) * theirs[:, column]
        likeness[row] = 0
    return aligned
