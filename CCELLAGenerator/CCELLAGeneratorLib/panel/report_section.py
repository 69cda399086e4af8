"""The report: typed, loaded, remembered or composed; and how much of it the model reads."""

from __future__ import annotations

import contextlib
import json
from html import escape
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from ..generation.report_file import read_report
from .composer import Composer
from .debounced import DebouncedQuery
from .widgets import set_text

MENU_CHARACTERS = 60


class ReportSection:
    """Everything about the report but its text, which is a parameter."""

    def __init__(self, ui: Any, logic: Any) -> None:
        self._ui = ui
        self.history = ReportHistory()
        self.composer = Composer(ui, self.write)
        self._read = ""
        self._notes: dict[str, list[str]] = {}
        self._count = DebouncedQuery(logic.countTokens, self._show_count)
        self._menu = qt.QMenu(ui.recentButton)
        self._menu.connect("aboutToShow()", self._fill_menu)
        ui.recentButton.setMenu(self._menu)
        ui.loadReportButton.connect("clicked(bool)", self._load)

    def write(self, report: str) -> None:
        """Replace the text in the box, in a way that the box can undo."""
        cursor = self._ui.reportEdit.textCursor()
        cursor.select(qt.QTextCursor.Document)
        cursor.insertText(report)

    def refresh(self, report: str, model_key: str, model: dict[str, Any] | None) -> None:
        """The report or the model changed; `model` as the worker described it, if it did."""
        if report != self._read:
            self.show_prediction(None)  # it was read from another report
        ui = self._ui
        for widget in (ui.reportEdit, ui.loadReportButton, ui.recentButton, ui.composerSection, ui.pathologyBox):
            widget.enabled = reads_report(model)
        if not reads_report(model):
            self._count.put(None)
            self._ui.tokensLabel.text = _("This model reads no report.")
        elif model is None or model["problem"] or not report.strip():
            self._count.put(None)
        else:
            self._count.put({"report": report, "model": model_key})

    def show_prediction(self, probability: float | None, report: str = "") -> None:
        """What the model read from the report of the last volume; `None` where it does not say."""
        self._read = report
        text = ""
        if probability is not None:
            text = _("The model reads the report as {percent} % positive.").format(percent=round(100 * probability))
        set_text(self._ui.predictionLabel, text)

    def close(self) -> None:
        """Count no report any more."""
        self._count.close()

    def _show_count(self, count: dict[str, Any] | None) -> None:
        if count is None:
            text = ""
        elif count["truncated"]:
            text = _("<b>{tokens} tokens, but the model reads {limit}: the beginning will be cut off.</b>")
        else:
            text = _("{tokens} of {limit} tokens")
        lines = [text.format(**count), _unlike(count["outside"])] if count else []
        lines += map(escape, self._notes.get(self._ui.reportEdit.plainText, ()))
        self._ui.tokensLabel.text = "<br>".join(filter(None, lines))

    def _load(self, _checked: bool) -> None:
        chosen = qt.QFileDialog.getOpenFileName(
            self._ui.reportEdit, _("Load a report"), "", _("Text files (*.txt);;All files (*)")
        )
        if not chosen:
            return
        notes: list[str] = []
        try:
            report = read_report(Path(chosen), notes.append)
        except ValueError as error:
            self._ui.tokensLabel.text = escape(str(error))
            return
        self._notes = {report: notes}
        self.write(report)
        if notes and not self._ui.tokensLabel.text:
            self._show_count(None)  # nothing may ever be counted, without a model

    def _fill_menu(self) -> None:
        self._menu.clear()
        reports = self.history.reports
        for report in reports:
            action = self._menu.addAction(_menu_text(report))
            action.connect("triggered(bool)", lambda _checked, report=report: self.write(report))
        if not reports:
            self._menu.addAction(_("No report yet")).enabled = False
        self._menu.addSeparator()
        remember = self._menu.addAction(_("Remember reports on this computer"))
        remember.checkable = True
        remember.checked = self.history.enabled
        remember.connect("triggered(bool)", self._remember)
        clear = self._menu.addAction(_("Forget them all"))
        clear.enabled = bool(reports)
        clear.connect("triggered(bool)", lambda _checked: self.history.clear())

    def _remember(self, remember: bool) -> None:
        self.history.enabled = remember


def _unlike(outside: dict[str, Any] | None) -> str:
    """How a report is worded unlike those that the model was trained on, as the worker tells it."""
    if outside is None:
        return ""
    if outside["language"] is not None:
        text = _("This seems to be {language}, which the model has not learnt: what it reads may be wrong.")
    elif outside["new_words"]:
        text = _("Worded unlike the reports that the model has learnt from ({words} …): what it reads may be wrong.")
    else:
        text = _("Worded unlike the reports that the model has learnt from: what it reads may be wrong.")
    words = escape(", ".join(outside["new_words"]))
    return "<b>" + text.format(language=escape(str(outside["language"])), words=words) + "</b>"


def _menu_text(report: str) -> str:
    line = " ".join(report.split())
    shortened = line if len(line) <= MENU_CHARACTERS else line[: MENU_CHARACTERS - 1] + "…"
    return shortened.replace("&", "&&")  # a single one would underline the letter that follows


MAX_REPORTS = 10
OWNER_ALONE = 0o600
REPORTS_KEY = "CCELLAGenerator/recentReports"
ENABLED_KEY = "CCELLAGenerator/rememberReports"


def reads_report(model: dict[str, Any] | None) -> bool:
    """Whether a report has a use; as long as the model is not known, it may have one."""
    return model is None or model["reads_report"] is not False


class ReportHistory:
    """Newest first. A report can identify a patient: switching the memory off also forgets what is in it."""

    @property
    def enabled(self) -> bool:
        """Whether reports are remembered; switched off, they are forgotten as well."""
        return slicer.util.settingsValue(ENABLED_KEY, True, converter=slicer.util.toBool)

    @enabled.setter
    def enabled(self, remember: bool) -> None:
        qt.QSettings().setValue(ENABLED_KEY, remember)
        if not remember:
            self.clear()

    @property
    def reports(self) -> list[str]:
        """What is remembered, the newest first."""
        # As JSON, because Qt's own lists of texts come back as a text where there is one, and as nothing where none.
        try:
            reports = json.loads(slicer.util.settingsValue(REPORTS_KEY, "[]"))
        except (TypeError, ValueError):
            return []
        return [report for report in reports if isinstance(report, str)] if isinstance(reports, list) else []

    def remember(self, report: str) -> None:
        """Put a report first. Does nothing for an empty one, or where the memory is switched off."""
        if self.enabled and report.strip():
            reports = [report, *(known for known in self.reports if known != report)]
            settings = qt.QSettings()
            settings.setValue(REPORTS_KEY, json.dumps(reports[:MAX_REPORTS], ensure_ascii=False))
            settings.sync()
            with contextlib.suppress(OSError):  # it is no file on every system
                Path(settings.fileName()).chmod(OWNER_ALONE)  # Qt keeps the mode when it writes again

    def clear(self) -> None:
        """Forget all reports."""
        qt.QSettings().remove(REPORTS_KEY)
