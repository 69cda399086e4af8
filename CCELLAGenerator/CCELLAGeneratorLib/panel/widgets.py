# ruff: noqa: N802 - what Slicer calls is named as Slicer names it
"""Bindings between parameters and two kinds of widgets that Slicer has none for."""

from __future__ import annotations

import qt
from slicer.parameterNodeWrapper import GuiConnector


class _OwnConnector(GuiConnector):
    """Made by hand for one widget; Slicer never has to find out which widgets it is good for."""

    def __init__(self, widget: qt.QWidget) -> None:
        super().__init__()
        self._widget = widget

    @staticmethod
    def canRepresent(_widget: qt.QWidget, _datatype: type) -> bool:
        return False

    @staticmethod
    def create(_widget: qt.QWidget, _datatype: type) -> None:
        return None

    def widget(self) -> qt.QWidget:
        return self._widget


class PlainTextConnector(_OwnConnector):
    """A text in a QPlainTextEdit. What is there already is not written again: that would move the cursor."""

    def _connect(self) -> None:
        self._widget.connect("textChanged()", self.changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("textChanged()", self.changed)

    def read(self) -> str:
        return self._widget.plainText

    def write(self, value: str) -> None:
        if self._widget.plainText != value:
            self._widget.plainText = value


class ChoiceConnector(_OwnConnector):
    """The data of a QComboBox's current item, a text; the items come and go, see `fill`.

    A value that is not among them gets an item of its own, so that what a scene was saved with is never lost.
    """

    def _connect(self) -> None:
        self._widget.connect("currentIndexChanged(int)", self._index_changed)

    def _disconnect(self) -> None:
        self._widget.disconnect("currentIndexChanged(int)", self._index_changed)

    def _index_changed(self, _index: int) -> None:
        self.changed()

    def read(self) -> str:
        return self._widget.itemData(self._widget.currentIndex)

    def write(self, value: str) -> None:
        if self._widget.findData(value) < 0:
            self._widget.addItem(value, value)
        self._widget.currentIndex = self._widget.findData(value)


def fill(box: qt.QComboBox, items: list[tuple[str, str]], text_of_unknown: str) -> None:
    """Give `box` new items, each a text and its data; the current data stays chosen.

    Where it is not among the items, it stays as one more, whose text is `text_of_unknown` with the data as `{value}`.
    """
    current = box.itemData(box.currentIndex) if box.count else None
    was_blocked = box.blockSignals(True)
    box.clear()
    known = [data for _text, data in items]
    if current is not None and current not in known:
        items = [*items, (text_of_unknown.format(value=current), current)]
    for text, data in items:
        box.addItem(text, data)
    box.currentIndex = box.findData(current) if current is not None else 0
    box.blockSignals(was_blocked)


def set_text(label: qt.QLabel, text: str) -> None:
    """Show a text, or hide the label where there is none."""
    label.text = text
    label.visible = bool(text)


def enable_or_explain(widget: qt.QWidget, why_not: str, tool_tip: str) -> None:
    """Switch a button or a slider on, or off with the reason as its tool tip."""
    widget.enabled = not why_not
    widget.toolTip = why_not or tool_tip
