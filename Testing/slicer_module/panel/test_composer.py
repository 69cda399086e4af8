"""Findings that are picked: what the widgets say, what cannot be, and the report that is written."""

from typing import Any

import pytest

from ccella_core.phantom.findings import Findings, Lesion
from ccella_core.phantom.report import write_report

CASES = {
    "negative": Findings(30, 1.5, 50, 1, hyperplasia="none", bladder="low", rectum="gas"),
    "benign": Findings(300, 5000, 120, 2, hyperplasia="marked", peripheral_change="both", bladder="full"),
    "smallest": Findings(10, 0, 18, 3, (Lesion("right", "transition", "base", 3, 3),), rectum="stool"),
    "two lesions": Findings(
        62, 8.3, 71, 5,
        (Lesion("left", "peripheral", "apex", 9, 5, extraprostatic=True), Lesion("right", "transition", "mid", 80, 5)),
        peripheral_change="right",
    ),
}  # fmt: skip


def choose(box: Any, text: str) -> None:
    index = box.findText(text)
    assert index >= 0
    box.currentIndex = index


@pytest.mark.parametrize("findings", CASES.values(), ids=CASES)
def test_findings_survive_the_widgets(panel, findings):
    composer = panel.widget.panel.report.composer
    composer.show(findings)
    assert composer.findings() == findings
    assert panel.ui.writeReportButton.enabled


def test_the_first_findings_are_possible(panel):
    assert panel.ui.writeReportButton.enabled
    assert panel.ui.composerHint.text == ""


def test_writes_the_library_s_report_in_other_words_each_time(panel):
    findings = panel.widget.panel.report.composer.findings()
    reports = []
    for _press in range(3):
        panel.ui.writeReportButton.click()
        reports.append(panel.ui.reportEdit.plainText)
    assert reports == [write_report(findings, seed=seed) for seed in range(3)]
    assert len(set(reports)) == 3
    assert panel.parameters.report == reports[-1]


def test_what_was_typed_can_be_had_back(panel):
    panel.ui.reportEdit.plainText = "typed"
    panel.ui.writeReportButton.click()
    panel.ui.reportEdit.undo()
    assert panel.ui.reportEdit.plainText == "typed"


def test_says_beside_the_widgets_what_cannot_be(panel):
    panel.ui.lesion1Size.value = 15
    sentence = "Not possible: a PI-RADS 4 lesion is smaller than 15 mm and confined to the gland."
    assert panel.ui.composerHint.text == panel.ui.writeReportButton.toolTip == sentence
    assert not panel.ui.writeReportButton.enabled
    panel.ui.writeReportButton.click()
    assert panel.parameters.report == ""

    choose(panel.ui.lesion1Pirads, "5")
    assert "overall PI-RADS must be the highest score" in panel.ui.composerHint.text
    choose(panel.ui.overallPiradsBox, "5")
    assert panel.ui.writeReportButton.enabled
    assert panel.ui.composerHint.text == ""
    assert panel.bench.messages == []


@pytest.mark.parametrize(
    ("widget", "value"),
    [("lesion1Group", False), ("lesion1Extraprostatic", True)],
)
def test_ticks_are_checked_too(panel, widget, value):
    getattr(panel.ui, widget).checked = value
    assert panel.ui.composerHint.text.startswith("Not possible: ")


def test_a_benign_change_is_not_pirads_1(panel):
    panel.ui.lesion1Group.checked = False
    choose(panel.ui.overallPiradsBox, "1")
    assert panel.ui.writeReportButton.enabled
    choose(panel.ui.peripheralChangeBox, "both sides")
    assert panel.ui.composerHint.text == "Not possible: a benign peripheral-zone change scores PI-RADS 2, not 1."
