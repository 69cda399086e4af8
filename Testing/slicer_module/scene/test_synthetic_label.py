"""The words in the corner: drawn in every view that shows a synthetic volume, in no other, and gone without trace."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

WORDS = "SYNTHETIC – not for diagnosis"
EDITED_WORDS = "SYNTHETIC\n(EDITED FROM 1a2b3c4d)\nnot for diagnosis"
RED, GREEN, BLUE = 0, 1, 2


@pytest.fixture
def label(slicer_bench: Any) -> Iterator[Any]:
    """A label that watches the views, and is taken away at the end."""
    from CCELLAGeneratorLib.scene.synthetic_label import SyntheticLabel

    label = SyntheticLabel()
    label.start()
    yield label
    label.stop()


def add_segmentation(name: str) -> Any:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    return node


def add_volume(name: str, kind: str = "vtkMRMLScalarVolumeNode") -> Any:
    voxels = np.full((20, 20, 20), 100, np.int16)
    return slicer.util.addVolumeFromArray(voxels, np.diag([5.0, 5.0, 5.0, 1.0]), name, kind)


def view(name: str = "Red") -> SimpleNamespace:
    widget = slicer.app.layoutManager().sliceWidget(name)
    return SimpleNamespace(
        window=widget.sliceView().renderWindow(), composite=widget.sliceLogic().GetSliceCompositeNode()
    )


def actors_in(window: Any) -> list[Any]:
    """The labels that a render window holds, shown or not."""
    props = [
        renderer.GetViewProps().GetItemAsObject(index)
        for renderer in window.GetRenderers()
        for index in range(renderer.GetViewProps().GetNumberOfItems())
    ]
    return [prop for prop in props if prop.IsA("vtkTextActor") and prop.GetInput() in (WORDS, EDITED_WORDS)]


def is_labelled(window: Any) -> bool:
    """Whether the label is drawn, told by the amber pixels at the bottom right."""
    window.Render()
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.ReadFrontBufferOff()
    grabber.Update()
    width, height, _ = grabber.GetOutput().GetDimensions()
    pixels = vtk_to_numpy(grabber.GetOutput().GetPointData().GetScalars()).reshape(height, width, 3).astype(int)
    corner = pixels[: height // 5, width // 4 :]
    amber = (corner[..., RED] > 180) & (corner[..., GREEN] > 120) & (corner[..., BLUE] < 90)
    drawn = amber.sum() > 40
    assert drawn == any(actor.GetVisibility() for actor in actors_in(window))
    return bool(drawn)


def test_only_what_is_synthetic_is_labelled(label: Any) -> None:
    red, synthetic, real = view(), add_volume("SYNTHETIC t2w"), add_volume("T2 of a patient")
    assert not is_labelled(red.window)
    red.composite.SetBackgroundVolumeID(synthetic.GetID())
    assert is_labelled(red.window) and not is_labelled(view("Green").window)
    red.composite.SetBackgroundVolumeID(real.GetID())
    assert not is_labelled(red.window)


@pytest.mark.parametrize("name", ["SYNTHETIC_EDITED_FROM_1a2b3c4d_tiny_seed7", "T2 of a patient"])
def test_what_was_edited_from_a_scan_says_so(label: Any, name: str) -> None:
    """Whether it came from a run or from a file."""
    volume = add_volume(name)
    if not name.startswith("SYNTHETIC"):
        volume.SetAttribute("CCELLA.Synthetic", "1")
        volume.SetAttribute("CCELLA.SourceSha256", "1a2b3c4d" + "0" * 56)
    red = view()
    red.composite.SetBackgroundVolumeID(volume.GetID())
    assert is_labelled(red.window) and actors_in(red.window)[0].GetInput() == EDITED_WORDS
    red.composite.SetBackgroundVolumeID(add_volume("SYNTHETIC t2w").GetID())
    assert is_labelled(red.window) and actors_in(red.window)[0].GetInput() == WORDS


def test_every_layer_counts_unless_it_is_transparent(label: Any) -> None:
    red, synthetic = view(), add_volume("SYNTHETIC t2w")
    mask = add_volume("SYNTHETIC mask", "vtkMRMLLabelMapVolumeNode")
    red.composite.SetBackgroundVolumeID(add_volume("T2 of a patient").GetID())
    red.composite.SetForegroundVolumeID(synthetic.GetID())
    for opacity, expected in ((0.0, False), (0.01, True), (1.0, True), (0.0, False)):
        red.composite.SetForegroundOpacity(opacity)
        assert is_labelled(red.window) == expected
    red.composite.SetLabelVolumeID(mask.GetID())
    red.composite.SetLabelOpacity(0.5)
    assert is_labelled(red.window)
    red.composite.SetLabelOpacity(0.0)
    assert not is_labelled(red.window)


def test_further_layers_count_too(label: Any) -> None:
    red = view()
    if not hasattr(red.composite, "GetNumberOfAdditionalLayers"):
        pytest.skip("this Slicer has three layers only")
    red.composite.SetBackgroundVolumeID(add_volume("T2 of a patient").GetID())
    assert not is_labelled(red.window)
    red.composite.SetNthLayerVolumeID(red.composite.Layer_Last, add_volume("SYNTHETIC t2w").GetID())
    red.composite.SetNthLayerOpacity(red.composite.Layer_Last, 1.0)
    assert is_labelled(red.window)


def test_a_node_that_becomes_synthetic_or_is_deleted(label: Any) -> None:
    red, node = view(), add_volume("Output")
    red.composite.SetBackgroundVolumeID(node.GetID())
    assert not is_labelled(red.window)
    node.SetAttribute("CCELLA.Synthetic", "1")
    assert is_labelled(red.window)
    slicer.mrmlScene.RemoveNode(node)
    assert not is_labelled(red.window)


def test_after_the_scene_was_saved_and_loaded(label: Any, tmp_path: Path) -> None:
    red, node = view(), add_volume("renamed by the user")
    node.SetAttribute("CCELLA.Synthetic", "1")
    red.composite.SetBackgroundVolumeID(node.GetID())
    archive = tmp_path / "scene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(archive))
    slicer.mrmlScene.Clear(False)
    assert not is_labelled(view().window)
    assert slicer.mrmlScene.ReadFromMRB(str(archive))
    assert is_labelled(view().window)


@pytest.mark.parametrize("layout", ["ConventionalView", "FourUpView", "OneUpRedSliceView", "TwoOverTwoView"])
def test_in_every_layout(label: Any, layout: str) -> None:
    manager = slicer.app.layoutManager()
    manager.setLayout(getattr(slicer.vtkMRMLLayoutNode, f"SlicerLayout{layout}"))
    synthetic = add_volume("SYNTHETIC t2w")
    assert "Red" in manager.sliceViewNames()
    for name in manager.sliceViewNames():
        view(name).composite.SetBackgroundVolumeID(synthetic.GetID())
        assert is_labelled(view(name).window)


def test_views_that_another_layout_brings(label: Any) -> None:
    layout = (
        '<layout type="horizontal"><item><view class="vtkMRMLSliceNode" singletontag="Extra">'
        '<property name="orientation" action="default">Axial</property>'
        '<property name="viewlabel" action="default">X</property></view></item></layout>'
    )
    node = slicer.app.layoutManager().layoutLogic().GetLayoutNode()
    node.AddLayoutDescription(4711, layout)
    slicer.app.layoutManager().setLayout(4711)
    extra = view("Extra")
    extra.composite.SetBackgroundVolumeID(add_volume("SYNTHETIC t2w").GetID())
    assert is_labelled(extra.window) and len(actors_in(extra.window)) == 1


def test_other_texts_in_the_corners_do_not_matter(label: Any) -> None:
    red = view()
    red.composite.SetBackgroundVolumeID(add_volume("SYNTHETIC t2w").GetID())
    corners = vtk.vtkCornerAnnotation()
    red.window.GetRenderers().GetFirstRenderer().AddViewProp(corners)
    for text in ("B: SYNTHETIC t2w", ""):  # as Slicer's data probe writes and clears them
        for corner in range(4):
            corners.SetText(corner, text)
        assert is_labelled(red.window)


def test_stop_leaves_no_trace(label: Any) -> None:
    red = view()
    red.composite.SetBackgroundVolumeID(add_volume("SYNTHETIC t2w").GetID())
    assert is_labelled(red.window)
    label.start()  # twice is once
    assert len(actors_in(red.window)) == 1
    label.stop()
    label.stop()
    assert not is_labelled(red.window) and actors_in(red.window) == []
    slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert not is_labelled(red.window)
    label.start()
    assert is_labelled(red.window)


class OneView:
    """A layout manager with one view, of a size of our choice."""

    def __init__(self, width: int = 400) -> None:
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(True)
        self.window.SetSize(width, 200)
        self.new_renderer()
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.logic.AddSliceNode("Only")
        self.logic.GetSliceCompositeNode().SetBackgroundVolumeID(add_volume("SYNTHETIC t2w").GetID())

    def new_renderer(self) -> None:
        for renderer in list(self.window.GetRenderers()):
            self.window.RemoveRenderer(renderer)
        self.window.AddRenderer(vtk.vtkRenderer())

    def connect(self, _signal: str, _slot: Any) -> None:
        pass

    disconnect = connect

    def sliceViewNames(self) -> list[str]:  # noqa: N802
        return ["Only"]

    def sliceWidget(self, _name: str) -> Any:  # noqa: N802
        view = SimpleNamespace(renderWindow=lambda: self.window)
        return SimpleNamespace(sliceView=lambda: view, sliceLogic=lambda: self.logic)


@pytest.mark.parametrize(("width", "dpi"), [(180, 72), (250, 72), (400, 72), (1600, 72), (500, 144), (3200, 144)])
def test_the_words_fit_into_the_view(slicer_bench: Any, width: int, dpi: int) -> None:
    from CCELLAGeneratorLib.scene.synthetic_label import SyntheticLabel

    manager = OneView(width)
    manager.window.SetDPI(dpi)
    SyntheticLabel(manager).start()
    assert is_labelled(manager.window)
    (actor,) = actors_in(manager.window)
    box = [0.0] * 4
    volume = slicer.mrmlScene.GetNodeByID(manager.logic.GetSliceCompositeNode().GetBackgroundVolumeID())
    for source in ("1a2b3c4d" + "0" * 56, None):
        volume.SetAttribute("CCELLA.SourceSha256", source)
        manager.window.Render()
        assert actor.GetInput() == (EDITED_WORDS if source else WORDS)
        actor.GetBoundingBox(manager.window.GetRenderers().GetFirstRenderer(), box)
        words_wide = box[1] - box[0]
        assert words_wide < 0.97 * width
    assert words_wide * 72 / dpi > 120  # points: small, and still to be read


def test_a_light_box_that_makes_new_renderers(slicer_bench: Any) -> None:
    from CCELLAGeneratorLib.scene.synthetic_label import SyntheticLabel

    manager = OneView()
    label = SyntheticLabel(manager)
    label.start()
    assert is_labelled(manager.window)
    manager.new_renderer()
    assert is_labelled(manager.window) and len(actors_in(manager.window)) == 1
    manager.window.RemoveRenderer(manager.window.GetRenderers().GetFirstRenderer())
    manager.window.Render()  # nothing to draw into for a moment
    label.stop()


def test_slicer_without_a_window(slicer_bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from CCELLAGeneratorLib.scene.synthetic_label import SyntheticLabel

    monkeypatch.setattr(type(slicer.app), "layoutManager", lambda app: None)
    label = SyntheticLabel()
    label.start()
    label.stop()


def test_synthetic_labels_over_a_real_scan_are_named_too(label: Any) -> None:
    red = view()
    red.composite.SetBackgroundVolumeID(add_volume("T2 of a patient").GetID())
    real, drawn = add_segmentation("contours of a reader"), add_segmentation("SYNTHETIC seed 7 (tiny) labels")
    drawn.GetDisplayNode().SetVisibility(False)
    assert not is_labelled(red.window) and real.GetDisplayNode().GetVisibility()
    drawn.GetDisplayNode().SetVisibility(True)
    assert is_labelled(red.window)
    drawn.GetDisplayNode().SetVisibility2D(False)
    assert not is_labelled(red.window)
    drawn.GetDisplayNode().SetVisibility2D(True)
    drawn.GetDisplayNode().AddViewNodeID("vtkMRMLSliceNodeGreen")
    assert not is_labelled(red.window)
