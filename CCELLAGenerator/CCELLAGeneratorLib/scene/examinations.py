"""Volumes of one examination in a folder of their own, with the labels that the model drew as a segmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .volumes import (
    NAME_PREFIX,
    PROVENANCE_ROLE,
    SOURCE_DIGITS,
    SOURCE_ROLE,
    add_volumes,
    describe,
    file_nodes,
    provenance_text,
    read_sidecar,
)

SEGMENTS = {
    "gland": (
        "Gland",
        (0.65, 0.85, 0.55),
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
        "~SCT^41216001^Prostate~^^~Anatomic codes - DICOM master list~^^~^^",
    ),
    "lesion": (
        "Lesion",
        (0.90, 0.30, 0.20),
        "Segmentation category and type - 3D Slicer General Anatomy list~SCT^49755003^Morphologically Altered Structure"
        "~SCT^52988006^Lesion~^^~Anatomic codes - DICOM master list~SCT^41216001^Prostate~^^",
    ),
}
"""Name, colour and terminology of a label's segment. They are stored in the scene, so they are not translated."""


def add_examinations(
    result: dict[str, Any],
    reference_node: slicer.vtkMRMLVolumeNode | None = None,
    output_node: slicer.vtkMRMLScalarVolumeNode | None = None,
    *,
    title: str = "",
) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Put the volumes of one generation into the scene, as ``add_volumes`` does, and the labels with them.

    Volumes of one seed, where there are several of them or labels, come into a folder of their own, labels and
    provenances with them. The labels are hidden at first: an outline would hide what it surrounds.

    Returns:
        The volume nodes.

    Raises:
        OSError: a file cannot be read; the scene is then as before.
    """
    entries = result["volumes"]
    by_path = {entry["labels"]["path"]: entry["labels"] for entry in entries if entry["labels"] is not None}
    labels = {path: (_read_labels(Path(path)), read_sidecar(Path(each["sidecar"]))) for path, each in by_path.items()}
    nodes = add_volumes(result, reference_node, output_node, title=title)
    seeds = [entry["provenance"]["seed"] for entry in entries]
    for node, entry, seed in zip(nodes, entries, seeds, strict=True):
        if entry["labels"] is None and seeds.count(seed) == 1:
            continue
        name = _examination_name(entry["provenance"], title)
        file_nodes(node, node.GetNodeReference(PROVENANCE_ROLE), examination=name)
        drawn = None if entry["labels"] is None else labels.pop(entry["labels"]["path"], None)
        if drawn is not None:  # with the first of its volumes, on which it lies as on the others
            segmentation = _add_segmentation(*drawn, node, f"{name} labels")
            file_nodes(segmentation, provenance_text(segmentation, drawn[1]), examination=name)
    return nodes


def add_edited(
    result: dict[str, Any],
    scan: slicer.vtkMRMLScalarVolumeNode,
    output_node: slicer.vtkMRMLScalarVolumeNode | None = None,
) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Put the volumes that were edited from a scan into the scene: where the scan lies, under its transforms.

    Several of one seed come into a folder of their own, as those that were generated.

    Args:
        result: the value of the worker's ``generate``.
        scan: what they were edited from.
        output_node: as in ``add_volumes``.

    Raises:
        OSError: a file cannot be read; the scene is then as before.
    """
    nodes = add_examinations(result, output_node=output_node)
    for node in nodes:
        node.CopyOrientation(scan)
        node.SetAndObserveTransformNodeID(scan.GetTransformNodeID())
        node.SetNodeReferenceID(SOURCE_ROLE, scan.GetID())
    return nodes


def _examination_name(made: dict[str, Any], title: str) -> str:
    source = made.get("examination_sha256") or ""
    first = f"{NAME_PREFIX} (EDITED FROM {source[:SOURCE_DIGITS]})" if source else NAME_PREFIX
    return " ".join([first, *([title] if title else []), f"seed {made['seed']} ({made['model_name']})"])


def _read_labels(path: Path) -> np.ndarray:
    """(K, J, I), as Slicer has arrays."""
    storage, volume = slicer.vtkMRMLVolumeArchetypeStorageNode(), slicer.vtkMRMLLabelMapVolumeNode()
    storage.SetFileName(str(path))
    storage.SetSingleFile(True)  # files of similar names beside it are not slices of it
    if not path.is_file() or not storage.ReadData(volume):
        raise OSError(_("The generated labels {path} cannot be read.").format(path=path))
    return np.array(slicer.util.arrayFromVolume(volume))


def _add_segmentation(
    labels: np.ndarray, sidecar: dict[str, Any], volume: slicer.vtkMRMLScalarVolumeNode, name: str
) -> slicer.vtkMRMLSegmentationNode:
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", slicer.mrmlScene.GenerateUniqueName(name))
    describe(node, sidecar)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segmentation = node.GetSegmentation()
    for label, value in sidecar["labels"].items():
        words, colour, terminology = SEGMENTS[label]
        segment = segmentation.AddEmptySegment(words, words, colour)
        segmentation.GetSegment(segment).SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), terminology)
        # Segments may overlap: a lesion is a part of the gland.
        inside = labels > 0 if label == "gland" else labels == value
        slicer.util.updateSegmentBinaryLabelmapFromArray(inside.astype(np.uint8), node, segment, volume)
    node.GetDisplayNode().SetVisibility(False)
    return node
