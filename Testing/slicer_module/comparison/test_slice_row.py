"""The slice views of the comparison: their planes, their scale, and how they move together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import slicer
from compare_room import (
    CENTRE,
    PLANES,
    Room,
    add_synthetic,
    add_volume,
    composites,
    oblique,
    slice_node,
    slice_to_ras,
    voxel_of,
)

NORMAL_AXIS = {"Axial": 2, "Sagittal": 0, "Coronal": 1}  # of a volume whose i, j, k run along R, A, S


@pytest.fixture
def room(slicer_bench: Any) -> Iterator[Room]:
    with Room(slicer_bench) as room:
        yield room


def test_slices_lie_in_the_acquired_planes_of_the_oblique_scan(room: Room) -> None:
    room.start()
    directions = oblique((1, 1, 1))[:3, :3]
    for plane, axis in NORMAL_AXIS.items():
        pose = slice_to_ras(slice_node("Real", plane))
        assert abs(pose[:3, 2] @ directions[:, axis]) == pytest.approx(1)
        assert slice_to_ras(slice_node("Synthetic", plane)) == pytest.approx(pose)
        index = voxel_of(room.real, pose[:3, 3])[axis]
        assert index == pytest.approx(np.rint(index), abs=1e-6)  # through the middle of voxels, not between two
        assert abs(index - [31.5, 31.5, 7][axis]) <= 0.51


def test_a_scan_acquired_in_sagittal_planes_is_shown_in_the_same_views(room: Room) -> None:
    sagittal = np.eye(4)
    sagittal[:3, :3] = np.array([[0, 0, 3], [1, 0, 0], [0, 1, 0]])  # i, j, k along A, S, R
    sagittal[:3, 3] = CENTRE
    room.real = add_volume("T2 sagittal", np.random.default_rng(3).random((64, 64, 15)), sagittal)
    room.synthetic = add_synthetic(np.array([[1, 0, 0, 12], [0, 1, 0, -30], [0, 0, 3, 55], [0, 0, 0, 1.0]]))
    room.start()
    normals = {plane: np.abs(slice_to_ras(slice_node("Synthetic", plane))[:3, 2]) for plane in PLANES}
    assert [normals[plane].argmax() for plane in PLANES] == [2, 0, 1]


def test_every_view_shows_the_same_mm_a_pixel_and_all_that_both_have(room: Room) -> None:
    room.start()
    nodes = [slice_node(row, plane) for row in ("Synthetic", "Real") for plane in PLANES]
    shown = np.array([node.GetFieldOfView()[:2] for node in nodes])
    pixels = np.array([node.GetDimensions()[:2] for node in nodes])
    assert (pixels > 100).all() and (pixels != 256).any()  # the size of the views, not the one before they have any
    scales = shown / pixels
    assert scales == pytest.approx(scales[0, 0])
    needed = np.array([[48, 48], [48, 36], [48, 36]] * 2)
    assert (shown > needed).all()
    assert (shown / needed).min() == pytest.approx(1.04)  # no smaller than it must be
    assert all(node.GetXYZOrigin() == (0, 0, 0) for node in nodes)


def test_scrolling_one_view_moves_its_twin_while_the_mouse_moves_and_nothing_else(room: Room) -> None:
    room.start()
    red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode")
    still = [red, slice_node("Synthetic", "Coronal"), slice_node("Real", "Sagittal")]
    before = [node.GetSliceOffset() for node in still]
    logic = slicer.app.layoutManager().sliceWidget("CCELLA_RealAxial").sliceLogic()
    target = logic.GetSliceOffset() + 6
    logic.StartSliceOffsetInteraction()
    logic.SetSliceOffset(target)
    assert slice_node("Synthetic", "Axial").GetSliceOffset() == pytest.approx(target)
    logic.EndSliceOffsetInteraction()
    assert [node.GetSliceOffset() for node in still] == before


def test_zooming_one_view_zooms_all_of_them_and_no_other_layout(room: Room) -> None:
    room.start()
    red = slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode").GetFieldOfView()
    widget = slicer.app.layoutManager().sliceWidget("CCELLA_SyntheticSagittal")
    node, logic = widget.mrmlSliceNode(), widget.sliceLogic()
    width, height, depth = node.GetFieldOfView()
    logic.StartSliceNodeInteraction(slicer.vtkMRMLSliceNode.FieldOfViewFlag)
    node.SetFieldOfView(width / 2, height / 2, depth)
    logic.EndSliceNodeInteraction()
    for row in ("Synthetic", "Real"):
        for plane in PLANES:
            assert slice_node(row, plane).GetFieldOfView()[0] == pytest.approx(width / 2, rel=0.01)
    assert slicer.mrmlScene.GetSingletonNode("Red", "vtkMRMLSliceNode").GetFieldOfView() == red


def test_volumes_that_are_apart_are_not_linked_and_each_is_shown_around_its_centre(room: Room) -> None:
    room.synthetic = add_synthetic(oblique((1, 1, 3), centre=(800, 0, 0)))
    room.start()
    assert room.comparison.active and not room.comparison.overlap
    for node in composites("Synthetic"):
        assert node.GetForegroundVolumeID() is None and not node.GetLinkedControl()
    for plane in PLANES:
        upper, lower = slice_node("Synthetic", plane), slice_node("Real", plane)
        assert slice_to_ras(upper)[:3, 3] == pytest.approx([800, 0, 0], abs=2)
        assert slice_to_ras(lower)[:3, 3] == pytest.approx(CENTRE, abs=2)
        assert upper.GetFieldOfView()[:2] == pytest.approx(lower.GetFieldOfView()[:2])
        assert min(lower.GetFieldOfView()[:2]) > 64  # the larger of the two


def test_a_volume_that_is_loaded_meanwhile_does_not_get_into_the_rows(room: Room) -> None:
    room.start()
    logic = slicer.app.applicationLogic()
    logic.GetSelectionNode().SetActiveVolumeID(add_volume("ADC", np.ones((4, 4, 4))).GetID())
    logic.PropagateVolumeSelection(0)
    assert [node.GetBackgroundVolumeID() for node in composites("Real")] == [room.real.GetID()] * 3
