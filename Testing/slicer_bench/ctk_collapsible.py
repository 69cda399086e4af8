# ruff: noqa: N801, N802, N815 - named as the Common Toolkit names it
"""``ctk.ctkCollapsibleButton``."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Property, QEvent, QPoint, QRect, Qt, Signal
from PySide6.QtWidgets import (
    QAbstractButton,
    QSizePolicy,
    QStyle,
    QStyleOptionButton,
    QStyleOptionToolButton,
    QStylePainter,
    QWidget,
)

from .ui_loader import widget


@widget
class ctkCollapsibleButton(QAbstractButton):
    """A titled section. Collapsed, it hides its children and is as high as its title; ``checked`` is the opposite."""

    contentsCollapsed = Signal(bool)
    HEADER_HEIGHT = 24

    def __init__(self, parent: QWidget | str | None = None) -> None:
        super().__init__(parent if isinstance(parent, QWidget) else None)
        self._hidden: list[QWidget] = []
        self._height_before = self.maximumHeight
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
            self._height_before = self.maximumHeight
            self.maximumHeight = self.HEADER_HEIGHT
        else:
            for child in self._hidden:
                child.show()
            self._hidden = []
            self.maximumHeight = self._height_before
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
        hint = ctkCollapsibleButton.minimumSizeHint(self)  # on the instance it is a property
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
