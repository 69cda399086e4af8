"""What the views showed before something else was put into them."""

from __future__ import annotations

from collections.abc import Callable

import slicer
import vtk

from ..scene.nodes import in_scene
from .layout import OWN_LAYOUTS


class FormerViews:
    """Remembers the layout and every slice view of the scene when it is made; `restore` puts them back.

    What was deleted in the meantime is left out, so it works after the scene was closed, too.
    """

    def __init__(self, layout_node: slicer.vtkMRMLLayoutNode) -> None:
        self._layout_node = layout_node
        self._arrangement = layout_node.GetViewArrangement()
        if self._arrangement in OWN_LAYOUTS:  # left over from a scene that was saved while comparing
            self._arrangement = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
        self._nodes = {node: _remember_slice(node) for node in slicer.util.getNodesByClass("vtkMRMLSliceNode")}
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
            self._nodes[node] = _remember_composite(node)

    def restore(self) -> None:
        """Put everything back; a layout that the user has chosen meanwhile stays."""
        if self._layout_node.GetViewArrangement() in OWN_LAYOUTS:
            self._layout_node.SetViewArrangement(self._arrangement)
        for node, restore_node in self._nodes.items():
            if in_scene(node):
                restore_node()


def _remember_slice(node: slicer.vtkMRMLSliceNode) -> Callable[[], None]:
    slice_to_ras = vtk.vtkMatrix4x4()
    slice_to_ras.DeepCopy(node.GetSliceToRAS())
    origin, field_of_view = node.GetXYZOrigin(), node.GetFieldOfView()

    def restore() -> None:
        node.GetSliceToRAS().DeepCopy(slice_to_ras)
        node.UpdateMatrices()
        node.SetXYZOrigin(*origin)
        node.SetFieldOfView(*field_of_view)

    return restore


def _remember_composite(node: slicer.vtkMRMLSliceCompositeNode) -> Callable[[], None]:
    # The nodes, not their names in the scene: a name is given to another node once the scene was closed.
    background, foreground, label = (
        slicer.mrmlScene.GetNodeByID(volume_id or "")
        for volume_id in (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID(), node.GetLabelVolumeID())
    )
    opacities = node.GetForegroundOpacity(), node.GetLabelOpacity()
    linked, hot_linked = node.GetLinkedControl(), node.GetHotLinkedControl()

    def restore() -> None:
        node.SetBackgroundVolumeID(_id_if_present(background))
        node.SetForegroundVolumeID(_id_if_present(foreground))
        node.SetLabelVolumeID(_id_if_present(label))
        node.SetForegroundOpacity(opacities[0])
        node.SetLabelOpacity(opacities[1])
        node.SetLinkedControl(linked)
        node.SetHotLinkedControl(hot_linked)

    return restore


def _id_if_present(node: slicer.vtkMRMLNode | None) -> str | None:
    return node.GetID() if in_scene(node) else None
