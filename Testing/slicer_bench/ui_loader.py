# ruff: noqa: N802 - named as Slicer names it
"""``qt.QUiLoader`` as Slicer has it: knows the widgets of ctk and qMRML, and says so when it meets another one.

Connections of the ``.ui`` file (``mrmlSceneChanged(vtkMRMLScene*)`` to ``setMRMLScene(vtkMRMLScene*)``) are made
here, as Qt cannot see signals of that type on classes made in Python. A property that a widget does not have raises,
where Qt would keep it as a dynamic one.
"""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from PySide6 import QtUiTools
from PySide6.QtCore import QBuffer, QByteArray, QObject
from PySide6.QtWidgets import QWidget

WIDGETS: dict[str, type[QWidget]] = {}
DYNAMIC_PROPERTIES = frozenset({"SlicerParameterName"})


def widget(kind: type[QWidget]) -> type[QWidget]:
    """Class decorator: a ``.ui`` file may name this class."""
    WIDGETS[kind.__name__] = kind
    return kind


class QUiLoader(QtUiTools.QUiLoader):
    """Loads a ``.ui`` file; AttributeError names what the bench does not know in it."""

    def load(self, file: Any, parent: QWidget | None = None) -> QWidget:
        document = ElementTree.fromstring(bytes(file.readAll()))
        self._unknown: list[str] = []
        self._made: list[QWidget] = []  # Python would delete a widget without a parent before Qt has it
        connections = document.find("connections")
        if connections is not None:
            document.remove(connections)
        buffer = QBuffer()
        buffer.setData(QByteArray(ElementTree.tostring(document)))
        root = super().load(buffer, parent)
        if root is None or self._unknown:
            raise AttributeError(f"the .ui file has widgets the bench does not know: {self._unknown or 'all'}")
        for child in [root, *root.findChildren(QObject)]:
            _refuse_unknown_properties(child)
        for connection in connections if connections is not None else ():
            _connect(root, connection)
        return root

    def createWidget(self, class_name: str, parent: QWidget | None = None, name: str = "") -> QWidget | None:
        if class_name in WIDGETS:
            made = WIDGETS[class_name](parent)
            made.objectName = name
            self._made.append(made)
            return made
        if class_name not in self.availableWidgets():
            self._unknown.append(class_name)
            return QWidget(parent)
        return super().createWidget(class_name, parent, name)


def _refuse_unknown_properties(child: QObject) -> None:
    names = {bytes(name).decode() for name in child.dynamicPropertyNames()}
    unknown = {name for name in names if not name.startswith("_")} - DYNAMIC_PROPERTIES
    if unknown:
        raise AttributeError(f"{child.className()} {child.name!r} has no property {', '.join(sorted(unknown))}")


def _connect(root: QWidget, connection: ElementTree.Element) -> None:
    sender, signal, receiver, slot = (connection.findtext(key) for key in ("sender", "signal", "receiver", "slot"))
    target = _named(root, receiver)
    method = getattr(target, slot.split("(")[0], None)
    if not callable(method):
        raise AttributeError(f"slot {slot!r} does not exist on {target.className()}")
    _named(root, sender).connect(signal, method)


def _named(root: QWidget, name: str) -> QObject:
    found = root if root.name == name else root.findChild(QObject, name)
    if found is None:
        raise AttributeError(f"the .ui file connects {name!r}, which it does not have")
    return found
