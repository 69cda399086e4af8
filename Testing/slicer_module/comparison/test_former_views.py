"""Back to the former layout: everything is put back, whatever has become of the nodes in the meantime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import slicer
from compare_room import (
    Room,
    add_real,
    add_synthetic,
    add_volume,
    composite,
    composites,
    layout_node,
    slice_to_ras,
    window_level,
)


@pytest.fixture
def room(slicer_bench: Any) -> Iterator[Room]:
    with Room(slicer_bench) as room:
        yield room


@pytest.fixture
def state(room: Room) -> Callable[[], dict[str, Any]]:
    """Leaves the views as a user may have left them; gives a function that says how they are."""
    layout_node().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    slicer.app.processEvents()
    red, node = composite("Red"), slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    red.SetBackgroundVolumeID(room.real.GetID())
    red.SetForegroundVolumeID(room.synthetic.GetID())
    red.SetForegroundOpacity(0.3)
    red.SetLinkedControl(True)
    node.RotateToVolumePlane(room.real)
    node.SetSliceOffset(17.5)
    node.SetFieldOfView(80, 80, 1)

    def state() -> dict[str, Any]:
        return {
            "layout": layout_node().GetViewArrangement(),
            "background": red.GetBackgroundVolumeID(),
            "foreground": red.GetForegroundVolumeID(),
            "opacity": red.GetForegroundOpacity(),
            "linked": (bool(red.GetLinkedControl()), bool(red.GetHotLinkedControl())),
            "plane": slice_to_ras(node).tolist(),
            "field of view": node.GetFieldOfView(),
        }

    return state


def disturb(volume: Any) -> None:
    """What a user may do to a view of the former layout in the meantime."""
    slicer.util.setSliceViewerLayers(background=volume, foreground=None, foregroundOpacity=0.9)
    red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    red.SetOrientation("Sagittal")
    red.SetFieldOfView(10, 10, 1)
    composite("Red").SetLinkedControl(False)
    composite("Red").SetHotLinkedControl(True)


def test_stop_puts_everything_back(room: Room, state: Callable) -> None:
    before = state()
    room.start()
    disturb(room.synthetic)
    assert all(state()[key] != before[key] for key in before)
    room.comparison.stop()
    room.comparison.stop()
    assert state() == before and not room.comparison.active and not room.comparison.overlap


def test_stop_leaves_empty_views_and_no_nodes_behind(room: Room) -> None:
    room.start()
    room.comparison.stop()
    nodes = slicer.mrmlScene.GetNumberOfNodes()  # with the views, which Slicer keeps
    room.start()
    assert slicer.mrmlScene.GetNumberOfNodes() > nodes
    room.comparison.stop()
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    for node in (*composites("Synthetic"), *composites("Real")):
        assert node.GetBackgroundVolumeID() is node.GetForegroundVolumeID() is None
        assert not node.GetLinkedControl() and not node.GetHotLinkedControl()


def test_another_pair_keeps_the_former_layout_in_mind(room: Room, state: Callable) -> None:
    before = state()
    room.start()
    room.synthetic = add_synthetic(voxels=5 * np.random.default_rng(4).random((48, 48, 12)))
    room.start()
    assert composites("Synthetic")[0].GetBackgroundVolumeID() == room.synthetic.GetID()
    assert window_level(room.synthetic)[0] == pytest.approx(5 * 0.985, rel=0.02)
    room.comparison.stop()
    assert state() == before


def test_a_layout_that_the_user_chose_meanwhile_stays(room: Room, state: Callable) -> None:
    room.start()
    layout_node().SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView)
    room.comparison.stop()
    assert state()["layout"] == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUp3DView


def test_a_scene_that_was_saved_while_comparing_gets_slicers_own_layout_back(room: Room) -> None:
    from CCELLAGeneratorLib.comparison.layout import show_layout

    show_layout(layout_node())
    room.start()
    room.comparison.stop()
    assert layout_node().GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView


def test_after_a_compared_volume_was_deleted(room: Room, state: Callable) -> None:
    before, real_id = state(), room.real.GetID()
    room.start()
    slicer.mrmlScene.RemoveNode(room.real)
    room.comparison.set_fade(0.5)
    room.comparison.set_window_level(100, 50)
    room.comparison.stop()
    assert state() == {**before, "background": None}
    assert slicer.mrmlScene.GetNodeByID(real_id) is None
    assert room.synthetic.GetDisplayNode().GetAutoWindowLevel()


def test_after_the_scene_was_closed_a_new_one_is_left_alone(room: Room, state: Callable) -> None:
    layout, real_id = state()["layout"], room.real.GetID()
    room.start()
    slicer.mrmlScene.Clear(False)
    while not slicer.mrmlScene.GetNodeByID(real_id):
        add_volume("another patient", np.ones((3, 3, 3)))  # one of them gets the identifier of the real scan
    room.comparison.stop()
    assert (state()["layout"], state()["background"]) == (layout, None)
    assert not slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    room.synthetic, room.real = add_synthetic(), add_real()
    room.start()
    assert room.comparison.active and room.comparison.overlap


@pytest.mark.medium
def test_after_its_views_were_removed(room: Room) -> None:
    room.start()
    for kind in ("vtkMRMLSliceCompositeNode", "vtkMRMLSliceNode"):
        for node in slicer.util.getNodesByClass(kind):
            if node.GetName().startswith("CCELLA"):
                slicer.mrmlScene.RemoveNode(node)
    room.comparison.stop()
    assert not room.comparison.active and not slicer.util.getNodesByClass("vtkMRMLPlotChartNode")
    room.start()
    assert composites("Real")[0].GetBackgroundVolumeID() == room.real.GetID()
