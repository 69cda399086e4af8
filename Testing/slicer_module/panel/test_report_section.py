"""The report: typed, loaded, remembered; and how much of it the model reads."""

from pathlib import Path
from typing import Any

import pytest


def menu_actions(panel: Any) -> list[Any]:
    """The entries of "Recent", as they are when the user opens it."""
    menu = panel.ui.recentButton.menu()
    menu.aboutToShow.emit()
    return [action for action in menu.actions() if not action.isSeparator()]


@pytest.mark.medium
def test_what_is_typed_is_a_parameter_and_counted_once(panel):
    for text in ("PI", "PI-RADS", "PI-RADS 4."):
        panel.ui.reportEdit.plainText = text
    panel.settle()
    assert panel.parameters.report == "PI-RADS 4."
    assert panel.client.asked("count_tokens") == [{"model": "ccella-demo", "report": "PI-RADS 4."}]
    assert panel.ui.tokensLabel.text == "12 of 256 tokens"


def test_typing_does_not_move_the_cursor(panel):
    import qt

    panel.ui.reportEdit.plainText = "PI-RADS 4."
    cursor = panel.ui.reportEdit.textCursor()
    cursor.setPosition(3)
    panel.ui.reportEdit.setTextCursor(cursor)
    panel.ui.reportEdit.insertPlainText("x")
    assert panel.parameters.report == "PI-xRADS 4."
    assert panel.ui.reportEdit.textCursor().position() == 4
    assert panel.ui.reportEdit.textCursor().movePosition(qt.QTextCursor.End)


def test_warns_before_the_beginning_is_cut_off(panel):
    panel.client.replies["count_tokens"] = {"tokens": 300, "limit": 256, "truncated": True, "outside": None}
    panel.ui.reportEdit.plainText = "word " * 300
    panel.settle()
    assert "300 tokens, but the model reads 256: the beginning will be cut off" in panel.ui.tokensLabel.text
    assert panel.ui.tokensLabel.text.startswith("<b>")
    assert panel.ui.generateButton.enabled


@pytest.mark.parametrize(
    ("outside", "words"),
    [
        ({"language": None, "new_words": ["<i>size", "x"]}, "the model has learnt from (&lt;i&gt;size, x …): what it"),
        ({"language": None, "new_words": []}, "Worded unlike the reports that the model has learnt from: what it"),
        ({"language": "German", "new_words": ["links"]}, "This seems to be German, which the model has not learnt"),
    ],
)
def test_says_under_the_text_that_it_is_worded_otherwise(panel, outside, words):
    whole = {"new_share": 0.5, "model_language": "English", **outside}
    panel.client.replies["count_tokens"] = {"tokens": 12, "limit": 256, "truncated": False, "outside": whole}
    panel.ui.reportEdit.plainText = "Size: 4.1 x 4.8 cm."
    panel.settle()
    assert panel.ui.tokensLabel.text.startswith("12 of 256 tokens<br><b>") and words in panel.ui.tokensLabel.text
    assert panel.ui.generateButton.enabled
    panel.client.replies["count_tokens"] = {"tokens": 12, "limit": 256, "truncated": False, "outside": None}
    panel.ui.reportEdit.plainText = "CLINICAL HISTORY"
    panel.settle()
    assert panel.ui.tokensLabel.text == "12 of 256 tokens"


def test_an_empty_report_is_not_counted(panel):
    panel.ui.reportEdit.plainText = "PI-RADS 4."
    panel.settle()
    panel.ui.reportEdit.plainText = "  "
    panel.settle()
    assert len(panel.client.asked("count_tokens")) == 1
    assert panel.ui.tokensLabel.text == ""


def test_loads_a_report_which_can_be_undone(panel, tmp_path):
    file = tmp_path / "Befund.txt"
    file.write_bytes("\ufeffLäsion links, 5 mm\r\nPI-RADS 4\n".encode())
    panel.ui.reportEdit.plainText = "what was there"
    panel.bench.answer_file(file)
    panel.ui.loadReportButton.click()
    assert panel.parameters.report == "Läsion links, 5 mm\nPI-RADS 4"
    panel.ui.reportEdit.undo()
    assert panel.parameters.report == "what was there"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"L\xe4sion", "report.txt is not a text file in UTF-8."),
        (b" \n", "report.txt is empty."),
        (b"x" * (2**20 + 1), "report.txt is too large to be a report."),
        (None, "report.txt cannot be read: No such file or directory."),
    ],
    ids=["latin-1", "empty", "large", "missing"],
)
def test_a_file_that_is_no_report_changes_nothing(panel, tmp_path: Path, content, sentence):
    file = tmp_path / "report.txt"
    if content is not None:
        file.write_bytes(content)
    panel.ui.reportEdit.plainText = "what was there"
    panel.bench.answer_file(file)
    panel.ui.loadReportButton.click()
    assert panel.ui.tokensLabel.text == sentence
    assert panel.parameters.report == "what was there"
    assert panel.bench.messages == []


def test_choosing_no_file_changes_nothing(panel):
    panel.ui.reportEdit.plainText = "what was there"
    panel.bench.answer_file("")
    panel.ui.loadReportButton.click()
    assert panel.parameters.report == "what was there"


def test_recent_offers_what_volumes_were_made_of(panel):
    assert menu_actions(panel)[0].text == "No report yet"
    long_report = "PI-RADS 4 & more.\n" * 10
    panel.generate(long_report).finish()
    panel.ui.reportEdit.plainText = ""
    first = menu_actions(panel)[0]
    assert first.text.startswith("PI-RADS 4 && more. PI-RADS 4") and first.text.endswith("…")
    first.trigger()
    assert panel.parameters.report == long_report


@pytest.mark.medium
def test_reports_can_be_forgotten_and_no_longer_remembered(panel):
    panel.generate("A report.").finish()
    *_reports, remember, clear = menu_actions(panel)
    assert (remember.checked, clear.enabled) == (True, True)
    clear.trigger()
    assert menu_actions(panel)[0].text == "No report yet"

    panel.generate("Another report.").finish()
    menu_actions(panel)[-2].trigger()
    panel.generate("A third report.").finish()
    texts = [action.text for action in menu_actions(panel)]
    assert texts[0] == "No report yet"
    assert not menu_actions(panel)[-2].checked
    assert panel.widget.panel.report.history.reports == []


def test_a_model_without_text_says_so_and_needs_no_report(case):
    case.client.set_models({"reads_report": False})
    panel = case.open()
    assert panel.ui.tokensLabel.text == "This model reads no report."
    assert panel.ui.generateButton.enabled
    panel.ui.generateButton.click()
    assert panel.client.job().params["report"] is None
