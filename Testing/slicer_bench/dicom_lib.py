# ruff: noqa: N801, N802, N803, N815 - named as Slicer names it
"""``import DICOMLib`` and Slicer's *Export to DICOM*: plugins say what they can make of an item, and make it.

As qSlicerDICOMExportDialog and DICOMLib have it: every plugin is made anew for each call, exceptions of a plugin are
printed and end in an error, the offer of the highest confidence comes first, and an answer that is no text is an error.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, QObject


def _stored(name: str, kind: type, default: Any) -> Property:
    return Property(
        kind, lambda self: self._values.get(name, default), lambda self, value: self._values.update({name: value})
    )


class qSlicerDICOMExportable(QObject):
    """One series that a plugin can export."""

    tooltip = _stored("tooltip", str, "")
    subjectHierarchyItemID = _stored("subjectHierarchyItemID", int, 0)
    pluginClass = _stored("pluginClass", str, "")
    directory = _stored("directory", str, "")
    confidence = _stored("confidence", float, 0.0)

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, Any] = {}
        self._tags: dict[str, str] = {}

    def setTag(self, tagName: str, tagValue: str = "") -> None:
        if not isinstance(tagName, str) or not isinstance(tagValue, str):
            raise ValueError(f"a tag and its value are texts, not {tagName!r}: {tagValue!r}")
        self._tags[tagName] = tagValue

    def tag(self, tagName: str) -> str:
        return self._tags.get(tagName, "")


class DICOMPlugin:
    """The base class: it can do nothing, and asks for two tags."""

    def __init__(self) -> None:
        self.loadType = "Generic DICOM"
        self.loadableCache: dict[Any, Any] = {}
        self.tags = {"seriesDescription": "0008,103E", "seriesNumber": "0020,0011"}

    def examineForImport(self, fileList: list[list[str]]) -> list[Any]:
        return []

    def load(self, loadable: Any) -> bool:
        return True

    def examineForExport(self, subjectHierarchyItemID: int) -> list[Any]:
        return []

    def export(self, exportable: Any) -> str:
        return ""


class DICOMScalarVolumePluginClass(DICOMPlugin):
    """Slicer's own, which offers every scalar volume; it only makes the offer here."""

    def examineForExport(self, subjectHierarchyItemID: int) -> list[Any]:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        node = hierarchy.GetItemDataNode(subjectHierarchyItemID)
        if node is None or not node.IsA("vtkMRMLScalarVolumeNode"):
            return []
        exportable = qSlicerDICOMExportable()
        exportable.subjectHierarchyItemID = subjectHierarchyItemID
        exportable.pluginClass = "DICOMScalarVolumePlugin"
        exportable.confidence = 0.5
        return [exportable]


def load_series(folder: Path) -> Any:
    """The user loads a series from the DICOM browser: Slicer's own reader, under the name that DICOMLib gives.

    As ``DICOMPlugin.defaultSeriesNodeName`` has it, that begins with the number of the series. Attributes and other
    nodes of the module that wrote the series do not come back. Patient and study become items of the hierarchy.
    """
    import pydicom  # Slicer has it; a bench that only opens the module does without

    paths = sorted(str(path) for path in folder.iterdir())
    header = pydicom.dcmread(paths[0], stop_before_pixels=True)
    description = header.get("SeriesDescription") or "Unnamed Series"
    number = header.get("SeriesNumber")
    name = description if number is None else f"{number}: {description}"
    files = vtk.vtkStringArray()
    for path in paths:
        files.InsertNextValue(path)
    node = slicer.modules.volumes.logic().AddArchetypeScalarVolume(paths[0], name, 0, files)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    parent = hierarchy.GetSceneItemID()
    for item_of, title in (
        ("CreateSubjectItem", str(header.PatientName)),
        ("CreateStudyItem", header.StudyInstanceUID),
    ):
        found = hierarchy.GetItemChildWithName(parent, title)
        parent = found or getattr(hierarchy, item_of)(parent, title)
    hierarchy.SetItemParent(hierarchy.GetItemByDataNode(node), parent)
    return node


class ExportDialog:
    """*Export to DICOM* on items of one study, or on one volume. The bench's own."""

    def __init__(self, items: list[int]) -> None:
        offers: dict[str, list[Any]] = {}
        for item in items:
            for make in slicer.modules.dicomPlugins.values():
                for exportable in make().examineForExport(item):
                    offers.setdefault(exportable.pluginClass, []).append(exportable)
        self.offers = sorted(offers.values(), key=lambda each: -sum(one.confidence for one in each) / len(each))

    def export(self, directory: str) -> str:
        """The user presses Export with the first offer; what went wrong, or nothing."""
        for exportable in self.offers[0]:
            exportable.directory = directory
        plugin = slicer.modules.dicomPlugins[self.offers[0][0].pluginClass]()
        try:
            message = plugin.export(self.offers[0])
        except Exception:
            traceback.print_exc()
            return "DICOM export failed. See application log for details"
        return message if isinstance(message, str) else "Error occurred in exporter"
