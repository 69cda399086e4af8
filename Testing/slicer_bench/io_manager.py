# ruff: noqa: N801, N802 - named as Slicer names it
"""``slicer.app.coreIOManager()``: what ``slicer.util.loadVolume``, ``loadScene`` and ``saveScene`` ask for.

Volumes are read by Slicer's own volumes logic, scenes by the scene itself (``.mrb`` with all data, ``.mrml`` without).
Other kinds of file are not known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import vtk

VOLUME_ENDINGS = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm")
SCENE_ENDINGS = (".mrb", ".mrml")
LABEL_MAP, SINGLE_FILE = 1, 8  # options of vtkSlicerVolumesLogic.AddArchetypeVolume
VOLUME_PROPERTIES = frozenset({"fileName", "labelmap", "singleFile", "name", "show"})
SCENE_PROPERTIES = frozenset({"fileName", "clear"})


class qSlicerIOManager:
    """Reads and writes through the scene's own logics."""

    def __init__(self, scene: Any, application_logic: Any, volumes_logic: Any) -> None:
        self._scene = scene
        self._application_logic = application_logic
        self._volumes_logic = volumes_logic

    def fileType(self, filename: str) -> str:
        name = str(filename).lower()
        if name.endswith(SCENE_ENDINGS):
            return "SceneFile"
        if name.endswith(VOLUME_ENDINGS):
            return "VolumeFile"
        raise AttributeError(f"the bench cannot read files like {Path(filename).name}")

    def loadNodes(self, filetype: str, properties: dict, loaded: vtk.vtkCollection, messages: Any) -> bool:
        if filetype == "VolumeFile":
            return self._load_volume(properties, loaded)
        if filetype == "SceneFile":
            return self._load_scene(properties)
        raise AttributeError(f"the bench cannot read a {filetype}")

    def saveNodes(self, filetype: str, properties: dict, messages: Any) -> bool:
        if filetype != "SceneFile":
            raise AttributeError(f"the bench cannot write a {filetype}")
        _refuse_unknown(properties, SCENE_PROPERTIES)
        filename = properties["fileName"]
        if not isinstance(filename, str):
            raise TypeError(f"a file name has to be a string, not {filename!r}")
        if filename.endswith(".mrb"):
            return bool(self._scene.WriteToMRB(filename, None))
        if filename.endswith(".mrml"):
            self._scene.SetURL(filename)
            return bool(self._scene.Commit())
        raise AttributeError("the bench writes a scene as .mrb or .mrml only")

    def _load_volume(self, properties: dict, loaded: vtk.vtkCollection) -> bool:
        _refuse_unknown(properties, VOLUME_PROPERTIES)
        path = Path(properties["fileName"])
        name = properties.get("name") or path.name.split(".")[0]
        options = LABEL_MAP * properties.get("labelmap", False) + SINGLE_FILE * properties.get("singleFile", False)
        node = self._volumes_logic.AddArchetypeVolume(str(path), name, options, None) if path.is_file() else None
        if node is None:
            return False
        loaded.AddItem(node)
        if properties.get("show", True):
            selection = self._application_logic.GetSelectionNode()
            (selection.SetActiveLabelVolumeID if options & LABEL_MAP else selection.SetActiveVolumeID)(node.GetID())
            self._application_logic.PropagateVolumeSelection(True)
        return True

    def _load_scene(self, properties: dict) -> bool:
        _refuse_unknown(properties, SCENE_PROPERTIES)
        filename, clear = properties["fileName"], properties.get("clear", True)
        if filename.endswith(".mrb"):
            return bool(self._scene.ReadFromMRB(filename, clear))
        self._scene.SetURL(filename)
        return bool(self._scene.Connect() if clear else self._scene.Import())


def _refuse_unknown(properties: dict, known: frozenset[str]) -> None:
    unknown = sorted(set(properties) - known)
    if unknown:
        raise AttributeError(f"the bench does not know the property {unknown[0]!r} of loading and saving")
