"""The last reports, kept in Slicer's settings on this computer, if the user wants that."""

from __future__ import annotations

import json

import qt
import slicer

MAX_REPORTS = 10
REPORTS_KEY = "CCELLAGenerator/recentReports"
ENABLED_KEY = "CCELLAGenerator/rememberReports"


class ReportHistory:
    """Newest first. A report can identify a patient: switching the memory off also forgets what is in it."""

    @property
    def enabled(self) -> bool:
        return slicer.util.settingsValue(ENABLED_KEY, True, converter=slicer.util.toBool)

    @enabled.setter
    def enabled(self, remember: bool) -> None:
        qt.QSettings().setValue(ENABLED_KEY, remember)
        if not remember:
            self.clear()

    @property
    def reports(self) -> list[str]:
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
            qt.QSettings().setValue(REPORTS_KEY, json.dumps(reports[:MAX_REPORTS], ensure_ascii=False))

    def clear(self) -> None:
        qt.QSettings().remove(REPORTS_KEY)
