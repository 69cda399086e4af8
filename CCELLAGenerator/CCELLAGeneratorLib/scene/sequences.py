"""Which volumes of the scene are the T2, ADC and high b of one examination, synthetic or real."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
import slicer

from .geometry import sample_both
from .volumes import ATTRIBUTE_PREFIX, is_synthetic

SEQUENCES = ("t2w", "adc", "hbv")
"""As readers hang them from left to right."""
PATTERNS = {
    "adc": re.compile(r"(?<![a-z])adc(?![a-z])|apparent", re.IGNORECASE),
    "hbv": re.compile(
        r"(?<![a-z])(hbv|high[ _-]?b)|calc\w*[ _-]*b|(?<![a-z])b[ _=-]*(val\w*[ _=-]*)?(1[0-9]{3}|2000|[89]00)(?!\d)",
        re.IGNORECASE,
    ),
    "t2w": re.compile(r"(?<![a-z])t2", re.IGNORECASE),
}
"""Of names and DICOM descriptions, in this order: an ADC map's description may name the b-values that it is of."""
SERIES_DESCRIPTION = "DICOM.SeriesDescription"
OF_ONE_EXAMINATION = tuple(f"{ATTRIBUTE_PREFIX}{name}" for name in ("Created", "Seed", "ModelSha256"))
"""Attributes that the volumes of a synthetic examination have in common, and no others have all of them."""
ADC_MEDIAN = (100.0, 5000.0)
"""Of the voxels above 0 in 10⁻⁶ mm²/s, as the library has it: tissue has 500 to 2000, and air is noise."""
ADC_OF_WATER = 1200.0
"""What the highest voxel reaches at least where the unit is another one; less, and the map may have been scaled."""
ADC_UNITS = (1.0, 1e-3, 1e-6)
"""What 10⁻⁶ mm²/s is in a map that is written in 10⁻⁶, 10⁻³ or 1 mm²/s."""


def examination_of(volume: slicer.vtkMRMLScalarVolumeNode | None) -> dict[str, slicer.vtkMRMLScalarVolumeNode]:
    """The volumes of a volume's examination by sequence, itself included; of a real one those that are found.

    A synthetic volume says what it belongs to. Of a real one those are taken that lie in the same study of the subject
    hierarchy (or beside it, where there are no studies), share a part of the world with it, and are named, or described
    by DICOM, as one of the sequences; the first of several.
    """
    if volume is None:
        return {}
    if is_synthetic(volume):
        own = [volume.GetAttribute(name) for name in OF_ONE_EXAMINATION]
        others = [node for node in _scalar_volumes() if own == [node.GetAttribute(name) for name in OF_ONE_EXAMINATION]]
        by_sequence = {node.GetAttribute(f"{ATTRIBUTE_PREFIX}Sequence"): node for node in reversed(others)}
        found = {name: by_sequence[name] for name in SEQUENCES if name in by_sequence}
        return {**found, **({sequence: volume} if (sequence := _stated(volume)) else {})}
    found = {}
    for node in _beside(volume):
        name = None if node is volume or is_synthetic(node) else sequence_of(node)
        if name is not None and name not in found and sample_both(volume, node).overlap:
            found[name] = node
    # What was chosen is what it says, and a T2 where it says nothing: that is what scans are chosen as.
    found[sequence_of(volume) or "t2w"] = volume
    return {name: found[name] for name in SEQUENCES if name in found}


def sequence_of(volume: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    """By the DICOM description, and where that tells nothing by the node's name."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    described = hierarchy.GetItemAttribute(hierarchy.GetItemByDataNode(volume), SERIES_DESCRIPTION)
    for text in filter(None, (described, volume.GetName())):
        found = next((name for name, pattern in PATTERNS.items() if pattern.search(text)), None)
        if found is not None:
            return found
    return None


def adc_unit(volume: slicer.vtkMRMLScalarVolumeNode) -> float | None:
    """What 10⁻⁶ mm²/s is in the volume's own numbers: 1, 0.001 (of 10⁻³ mm²/s) or 0.000001; ``None``: no telling."""
    values = slicer.util.arrayFromVolume(volume).ravel().astype(float)
    positive = values[np.isfinite(values) & (values > 0)]
    if not positive.size:
        return None
    median, highest = float(np.median(positive)), float(positive.max())
    for unit in ADC_UNITS:
        if ADC_MEDIAN[0] <= median / unit <= ADC_MEDIAN[1]:
            return unit if unit == 1 or highest / unit >= ADC_OF_WATER else None
    return None


def _stated(volume: slicer.vtkMRMLScalarVolumeNode) -> str | None:
    name = volume.GetAttribute(f"{ATTRIBUTE_PREFIX}Sequence")
    return name if name in SEQUENCES else None


def _scalar_volumes() -> list[slicer.vtkMRMLScalarVolumeNode]:
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node for node in nodes if not node.IsA("vtkMRMLLabelMapVolumeNode") and node.GetImageData()]


def _beside(volume: slicer.vtkMRMLScalarVolumeNode) -> Iterator[slicer.vtkMRMLScalarVolumeNode]:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)

    def parent(node: slicer.vtkMRMLNode) -> int:
        return hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))

    own = parent(volume)
    return (node for node in _scalar_volumes() if parent(node) == own)
