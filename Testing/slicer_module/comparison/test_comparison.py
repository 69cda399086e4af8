"""Synthetic above real: what the views show, the fade, a real scan, and what cannot be compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
import slicer
from compare_room import (
    PLANES,
    Room,
    add_synthetic,
    add_volume,
    composites,
    ijk_to_ras,
    layout_node,
    oblique,
    slice_node,
    slice_to_ras,
    voxel_of,
    window_level,
)
from PIL import Image
from PySide6.QtGui import QFont, QFontMetrics
from slicer_bench.layout_manager import label_width

from ccella_core.phantom.patient import draw_patient
from ccella_core.phantom.render import render

REAL_SCAN = Path(__file__).parents[4] / "shared" / "data" / "prostatex-0000" / "t2w_dicom"


@pytest.fixture
def room(slicer_bench: Any) -> Iterator[Room]:
    with Room(slicer_bench) as room:
        yield room


# What is shown


def test_synthetic_is_in_the_upper_row_and_real_in_the_lower(room: Room) -> None:
    room.start()
    assert room.comparison.active and room.comparison.overlap
    assert layout_node().GetViewArrangement() == room.layout_id
    for upper, lower in zip(composites("Synthetic"), composites("Real"), strict=True):
        assert upper.GetBackgroundVolumeID() == room.synthetic.GetID()
        assert upper.GetForegroundVolumeID() == room.real.GetID() and upper.GetForegroundOpacity() == 0
        assert lower.GetBackgroundVolumeID() == room.real.GetID() and lower.GetForegroundVolumeID() is None


def test_the_labels_fit_the_bar_of_a_narrow_view(room: Room) -> None:
    room.start()
    width_of = QFontMetrics(QFont()).horizontalAdvance
    narrow = 300
    for row in ("Synthetic", "Real"):
        for plane in PLANES:
            label = slice_node(row, plane).GetLayoutLabel()
            assert 0 < width_of(label) <= label_width(label, narrow, width_of)
    assert label_width("SYNTHETIC", narrow, width_of) < width_of("SYNTHETIC") == label_width("SYNTHETIC", 360, width_of)


def test_views_name_the_row_and_have_slicers_colour_of_the_plane(room: Room) -> None:
    room.start()
    for plane, standard in zip(PLANES, ("Red", "Yellow", "Green"), strict=True):
        usual = slicer.mrmlScene.GetSingletonNode(standard, "vtkMRMLSliceNode")
        for row, label in (("Synthetic", "S"), ("Real", "R")):
            assert slice_node(row, plane).GetLayoutLabel() == label
            assert slice_node(row, plane).GetLayoutColor() == pytest.approx(usual.GetLayoutColor())


def test_layout_is_registered_once(room: Room) -> None:
    known = []
    for _press in range(3):
        room.start()
        room.comparison.stop()
        known.append(layout_node().GetLayoutIndices())
    assert known[0] == known[1] == known[2] and known[0].count(room.layout_id) == 1


def test_3d_view_has_both_boxes_and_the_synthetic_slices(room: Room) -> None:
    room.start()
    view = slicer.mrmlScene.GetSingletonNode("CCELLA_3D", "vtkMRMLViewNode")
    for name, volume in (("SYNTHETIC", room.synthetic), ("Real", room.real)):
        model = slicer.util.getFirstNodeByClassByName("vtkMRMLModelNode", name)
        assert model.GetDisplayNode().GetViewNodeIDs() == (view.GetID(),)
        box = np.array([voxel_of(volume, point) for point in slicer.util.arrayFromModelPoints(model)])
        faces = np.array(volume.GetImageData().GetDimensions()) - 0.5
        assert box.min(axis=0) == pytest.approx([-0.5] * 3, abs=1e-3)
        assert box.max(axis=0) == pytest.approx(faces, abs=1e-3)
    assert all(slice_node("Synthetic", plane).GetThreeDViewIDs() == (view.GetID(),) for plane in PLANES)
    assert all(slice_node("Synthetic", plane).GetSliceVisible() for plane in PLANES)
    room.comparison.stop()
    assert not any(slice_node("Synthetic", plane).GetSliceVisible() for plane in PLANES)


def test_camera_looks_at_both_boxes(room: Room) -> None:
    room.start()
    view = slicer.mrmlScene.GetSingletonNode("CCELLA_3D", "vtkMRMLViewNode")
    camera = slicer.modules.cameras.logic().GetViewActiveCameraNode(view)
    assert camera.GetFocalPoint() == pytest.approx((12, -30, 55), abs=1)
    distance = np.linalg.norm(np.subtract(camera.GetPosition(), camera.GetFocalPoint()))
    radius = np.linalg.norm([64, 64, 45]) / 2
    assert radius < distance * np.sin(np.radians(camera.GetViewAngle() / 2)) < 1.4 * radius


def test_plot_view_shows_the_histogram(room: Room) -> None:
    room.start()
    view = slicer.mrmlScene.GetSingletonNode("CCELLA_Histogram", "vtkMRMLPlotViewNode")
    assert view.GetPlotChartNode().GetNumberOfPlotSeriesNodes() == 2
    room.comparison.stop()
    assert view.GetPlotChartNode() is None


@pytest.mark.medium
def test_drawn_by_slicer_both_rows_are_seen_and_alike(room: Room, tmp_path: Path) -> None:
    """Two phantoms, of which one counts as synthetic; its intensities are 0 to 1, the other's 0 to 1800."""
    real = render(draw_patient(11), "t2w", shape=(144, 144, 30), spacing=(1, 1, 3.5)).voxels
    room.synthetic = add_synthetic(voxels=render(draw_patient(3), "t2w").voxels)
    room.real = add_volume("T2", 1800 * real, oblique((1, 1, 3.5)))
    room.start()
    room.bench.render_layout(tmp_path / "comparison.png", 1200, 800)
    room.comparison.set_fade(0)
    room.bench.render_layout(tmp_path / "faded.png", 1200, 800)
    before, after = (np.asarray(Image.open(tmp_path / name)).astype(float) for name in ("comparison.png", "faded.png"))
    rows = slice(75, 345), slice(475, 745)  # what lies in the synthetic volume
    for left in (10, 310, 610):
        upper, lower = (before[row, left : left + 280] for row in rows)
        assert upper.std() > 30 and lower.std() > 30
        assert upper.mean() == pytest.approx(lower.mean(), rel=0.2)
        assert np.abs(upper - lower).mean() > 10  # two patients
        faded = after[rows[0], left : left + 280]
        assert np.abs(faded - lower).mean() < 5
    boxes, plot = before[30:390, 910:], before[430:, 910:]
    is_orange = (boxes[..., 0] - boxes[..., 2] > 80) & (boxes[..., 1] > 80)
    assert is_orange.sum() > 50
    assert (plot > 240).mean() > 0.5 > (plot < 200).mean() > 0.01


# Fading


@pytest.mark.parametrize("fraction, opacity", [(0, 1), (0.25, 0.75), (1, 0), (-2, 1), (7, 0)])
def test_fade_goes_from_real_to_synthetic(room: Room, fraction: float, opacity: float) -> None:
    room.start()
    room.comparison.set_fade(fraction)
    assert [node.GetForegroundOpacity() for node in composites("Synthetic")] == [opacity] * 3
    assert all(node.GetForegroundVolumeID() is None for node in composites("Real"))


def test_volumes_that_are_apart_cannot_be_faded(room: Room) -> None:
    room.synthetic = add_synthetic(oblique((1, 1, 3), centre=(800, 0, 0)))
    room.start()
    with pytest.raises(room.error_class, match="do not overlap"):
        room.comparison.set_fade(0.5)


# Real scans, and their size


@pytest.mark.skipif(not REAL_SCAN.is_dir(), reason="the real scan ../shared/data/prostatex-0000 is not here")
def test_an_oblique_dicom_scan_is_shown_at_the_synthetic_volume_s_size(room: Room) -> None:
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(REAL_SCAN)))
    lps = np.eye(4)
    lps[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    lps[:3, 3] = image.TransformContinuousIndexToPhysicalPoint((np.array(image.GetSize()) - 1) / 2)
    room.real = add_volume("T2", sitk.GetArrayFromImage(image).T, np.diag([-1, -1, 1, 1]) @ lps)
    axes = ijk_to_ras(room.real)
    placed = np.eye(4)
    placed[:3, :3] = axes[:3, :3] / np.linalg.norm(axes[:3, :3], axis=0) * (1, 1, 3)
    placed[:3, 3] = (axes @ [191.5, 191.5, 9, 1])[:3]
    room.synthetic = add_synthetic(placed)
    room.start()
    assert room.comparison.overlap
    for row in ("Synthetic", "Real"):
        node = slice_node(row, "Axial")
        assert voxel_of(room.real, slice_to_ras(node)[:3, 3]) == pytest.approx([191.5, 191.5, 9], abs=1e-3)
        assert 48 < min(node.GetFieldOfView()[:2]) < 60
    low, high = np.percentile(slicer.util.arrayFromVolume(room.real)[3:16, 144:240, 144:240], (1, 99.5))
    assert window_level(room.real) == pytest.approx((high - low, (high + low) / 2), rel=0.03)


def test_a_scan_of_usual_size_is_set_up_at_once(room: Room) -> None:
    room.start()  # makes the views, which is Slicer's time
    voxels = np.random.default_rng(5).integers(0, 2000, (256, 256, 30), dtype=np.int16)
    room.real = add_volume("T2", voxels, oblique((0.7, 0.7, 3)))
    begin = time.process_time()
    room.start()
    assert time.process_time() - begin < 1


# What cannot be compared


def label_map(_room: Room) -> Any:
    return slicer.util.addVolumeFromArray(np.zeros((2, 2, 2), np.uint8), nodeClassName="vtkMRMLLabelMapVolumeNode")


def empty(_room: Room) -> Any:
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")


def warped(room: Room) -> Any:
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode")
    room.real.SetAndObserveTransformNodeID(transform.GetID())
    return room.real


def without_numbers(_room: Room) -> Any:
    return add_volume("nothing", np.full((3, 3, 3), np.nan))


@pytest.mark.parametrize(
    "make_real, sentence",
    [
        (lambda _room: None, "Choose a synthetic volume and a real scan"),
        (label_map, "has no scalar voxels"),
        (empty, "empty has no scalar voxels"),
        (warped, "T2 is under a non-linear transform"),
        (lambda room: room.synthetic, "seed 7 is synthetic: choose a real scan"),
        (without_numbers, "without any finite voxel"),
    ],
)
def test_unsuitable_volumes_are_refused_with_nothing_changed(room: Room, make_real: Callable, sentence: str) -> None:
    real, windows = make_real(room), window_level(room.synthetic)
    with pytest.raises(room.error_class, match=sentence):
        room.comparison.start(room.synthetic, real)
    assert not room.comparison.active
    assert layout_node().GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert window_level(room.synthetic) == windows


def test_a_real_scan_is_never_shown_as_synthetic(room: Room) -> None:
    with pytest.raises(room.error_class, match="T2 is not a synthetic volume"):
        room.comparison.start(room.real, room.real)


def test_an_unsuitable_volume_does_not_end_the_comparison_that_is_shown(room: Room) -> None:
    room.start()
    with pytest.raises(room.error_class):
        room.comparison.start(room.synthetic, room.synthetic)
    assert room.comparison.active and composites("Real")[0].GetBackgroundVolumeID() == room.real.GetID()


def test_without_main_window_there_is_a_sentence(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(slicer.app), "layoutManager", lambda _app: None)
    with pytest.raises(room.error_class, match="main window"):
        room.start()


def test_a_view_that_slicer_does_not_make_is_named_and_all_is_put_back(room: Room) -> None:
    manager = slicer.app.layoutManager()
    lame = SimpleNamespace(layoutLogic=manager.layoutLogic, sliceWidget=lambda _name: None)
    comparison, windows = room.comparison_class(lame), window_level(room.real)
    with pytest.raises(room.error_class, match="CCELLA_SyntheticAxial"):
        comparison.start(room.synthetic, room.real)
    assert layout_node().GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView
    assert window_level(room.real) == windows and not comparison.active


@pytest.mark.parametrize("act", [lambda c: c.set_fade(1), lambda c: c.set_window_level(1, 1), lambda c: c.window_level])
def test_nothing_can_be_adjusted_while_nothing_is_compared(room: Room, act: Callable) -> None:
    with pytest.raises(room.error_class, match="No volumes are being compared"):
        act(room.comparison)
