"""The last reports: newest first, no more than there is room for, and gone when the user wants it."""

import os
import stat
from pathlib import Path

import pytest

from ccella_core.phantom.findings import Findings
from ccella_core.phantom.report import write_report


@pytest.fixture
def history(slicer_bench):
    from CCELLAGeneratorLib.panel.report_section import ReportHistory

    return ReportHistory()


def test_newest_first_and_each_once(history):
    for report in ("a", "b", "a"):
        history.remember(report)
    assert history.reports == ["a", "b"]


def test_forgets_the_oldest(history):
    for number in range(12):
        history.remember(f"report {number}")
    assert history.reports == [f"report {number}" for number in range(11, 1, -1)]


def test_keeps_every_character_and_outlives_the_session(history):
    from CCELLAGeneratorLib.panel.report_section import ReportHistory

    report = write_report(Findings(45, 6.5, 65, 2)) + '\n"Läsion", 5 mm; 100 % \\ 前列腺'
    history.remember(report)
    assert ReportHistory().reports == [report]


def test_one_report_and_none_are_lists_too(history):
    assert history.reports == []
    history.remember(" \n")
    assert history.reports == []
    history.remember("one, two; three")
    assert history.reports == ["one, two; three"]


def test_switched_off_it_forgets_and_remembers_nothing(history):
    history.remember("a")
    assert history.enabled
    history.enabled = False
    assert (history.enabled, history.reports) == (False, [])
    history.remember("b")
    assert history.reports == []
    history.enabled = True
    history.remember("c")
    assert history.reports == ["c"]


@pytest.mark.parametrize("stored", ["no JSON", '{"a": 1}', "[1, null]", ""])
def test_settings_that_someone_spoiled_hold_no_reports(history, stored):
    import qt
    from CCELLAGeneratorLib.panel.report_section import REPORTS_KEY

    qt.QSettings().setValue(REPORTS_KEY, stored)
    assert history.reports == []


@pytest.mark.skipif(os.name != "posix", reason="modes are of Unix")
def test_only_the_owner_reads_it(history):
    import qt

    for report in ("a", "b"):
        history.remember(report)
        settings = qt.QSettings()
        settings.setValue("another/key", report)
        settings.sync()
        assert stat.S_IMODE(Path(settings.fileName()).stat().st_mode) == 0o600
