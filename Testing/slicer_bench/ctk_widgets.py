# ruff: noqa: N801, N802, N815 - named as the Common Toolkit names it
"""Widgets of the Common Toolkit that hold a value, with their documented properties and signals."""

from __future__ import annotations

import math
from typing import Any

from PySide6.QtCore import Property, Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLineEdit, QSlider, QToolButton, QWidget

from .ui_loader import widget

SLIDER_STEPS_LIMIT = 100_000  # a slider moves over whole numbers


@widget
class ctkSliderWidget(QWidget):
    """A slider with a spin box beside it, over real numbers; ``valueIsChanging`` while it is dragged untracked."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._box = QDoubleSpinBox()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider)
        layout.addWidget(self._box)
        self._update_slider()
        self._box.valueChanged.connect(self._moved_box)
        self._slider.valueChanged.connect(lambda steps: self._set_value(self._box.minimum + steps * self._step()))

    def _step(self) -> float:
        return max(self._box.singleStep, (self._box.maximum - self._box.minimum) / SLIDER_STEPS_LIMIT)

    def _update_slider(self) -> None:
        before = self._slider.blockSignals(True)
        self._slider.maximum = math.floor((self._box.maximum - self._box.minimum) / self._step() + 0.5)
        self._slider.value = round((self._box.value - self._box.minimum) / self._step())
        self._slider.blockSignals(before)

    def _moved_box(self, value: float) -> None:
        self._update_slider()
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def _set_value(self, value: float) -> None:
        self._box.value = value

    def _set(self, name: str, value: Any) -> None:
        setattr(self._box, name, value)
        self._update_slider()

    value = Property(float, lambda self: self._box.value, _set_value, notify=valueChanged)
    minimum = Property(float, lambda self: self._box.minimum, lambda self, value: self._set("minimum", value))
    maximum = Property(float, lambda self: self._box.maximum, lambda self, value: self._set("maximum", value))
    singleStep = Property(float, lambda self: self._box.singleStep, lambda self, value: self._set("singleStep", value))
    decimals = Property(int, lambda self: self._box.decimals, lambda self, value: self._set("decimals", value))
    prefix = Property(str, lambda self: self._box.prefix, lambda self, value: self._set("prefix", value))
    suffix = Property(str, lambda self: self._box.suffix, lambda self, value: self._set("suffix", value))

    def setRange(self, minimum: float, maximum: float) -> None:
        self._box.setRange(minimum, maximum)
        self._update_slider()

    def setValue(self, value: float) -> None:
        self._set_value(value)


@widget
class ctkPathLineEdit(QWidget):
    """A path in a line edit with a button to browse."""

    currentPathChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._edit = QLineEdit()
        self._button = QToolButton()
        self._button.text = "…"
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        layout.addWidget(self._button)
        self._edit.textChanged.connect(self.currentPathChanged)

    def _set_path(self, path: str) -> None:
        self._edit.text = path

    currentPath = Property(str, lambda self: self._edit.text, _set_path, notify=currentPathChanged)
