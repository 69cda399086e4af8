# ruff: noqa: N801, N802, N815
"""``import ctk``: the widgets of the Common Toolkit that the extension uses, with their documented properties and signals."""

from __future__ import annotations

import math
import types
from typing import Any

from PySide6.QtCore import Property, QEvent, QPoint, QRect, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractButton,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionButton,
    QStyleOptionToolButton,
    QStylePainter,
    QToolButton,
    QWidget,
)

from .ui_loader import WIDGETS, widget

SLIDER_STEPS_LIMIT = 100_000  # a slider moves over whole numbers


@widget
class ctkCollapsibleButton(QAbstractButton):
    """A titled section. Collapsed, it shows its title only and hides its children; ``checked`` is the opposite."""

    contentsCollapsed = Signal(bool)
    HEADER_HEIGHT = 24

    def __init__(self, parent: QWidget | str | None = None) -> None:
        super().__init__(parent if isinstance(parent, QWidget) else None)
        self._hidden: list[QWidget] = []
        self.checkable = True
        self.checked = True
        self.setContentsMargins(0, self.HEADER_HEIGHT, 0, 0)
        self.sizePolicy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)
        self.toggled.connect(lambda checked: self._collapse(not checked))
        if isinstance(parent, str):
            self.text = parent

    def _is_collapsed(self) -> bool:
        return not self.checked

    def _set_collapsed(self, collapsed: bool) -> None:
        self.checked = not collapsed

    collapsed = Property(bool, _is_collapsed, _set_collapsed, notify=contentsCollapsed)

    def _collapse(self, collapsed: bool) -> None:
        if collapsed:
            self._hide_children()
        else:
            for child in self._hidden:
                child.show()
            self._hidden = []
        self.updateGeometry()
        self.contentsCollapsed.emit(collapsed)

    def _hide_children(self) -> None:
        for child in self.children():
            if isinstance(child, QWidget) and not child.isHidden():
                self._hidden.append(child)
                child.hide()

    def childEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.ChildPolished and self.collapsed:
            self._hide_children()

    def hitButton(self, position: QPoint) -> bool:
        return position.y() < self.HEADER_HEIGHT

    def minimumSizeHint(self) -> Any:
        hint = super().minimumSizeHint()
        if self.layout() is not None and not self.collapsed:
            hint = hint.expandedTo(self.layout().totalMinimumSize())
        hint.setHeight(max(hint.height(), self.HEADER_HEIGHT))
        return hint

    def sizeHint(self) -> Any:
        hint = self.minimumSizeHint()
        if self.layout() is not None and not self.collapsed:
            hint = hint.expandedTo(self.layout().totalSizeHint())
        return hint

    def paintEvent(self, event: Any) -> None:
        painter = QStylePainter(self)
        header = QStyleOptionButton()
        header.initFrom(self)
        header.rect = QRect(0, 0, self.width, self.HEADER_HEIGHT)
        painter.drawControl(QStyle.ControlElement.CE_PushButtonBevel, header)
        arrow = QStyleOptionToolButton()
        arrow.initFrom(self)
        arrow.rect = QRect(6, 6, self.HEADER_HEIGHT - 12, self.HEADER_HEIGHT - 12)
        kind = QStyle.PrimitiveElement.PE_IndicatorArrowRight if self.collapsed else None
        painter.drawPrimitive(kind or QStyle.PrimitiveElement.PE_IndicatorArrowDown, arrow)
        title = QRect(self.HEADER_HEIGHT + 4, 0, self.width - self.HEADER_HEIGHT, self.HEADER_HEIGHT)
        painter.drawText(title, Qt.AlignmentFlag.AlignVCenter, self.text)


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


class CtkModule(types.ModuleType):
    """Says by name what the bench does not have of ctk."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"ctk.{name} is not known to the bench")


def make(dialogs: Any) -> types.ModuleType:
    """The module ``ctk``; ``dialogs`` answers its message boxes, which ``slicer.util`` asks the user with."""

    class ctkMessageBox(QMessageBox):
        def exec_(self) -> Any:
            return dialogs.ask(self)

    module = CtkModule("ctk", __doc__)
    module.ctkMessageBox = ctkMessageBox
    for name, kind in WIDGETS.items():
        if name.startswith("ctk"):
            setattr(module, name, kind)
    return module
