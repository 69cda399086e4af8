# ruff: noqa: N801, N802, N803, N815 - named as Slicer names it
"""qMRML widgets that show and choose what is in the scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
import vtk
from PySide6.QtCore import Property, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QWidget

from .ui_loader import widget

SCENE_CHANGES = ("NodeAddedEvent", "NodeRemovedEvent", "EndCloseEvent", "EndImportEvent", "EndBatchProcessEvent")
SCENE_MODEL_PRIORITY = 10.0  # with which qMRMLSceneModel observes the scene


@widget
class qMRMLWidget(QWidget):
    """A widget that knows the scene and tells of it."""

    mrmlSceneChanged = Signal(object)
    VTK_SIGNALS = ("mrmlSceneChanged(vtkMRMLScene*)",)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


def _option(name: str, kind: Any, default: Any) -> Property:
    """A property of a node selector after whose change it looks at the scene anew."""
    return Property(
        kind,
        lambda self: self._options.get(name, default),
        lambda self, value: self._set_option(name, value),
    )


@widget
class qMRMLNodeComboBox(qMRMLWidget):
    """Chooses a node of ``nodeTypes``. Without ``noneEnabled`` some node is chosen as soon as there is one.

    Hidden nodes are left out unless ``showHidden``; derived classes are offered with ``showChildNodeTypes``. It follows
    the scene: a node renamed is shown under its new name. When the current node is removed, its neighbour is chosen,
    the one before it or else the one after, also with ``noneEnabled``; and this happens when the scene says that the
    node is about to be removed, with a priority of 10, before other observers hear of it. The choice becomes None where
    no other node is left, or where the current node is still in the scene but no longer fits.
    """

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    VTK_SIGNALS = (*qMRMLWidget.VTK_SIGNALS, "currentNodeChanged(vtkMRMLNode*)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._options: dict[str, Any] = {}
        self._attributes: list[tuple[str, str, str | None]] = []
        self._observed: list[tuple[Any, int]] = []
        self._nodes: list[Any] = []
        self._current: Any = None
        self._leaving: Any = None
        self._box = QComboBox()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self._box.activated.connect(lambda index: self.setCurrentNode(self._box.itemData(index)))
        observed = self._observed
        self.destroyed.connect(lambda: _forget(observed))

    def _set_option(self, name: str, value: Any) -> None:
        self._options[name] = value
        self._update()

    nodeTypes = _option("nodeTypes", "QStringList", [])
    noneEnabled = _option("noneEnabled", bool, False)
    noneDisplay = _option("noneDisplay", str, "None")
    addEnabled = _option("addEnabled", bool, True)
    removeEnabled = _option("removeEnabled", bool, True)
    editEnabled = _option("editEnabled", bool, False)
    renameEnabled = _option("renameEnabled", bool, False)
    showHidden = _option("showHidden", bool, False)
    showChildNodeTypes = _option("showChildNodeTypes", bool, True)
    selectNodeUponCreation = _option("selectNodeUponCreation", bool, True)
    baseName = _option("baseName", str, "")
    currentNodeID = Property(
        str,
        lambda self: self._current.GetID() if self._current else "",
        lambda self, identifier: self.setCurrentNodeID(identifier),
    )

    def addAttribute(self, nodeType: str, name: str, value: str | None = None) -> None:
        """Offer only nodes of this type that have the attribute (with this value, when one is given)."""
        self._attributes.append((nodeType, name, value))
        self._update()

    def currentNode(self) -> Any:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node)
        self._choose(node if node in self._nodes else None)

    def setCurrentNodeID(self, identifier: str) -> None:
        self.setCurrentNode(self._scene.GetNodeByID(identifier) if self._scene and identifier else None)

    def nodeCount(self) -> int:
        return len(self._nodes)

    def nodeFromIndex(self, index: int) -> Any:
        return self._nodes[index] if 0 <= index < len(self._nodes) else None

    def setMRMLScene(self, scene: Any) -> None:
        super().setMRMLScene(scene)
        _forget(self._observed)
        for event in SCENE_CHANGES if scene else ():
            self._observe(scene, getattr(slicer.vtkMRMLScene, event))
        if scene:
            event = slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent
            self._observed.append((scene, scene.AddObserver(event, self._before_removal(), SCENE_MODEL_PRIORITY)))
        self._update()

    def _before_removal(self) -> Callable[..., None]:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def leave(_scene: Any, _event: str, node: Any) -> None:
            self._leaving = node
            self._update()
            self._leaving = None

        return leave

    def _observe(self, caller: Any, event: int) -> None:
        self._observed.append((caller, caller.AddObserver(event, lambda *_: self._update())))

    def _update(self) -> None:
        scene = self._scene
        if scene is not None and (scene.IsClosing() or scene.IsImporting() or scene.IsBatchProcessing()):
            return
        every = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())) if scene else ()
        nodes = [node for node in every if node is not self._leaving and self._offers(node)]
        for node in nodes:
            if node not in self._nodes:
                self._observe(node, vtk.vtkCommand.ModifiedEvent)
        former, self._nodes = self._nodes, nodes
        self._choose(self._current if self._current in nodes else self._neighbour(former))

    def _neighbour(self, former: list[Any]) -> Any:
        """What is chosen after the current node went: as in a list whose current row was taken out."""
        stays = self._scene is None or (self._current is not self._leaving and self._scene.IsNodePresent(self._current))
        if self._current not in former or stays:
            return None
        place = former.index(self._current)
        left = [node for node in [*reversed(former[:place]), *former[place:]] if node in self._nodes]
        return left[0] if left else None

    def _offers(self, node: Any) -> bool:
        of_type = node.IsA if self.showChildNodeTypes else node.GetClassName().__eq__
        if not any(of_type(kind) for kind in self.nodeTypes) or (node.GetHideFromEditors() and not self.showHidden):
            return False
        return all(
            node.GetAttribute(name) is not None and value in (None, node.GetAttribute(name))
            for kind, name, value in self._attributes
            if node.IsA(kind)
        )

    def _choose(self, node: Any) -> None:
        if node is None and not self.noneEnabled and self._nodes:
            node = self._nodes[0]
        self._box.clear()
        for offered in ([None] if self.noneEnabled else []) + self._nodes:
            self._box.addItem(offered.GetName() if offered else self.noneDisplay, offered)
            if offered is node:
                self._box.currentIndex = self._box.count - 1
        if node is not self._current:
            self._current = node
            self.currentNodeChanged.emit(node)
            self.currentNodeIDChanged.emit(node.GetID() if node else "")


def _forget(observed: list[tuple[Any, int]]) -> None:
    for caller, tag in observed:
        caller.RemoveObserver(tag)
    observed.clear()
