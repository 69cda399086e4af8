"""The whole story: the unmodified module, real clicks, the real worker, the demonstration model and a real scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from compare_room import add_real, composites, ijk_to_ras
from PIL import Image
from worker_processes import Workers

from ccella_core.imaging.orientation import affine_of, centre_of
from ccella_core.imaging.scans import read_scan

pytestmark = pytest.mark.slow

REAL_SCAN = Path(__file__).parents[3] / "shared" / "data" / "prostatex-0000" / "t2w_dicom"
REPORT = "PI-RADS 5 lesion in the left peripheral zone at mid-gland, 20 mm. The prostate volume is 45 ml."
LABEL = "SYNTHETIC – not for diagnosis"
LONGEST_STANDSTILL_MS = 1000  # of what would be seconds, were the end of the worker waited for


class Story:
    """The user at the panel."""

    def __init__(self, bench: Any) -> None:
        bench.load_module()
        bench.app.startupCompleted.emit()
        self.bench = bench
        self.widget = bench.open_module()
        self.ui = self.widget.ui
        bench.wait_until(lambda: "digital prostates" in self.ui.modelDetails.text)

    @property
    def parameters(self) -> Any:
        return self.widget.logic.getParameterNode()

    def generate(self, steps: int = 2) -> Any:
        """Press Generate, wait, and return the new volume."""
        self.ui.reportEdit.plainText = REPORT
        self.ui.stepsSpin.value = steps
        self.ui.generateButton.click()
        self.bench.wait_until(lambda: self.ui.generateButton.text == "Generate")
        assert self.ui.statusLabel.text.startswith("Done: SYNTHETIC t2w seed"), self.ui.statusLabel.text
        return self.parameters.result

    def start_a_long_run(self) -> None:
        self.ui.stepsSpin.value = 1000
        self.ui.generateButton.click()
        self.bench.wait_until(lambda: "Drawing" in self.ui.progressLabel.text)

    def labelled_views(self) -> set[str]:
        return {name for name in self.bench.app.layoutManager().sliceViewNames() if is_labelled(self.bench, name)}


@pytest.fixture
def story(slicer_bench: Any) -> Story:
    return Story(slicer_bench)


def is_labelled(bench: Any, view: str) -> bool:
    window = bench.app.layoutManager().sliceWidget(view).sliceView().renderWindow()
    window.Render()
    props = [renderer.GetViewProps() for renderer in window.GetRenderers()]
    actors = [each.GetItemAsObject(number) for each in props for number in range(each.GetNumberOfItems())]
    return any(each.IsA("vtkTextActor") and each.GetInput() == LABEL and each.GetVisibility() for each in actors)


def add_scan() -> Any:
    """The real scan, where it is at hand; else noise of the same kind, oblique as well."""
    import slicer

    if not REAL_SCAN.is_dir():
        return add_real()
    image = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(REAL_SCAN)))
    ras_from_lps = np.diag([-1.0, -1.0, 1.0])
    affine = np.eye(4)
    affine[:3, :3] = ras_from_lps @ np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = ras_from_lps @ image.GetOrigin()
    return slicer.util.addVolumeFromArray(sitk.GetArrayFromImage(image), affine, "T2 axial")


def assert_labelled_and_nobody(series: Path) -> None:
    for path in series.iterdir():
        header = pydicom.dcmread(path)
        assert header[0x0008001C].value == "YES" and list(header.ImageType)[:2] == ["DERIVED", "SECONDARY"]
        assert header.ImageComments.startswith("SYNTHETIC (EDITED FROM ")
        assert str(header.PatientName).startswith("SYNTHETIC^") and header.PatientID.startswith("SYNTHETIC-")
        assert b"ProstateX" not in path.read_bytes()


def centre_and_axes(volume: Any) -> tuple[np.ndarray, np.ndarray]:
    matrix = ijk_to_ras(volume)
    middle = (np.array(volume.GetImageData().GetDimensions()) - 1) / 2
    return (matrix @ [*middle, 1])[:3], matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)


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
