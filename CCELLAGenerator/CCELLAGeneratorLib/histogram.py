"""The intensities of a synthetic volume and of a real scan as two curves in one Slicer plot."""

from __future__ import annotations

import numpy as np
import slicer
from slicer.i18n import tr as _

from .comparison.layout import REAL_COLOUR, SYNTHETIC_COLOUR, real_name
from .scene.nodes import TemporaryNodes
from .scene.geometry import Samples
from .scene.volumes import NAME_PREFIX
from .comparison.window_level import BRIGHTEST_PERCENTILE, DARKEST_PERCENTILE, IntensityRange

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
