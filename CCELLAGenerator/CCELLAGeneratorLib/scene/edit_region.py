"""What the worker needs of the scene to edit a scan: the scan as a file, and where it may change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

SCAN_FILE, MASK_FILE = "scan.nrrd", "mask.nrrd"
"""In a folder of the run's own, which is deleted at its end: neither name nor content says whose they are."""

FEWEST_SLICES = 2


class RegionError(ValueError):
    """Why a scan cannot be edited there, in a sentence for the user."""


def edit_inputs(
    folder: Path,
    scan: slicer.vtkMRMLScalarVolumeNode,
    where: slicer.vtkMRMLNode | Sequence[float] | None,
    radius: float | None,
) -> dict[str, Any]:
    """Write into ``folder`` what the worker reads.

    Args:
        folder: takes the scan and the mask.
        scan: what is edited. The transforms that it is under are left out: the result gets them too.
        where: a point (three numbers, RAS mm of the world, or a markups node, whose first point counts), a segmentation
            (its visible segments), a label map of the scan, or ``None``: everywhere.
        radius: mm around a point.

    Returns:
        Parameters of the worker's ``generate``.

    Raises:
        RegionError: there is no point, no segment, no radius, a node of another kind, or no scan that can be edited.
        OSError: a file cannot be written.
    """
    _check(scan)
    params: dict[str, Any] = {"image": str(_written(scan, folder / SCAN_FILE))}
    if where is None:
        return params
    if not isinstance(where, slicer.vtkMRMLNode):
        return params | _sphere(scan, where, radius)
    if where.IsA("vtkMRMLMarkupsNode"):
        return params | _sphere(scan, _first_point(where), radius)
    if where.IsA("vtkMRMLSegmentationNode"):
        return params | {"mask": str(_written(_label_map_of(where, scan), folder / MASK_FILE))}
    if where.IsA("vtkMRMLLabelMapVolumeNode"):
        return params | {"mask": str(_written(where, folder / MASK_FILE))}
    raise RegionError(_("{name} is neither a point nor a segmentation.").format(name=where.GetName()))


def _check(scan: slicer.vtkMRMLScalarVolumeNode) -> None:
    """What the worker would refuse as well, but by the name of a file that the user has never seen."""
    if min(scan.GetImageData().GetDimensions()) < FEWEST_SLICES:
        raise RegionError(_("{name} is one slice, not a three-dimensional scan.").format(name=scan.GetName()))
    if not np.isfinite(slicer.util.arrayFromVolume(scan)).all():
        raise RegionError(_("{name} has voxels that are NaN or infinite.").format(name=scan.GetName()))


def _sphere(
    scan: slicer.vtkMRMLScalarVolumeNode, point: Sequence[float], radius: float | None
) -> dict[str, list[float] | float]:
    if radius is None or radius <= 0:
        raise RegionError(_("Say how far around the point the scan may change: a radius above 0 mm."))
    if len(point) != 3:
        raise RegionError(_("A point is three numbers in mm."))
    own = [0.0, 0.0, 0.0]
    scan.TransformPointFromWorld([float(number) for number in point], own)
    return {"around": own, "radius": float(radius)}


def _first_point(markups: slicer.vtkMRMLMarkupsNode) -> list[float]:
    for index in range(markups.GetNumberOfControlPoints()):
        if markups.GetNthControlPointPositionStatus(index) == markups.PositionDefined:
            return list(markups.GetNthControlPointPositionWorld(index))
    raise RegionError(_("{name} has no point yet: place one in a slice view.").format(name=markups.GetName()))


def _label_map_of(
    segmentation: slicer.vtkMRMLSegmentationNode, scan: slicer.vtkMRMLScalarVolumeNode
) -> slicer.vtkMRMLLabelMapVolumeNode:
    """The visible segments on the scan's grid, in a node outside the scene."""
    names = vtk.vtkStringArray()
    display = segmentation.GetDisplayNode()
    if display is not None:
        display.GetVisibleSegmentIDs(names)
    else:
        segmentation.GetSegmentation().GetSegmentIDs(names)
    if not names.GetNumberOfValues():
        raise RegionError(_("{name} has no visible segment.").format(name=segmentation.GetName()))
    label_map = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")  # the export works in a scene only
    try:
        done = slicer.vtkSlicerSegmentationsModuleLogic.ExportSegmentsToLabelmapNode(
            segmentation, names, label_map, scan, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY
        )
        if not done:
            raise RegionError(_("{name} cannot be laid on the scan.").format(name=segmentation.GetName()))
    finally:
        slicer.mrmlScene.RemoveNode(label_map)
    return label_map


def _written(volume: slicer.vtkMRMLVolumeNode, path: Path) -> Path:
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(str(path))
    storage.SetUseCompression(False)
    if not storage.WriteData(volume):
        raise OSError(_("{path} cannot be written.").format(path=path))
    return path
