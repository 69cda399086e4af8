"""Both histograms in one plot: what the curves are, and what the plot says."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import slicer


@pytest.fixture
def histogram(slicer_bench: Any) -> ModuleType:
    """The module under test, imported once Slicer's stand-ins are there."""
    from CCELLAGeneratorLib.comparison import overlays as histogram

    return histogram


def own_density(histogram: ModuleType, values: np.ndarray) -> np.ndarray:
    """The density of the values on their own relative scale."""
    from CCELLAGeneratorLib.comparison.window_level import robust_range

    return histogram.density(values, robust_range(values))


def add_histogram(histogram: ModuleType, synthetic: np.ndarray, real: np.ndarray, overlap: bool = True) -> Any:
    """The chart, and the nodes that were made for it."""
    from CCELLAGeneratorLib.comparison.window_level import robust_range
    from CCELLAGeneratorLib.scene.geometry import Samples
    from CCELLAGeneratorLib.scene.nodes import TemporaryNodes

    nodes = TemporaryNodes()
    ranges = robust_range(synthetic), robust_range(real)
    return histogram.add_histogram(nodes, Samples(synthetic, real, overlap), *ranges), nodes


@pytest.mark.parametrize("scale, count", [(1.0, 5000), (300.0, 801), (1e-6, 50)])
def test_area_is_one_whatever_the_scale_and_the_number_of_voxels(
    histogram: ModuleType, scale: float, count: int
) -> None:
    values = np.random.default_rng(0).gamma(2.0, scale, count)
    assert (own_density(histogram, values) * np.diff(histogram.BIN_EDGES)).sum() == pytest.approx(1.0)


def test_equal_values_have_a_histogram_too(histogram: ModuleType) -> None:
    density = own_density(histogram, np.full(50, 7.0))
    assert (density * np.diff(histogram.BIN_EDGES)).sum() == pytest.approx(1.0)


def test_density_of_evenly_spread_values_is_flat(histogram: ModuleType) -> None:
    from CCELLAGeneratorLib.comparison.window_level import IntensityRange

    density = histogram.density(np.linspace(100, 300, 100_001), IntensityRange(100, 300))
    lower, upper = histogram.BIN_EDGES[:-1], histogram.BIN_EDGES[1:]
    assert density[(lower > -0.01) & (upper < 1.01)] == pytest.approx(1.0, rel=0.01)
    assert density[(upper < 0) | (lower > 1.01)].sum() == 0


def test_values_that_differ_in_scale_only_have_the_same_histogram(histogram: ModuleType) -> None:
    values = np.random.default_rng(1).gamma(2.0, 1.0, 20_000)
    scaled = own_density(histogram, values * 731 + 40)
    assert own_density(histogram, values) == pytest.approx(scaled, abs=0.01)


def test_plot_has_both_curves_named_in_the_legend(histogram: ModuleType) -> None:
    rng = np.random.default_rng(4)
    values = rng.random(500), 1000 * rng.random(700)
    chart, _nodes = add_histogram(histogram, *values)
    curves = [chart.GetNthPlotSeriesNode(index) for index in range(chart.GetNumberOfPlotSeriesNodes())]
    assert [curve.GetName() for curve in curves] == ["SYNTHETIC", "Real"]
    assert chart.GetLegendVisibility() and curves[0].GetColor() != curves[1].GetColor()
    for curve, own_values in zip(curves, values, strict=True):
        heights = slicer.util.arrayFromTableColumn(curve.GetTableNode(), curve.GetYColumnName())
        assert heights == pytest.approx(own_density(histogram, own_values))
        centres = slicer.util.arrayFromTableColumn(curve.GetTableNode(), curve.GetXColumnName())
        assert np.diff(centres) == pytest.approx(0.02) and centres[0] == pytest.approx(-0.09)
        assert heights.max() < 0.8 * chart.GetYAxisRange()[1]  # room for the legend


def test_title_says_what_was_counted(histogram: ModuleType) -> None:
    values = np.arange(9.0)
    titles = [add_histogram(histogram, values, values, overlap)[0].GetTitle() for overlap in (True, False)]
    assert titles == ["Intensities in the overlap", "Intensities of the whole volumes"]


def test_nodes_are_removed_together_and_never_saved(histogram: ModuleType) -> None:
    before = slicer.mrmlScene.GetNumberOfNodes()
    chart, nodes = add_histogram(histogram, np.arange(9.0), np.arange(9.0))
    added = [slicer.mrmlScene.GetNthNode(index) for index in range(before, slicer.mrmlScene.GetNumberOfNodes())]
    assert len(added) == 4 and not any(node.GetSaveWithScene() for node in added)
    slicer.mrmlScene.RemoveNode(chart)
    nodes.remove()
    assert slicer.mrmlScene.GetNumberOfNodes() == before
