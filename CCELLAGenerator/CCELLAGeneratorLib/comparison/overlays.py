"""A 3-D view of how two volumes lie to each other: their boxes, and the slices of one of them."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from ..scene.geometry import Samples, corners, ijk_bounds, world_from_ijk
from ..scene.nodes import TemporaryNodes, in_scene
from ..scene.volumes import NAME_PREFIX
from .layout import REAL_COLOUR, SYNTHETIC_COLOUR, real_name
from .window_level import BRIGHTEST_PERCENTILE, DARKEST_PERCENTILE, IntensityRange

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
    """Show these slices in no 3-D view."""
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


# The relative scale, 0 to 1, and a little of what lies outside of it.
BIN_EDGES = np.linspace(-0.1, 1.3, 71)
HEADROOM = 1.4  # the legend lies above the curves
LINE_WIDTH = 3
TITLE_FONT_SIZE, FONT_SIZE = 14, 12  # the view is a small one


def density(values: np.ndarray, intensity_range: IntensityRange) -> np.ndarray:
    """(bins,) share of the values per unit of the relative scale; the area under it is 1."""
    return np.histogram(intensity_range.relative(values), BIN_EDGES, density=True)[0]


def add_histogram(
    nodes: TemporaryNodes, samples: Samples, synthetic_range: IntensityRange, real_range: IntensityRange
) -> slicer.vtkMRMLPlotChartNode:
    """A chart node with one curve a volume, each on its own relative scale so that the shapes can be compared."""
    intensity = _("Relative intensity")
    curves = {
        NAME_PREFIX: (density(samples.synthetic, synthetic_range), SYNTHETIC_COLOUR),
        real_name(): (density(samples.real, real_range), REAL_COLOUR),
    }
    table = nodes.add("vtkMRMLTableNode", _("SYNTHETIC and real intensities"))
    centres = (BIN_EDGES[:-1] + BIN_EDGES[1:]) / 2
    columns = [centres, *(values for values, _colour in curves.values())]
    slicer.util.updateTableFromArray(table, columns, [intensity, *curves])

    chart = nodes.add("vtkMRMLPlotChartNode", _("SYNTHETIC and real histogram"))
    for name, (_values, colour) in curves.items():
        series = nodes.add("vtkMRMLPlotSeriesNode", name)
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(intensity)
        series.SetYColumnName(name)
        series.SetPlotType(series.PlotTypeScatter)
        series.SetMarkerStyle(series.MarkerStyleNone)
        series.SetLineWidth(LINE_WIDTH)
        series.SetColor(*colour)
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
    _describe(chart, samples.overlap)
    highest = max(values.max() for values, _colour in curves.values())
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(BIN_EDGES[0], BIN_EDGES[-1])
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0, HEADROOM * highest)
    return chart


def _describe(chart: slicer.vtkMRMLPlotChartNode, overlap: bool) -> None:
    chart.SetTitle(_("Intensities in the overlap") if overlap else _("Intensities of the whole volumes"))
    chart.SetXAxisTitle(
        _("Intensity (0 and 1: percentiles {dark} and {bright})").format(
            dark=DARKEST_PERCENTILE, bright=BRIGHTEST_PERCENTILE
        )
    )
    chart.SetYAxisTitle(_("Density"))
    chart.SetLegendVisibility(True)
    chart.SetTitleFontSize(TITLE_FONT_SIZE)
    for set_size in (chart.SetAxisTitleFontSize, chart.SetAxisLabelFontSize, chart.SetLegendFontSize):
        set_size(FONT_SIZE)
