"""The story of an examination: three sequences and labels, hung, edited, out as DICOM and back, and a reader study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from compare_room import add_real, composite, ijk_to_ras
from story_room import REAL_SCAN, Story, assert_labelled_and_nobody, centre_and_axes, story

from ccella_core.imaging.orientation import affine_of
from ccella_core.imaging.scans import read_scan

__all__ = ["story"]

pytestmark = pytest.mark.slow


def synthetic_volumes() -> list[Any]:
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node.GetAttribute("CCELLA.Sequence") and node.GetImageData()]


def add_examination(folder: Path) -> list[Any]:
    """T2, ADC and high b of a patient as Slicer loads them from DICOM, or noise of the same kind."""
    import slicer
    from slicer_bench.dicom_lib import load_series

    if REAL_SCAN.is_dir():
        return [load_series(REAL_SCAN.parent / f"{name}_dicom") for name in ("t2w", "adc", "hbv")]
    scan = add_real()
    voxels, matrix = slicer.util.arrayFromVolume(scan), ijk_to_ras(scan)
    return [scan, *(slicer.util.addVolumeFromArray(voxels, matrix, name) for name in ("ADC", "b1400"))]


def row_of(name: str) -> list[str | None]:
    """The volumes that a row of the bpMRI hanging shows, by their IDs."""
    views = [f"CCELLA_{name}_{sequence}" for sequence in ("t2w", "adc", "hbv")]
    return [composite(view).GetBackgroundVolumeID() for view in views]


def item_of(node: Any) -> int:
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene).GetItemByDataNode(node)


def assert_read_back(series: Path, volume: Any) -> None:
    """Slicer's reader, SimpleITK's and pydicom's agree with the volume, voxel by voxel at its place in the world."""
    import slicer
    from CCELLAGeneratorLib.scene.volumes import edited_from, is_synthetic
    from slicer_bench.dicom_lib import load_series

    again = load_series(series)
    assert is_synthetic(again) and edited_from(again) == edited_from(volume)  # although attributes do not come back
    voxels, tolerance = slicer.util.arrayFromVolume(volume), 0.0
    if voxels.dtype.kind == "f":
        tolerance = float(np.ptp(voxels)) / 65535
    image = read_scan(series)
    headers = [pydicom.dcmread(path) for path in series.iterdir()]
    for read, matrix in (
        (slicer.util.arrayFromVolume(again), ijk_to_ras(again)),
        (sitk.GetArrayFromImage(image), affine_of(image)),
    ):
        index = np.indices(voxels.shape).reshape(3, -1)[::-1]
        there = np.linalg.inv(matrix) @ ijk_to_ras(volume) @ [*index, np.ones(index.shape[1])]
        np.testing.assert_allclose(there, np.rint(there), atol=1e-2)
        i, j, k = np.rint(there[:3]).astype(int)
        np.testing.assert_allclose(read[k, j, i], voxels.ravel(), rtol=0, atol=tolerance)
    stored = np.stack([each.pixel_array * float(each.get("RescaleSlope", 1)) + float(each.get("RescaleIntercept", 0))
                       for each in headers])  # fmt: skip
    np.testing.assert_allclose(np.sort(stored, axis=None), np.sort(voxels, axis=None), atol=tolerance)
    slicer.mrmlScene.RemoveNode(again)


def test_an_examination_is_hung_edited_exported_and_studied(story: Story, labelled_model: Path, tmp_path: Path) -> None:
    """Three sequences and labels beside a patient's, a lesion in the patient's T2, all out as DICOM, and a study."""
    import slicer
    from slicer_bench.dicom_lib import ExportDialog

    real = add_examination(tmp_path)
    story.use_model(labelled_model)
    story.ui.realScanBox.setCurrentNode(real[0])
    story.press(story.ui.generateButton)
    assert story.ui.statusLabel.text.startswith("Done: SYNTHETIC t2w seed"), story.ui.statusLabel.text
    drawn = {node.GetAttribute("CCELLA.Sequence"): node for node in synthetic_volumes()}
    assert sorted(drawn) == ["adc", "hbv", "t2w"]

    (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    segments = segmentation.GetSegmentation()
    assert [segments.GetNthSegment(place).GetName() for place in range(2)] == ["Gland", "Lesion"]
    gland, lesion = (
        slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segments.GetNthSegmentID(place), drawn["t2w"]) > 0
        for place in range(2)
    )
    assert (
        gland.shape == slicer.util.arrayFromVolume(drawn["t2w"]).shape and gland.any() and not (lesion & ~gland).any()
    )
    assert segmentation.GetName().startswith("SYNTHETIC") and segmentation.GetNodeReference("CCELLA.Provenance")
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    assert len({hierarchy.GetItemParent(item_of(node)) for node in (segmentation, *drawn.values())}) == 1

    story.ui.bpmriButton.click()
    story.bench.process_events(0.2)
    assert row_of("Synthetic") == [drawn[name].GetID() for name in ("t2w", "adc", "hbv")]
    assert row_of("Real") == [node.GetID() for node in real]
    labelled = story.labelled_views()
    assert all(f"CCELLA_Synthetic_{name}" in labelled for name in drawn) and not any(
        "Real" in view for view in labelled
    )
    story.ui.bpmriButton.click()

    before = slicer.util.arrayFromVolume(real[0]).copy()
    centre, _axes = centre_and_axes(real[0])
    point = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Lesion")
    point.AddControlPointWorld(*centre)
    story.ui.editScanBox.setCurrentNode(real[0])
    story.ui.editPointBox.setCurrentNode(point)
    story.ui.editRadiusSpin.value = radius = 6.0
    story.press(story.ui.editButton)
    edited = story.parameters.result
    assert edited.GetName().startswith("SYNTHETIC (EDITED FROM "), story.ui.statusLabel.text
    after, matrix = slicer.util.arrayFromVolume(edited), ijk_to_ras(edited)
    changed = np.argwhere(before != after)[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]
    assert len(changed) > 0 and np.linalg.norm(changed - centre, axis=1).max() <= radius
    assert np.array_equal(slicer.util.arrayFromVolume(real[0]), before)  # the scan itself is as it was
    story.ui.compareButton.click()

    volumes = [drawn["t2w"], drawn["adc"], drawn["hbv"], edited]
    folder = tmp_path / "dicom"
    folder.mkdir()
    assert ExportDialog([item_of(node) for node in volumes]).export(str(folder)) == ""
    described = {pydicom.dcmread(next(each.iterdir())).SeriesDescription: each for each in folder.glob("*/*")}
    series = [
        next(each for words, each in described.items() if words.startswith(node.GetName().rstrip(")")))
        for node in volumes
    ]
    assert len(described) == len(set(series)) == 4 and len({each.parent for each in series[:3]}) == 1
    assert_labelled_and_nobody(series[-1])
    for node, each in zip(volumes, series, strict=True):
        assert_read_back(each, node)
    story.read_a_study(tmp_path / "study", cases=len(volumes) + len(real))
    assert story.bench.messages == []
