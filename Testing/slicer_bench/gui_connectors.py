# ruff: noqa: N802, N815 - named as Slicer names it
"""Which widget can show which parameter, as the documentation of Slicer's parameter nodes lists it.

A widget has to be of exactly the listed class, as in Slicer: QPlainTextEdit is not, QTextEdit is. Others get a
connector of their own: a class derived from GuiConnector, given in place of the widget or registered by
``@parameterNodeGuiConnector``.
"""

from __future__ import annotations

import abc
import enum
from collections.abc import Callable
from typing import Any

from PySide6 import QtWidgets

from .ctk_widgets import ctkPathLineEdit, ctkSliderWidget
from .parameter_types import PATHS, Choice, Decimals, Maximum, Minimum, Parameter, SingleStep, WithinRange
from .qmrml_widgets import qMRMLNodeComboBox

INT_LIMITS = (-(2**31), 2**31 - 1)


class GuiConnector(abc.ABC):
    """Between a widget and a parameter's value. ``changed`` is called by the widget's signal."""

    def __init__(self) -> None:
        self._callback: Callable[[], None] | None = None

    @staticmethod
    @abc.abstractmethod
    def canRepresent(widget: Any, datatype: Any) -> bool: ...

    @staticmethod
    @abc.abstractmethod
    def create(widget: Any, datatype: Any) -> GuiConnector: ...

    @abc.abstractmethod
    def _connect(self) -> None: ...

    @abc.abstractmethod
    def _disconnect(self) -> None: ...

    @abc.abstractmethod
    def widget(self) -> Any: ...

    @abc.abstractmethod
    def read(self) -> Any: ...

    @abc.abstractmethod
    def write(self, value: Any) -> None: ...

    def onChanged(self, callback: Callable[[], None] | None) -> None:
        self._callback = callback
        if callback is None:
            self._disconnect()
        else:
            self._connect()

    def changed(self) -> None:
        if self._callback:
            self._callback()


class _BuiltIn(GuiConnector):
    """A connector made of a signal's name and two functions."""

    def __init__(self, widget: Any, signal: str, read: Callable[[], Any], write: Callable[[Any], Any]) -> None:
        super().__init__()
        self._widget, self._signal = widget, signal
        self.read, self.write = read, write  # type: ignore[method-assign]

    canRepresent = staticmethod(lambda widget, datatype: False)
    create = staticmethod(lambda widget, datatype: None)
    read = write = None  # type: ignore[assignment]

    def widget(self) -> Any:
        return self._widget

    def _connect(self) -> None:
        if self._signal:
            getattr(self._widget, self._signal).connect(self.changed)

    def _disconnect(self) -> None:
        if self._signal:
            getattr(self._widget, self._signal).disconnect(self.changed)


_registered: list[type[GuiConnector]] = []


def parameterNodeGuiConnector(kind: type[GuiConnector]) -> type[GuiConnector]:
    """Class decorator: look at this connector too when a widget is connected."""
    _registered.append(kind)
    return kind


def createGuiConnector(widget: Any, datatype: Any) -> GuiConnector:
    """The connector for this widget and (annotated) type; RuntimeError when there is none."""
    for kind in _registered:
        if kind.canRepresent(widget, datatype):
            return kind.create(widget, datatype)
    made = _built_in(widget, Parameter("", datatype))
    if made is None:
        raise RuntimeError(f"no connector between {datatype} and {type(widget).__name__}")
    return made


def _built_in(widget: Any, parameter: Parameter) -> GuiConnector | None:
    kind, of = parameter.kind, type(widget)
    if kind is bool and of in (QtWidgets.QCheckBox, QtWidgets.QPushButton):
        widget.checkable = True
        return _of_property(widget, "toggled", "checked")
    if kind is int and of in (QtWidgets.QSlider, QtWidgets.QSpinBox):
        _set_up(widget, parameter, INT_LIMITS)
        return _of_property(widget, "valueChanged", "value")
    if kind is float and of in (QtWidgets.QDoubleSpinBox, ctkSliderWidget):
        _set_up(widget, parameter, (float("-inf"), float("inf")))
        return _of_property(widget, "valueChanged", "value")
    if kind is str and of is QtWidgets.QLineEdit:
        return _of_property(widget, "textChanged", "text")
    if kind is str and of is QtWidgets.QTextEdit:
        return _of_property(widget, "textChanged", "plainText")
    if kind is str and of is QtWidgets.QLabel:
        return _of_property(widget, "", "text")
    if kind in PATHS and of is ctkPathLineEdit:
        return _BuiltIn(
            widget,
            "currentPathChanged",
            lambda: kind(widget.currentPath),
            lambda path: setattr(widget, "currentPath", str(path)),
        )
    if parameter.is_node and of is qMRMLNodeComboBox:
        widget.nodeTypes = [kind.__name__]
        return _BuiltIn(widget, "currentNodeChanged", widget.currentNode, widget.setCurrentNode)
    if of is QtWidgets.QComboBox:
        return _of_combo_box(widget, parameter)
    return None


def _of_property(widget: Any, signal: str, name: str) -> GuiConnector:
    return _BuiltIn(widget, signal, lambda: getattr(widget, name), lambda value: setattr(widget, name, value))


def _of_combo_box(widget: Any, parameter: Parameter) -> GuiConnector | None:
    if isinstance(parameter.kind, type) and issubclass(parameter.kind, enum.Enum):
        values = list(parameter.kind)
        labels = [value.label() if hasattr(parameter.kind, "label") else value.name for value in values]
    elif parameter.find(Choice):
        values = parameter.find(Choice).choices
        labels = [str(value) for value in values]
    else:
        return None
    widget.clear()
    widget.addItems(labels)
    return _BuiltIn(
        widget,
        "currentIndexChanged",
        lambda: values[widget.currentIndex],
        lambda value: setattr(widget, "currentIndex", values.index(value)),
    )


def _set_up(widget: Any, parameter: Parameter, limits: tuple[float, float]) -> None:
    """The widget takes over bounds, step and decimals of the annotations; sliders need bounds."""
    both, low, high = (parameter.find(kind) for kind in (WithinRange, Minimum, Maximum))
    bounded = both is not None or (low is not None and high is not None)
    if not bounded and type(widget) in (QtWidgets.QSlider, ctkSliderWidget):
        raise RuntimeError(f"a {type(widget).__name__} cannot show a number without bounds")
    for name, of in (("decimals", Decimals), ("singleStep", SingleStep)):
        if parameter.find(of):
            setattr(widget, name, parameter.find(of).value)
    widget.minimum = (both or low).minimum if both or low else limits[0]
    widget.maximum = (both or high).maximum if both or high else limits[1]
