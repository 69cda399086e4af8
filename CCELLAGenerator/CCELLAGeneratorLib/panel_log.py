"""The pane that shows what the worker and the panel have to say."""

from __future__ import annotations

from typing import Any


class LogPane:
    """Takes lines until it is closed; a line that comes later is dropped, because the widget may be gone."""

    def __init__(self, ui: Any) -> None:
        self._text = ui.logText

    def write(self, line: str) -> None:
        if self._text is not None:
            self._text.appendPlainText(line)

    def close(self) -> None:
        self._text = None
