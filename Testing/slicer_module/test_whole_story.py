"""The whole story: the unmodified module, real clicks, the real worker, the demonstration model and a real scan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from compare_room import composites, ijk_to_ras
from PIL import Image
from story_room import REPORT, Story, add_scan, assert_labelled_and_nobody, centre_and_axes, story
from worker_processes import Workers

from ccella_core.imaging.orientation import affine_of, centre_of
from ccella_core.imaging.scans import read_scan

__all__ = ["story"]

pytestmark = pytest.mark.slow

LONGEST_STANDSTILL_MS = 1000  # of what would be seconds, were the end of the worker waited for


def test_on_a_real_scan_compared_saved_and_restored(story: Story, tmp_path: Path) -> None:
    import slicer

    scan = add_scan()
    story.ui.realScanBox.setCurrentNode(scan)
    volume = story.generate()
    (centre, axes), (scan_centre, scan_axes) = centre_and_axes(volume), centre_and_axes(scan)
    np.testing.assert_allclose(centre, scan_centre, atol=1e-3)
    np.testing.assert_allclose(np.abs(axes.T @ scan_axes), np.eye(3), atol=1e-4)
    assert story.labelled_views() == {"Red", "Green", "Yellow"}

    story.ui.compareButton.click()
    story.bench.process_events(0.2)
    assert story.labelled_views() >= {f"CCELLA_Synthetic{plane}" for plane in ("Axial", "Sagittal", "Coronal")}
    assert not any("Real" in view for view in story.labelled_views())
    assert composites("Real")[0].GetBackgroundVolumeID() == scan.GetID()
    story.bench.render_layout(tmp_path / "comparison.png", 1200, 800)
    picture = np.asarray(Image.open(tmp_path / "comparison.png").convert("L")).astype(float)
    for row in (slice(30, 390), slice(430, 790)):
        assert all(picture[row, left : left + 280].std() > 20 for left in (10, 310, 610))
    story.ui.compareButton.click()

    voxels, name = slicer.util.arrayFromVolume(volume).copy(), volume.GetName()
    (series,) = story.widget.logic.exportDicom(volume, tmp_path / "dicom")
    exported = read_scan(series)
    read = sitk.GetArrayFromImage(exported)
    assert read.shape == voxels.shape and float(np.ptp(voxels)) > 0
    np.testing.assert_allclose(np.sort(read, axis=None), np.sort(voxels, axis=None), atol=np.ptp(voxels) / 65535)
    np.testing.assert_allclose(centre_of(affine_of(exported), exported.GetSize()), scan_centre, atol=1e-3)
    archive = tmp_path / "Szene.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(archive))
    slicer.mrmlScene.Clear(False)
    assert story.labelled_views() == set() and story.ui.reportEdit.plainText == ""
    assert slicer.mrmlScene.ReadFromMRB(str(archive))
    again = story.parameters.result
    assert again.GetName() == name and np.array_equal(slicer.util.arrayFromVolume(again), voxels)
    assert story.parameters.realScan.GetName() == scan.GetName() and story.ui.reportEdit.plainText == REPORT
    assert again.GetNodeReference("CCELLA.Provenance") is not None
    assert story.labelled_views() == {"Red", "Green", "Yellow"}
    assert story.ui.compareButton.enabled and story.bench.messages == []


def test_a_lesion_is_put_where_the_user_points(story: Story, tmp_path: Path) -> None:
    import slicer

    scan = add_scan()
    scan.SetName("Miller, axial")
    centre, _axes = centre_and_axes(scan)
    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Lesion")
    point.AddControlPointWorld(*centre)
    story.ui.reportEdit.plainText = REPORT
    story.ui.editScanBox.setCurrentNode(scan)
    story.ui.editPointBox.setCurrentNode(point)
    story.ui.editRadiusSpin.value = radius = 12.0
    story.ui.stepsSpin.value = 2
    story.ui.editButton.click()
    story.bench.wait_until(lambda: story.ui.generateButton.text == "Generate")
    assert story.ui.statusLabel.text.startswith("Done: SYNTHETIC (EDITED FROM "), story.ui.statusLabel.text
    edited = story.parameters.result
    before, after = (slicer.util.arrayFromVolume(node) for node in (scan, edited))
    places = np.argwhere(before != after)[:, ::-1] @ ijk_to_ras(scan)[:3, :3].T + ijk_to_ras(scan)[:3, 3]
    assert after.dtype == before.dtype and len(places) > 1000
    assert np.linalg.norm(places - centre, axis=1).max() <= radius
    assert composites("Synthetic")[0].GetBackgroundVolumeID() == edited.GetID()  # before and after are shown
    assert composites("Real")[0].GetBackgroundVolumeID() == scan.GetID()
    assert scan.GetName() not in edited.GetNodeReference("CCELLA.Provenance").GetText()

    (series,) = story.widget.logic.exportDicom(edited, tmp_path / "dicom")
    assert_labelled_and_nobody(series)
    for image in (read_scan(series), sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(series)))):
        assert image.GetSize() == edited.GetImageData().GetDimensions()
        indices = np.indices(after.shape).reshape(3, -1)[::-1].T
        world = indices @ ijk_to_ras(edited)[:3, :3].T + ijk_to_ras(edited)[:3, 3]
        inverse = np.linalg.inv(affine_of(image))
        there = np.rint(world @ inverse[:3, :3].T + inverse[:3, 3]).astype(int)
        read = sitk.GetArrayFromImage(image)[tuple(there.T[::-1])].reshape(after.shape)
        np.testing.assert_array_equal(read, after)
    assert story.bench.messages == []


def test_a_worker_that_is_killed_is_told_and_replaced_and_the_window_lives(workers: Workers, story: Story) -> None:
    story.ui.reportEdit.plainText = REPORT
    with story.bench.heartbeat() as heart:
        story.start_a_long_run()
        (worker,) = workers()
        worker.kill()
        story.bench.wait_until(lambda: story.ui.generateButton.text == "Generate")
    assert "memory ran out" in story.ui.statusLabel.text and "try again" in story.ui.statusLabel.text
    assert [message.kind for message in story.bench.messages] == ["critical"]
    assert heart.longest_ms < LONGEST_STANDSTILL_MS
    assert story.generate() is not None
