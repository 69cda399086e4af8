"""Generated files become volumes of the scene: labelled, placed on the real scan, with all that made them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from .geometry import ijk_to_world_on

# What is stored in the scene is not translated, so that a scene reads the same on every computer.
NAME_PREFIX = "SYNTHETIC"
FOLDER_NAME = "SYNTHETIC – CCELLA"
ATTRIBUTE_PREFIX = "CCELLA."
SYNTHETIC_ATTRIBUTE = f"{ATTRIBUTE_PREFIX}Synthetic"
SOURCE_ATTRIBUTE = f"{ATTRIBUTE_PREFIX}SourceSha256"
SOURCE_ROLE = f"{ATTRIBUTE_PREFIX}EditedFrom"
SOURCE_DIGITS = 8
PROVENANCE_ROLE = f"{ATTRIBUTE_PREFIX}Provenance"
SYNTHETIC_NAME = re.compile(rf"(?:\d+: )?{NAME_PREFIX}")
"""Of a node that was loaded: by a file's name, or by a DICOM series' number and description."""
EDITED_NAME = re.compile(rf"{SYNTHETIC_NAME.pattern}(?:.EDITED_FROM_| \(EDITED FROM )([0-9a-f]+)")
GREY = "vtkMRMLColorTableNodeGrey"
WINDOW_PERCENTILES = (1, 99)
"""The darkest and brightest percent are left outside the window: a few bright voxels would make all others dark."""
WINDOW_SAMPLES = 200_000
"""Voxels whose percentiles are taken: the same to the eye as those of all, and found in no time."""


def add_volumes(
    result: dict[str, Any],
    reference_node: slicer.vtkMRMLVolumeNode | None = None,
    output_node: slicer.vtkMRMLScalarVolumeNode | None = None,
    *,
    title: str = "",
) -> list[slicer.vtkMRMLScalarVolumeNode]:
    """Put the volumes of one generation into the scene; those of an edit: see ``examinations.add_edited``.

    Args:
        result: the value of the worker's ``generate``.
        reference_node: the real scan to lay them on; where the model put them by default.
        output_node: takes the first volume, and loses what it held; the others become new nodes.
        title: goes into the names.

    Returns:
        The nodes, each with a text node of its provenance, both in the folder of synthetic volumes. Labels are not put
        there; see ``add_examinations``.

    Raises:
        OSError: a file cannot be read; the scene is then as before.
    """
    read = [(_read(Path(entry["path"])), read_sidecar(Path(entry["sidecar"]))) for entry in result["volumes"]]
    nodes = []
    for volume, sidecar in read:
        if reference_node is not None:
            placed = ijk_to_world_on(volume, reference_node)
            volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(placed))
        node = output_node if output_node is not None and not nodes else volume
        if node is not volume:
            node.SetAndObserveTransformNodeID(None)
            node.CopyOrientation(volume)
            node.SetAndObserveImageData(volume.GetImageData())
        describe(node, sidecar)
        _name(node, sidecar, title)
        if node.GetScene() is None:
            slicer.mrmlScene.AddNode(node)
        _display_in_grey(node)
        file_nodes(node, provenance_text(node, sidecar))
        nodes.append(node)
    return nodes


def source_of(node: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeNode | None:
    """The scan of the scene that a volume was edited from, if it was and is there."""
    return node.GetNodeReference(SOURCE_ROLE)


def edited_from(node: slicer.vtkMRMLNode) -> str:
    """The first digits of the hash of what a volume was edited from, also of one that was loaded from a file."""
    source = node.GetAttribute(SOURCE_ATTRIBUTE) or ""
    named = EDITED_NAME.match(node.GetName() or "")
    return source[:SOURCE_DIGITS] or (named.group(1) if named else "")


def is_synthetic(node: slicer.vtkMRMLNode | None) -> bool:
    """Whether the node is marked as synthetic, or was loaded from a file that says so in its name."""
    if node is None:
        return False
    return node.GetAttribute(SYNTHETIC_ATTRIBUTE) == "1" or bool(SYNTHETIC_NAME.match(node.GetName() or ""))


def _read(path: Path) -> slicer.vtkMRMLScalarVolumeNode:
    """The image as a node outside the scene; its storage is left behind, because the file is a temporary one."""
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(path))
    storage.SetSingleFile(True)  # files of similar names beside it are not slices of it
    volume = slicer.vtkMRMLScalarVolumeNode()
    if not path.is_file() or not storage.ReadData(volume):
        raise OSError(_("The generated volume {path} cannot be read.").format(path=path))
    return volume


def read_sidecar(path: Path) -> dict[str, Any]:
    """What made an image. Raises OSError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise OSError(_("{path} does not say how its volume was made.").format(path=path)) from error


def describe(node: slicer.vtkMRMLNode, sidecar: dict[str, Any]) -> None:
    """Every entry of the provenance as an attribute: ``seed`` as ``CCELLA.Seed``; what is not set has none."""
    for name in node.GetAttributeNames():
        if name.startswith(ATTRIBUTE_PREFIX):
            node.RemoveAttribute(name)
    node.SetAttribute(SYNTHETIC_ATTRIBUTE, "1")
    for key, value in {"sequence": sidecar["sequence"], "labels": sidecar["labels"], **sidecar["provenance"]}.items():
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            node.SetAttribute(ATTRIBUTE_PREFIX + key.title().replace("_", ""), text)


def _name(node: slicer.vtkMRMLScalarVolumeNode, sidecar: dict[str, Any], title: str) -> None:
    made = sidecar["provenance"]
    source = edited_from(node)
    first = f"{NAME_PREFIX} (EDITED FROM {source})" if source else NAME_PREFIX
    words = [first, *([title] if title else []), sidecar["sequence"]]
    name = f"{' '.join(words)} seed {made['seed']} ({made['model_name']})"
    if not (node.GetName() or "").startswith(name):  # a node whose volume is made again keeps its number
        node.SetName(slicer.mrmlScene.GenerateUniqueName(name))


def _display_in_grey(node: slicer.vtkMRMLScalarVolumeNode) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(GREY)
    display.SetAutoWindowLevel(False)
    voxels = slicer.util.arrayFromVolume(node).ravel()
    dark, bright = np.percentile(voxels[:: max(1, voxels.size // WINDOW_SAMPLES)], WINDOW_PERCENTILES)
    display.SetWindowLevelMinMax(dark, bright)


def provenance_text(node: slicer.vtkMRMLNode, sidecar: dict[str, Any]) -> slicer.vtkMRMLTextNode:
    """A text node with the whole sidecar of a node; the node's own if it has one already."""
    text = node.GetNodeReference(PROVENANCE_ROLE)
    if text is None:
        text = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
        node.SetNodeReferenceID(PROVENANCE_ROLE, text.GetID())
    text.SetName(f"{node.GetName()} provenance")
    text.SetText(json.dumps(sidecar, indent=2, ensure_ascii=False))
    return text


def file_nodes(*nodes: slicer.vtkMRMLNode, examination: str = "") -> None:
    """Move nodes into the subject hierarchy's folder of synthetic volumes, or into an examination's folder in it."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.GetSceneItemID()
    for name in filter(None, (FOLDER_NAME, examination)):
        folder = hierarchy.GetItemChildWithName(folder, name) or hierarchy.CreateFolderItem(folder, name)
    for node in nodes:
        hierarchy.CreateItem(folder, node)  # moves an item that is there already
