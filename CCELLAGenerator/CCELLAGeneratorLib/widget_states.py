"""Two habits of the panel: a text that isn't there takes no room, and a button that is off says why."""

from __future__ import annotations

import qt


def say(label: qt.QLabel, text: str) -> None:
    """Show a text, or hide the label where there is none."""
    label.text = text
    label.visible = bool(text)


def offer(button: qt.QPushButton, why_not: str, tool_tip: str) -> None:
    """Switch a button on, or off with the reason as its tool tip."""
    button.enabled = not why_not
    button.toolTip = why_not or tool_tip
