"""A scene as Slicer starts with it: Slicer's own scene and logics, and what its Qt part adds to them.

In Slicer the subject hierarchy is kept in step with the scene by Qt code (qSlicerSubjectHierarchyPluginLogic): each
node that the user can see gets an item under the scene, owned by a plugin, and loses it with the node. That is done
here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import slicer
import vtk

OWNER_PLUGINS = {
    "vtkMRMLLabelMapVolumeNode": "LabelMaps",
    "vtkMRMLVolumeNode": "Volumes",
    "vtkMRMLTextNode": "Texts",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLPlotChartNode": "Charts",
    "vtkMRMLPlotSeriesNode": "PlotSeries",
    "vtkMRMLTransformNode": "Transforms",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLSegmentationNode": "Segmentations",
}
MODULE_LOGICS = {
    "colors": "vtkSlicerColorLogic",
    "volumes": "vtkSlicerVolumesLogic",
    "plots": "vtkSlicerPlotsLogic",
    "tables": "vtkSlicerTablesLogic",
    "texts": "vtkSlicerTextsLogic",
    "transforms": "vtkSlicerTransformLogic",
    "models": "vtkSlicerModelsLogic",
    "markups": "vtkSlicerMarkupsLogic",
    "cameras": "vtkSlicerCamerasModuleLogic",
    "viewcontrollers": "vtkSlicerViewControllersLogic",
    "volumerendering": "vtkSlicerVolumeRenderingLogic",
    "subjecthierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "segmentations": "vtkSlicerSegmentationsModuleLogic",
    "units": "vtkSlicerUnitsLogic",
}
MODULES_BY_NAME = {
    "colors": "Colors",
    "volumes": "Volumes",
    "markups": "Markups",
    "cameras": "Cameras",
    "volumerendering": "VolumeRendering",
    "segmentations": "Segmentations",
}  # the names under which Slicer's own logics look for each other
SHARE = "share/Slicer-5.13"  # below Slicer's home
FIRST = 10.0
"""Priority of an observer that comes before displayable managers, which ask the hierarchy for each item's parents."""
IN_BULK = ("IsBatchProcessing", "IsClosing", "IsImporting", "IsRestoring")


class SceneOfSlicer:
    """The scene, its application logic and the logics of Slicer's own modules by the modules' lower-case names."""

    def __init__(self, folder: Path) -> None:
        home = folder / "Slicer"
        temporary = folder / "temporary"
        for path in (home / SHARE / "ColorFiles", temporary):
            path.mkdir(parents=True, exist_ok=True)
        self.scene = slicer.vtkMRMLScene()
        self._keep_data_readable(temporary)
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.application_logic.SetHomeDirectory(str(home))
        self.application_logic.SetShareDirectory(SHARE)
        self.application_logic.SetTemporaryPath(str(temporary))
        self.application_logic.SetMRMLScene(self.scene)
        self.logics = {module: self._start(kind) for module, kind in MODULE_LOGICS.items()}
        self.application_logic.SetColorLogic(self.logics["colors"])
        for module, name in MODULES_BY_NAME.items():
            self.application_logic.SetModuleLogic(name, self.logics[module])
        self._hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        self._observe()

    def close(self) -> None:
        """Let go of the scene as Slicer does when it quits."""
        for tag in self._tags:
            self.scene.RemoveObserver(tag)
        self.scene.Clear(True)

    def _start(self, kind: str) -> Any:
        logic = getattr(slicer, kind)()
        logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetMRMLScene(self.scene)
        return logic

    def _keep_data_readable(self, temporary: Path) -> None:
        """Storage nodes ask the scene for these two before they read or write."""
        manager = slicer.vtkDataIOManager()
        cache = slicer.vtkCacheManager()
        cache.SetRemoteCacheDirectory(str(temporary))
        manager.SetCacheManager(cache)
        self.scene.SetDataIOManager(manager)
        self.scene.SetCacheManager(cache)

    def _observe(self) -> None:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def added(scene: Any, _event: str, node: Any) -> None:
            if not any(getattr(scene, state)() for state in IN_BULK):
                self._add_item(node)

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def removed(scene: Any, _event: str, node: Any) -> None:
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
            if not scene.IsClosing() and hierarchy and hierarchy.GetItemByDataNode(node):
                hierarchy.RemoveItem(hierarchy.GetItemByDataNode(node), False, False)

        def in_bulk_over(scene: Any, _event: str) -> None:
            # Items that were read name their nodes; a manager that meets one without its node never ends.
            hierarchy = slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)
            assert hierarchy is not None
            for index in range(scene.GetNumberOfNodes()):
                self._add_item(scene.GetNthNode(index))

        self._tags = [
            self.scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added),
            self.scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, removed),
            self.scene.AddObserver(slicer.vtkMRMLScene.EndImportEvent, in_bulk_over, FIRST),
            self.scene.AddObserver(slicer.vtkMRMLScene.EndBatchProcessEvent, in_bulk_over),
        ]

    def _add_item(self, node: Any) -> None:
        plugin = next((name for kind, name in OWNER_PLUGINS.items() if node.IsA(kind)), None)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self.scene)
        if plugin is None or node.GetHideFromEditors() or hierarchy.GetItemByDataNode(node):
            return
        item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
        hierarchy.SetItemOwnerPluginName(item, plugin)
