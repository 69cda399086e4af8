"""Volumes of one examination and their labels in the scene: one folder, a segmentation, and nothing half-done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from fake_client import save_labels, save_volume

from ccella_core.imaging.label_map import LabelMap


@pytest.fixture
def examinations(slicer_bench: Any) -> Any:
    """The module under test, imported once Slicer's stand-ins are there."""
    from CCELLAGeneratorLib.scene import examinations

    return examinations


def result(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"volumes": list(entries), "seconds": 1.0, "load_seconds": 0.0}


def examination(folder: Path, seed: int = 7, sequences: tuple[str, ...] = ("t2w", "hbv", "adc")) -> list[dict]:
    labels = save_labels(folder, f"seed{seed}-labels", seed=seed)
    return [
        {**save_volume(folder, f"seed{seed}_{name}", sequence=name, seed=seed), "labels": labels} for name in sequences
    ]


def names_below(item: int) -> list[str]:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    import vtk

    children = vtk.vtkIdList()
    hierarchy.GetItemChildren(item, children)
    return [hierarchy.GetItemName(children.GetId(place)) for place in range(children.GetNumberOfIds())]


def folder_of(*path: str) -> int:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetSceneItemID()
    for name in path:
        item = hierarchy.GetItemChildWithName(item, name)
    return item


def test_an_examination_lies_in_one_folder(examinations: Any, tmp_path: Path) -> None:
    nodes = examinations.add_examinations(result(*examination(tmp_path), *examination(tmp_path, seed=8)))
    assert [node.GetAttribute("CCELLA.Sequence") for node in nodes] == ["t2w", "hbv", "adc"] * 2
    assert names_below(folder_of("SYNTHETIC – CCELLA")) == ["SYNTHETIC seed 7 (tiny)", "SYNTHETIC seed 8 (tiny)"]
    inside = names_below(folder_of("SYNTHETIC – CCELLA", "SYNTHETIC seed 8 (tiny)"))
    volumes = [f"SYNTHETIC {name} seed 8 (tiny)" for name in ("t2w", "hbv", "adc")]
    labels = "SYNTHETIC seed 8 (tiny) labels"
    assert sorted(inside) == sorted([*volumes, labels, *[f"{name} provenance" for name in (*volumes, labels)]])


def test_a_single_volume_without_labels_needs_no_folder(examinations: Any, tmp_path: Path) -> None:
    (node,) = examinations.add_examinations(result(save_volume(tmp_path)))
    assert names_below(folder_of("SYNTHETIC – CCELLA")) == [node.GetName(), f"{node.GetName()} provenance"]


def test_labels_are_a_segmentation_on_their_volumes(examinations: Any, tmp_path: Path) -> None:
    scan = slicer.util.addVolumeFromArray(np.zeros((5, 30, 40)), np.diag([-0.5, -0.5, 4.0, 1.0]), "T2 of a patient")
    entries = examination(tmp_path)
    nodes = examinations.add_examinations(result(*entries), scan)
    (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    assert segmentation.GetName() == "SYNTHETIC seed 7 (tiny) labels"
    saved = LabelMap.load(entries[0]["labels"]["path"])
    for name, label in (("Gland", "gland"), ("Lesion", "lesion")):
        segment = segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)
        drawn = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, nodes[0])
        np.testing.assert_array_equal(drawn, saved.mask(label).transpose(2, 1, 0))
        term = segmentation.GetSegmentation().GetSegment(segment).GetTerminology()
        assert {"Gland": "Prostate", "Lesion": "Lesion"}[name] in str(term)
    assert segmentation.GetAttribute("CCELLA.Synthetic") == "1"
    assert segmentation.GetAttribute("CCELLA.Labels") == '{"gland": 1, "lesion": 2}'
    assert segmentation.GetDisplayNode().GetVisibility() == 0
    assert not slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeNode")  # those on the way are gone


def test_an_empty_lesion_is_an_empty_segment(examinations: Any, tmp_path: Path) -> None:
    entry = save_volume(tmp_path)
    labels = save_labels(tmp_path, "case-labels", lesion=False)
    (node,) = examinations.add_examinations(result({**entry, "labels": labels}))
    (segmentation,) = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    drawn = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "Gland", node)
    assert drawn.sum() > 0 and segmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_labels_that_cannot_be_read_leave_the_scene_alone(examinations: Any, tmp_path: Path) -> None:
    entries = examination(tmp_path)
    before = slicer.mrmlScene.GetNumberOfNodes()
    Path(entries[0]["labels"]["path"]).unlink()
    with pytest.raises(OSError, match=r"The generated labels .* cannot be read"):
        examinations.add_examinations(result(*entries))
    assert slicer.mrmlScene.GetNumberOfNodes() == before
