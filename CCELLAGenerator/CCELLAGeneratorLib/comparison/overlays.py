"""A 3-D view of how two volumes lie to each other: their boxes, and the slices of one of them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import slicer
import vtk

from ..scene.nodes import TemporaryNodes, in_scene
from ..scene.geometry import corners, ijk_bounds, world_from_ijk

LINE_WIDTH = 2
# From the patient's front, right and above, in the axes of an axial slice (left, anterior, superior): no slice is seen
# from its edge, however oblique.
LOOK_FROM = np.array([-0.5, 0.7, 0.5])
MARGIN = 1.3  # the view is narrower than high


def add_outline(
    nodes: TemporaryNodes,
    volume: slicer.vtkMRMLScalarVolumeNode,
    name: str,
    colour: tuple[float, float, float],
    view_node: slicer.vtkMRMLViewNode,
) -> None:
    """A model of the volume's box, seen in this 3-D view only."""
    box = vtk.vtkOutlineSource()
    box.SetBounds(*ijk_bounds(volume).ravel())
    to_world = vtk.vtkTransform()
    to_world.SetMatrix(world_from_ijk(volume).ravel())
    placed = vtk.vtkTransformPolyDataFilter()
    placed.SetInputConnection(box.GetOutputPort())
    placed.SetTransform(to_world)
    placed.Update()
    display = nodes.add("vtkMRMLModelDisplayNode", name)
    display.SetColor(*colour)
    display.SetLineWidth(LINE_WIDTH)
    display.SetLighting(False)
    display.AddViewNodeID(view_node.GetID())
    model = nodes.add("vtkMRMLModelNode", name)
    model.SetAndObservePolyData(placed.GetOutput())
    model.SetAndObserveDisplayNodeID(display.GetID())


def show_slices(slice_nodes: Iterable[slicer.vtkMRMLSliceNode], view_node: slicer.vtkMRMLViewNode) -> None:
    """Show these slices in this 3-D view only."""
    for node in slice_nodes:
        node.AddThreeDViewID(view_node.GetID())
        node.SetSliceVisible(True)


def hide_slices(slice_nodes: Iterable[slicer.vtkMRMLSliceNode]) -> None:
    for node in filter(in_scene, slice_nodes):
        node.SetSliceVisible(False)
        node.RemoveAllThreeDViewIDs()


def look_at(
    volumes: Iterable[slicer.vtkMRMLScalarVolumeNode],
    axial_slice: slicer.vtkMRMLSliceNode,
    view_node: slicer.vtkMRMLViewNode,
) -> None:
    """Turn the view's camera so that all of the volumes is seen, and nothing but them."""
    view_node.SetBoxVisible(False)
    camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(view_node)
    if camera is None:
        return
    points = np.concatenate([corners(volume) for volume in volumes])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    radius = np.linalg.norm(points - centre, axis=1).max()
    distance = MARGIN * radius / math.sin(math.radians(camera.GetViewAngle() / 2))
    axes = slicer.util.arrayFromVTKMatrix(axial_slice.GetSliceToRAS())[:3, :3]
    camera.SetPosition(*(centre + distance * axes @ (LOOK_FROM / np.linalg.norm(LOOK_FROM))))
    camera.SetFocalPoint(*centre)
    camera.SetViewUp(*axes[:, 2])
    camera.ResetClippingRange()
