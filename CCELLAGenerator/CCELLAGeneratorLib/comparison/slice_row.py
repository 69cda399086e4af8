"""Three slice views, one a plane, that show one volume; two such rows can be laid on the same planes."""

from __future__ import annotations

import numpy as np
import slicer

from ..scene.geometry import corners
from ..scene.nodes import in_scene

MARGIN = 1.04  # so that the edge of a volume is seen to be one


class SliceRow:
    """The slice views `names` (plane -> view) showing `volume`. Raises LookupError where a view does not exist."""

    def __init__(
        self, layout_manager: slicer.qMRMLLayoutManager, names: dict[str, str], volume: slicer.vtkMRMLScalarVolumeNode
    ) -> None:
        self.volume = volume
        self._logics: dict[str, slicer.vtkMRMLSliceLogic] = {}
        for plane, name in names.items():
            widget = layout_manager.sliceWidget(name)
            if widget is None:
                raise LookupError(name)
            self._logics[plane] = widget.sliceLogic()

    @property
    def nodes(self) -> dict[str, slicer.vtkMRMLSliceNode]:
        """Plane -> vtkMRMLSliceNode."""
        return {plane: logic.GetSliceNode() for plane, logic in self._logics.items()}

    @property
    def composites(self) -> list[slicer.vtkMRMLSliceCompositeNode]:
        """Those of the views that were not closed together with the scene."""
        return list(filter(in_scene, (logic.GetSliceCompositeNode() for logic in self._logics.values())))

    def show(self, foreground: slicer.vtkMRMLScalarVolumeNode | None = None, linked: bool = False) -> None:
        """Put the volume into the background of the views, and `foreground`, invisible yet, before it.

        In `linked` views scrolling, panning and zooming move all of the group at once, while the mouse moves.
        """
        for composite in self.composites:
            composite.SetDoPropagateVolumeSelection(False)  # a volume that is loaded meanwhile goes elsewhere
            composite.SetBackgroundVolumeID(self.volume.GetID())
            composite.SetForegroundVolumeID(foreground.GetID() if foreground else None)
            composite.SetForegroundOpacity(0.0)
            composite.SetLabelVolumeID(None)
            composite.SetLinkedControl(linked)
            composite.SetHotLinkedControl(linked)

    def clear(self) -> None:
        """Leave the views empty and unlinked."""
        for composite in self.composites:
            composite.SetBackgroundVolumeID(None)
            composite.SetForegroundVolumeID(None)
            composite.SetLinkedControl(False)
            composite.SetHotLinkedControl(False)

    def place(self, volumes: list[slicer.vtkMRMLScalarVolumeNode]) -> dict[str, np.ndarray]:
        """Lay each view along its volume's own planes, through the middle of what `volumes` have in common.

        Returns plane -> (width, height) in mm of what they have in common.
        """
        sizes = {}
        for plane, logic in self._logics.items():
            node = logic.GetSliceNode()
            node.SetOrientation(plane)
            node.RotateToVolumePlane(self.volume)  # real scans are oblique; a slice across them would be a blur
            axes = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:3, :3]
            boxes = [corners(volume) @ axes for volume in volumes]
            low = np.max([box.min(axis=0) for box in boxes], axis=0)
            high = np.min([box.max(axis=0) for box in boxes], axis=0)
            node.JumpSliceByCentering(*(axes @ (low + high) / 2))
            node.SetXYZOrigin(0, 0, 0)
            logic.SnapSliceOffsetToIJK()
            sizes[plane] = (high - low)[:2]
        return sizes

    def follow(self, other: SliceRow) -> None:
        """Lay each view on the very plane of the other row's."""
        for plane, node in self.nodes.items():
            node.GetSliceToRAS().DeepCopy(other.nodes[plane].GetSliceToRAS())
            node.SetXYZOrigin(*other.nodes[plane].GetXYZOrigin())
            node.UpdateMatrices()

    def jump_to(self, point: np.ndarray) -> None:
        """Show the planes through a point (3,) in RAS mm, where the views lie already."""
        for logic in self._logics.values():
            logic.GetSliceNode().JumpSliceByOffsetting(*point)
            logic.SnapSliceOffsetToIJK()

    def needed_scale(self, sizes: dict[str, np.ndarray]) -> float:
        """The mm a pixel at which every view shows so many mm (width, height)."""
        return max(
            float(np.max(sizes[plane] / np.array(node.GetDimensions()[:2]))) for plane, node in self.nodes.items()
        )

    def set_scale(self, mm_per_pixel: float) -> None:
        """Show so many mm a pixel in every view."""
        for logic in self._logics.values():
            node = logic.GetSliceNode()
            width, height, slices = node.GetDimensions()
            depth = logic.GetLowestVolumeSliceSpacing()[2] * slices
            node.SetFieldOfView(width * mm_per_pixel, height * mm_per_pixel, depth)


def align(synthetic: SliceRow, real: SliceRow, overlap: bool) -> None:
    """Show both at the same scale in every view: on the same planes if they overlap, else each around its own centre.

    The real scan's planes are taken, and of those the ones that were acquired.
    """
    if overlap:
        shared = real.place([real.volume, synthetic.volume])
        synthetic.follow(real)
        sizes = [shared, shared]
    else:
        sizes = [row.place([row.volume]) for row in (synthetic, real)]
    rows = (synthetic, real)
    scale = MARGIN * max(row.needed_scale(size) for row, size in zip(rows, sizes, strict=True))
    for row in rows:
        row.set_scale(scale)
