"""What is under way: the button that starts and cancels it, its progress, the volume as it forms, how it ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..client.errors import ClientError
from .widgets import enable_or_explain, set_text

THUMBNAIL_HEIGHT = 160
MINUTE = 60
LONG = 90
"""Seconds from which on minutes are said."""


class JobSection:
    """Shows one job at a time, a generation or a download.

    Args:
        ui: the panel's widgets.
        log: takes a line.
        on_start: called when the button is pressed and nothing is under way.
        on_change: called when a job has begun or ended.
    """

    def __init__(
        self,
        ui: Any,
        log: Callable[[str], None],
        on_start: Callable[[], None],
        on_change: Callable[[], None],
    ) -> None:
        self._ui = ui
        self._log = log
        self._on_start = on_start
        self._cancel: Callable[[], object] | None = None
        self._on_change = on_change
        self._cancelling = False
        self.running = False
        ui.generateButton.connect("clicked(bool)", self._pressed)
        self._show_button()
        self._show_progress_widgets()
        self.show_status("")

    def begin(self, sentence: str, cancel: Callable[[], object] | None = None) -> None:
        """A job starts; the button calls `cancel` from now on, and is off where there is none."""
        self.running, self._cancelling, self._cancel = True, False, cancel
        self.show_status("")
        self._ui.progressLabel.text = sentence
        self._ui.progressBar.maximum = 0  # busy, without an amount
        self._show_button()
        self._show_progress_widgets()
        self._on_change()

    def show_progress(self, event: dict[str, Any]) -> None:
        """The worker's event "progress"."""
        if self._cancelling:
            return
        bar, steps = self._ui.progressBar, event["steps"]
        bar.maximum = steps if steps > 1 else 0
        bar.value = event["step"]
        self._ui.progressLabel.text = progress_text(event)

    def show_preview(self, png: bytes) -> None:
        """The volume as it forms."""
        pixmap = qt.QPixmap()
        if pixmap.loadFromData(qt.QByteArray(png)):
            label = self._ui.thumbnailLabel
            label.pixmap = pixmap.scaledToHeight(THUMBNAIL_HEIGHT, qt.Qt.SmoothTransformation)
            label.visible = True

    def end(self, sentence: str) -> None:
        """The job is over; `sentence` says how it went."""
        self.running = False
        self.show_status(sentence)
        self._log(sentence)
        self._show_button()
        self._show_progress_widgets()
        self._on_change()

    def fail(self, error: ClientError) -> None:
        """The job is over without what it was for. The user is interrupted unless they cancelled it themselves."""
        sentence = " ".join(part for part in (error.message, error.hint) if part)
        self.end(sentence)
        if error.code != "cancelled":
            slicer.util.errorDisplay(sentence, windowTitle=_("CCELLA"))

    def show_status(self, sentence: str) -> None:
        """Say something that ends no job."""
        set_text(self._ui.statusLabel, sentence)

    def update_button(self, why_not: str) -> None:
        """Nothing is under way: offer to generate, or say why that cannot be done."""
        if not self.running:
            self._show_button(why_not)

    def _pressed(self, _checked: bool) -> None:
        if not self.running:
            self._on_start()
            return
        self._cancelling = True
        self._ui.progressLabel.text = _("Cancelling…")
        self._show_button()
        self._cancel()

    def _show_button(self, why_not: str = "") -> None:
        if not self.running:
            text, tool_tip = _("Generate"), _("Draws a synthetic scan from the report.")
        else:
            text, tool_tip = _("Cancel"), _("Stops what is under way, within a second.")
            if self._cancelling:
                why_not = _("What is under way is being stopped.")
            elif self._cancel is None:
                why_not = _("This is soon over and cannot be stopped.")
        self._ui.generateButton.text = text
        enable_or_explain(self._ui.generateButton, why_not, tool_tip)

    def _show_progress_widgets(self) -> None:
        self._ui.progressBar.visible = self._ui.progressLabel.visible = self.running
        self._ui.thumbnailLabel.visible = False


def progress_text(event: dict[str, Any]) -> str:
    """ "Volume 1 of 2 · drawing, step 3 of 30 · about 12 s left" """
    stages = {
        "load": _("loading the model"),
        "encode": _("reading the report"),
        "denoise": _("drawing"),
        "decode": _("developing the picture"),
        "save": _("saving"),
    }
    parts = []
    if event["volumes"] > 1:
        parts.append(_("volume {number} of {count}").format(number=event["volume"], count=event["volumes"]))
    stage = stages.get(event["stage"], event["stage"])
    if event["steps"] > 1:
        stage = _("{stage}, step {step} of {steps}").format(stage=stage, step=event["step"], steps=event["steps"])
    parts.append(stage)
    if event.get("seconds_left") is not None:
        parts.append(time_left_text(event["seconds_left"]))
    text = " · ".join(parts)
    return text[0].upper() + text[1:]


def time_left_text(seconds: float) -> str:
    return _("about {duration} left").format(duration=duration_text(seconds))


def duration_text(seconds: float) -> str:
    """ "12 s", "3 min" """
    if seconds < LONG:
        return _("{seconds} s").format(seconds=max(1, round(seconds)))
    return _("{minutes} min").format(minutes=round(seconds / MINUTE))


class LogPane:
    """Takes lines until it is closed; a line that comes later is dropped, because the widget may be gone."""

    def __init__(self, ui: Any) -> None:
        self._text = ui.logText

    def write(self, line: str) -> None:
        if self._text is not None:
            self._text.appendPlainText(line)

    def close(self) -> None:
        self._text = None
