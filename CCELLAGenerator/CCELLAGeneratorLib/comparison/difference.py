"""What an edit changed, in colour over the scan that it was made from."""

from __future__ import annotations

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..scene.geometry import world_from_ijk
from ..scene.nodes import TemporaryNodes
from ..scene.volumes import NAME_PREFIX, SOURCE_ATTRIBUTE, source_of
from .slice_row import SliceRow

COLOURS = "vtkMRMLColorTableNodeIron"
OPACITY = 0.6
STRONGEST_PERCENTILE = 99
"""Of the changes, which gets the brightest colour."""


def can_be_shown(edited: slicer.vtkMRMLScalarVolumeNode, scan: slicer.vtkMRMLScalarVolumeNode) -> bool:
    """Whether one was edited from the other, and both still have the same voxels."""
    same = edited.GetImageData().GetDimensions() == scan.GetImageData().GetDimensions()
    return source_of(edited) is scan and same


def middle_of_change(edited: slicer.vtkMRMLScalarVolumeNode, scan: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray | None:
    """The middle of what an edit changed, (3,) RAS mm of the world; ``None`` where it changed nothing."""
    places = np.argwhere(_amount(edited, scan) > 0)
    if not len(places):
        return None
    ijk = ((places.min(axis=0) + places.max(axis=0)) / 2)[::-1]
    return (world_from_ijk(scan) @ [*ijk, 1])[:3]


def add_difference(
    nodes: TemporaryNodes, edited: slicer.vtkMRMLScalarVolumeNode, scan: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLScalarVolumeNode:
    """A volume of the amount by which each voxel was changed, transparent where it was not; labelled as synthetic."""
    amount = _amount(edited, scan)
    changed = amount[amount > 0]
    volume = nodes.add("vtkMRMLScalarVolumeNode", f"{NAME_PREFIX} {_('difference')}")
    volume.SetHideFromEditors(True)
    volume.SetAttribute(SOURCE_ATTRIBUTE, edited.GetAttribute(SOURCE_ATTRIBUTE))
    slicer.util.updateVolumeFromArray(volume, amount)
    volume.CopyOrientation(scan)
    volume.SetAndObserveTransformNodeID(scan.GetTransformNodeID())
    display = nodes.add("vtkMRMLScalarVolumeDisplayNode", volume.GetName())
    volume.SetAndObserveDisplayNodeID(display.GetID())
    display.SetAndObserveColorNodeID(COLOURS)
    display.SetAutoWindowLevel(False)
    strongest = float(np.percentile(changed, STRONGEST_PERCENTILE)) if changed.size else 1.0
    display.SetWindowLevelMinMax(0.0, strongest)
    display.AutoThresholdOff()
    display.SetLowerThreshold(float(changed.min()) if changed.size else 1.0)
    display.SetUpperThreshold(float(changed.max()) if changed.size else 1.0)
    display.ApplyThresholdOn()
    return volume


def _amount(edited: slicer.vtkMRMLScalarVolumeNode, scan: slicer.vtkMRMLScalarVolumeNode) -> np.ndarray:
    """By how much each voxel was changed, float32."""
    return np.abs(slicer.util.arrayFromVolume(edited).astype(np.float32) - slicer.util.arrayFromVolume(scan))


def show_over(row: SliceRow, volume: slicer.vtkMRMLScalarVolumeNode | None) -> None:
    """Lay a volume over a row of slice views; with ``None`` nothing."""
    for composite in row.composites:
        composite.SetForegroundVolumeID(volume.GetID() if volume is not None else None)
        composite.SetForegroundOpacity(OPACITY if volume is not None else 0.0)
