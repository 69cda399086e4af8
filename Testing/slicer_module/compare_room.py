"""What the tests of the comparison share: two volumes that lie obliquely in the room, and questions about the views."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any

import numpy as np
import slicer
import vtk

PLANES = ("Axial", "Sagittal", "Coronal")
CENTRE = (12.0, -30.0, 55.0)


class Room:
    """A synthetic volume of 48 x 48 x 36 mm at the centre of a real one of 64 x 64 x 45 mm, and a comparison."""

    def __init__(self, bench: Any) -> None:
        from CCELLAGeneratorLib.comparison import comparison
        from CCELLAGeneratorLib.comparison import layout as comparison_layout

        self.bench = bench
        self.layout_id = comparison_layout.LAYOUT_ID
        self.comparison_class = comparison.Comparison
        self.error_class = comparison.ComparisonError
        self.comparison = comparison.Comparison()
        self.synthetic = add_synthetic()
        self.real = add_real()

    def __enter__(self) -> Room:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.comparison.stop()

    def start(self) -> None:
        self.comparison.start(self.synthetic, self.real)


def oblique(spacing: Sequence[float], centre: Sequence[float] = CENTRE) -> np.ndarray:
    """(4, 4): axes turned by 20 degrees about R, then by 10 about S."""
    a, b = np.radians([20, 10])
    about_r = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_s = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_s @ about_r * spacing
    matrix[:3, 3] = centre
    return matrix


def add_volume(name: str, voxels: np.ndarray, matrix: np.ndarray | None = None) -> Any:
    """``voxels`` (X, Y, Z), with their middle at the point that ``matrix`` takes the origin to."""
    matrix = np.eye(4) if matrix is None else matrix.copy()
    matrix[:3, 3] -= matrix[:3, :3] @ ((np.array(voxels.shape) - 1) / 2)
    volume = slicer.util.addVolumeFromArray(np.ascontiguousarray(voxels.T), matrix, name)
    volume.CreateDefaultDisplayNodes()
    return volume


def add_synthetic(matrix: np.ndarray | None = None, voxels: np.ndarray | None = None) -> Any:
    if voxels is None:
        voxels = np.random.default_rng(1).random((48, 48, 12))
    volume = add_volume("SYNTHETIC t2w seed 7", voxels, oblique((1, 1, 3)) if matrix is None else matrix)
    volume.SetAttribute("CCELLA.Synthetic", "1")
    return volume


def add_real() -> Any:
    voxels = np.random.default_rng(2).gamma(2.0, 200.0, (64, 64, 15)).astype(np.int16)
    return add_volume("T2", voxels, oblique((1, 1, 3)))


def ijk_to_ras(volume: Any) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def voxel_of(volume: Any, point: np.ndarray) -> np.ndarray:
    """The voxel index (i, j, k) of a point of the world."""
    return (np.linalg.inv(ijk_to_ras(volume)) @ [*point, 1])[:3]


def slice_node(row: str, plane: str) -> Any:
    return slicer.mrmlScene.GetSingletonNode(f"CCELLA_{row}{plane}", "vtkMRMLSliceNode")


def slice_to_ras(node: Any) -> np.ndarray:
    return slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS()).copy()


def composite(name: str) -> Any:
    return slicer.mrmlScene.GetSingletonNode(name, "vtkMRMLSliceCompositeNode")


def composites(row: str) -> list[Any]:
    return [composite(f"CCELLA_{row}{plane}") for plane in PLANES]


def layout_node() -> Any:
    return slicer.app.layoutManager().layoutLogic().GetLayoutNode()


def window_level(volume: Any) -> tuple[float, float]:
    display = volume.GetDisplayNode()
    return display.GetWindow(), display.GetLevel()
