"""Edit a real scan: what is asked for, what comes back, how before and after are shown, and what stands in the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from fake_client import save_volume

SOURCE = "1a2b3c4d" + "0" * 56
MIDDLE = (0.0, -0.5, 0.0)


@pytest.fixture
def ready(panel):
    """A report and a scan to edit, around the middle of the world."""
    panel.ui.reportEdit.plainText = "PI-RADS 5."
    panel.ui.editScanBox.setCurrentNode(panel.add_scan())
    return panel


def add_point(panel, place=MIDDLE) -> Any:
    import slicer

    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Lesion")
    point.AddControlPointWorld(*place)
    panel.ui.editPointBox.setCurrentNode(point)
    return point


def edit(panel) -> Any:
    panel.ui.editButton.click()
    return panel.client.job()


def finish(request: Any, change: int = 100) -> None:
    """As the worker does it: the scan that it was given, with one voxel changed."""
    voxels = sitk.GetArrayFromImage(sitk.ReadImage(request.params["image"])).transpose(2, 1, 0).copy()
    voxels[6, 5, 3] += change
    entry = save_volume(request.folder, "EDITED_FROM_1a2b3c4d", voxels=voxels, seed=7, source_sha256=SOURCE)
    request.give(entry)


def test_the_worker_is_given_scan_point_and_strength(ready):
    from ccella_core.worker.params import GenerateParams

    add_point(ready, (1.0, 2.0, 3.0))
    ready.ui.editRadiusSpin.value = 9.5
    ready.ui.editStrengthSlider.value = 0.8
    request = edit(ready)
    params = GenerateParams.model_validate(request.params)
    assert (params.report, params.strength, params.around, params.radius) == ("PI-RADS 5.", 0.8, (1.0, 2.0, 3.0), 9.5)
    assert Path(params.image).parent == request.folder and "patient" not in Path(params.image).name
    image = sitk.ReadImage(params.image)
    import slicer

    assert np.array_equal(sitk.GetArrayFromImage(image), slicer.util.arrayFromVolume(ready.parameters.editScan))
    np.testing.assert_allclose(image.GetOrigin(), (6.0, 5.0, -9.0))  # LPS
    assert "T2 of a patient" not in Path(params.image).read_bytes().decode("latin-1")
    assert not ready.ui.editButton.enabled and ready.ui.editButton.toolTip == "Something is under way."
    request.fail("cancelled", "It was cancelled.")
    assert ready.ui.editButton.enabled and not request.folder.exists()


def test_the_radius_follows_the_lesion_that_is_composed(ready):
    add_point(ready)
    ready.ui.lesion1Size.value = 20
    assert edit(ready).params["radius"] == 17.0
    ready.client.job().fail("cancelled", "")
    ready.ui.lesion1Group.checked = ready.ui.lesion2Group.checked = False
    ready.ui.editPointBox.setCurrentNode(None)
    add_point(ready)
    assert ready.ui.editButton.toolTip.startswith("Say the radius")


def test_a_point_counts_where_it_lies_on_a_scan_under_a_transform(ready):
    import slicer
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 50.0)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(matrix)
    scan = ready.parameters.editScan
    scan.SetAndObserveTransformNodeID(transform.GetID())
    add_point(ready, (51.0, 2.0, 3.0))
    request = edit(ready)
    np.testing.assert_allclose(request.params["around"], (1.0, 2.0, 3.0))
    finish(request)
    result = ready.parameters.result
    assert result.GetTransformNodeID() == transform.GetID()


@pytest.mark.medium
def test_the_visible_segments_are_the_mask(ready):
    import slicer

    scan = ready.parameters.editScan
    labels = np.zeros((6, 10, 12), np.uint8)
    labels[2:4, 3:6, 4:9] = 1
    label_map = slicer.util.addVolumeFromArray(labels, name="L", nodeClassName="vtkMRMLLabelMapVolumeNode")
    label_map.CopyOrientation(scan)
    segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Lesion")
    segmentation.CreateDefaultDisplayNodes()
    logic = slicer.modules.segmentations.logic()
    assert logic.ImportLabelmapToSegmentationNode(label_map, segmentation)
    ready.ui.editSegmentationBox.setCurrentNode(segmentation)
    request = edit(ready)
    mask, image = (sitk.ReadImage(request.params[name]) for name in ("mask", "image"))
    assert np.array_equal(sitk.GetArrayFromImage(mask), labels) and mask.GetSize() == image.GetSize()
    np.testing.assert_allclose(mask.GetOrigin(), image.GetOrigin(), atol=1e-6)
    assert "around" not in request.params
    request.fail("cancelled", "")
    before = ready.bench.scene.GetNumberOfNodes()
    segmentation.GetDisplayNode().SetAllSegmentsVisibility(False)
    ready.ui.editButton.click()
    assert ready.ui.statusLabel.text == "Lesion has no visible segment." and ready.bench.messages.pop()
    assert ready.bench.scene.GetNumberOfNodes() == before


def test_the_result_lies_in_the_scan_and_says_what_it_is(ready):
    import slicer
    from compare_room import ijk_to_ras

    scan = ready.parameters.editScan
    finish(edit(ready))
    result = ready.parameters.result
    assert result.GetName() == "SYNTHETIC (EDITED FROM 1a2b3c4d) t2w seed 7 (tiny)"
    assert result.GetAttribute("CCELLA.SourceSha256") == SOURCE and result.GetAttribute("CCELLA.Synthetic") == "1"
    assert "T2 of a patient" not in result.GetNodeReference("CCELLA.Provenance").GetText()
    changed = slicer.util.arrayFromVolume(result).astype(int) - slicer.util.arrayFromVolume(scan)
    assert changed[3, 5, 6] == 100 and np.count_nonzero(changed) == 1
    assert np.array_equal(ijk_to_ras(result), ijk_to_ras(scan))  # to the last bit, which a NIfTI file does not keep
    assert slicer.util.arrayFromVolume(result).dtype == slicer.util.arrayFromVolume(scan).dtype


@pytest.mark.medium
def test_before_and_after_are_shown_flicker_and_differ_in_colour(ready):
    import slicer
    from compare_room import PLANES, composites, ijk_to_ras, slice_node, slice_to_ras

    scan = ready.parameters.editScan
    finish(edit(ready))
    result = ready.parameters.result
    assert ready.ui.compareButton.checked and ready.parameters.realScan is scan
    assert [each.GetBackgroundVolumeID() for each in composites("Synthetic")] == [result.GetID()] * 3
    assert [each.GetBackgroundVolumeID() for each in composites("Real")] == [scan.GetID()] * 3
    place = (ijk_to_ras(scan) @ [6, 5, 3, 1])[:3]  # of the voxel that was changed
    for plane in PLANES:
        for row in ("Synthetic", "Real"):
            view = np.linalg.inv(slice_to_ras(slice_node(row, plane)))
            assert abs((view @ [*place, 1])[2]) < 0.51 * 3.0  # within half of a voxel
    displays = [node.GetDisplayNode() for node in (scan, result)]
    assert displays[0].GetWindow() == displays[1].GetWindow() and displays[0].GetLevel() == displays[1].GetLevel()

    ready.ui.flickerButton.click()
    assert [each.GetForegroundOpacity() for each in composites("Synthetic")] == [1.0] * 3  # the real scan over it
    ready.ui.flickerButton.click()
    assert [each.GetForegroundOpacity() for each in composites("Synthetic")] == [0.0] * 3
    assert ready.ui.flickerButton.shortcut.toString() == "F8"

    ready.ui.differenceCheck.checked = True
    (difference,) = {slicer.mrmlScene.GetNodeByID(each.GetForegroundVolumeID()) for each in composites("Real")}
    assert difference.GetName().startswith("SYNTHETIC") and difference.GetHideFromEditors()
    amount = slicer.util.arrayFromVolume(difference)
    assert amount[3, 5, 6] == 100 and np.count_nonzero(amount) == 1
    assert difference.GetDisplayNode().GetLowerThreshold() == 100 and difference.GetDisplayNode().GetApplyThreshold()
    assert composites("Real")[0].GetForegroundOpacity() > 0.3
    ready.ui.differenceCheck.checked = False
    assert [each.GetForegroundVolumeID() for each in composites("Real")] == [None] * 3
    ready.ui.compareButton.click()
    assert slicer.util.getNodes("SYNTHETIC difference*") == {}
    assert not ready.ui.flickerButton.enabled and not ready.ui.differenceCheck.enabled


@pytest.mark.medium
def test_what_was_not_edited_from_the_scan_has_no_difference(ready):
    ready.ui.realScanBox.setCurrentNode(ready.parameters.editScan)
    ready.generate().finish()
    ready.ui.compareButton.click()
    assert ready.ui.flickerButton.enabled and not ready.ui.differenceCheck.enabled
    assert ready.ui.differenceCheck.toolTip == "The synthetic volume was not edited from this scan."


def test_a_place_for_the_next_click(ready):
    import slicer

    ready.ui.placePointButton.click()
    point = ready.parameters.editPoint
    assert point.GetName() == "Lesion" and point.GetNumberOfControlPoints() == 0
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    before = ready.bench.scene.GetNumberOfNodes()
    ready.ui.editButton.click()
    assert ready.ui.statusLabel.text == "Lesion has no point yet: place one in a slice view."
    assert [message.kind for message in ready.bench.messages] == ["critical"]
    assert ready.bench.scene.GetNumberOfNodes() == before
    assert ready.client.asked("generate") == [] and ready.ui.editButton.enabled
    ready.ui.placePointButton.click()
    assert ready.parameters.editPoint is point


def test_what_is_missing_is_said(panel):
    button = panel.ui.editButton
    assert button.toolTip == "Write a report first."
    panel.ui.reportEdit.plainText = "PI-RADS 5."
    assert button.toolTip == "Choose the scan to edit first."
    panel.ui.editScanBox.setCurrentNode(panel.add_scan())
    assert button.enabled and panel.ui.editHint.text.startswith("Without a point or a segmentation")
    add_point(panel)
    assert panel.ui.editHint.text == ""
    import slicer

    panel.ui.editSegmentationBox.setCurrentNode(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode"))
    assert button.toolTip == "Choose a point or a segmentation, not both."


@pytest.mark.parametrize("name", ["editScan", "editPoint"])
def test_what_is_deleted_is_not_replaced_by_its_neighbour(ready, name):
    add_point(ready)
    ready.add_scan()
    add_point(ready)
    ready.bench.scene.RemoveNode(getattr(ready.parameters, name))
    assert getattr(ready.parameters, name) is None


def test_a_failure_leaves_the_scene_as_it_was(ready):
    before = ready.bench.scene.GetNumberOfNodes()
    edit(ready).fail("input", "The point 500, 0, 0 (RAS, mm) lies outside the scan.")
    assert ready.ui.statusLabel.text.startswith("The point 500") and ready.bench.messages.pop().kind == "critical"
    assert ready.bench.scene.GetNumberOfNodes() == before and not ready.ui.compareButton.checked


def test_no_node_parameter_moves_on_to_a_neighbour(panel):
    import slicer
    from CCELLAGeneratorLib.panel.parameters import NODE_PARAMETERS

    classes = {"editPoint": "vtkMRMLMarkupsFiducialNode", "editSegmentation": "vtkMRMLSegmentationNode"}
    nodes = {}
    for name in NODE_PARAMETERS:
        for neighbour in ("first", "second"):
            kind = classes.get(name, "vtkMRMLScalarVolumeNode")
            nodes[name] = slicer.mrmlScene.AddNewNodeByClass(kind, f"{name} {neighbour}")
    for name, node in nodes.items():
        setattr(panel.parameters, name, node)
    for name, node in nodes.items():
        slicer.mrmlScene.RemoveNode(node)
        panel.settle()
        assert getattr(panel.parameters, name) is None
