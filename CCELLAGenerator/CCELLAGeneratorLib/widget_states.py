"""Two habits of the panel: a text that isn't there takes no room, and what is off says why."""

from __future__ import annotations

import qt


def say(label: qt.QLabel, text: str) -> None:
    """Show a text, or hide the label where there is none."""
    label.text = text
    label.visible = bool(text)


def offer(widget: qt.QWidget, why_not: str, tool_tip: str) -> None:
    """Switch a button or a slider on, or off with the reason as its tool tip."""
    widget.enabled = not why_not
    widget.toolTip = why_not or tool_tip
