"""What the user would be shown and asked: messages are kept, answers are given beforehand.

``slicer.util.errorDisplay`` and its sisters end in ``ctk.ctkMessageBox``, which asks here instead of the user. A
question nobody prepared an answer for fails the test, as it would stop a script that runs unattended.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from PySide6.QtWidgets import QMessageBox

KINDS = {
    QMessageBox.Icon.NoIcon: "message",
    QMessageBox.Icon.Information: "information",
    QMessageBox.Icon.Warning: "warning",
    QMessageBox.Icon.Critical: "critical",
    QMessageBox.Icon.Question: "question",
}
YES = (QMessageBox.StandardButton.Ok, QMessageBox.StandardButton.Yes, QMessageBox.StandardButton.Retry)
NO = (QMessageBox.StandardButton.Cancel, QMessageBox.StandardButton.No, QMessageBox.StandardButton.Close)


@dataclass(frozen=True)
class Message:
    """A popup as the user would have seen it; ``kind`` is one of KINDS."""

    kind: str
    text: str
    title: str = ""
    details: str = ""


class Dialogs:
    """Every popup of one test, in order, and the answers that are still to be given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.unanswered: list[str] = []
        self.answers: deque[bool] = deque()
        self.files: deque[str] = deque()
        self.opened_urls: list[str] = []

    def ask(self, box: Any) -> QMessageBox.StandardButton:
        """Keep what ``box`` says and return the button that the prepared answer presses."""
        self.messages.append(Message(KINDS[box.icon], box.text, box.windowTitle.strip(), box.detailedText))
        buttons = QMessageBox.StandardButton(box.standardButtons)
        yes = next((button for button in YES if button & buttons), None)
        no = next((button for button in NO if button & buttons), None)
        if yes is None or no is None:
            return yes or no or QMessageBox.StandardButton.Ok
        return yes if self._next(self.answers, box.text) else no

    def choose_file(self, caption: str) -> str:
        """The path that ``bench.answer_file`` prepared for the next file dialog."""
        return self._next(self.files, caption)

    def _next(self, prepared: deque, question: str) -> Any:
        if not prepared:
            self.unanswered.append(question)
            raise RuntimeError(f"no answer was prepared for the question: {question}")
        return prepared.popleft()
