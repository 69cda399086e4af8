"""Layouts, slice views, 3-D views and plots, by Slicer's own logics and displayable managers."""

import numpy as np
import pytest
import slicer
import vtk
from PySide6.QtGui import QImage

LAYOUT = """<layout type="horizontal" split="true">
<item splitSize="750"><view class="vtkMRMLSliceNode" singletontag="Real">
 <property name="orientation" action="default">Sagittal</property>
 <property name="viewlabel" action="default">Real</property>
 <property name="viewcolor" action="default">#FF0000</property></view></item>
<item splitSize="250"><layout type="vertical">
 <item><view class="vtkMRMLViewNode" singletontag="Depth"/></item>
 <item><view class="vtkMRMLPlotViewNode" singletontag="Histogram"/></item></layout></item>
</layout>"""
LAYOUT_ID = 4711


@pytest.fixture
def manager(slicer_bench):
    return slicer.app.layoutManager()


def show_custom_layout(manager):
    manager.layoutLogic().GetLayoutNode().AddLayoutDescription(LAYOUT_ID, LAYOUT)
    manager.setLayout(LAYOUT_ID)


def pixels(path):
    picture = QImage(str(path)).convertToFormat(QImage.Format.Format_RGB888)
    rows = np.frombuffer(picture.constBits(), np.uint8).reshape(picture.height(), picture.bytesPerLine())
    return rows[:, : 3 * picture.width()].reshape(picture.height(), picture.width(), 3)


def test_slicer_starts_with_four_views(manager):
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert sorted(manager.sliceViewNames()) == ["Green", "Red", "Yellow"]
    red = manager.sliceWidget("Red")
    assert (red.mrmlSliceNode().GetOrientation(), red.mrmlSliceNode().GetDimensions()) == ("Axial", (599, 379, 1))
    assert red.mrmlSliceCompositeNode().GetID() == "vtkMRMLSliceCompositeNodeRed"
    assert (manager.threeDViewCount, manager.sliceWidget("Real"), manager.plotWidget(0)) == (1, None, None)
    cameras = slicer.modules.cameras.logic()
    assert cameras.GetViewActiveCameraNode(manager.threeDWidget(0).mrmlViewNode()) is not None


def test_a_layout_brings_its_views_and_sizes_them_when_slicer_is_idle(manager, slicer_bench):
    layouts = []
    manager.connect("layoutChanged(int)", layouts.append)
    show_custom_layout(manager)
    node = manager.sliceWidget("Real").mrmlSliceNode()
    before = node.GetDimensions()
    slicer_bench.process_events()
    assert (layouts, node.GetOrientation()) == ([LAYOUT_ID], "Sagittal")
    assert before != node.GetDimensions() == (898, 780, 1)
    assert manager.threeDWidget("Depth").mrmlViewNode().GetLayoutName() == "Depth"
    assert manager.plotViewCount == 1


def test_linked_views_move_together(manager):
    for name in ("Red", "Green"):
        widget = manager.sliceWidget(name)
        widget.mrmlSliceNode().SetOrientationToAxial()
        widget.mrmlSliceCompositeNode().SetLinkedControl(True)
        widget.mrmlSliceCompositeNode().SetHotLinkedControl(True)
    logic = manager.sliceWidget("Red").sliceLogic()
    logic.StartSliceOffsetInteraction()
    logic.SetSliceOffset(12.5)
    logic.EndSliceOffsetInteraction()
    assert manager.sliceWidget("Green").sliceLogic().GetSliceOffset() == 12.5


def test_the_views_survive_closing_the_scene(manager, slicer_bench):
    show_custom_layout(manager)
    slicer.mrmlScene.Clear(False)
    slicer_bench.process_events()
    assert "Red" in manager.sliceViewNames()
    assert manager.sliceWidget("Red").mrmlSliceCompositeNode() is not None
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    slicer_bench.process_events()
    assert manager.sliceWidget("Red").mrmlSliceNode().GetDimensions() == (1200, 780, 1)


def test_unknown_layouts_are_named(slicer_bench):
    from slicer_bench.layout_geometry import places

    with pytest.raises(AttributeError, match="grid"):
        places('<layout type="grid"/>', 10, 10)


@pytest.mark.medium
def test_views_are_drawn_into_one_picture(manager, slicer_bench, tmp_path):
    show_custom_layout(manager)
    volume = slicer.util.addVolumeFromArray(np.full((40, 40, 40), 1000, np.int16))
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 2000)
    widget = manager.sliceWidget("Real")
    widget.mrmlSliceCompositeNode().SetBackgroundVolumeID(volume.GetID())
    slicer_bench.process_events()
    widget.fitSliceToBackground()
    widget.sliceView().cornerAnnotation().SetText(vtk.vtkCornerAnnotation.UpperLeft, "MM")
    table = np.array([[1, 5], [2, 9], [3, 4]])
    chart = slicer.util.plot(table, xColumnIndex=0, show=False)
    chart.SetTitle("Histogram")
    manager.plotWidget(0).mrmlPlotViewNode().SetPlotChartNodeID(chart.GetID())
    slicer_bench.render_layout(tmp_path / "layout.png", width=400, height=300)

    picture = pixels(tmp_path / "layout.png")
    assert picture.shape == (300, 400, 3)
    slice_view, bar = picture[20:, :298], picture[:20, :298]
    assert tuple(bar[10, 200]) == (255, 0, 0)
    assert abs(int(slice_view[140, 150, 0]) - 127) < 3  # in the middle of window and level
    assert tuple(slice_view[140, 3]) == (0, 0, 0)  # outside of the volume
    assert slice_view[:40, :60].max() > 200  # the corner's text
    depth, plot = picture[20:149, 302:], picture[172:, 302:]
    assert depth[..., 2].mean() > depth[..., 0].mean() + 10  # the bluish background of Slicer's 3-D views
    assert (plot == 255).mean() > 0.5 > (plot != 255).mean() > 0.005  # a chart on white


def test_slicers_module_template_clears_the_scene_of_its_singletons_too(manager, slicer_bench):
    for _ in range(3):
        slicer.mrmlScene.Clear()
        slicer_bench.process_events()
        assert sorted(manager.sliceViewNames()) == ["Green", "Red", "Yellow"]
        assert manager.sliceWidget("Red").mrmlSliceNode() in slicer.util.getNodesByClass("vtkMRMLSliceNode")
    layouts = []
    manager.layoutChanged.connect(layouts.append)
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    slicer_bench.process_events()
    assert layouts == [slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView]
    assert manager.sliceWidget("Red").mrmlSliceNode().GetDimensions() == (1200, 780, 1)
