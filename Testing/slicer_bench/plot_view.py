# ruff: noqa: N801, N802 - named as Slicer names it
"""A plot view: VTK's chart filled from Slicer's plot chart node, as qMRMLPlotView fills it."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .view import View

SERIES = slicer.vtkMRMLPlotSeriesNode
CHART_TYPES = {
    SERIES.PlotTypeLine: vtk.vtkChart.LINE,
    SERIES.PlotTypeScatter: vtk.vtkChart.LINE,
    SERIES.PlotTypeBar: vtk.vtkChart.BAR,
    SERIES.PlotTypeScatterBar: vtk.vtkChart.BAR,
}
PEN_STYLES = {
    SERIES.LineStyleNone: vtk.vtkPen.NO_PEN,
    SERIES.LineStyleSolid: vtk.vtkPen.SOLID_LINE,
    SERIES.LineStyleDash: vtk.vtkPen.DASH_LINE,
    SERIES.LineStyleDot: vtk.vtkPen.DOT_LINE,
    SERIES.LineStyleDashDot: vtk.vtkPen.DASH_DOT_LINE,
    SERIES.LineStyleDashDotDot: vtk.vtkPen.DASH_DOT_DOT_LINE,
}
MARKERS = {
    SERIES.MarkerStyleNone: vtk.vtkPlotPoints.NONE,
    SERIES.MarkerStyleCross: vtk.vtkPlotPoints.CROSS,
    SERIES.MarkerStylePlus: vtk.vtkPlotPoints.PLUS,
    SERIES.MarkerStyleSquare: vtk.vtkPlotPoints.SQUARE,
    SERIES.MarkerStyleCircle: vtk.vtkPlotPoints.CIRCLE,
    SERIES.MarkerStyleDiamond: vtk.vtkPlotPoints.DIAMOND,
}


class qMRMLPlotView(View):
    """``plotWidget.plotView()``."""

    def mrmlPlotViewNode(self) -> Any:
        return self._node

    def close(self) -> None:
        if self._window is not None:
            self._window.Finalize()

    def _fill(self, renderer: Any) -> None:
        self._actor = vtk.vtkContextActor()
        renderer.AddViewProp(self._actor)
        renderer.SetBackground(1, 1, 1)

    def _before_render(self) -> None:
        self._actor.GetScene().ClearItems()
        chart_node = self._node.GetPlotChartNode()
        if chart_node is not None:
            self._actor.GetScene().AddItem(_chart(chart_node))


class qMRMLPlotWidget:
    """``layoutManager.plotWidget(index)``."""

    def __init__(self, node: Any, application_logic: Any) -> None:
        self._view = qMRMLPlotView(node, application_logic)

    def plotView(self) -> qMRMLPlotView:
        return self._view

    def mrmlPlotViewNode(self) -> Any:
        return self._view.mrmlPlotViewNode()

    def view(self) -> View:
        return self._view

    def close(self) -> None:
        self._view.close()


def _chart(node: Any) -> vtk.vtkChartXY:
    chart = vtk.vtkChartXY()
    for index in range(node.GetNumberOfPlotSeriesNodes()):
        _add_series(chart, node.GetNthPlotSeriesNode(index))
    chart.SetTitle(node.GetTitle() or "" if node.GetTitleVisibility() else "")
    chart.GetTitleProperties().SetFontSize(node.GetTitleFontSize())
    chart.SetShowLegend(node.GetLegendVisibility())
    chart.GetLegend().SetLabelSize(node.GetLegendFontSize())
    _set_axis(chart.GetAxis(vtk.vtkAxis.BOTTOM), node, "X")
    _set_axis(chart.GetAxis(vtk.vtkAxis.LEFT), node, "Y")
    return chart


def _set_axis(axis: vtk.vtkAxis, node: Any, letter: str) -> None:
    def of(property_name: str) -> Any:
        return getattr(node, f"Get{letter}Axis{property_name}")()

    axis.SetTitle(of("Title") or "" if of("TitleVisibility") else "")
    axis.GetTitleProperties().SetFontSize(node.GetAxisTitleFontSize())
    axis.GetLabelProperties().SetFontSize(node.GetAxisLabelFontSize())
    axis.SetGridVisible(node.GetGridVisibility())
    axis.SetLogScale(of("LogScale"))
    if not of("RangeAuto"):
        axis.SetBehavior(vtk.vtkAxis.FIXED)
        axis.SetRange(*of("Range"))


def _add_series(chart: vtk.vtkChartXY, series: Any) -> None:
    table = series.GetTableNode().GetTable()
    is_scatter = series.GetPlotType() in (SERIES.PlotTypeScatter, SERIES.PlotTypeScatterBar)
    plot = chart.AddPlot(CHART_TYPES[series.GetPlotType()])
    plot.SetUseIndexForXSeries(not is_scatter)
    plot.SetInputData(
        table, series.GetXColumnName() if is_scatter else series.GetYColumnName(), series.GetYColumnName()
    )
    plot.SetLabel(series.GetName())
    plot.SetColorF(*series.GetColor())
    plot.SetOpacity(series.GetOpacity())
    if isinstance(plot, vtk.vtkPlotPoints):
        plot.SetWidth(series.GetLineWidth())
        plot.GetPen().SetLineType(PEN_STYLES[series.GetLineStyle()])
        plot.SetMarkerStyle(MARKERS[series.GetMarkerStyle()])
        plot.SetMarkerSize(series.GetMarkerSize())
