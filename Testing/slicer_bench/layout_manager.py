# ruff: noqa: N801, N802, N815 - named as Slicer names it
"""``slicer.app.layoutManager()``: a widget for each view node of the scene, laid out as Slicer's own layout logic says.

Widgets come with their nodes and go with them. Those of the current layout have their sizes after the next turn of the
event loop, as in Slicer, where they are shown first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6.QtCore import QObject, QRect, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QImage, QPainter

from .layout_geometry import Place, places
from .plot_view import qMRMLPlotWidget
from .slice_view import qMRMLSliceWidget
from .threed_view import qMRMLThreeDWidget

WIDGETS = {
    "vtkMRMLSliceNode": qMRMLSliceWidget,
    "vtkMRMLViewNode": qMRMLThreeDWidget,
    "vtkMRMLPlotViewNode": qMRMLPlotWidget,
}
SIZE = (1200, 800)  # of all views together
BAR_HEIGHT = 20  # the coloured bar with the view's label
NARROW = 360  # pixels; in narrower views the bar's other widgets leave the label no more than its minimum width …
MINIMUM_LABEL = "XX"  # … which is that of this text; what is longer is cut on both sides
LABEL_MARGIN = 6


class qSlicerLayoutManager(QObject):
    """Views by their nodes' layout names."""

    layoutChanged = Signal(int)

    def __init__(self, application_logic: Any, scene: Any) -> None:
        super().__init__()
        self._application_logic = application_logic
        self._scene = scene
        self._size = SIZE
        self._widgets: dict[Any, Any] = {}
        self._updating = False
        application_logic.SetSliceLogics(vtk.vtkCollection())
        self._logic = slicer.vtkMRMLLayoutLogic()
        self._logic.SetMRMLApplicationLogic(application_logic)
        self._logic.SetMRMLScene(scene)
        self._observed = [
            (scene, scene.AddObserver(getattr(slicer.vtkMRMLScene, event), lambda *_: self._update_widgets()))
            for event in ("NodeAddedEvent", "NodeRemovedEvent", "EndCloseEvent", "EndImportEvent")
        ]
        self._layout_node: Any = None
        self._layout = -1
        self._update_widgets()
        self.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        self._resize()

    def layoutLogic(self) -> Any:
        return self._logic

    @property
    def layout(self) -> int:
        return self._logic.GetLayoutNode().GetViewArrangement()

    @layout.setter
    def layout(self, identifier: int) -> None:
        self.setLayout(identifier)

    def setLayout(self, identifier: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(identifier)

    def mrmlScene(self) -> Any:
        return self._scene

    def sliceViewNames(self) -> tuple[str, ...]:
        return tuple(node.GetLayoutName() for node in self._of("vtkMRMLSliceNode"))

    def sliceWidget(self, name: str) -> qMRMLSliceWidget | None:
        return self._widget("vtkMRMLSliceNode", name)

    def mrmlSliceLogics(self) -> Any:
        return self._application_logic.GetSliceLogics()

    @property
    def threeDViewCount(self) -> int:
        return len(self._of("vtkMRMLViewNode"))

    def threeDWidget(self, index_or_name: int | str) -> qMRMLThreeDWidget | None:
        return self._widget("vtkMRMLViewNode", index_or_name)

    @property
    def plotViewCount(self) -> int:
        return len(self._of("vtkMRMLPlotViewNode"))

    def plotWidget(self, index_or_name: int | str) -> qMRMLPlotWidget | None:
        return self._widget("vtkMRMLPlotViewNode", index_or_name)

    def resetSliceViews(self) -> None:
        for node in self._of("vtkMRMLSliceNode"):
            self._widgets[node].fitSliceToBackground()

    # The bench's own

    def draw(self, path: Path) -> None:
        """All views of the current layout in one picture, each below a bar of its colour with its label."""
        self._resize()
        width, height = self._size
        picture = QImage(width, height, QImage.Format.Format_RGB32)
        picture.fill(Qt.GlobalColor.darkGray)
        views = [(place, _image(self._widgets[self._node(place)].view().picture())) for place in self._places()]
        painter = QPainter(picture)
        for place, image in views:
            node = self._node(place)
            bar = QColor.fromRgbF(*node.GetLayoutColor())
            painter.fillRect(place.left, place.top, place.width, BAR_HEIGHT, bar)
            painter.setPen(Qt.GlobalColor.black)
            label = node.GetLayoutLabel() or place.name
            width = label_width(label, place.width, painter.fontMetrics().horizontalAdvance)
            room = QRect(place.left + LABEL_MARGIN, place.top, width, BAR_HEIGHT)
            painter.save()
            painter.setClipRect(room)
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextDontClip, label)
            painter.restore()
            painter.drawImage(place.left, place.top + BAR_HEIGHT, image)
        painter.end()
        if not picture.save(str(path)):
            raise OSError(f"{path} cannot be written")

    def resizeAll(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._resize()

    def close(self) -> None:
        for caller, tag in self._observed:
            caller.RemoveObserver(tag)
        self._logic.SetMRMLScene(None)
        for widget in self._widgets.values():
            widget.close()
        self._widgets.clear()

    def _of(self, kind: str) -> list[Any]:
        return [node for node in self._widgets if node.GetClassName() == kind]

    def _widget(self, kind: str, index_or_name: int | str) -> Any:
        nodes = self._of(kind)
        if isinstance(index_or_name, int):
            return self._widgets[nodes[index_or_name]] if 0 <= index_or_name < len(nodes) else None
        return next((self._widgets[node] for node in nodes if node.GetLayoutName() == index_or_name), None)

    def _update_widgets(self) -> None:
        if self._scene.IsClosing() or self._scene.IsImporting() or self._updating:
            return
        self._updating = True  # making a widget adds nodes, which leads here again
        self._observe_layout_node()
        present = self._view_nodes()
        for node in [node for node in self._widgets if node not in present]:
            self._widgets.pop(node).close()
        for node in present:
            if node not in self._widgets:
                self._widgets[node] = WIDGETS[node.GetClassName()](node, self._application_logic)
        self._updating = False

    def _observe_layout_node(self) -> None:
        """It is another one after a scene was cleared of its singletons. The logic relies on others to hold it."""
        node = self._logic.GetLayoutNode()
        if node is not None and node is not self._layout_node:
            self._layout_node = node
            tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._take_layout())
            self._observed.append((node, tag))
            self._take_layout()

    def _view_nodes(self) -> list[Any]:
        nodes = (self._scene.GetNthNode(index) for index in range(self._scene.GetNumberOfNodes()))
        return [node for node in nodes if node.GetClassName() in WIDGETS]

    def _take_layout(self) -> None:
        if self.layout != self._layout:
            self._layout = self.layout
            self._update_widgets()
            QTimer.singleShot(0, self, self._resize)
            self.layoutChanged.emit(self._layout)

    def _places(self) -> list[Place]:
        return places(self._logic.GetLayoutNode().GetCurrentLayoutDescription(), *self._size)

    def _node(self, place: Place) -> Any:
        return self._scene.GetSingletonNode(place.name, place.kind)

    def _resize(self) -> None:
        for place in self._places():
            if place.kind not in WIDGETS:
                raise AttributeError(f"the bench does not know views of {place.kind}")
            self._widgets[self._node(place)].view().resize(place.width, place.height - BAR_HEIGHT)


def label_width(label: str, view_width: int, width_of: Callable[[str], int]) -> int:
    """How many pixels of its label a view of this width shows."""
    return width_of(label if view_width >= NARROW else MINIMUM_LABEL)


def _image(data: vtk.vtkImageData) -> QImage:
    from vtk.util.numpy_support import vtk_to_numpy

    width, height, _ = data.GetDimensions()
    rows = vtk_to_numpy(data.GetPointData().GetScalars()).reshape(height, width, 3)[::-1]
    return QImage(rows.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888).copy()
