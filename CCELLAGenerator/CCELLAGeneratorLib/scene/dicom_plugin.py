# ruff: noqa: N802, N803 - what Slicer calls is named as Slicer names it
"""What Slicer's *Export to DICOM*, in the subject hierarchy, offers for a synthetic volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
from DICOMLib import DICOMPlugin
from slicer.i18n import tr as _

from ..client.errors import ClientError
from .dicom_export import PLUGIN_NAME, can_be_exported, export_volumes


class ExportPlugin(DICOMPlugin):
    """Exports synthetic volumes so that they say what they are, and loads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.loadType = _("Synthetic MRI (CCELLA)")

    def examineForExport(self, subjectHierarchyItemID: int) -> list[Any]:
        """What can be made of an item: of a synthetic volume one series, and Slicer's own plugin comes second."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        node = hierarchy.GetItemDataNode(subjectHierarchyItemID)
        if not can_be_exported(node):
            return []
        exportable = slicer.qSlicerDICOMExportable()
        exportable.name = self.loadType
        exportable.tooltip = _(
            "MR images that say in their header that they are synthetic. Patient and study are made up; those of the "
            "subject hierarchy, and what is typed here, are not used."
        )
        exportable.subjectHierarchyItemID = subjectHierarchyItemID
        exportable.pluginClass = PLUGIN_NAME
        exportable.confidence = 1.0
        exportable.setTag("Modality", "MR")
        exportable.setTag("SeriesDescription", node.GetName())
        return [exportable]

    def export(self, exportables: list[Any]) -> str:
        """Write them into the directory that they name; returns what went wrong, or nothing."""
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        nodes = [hierarchy.GetItemDataNode(each.subjectHierarchyItemID) for each in exportables]
        try:
            # The user has chosen the directory for this, and pressing Export twice gives the same files.
            export_volumes(nodes, Path(exportables[0].directory), overwrite=True)
        except ClientError as error:
            return str(error)
        return ""
