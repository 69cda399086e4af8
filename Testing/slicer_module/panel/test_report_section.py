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


def test_a_report_in_another_encoding_is_read_and_said_to_be_such(panel, tmp_path: Path):
    file = tmp_path / "report.txt"
    for content, said in (
        ("\ufeffLäsion links.".encode("utf-16-le"), ""),
        ("Läsion links.".encode("latin-1"), "not UTF-8 and was read as Latin-1"),
        (rb"{\rtf1\ansi L\'e4sion links.}", "rich text"),
    ):
        file.write_bytes(content)
        panel.ui.reportEdit.plainText = ""
        panel.bench.answer_file(file)
        panel.ui.loadReportButton.click()
        assert panel.parameters.report == "Läsion links."
        panel.settle()
        assert said in panel.ui.tokensLabel.text and "tokens" in panel.ui.tokensLabel.text
    panel.ui.reportEdit.plainText = "Läsion rechts."
    panel.settle()
    assert panel.ui.tokensLabel.text == "12 of 256 tokens"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"%PDF-1.7 ", "{file} is a PDF; save its text."),
        (bytes(range(32)) * 4, "{file} is no text: it holds NUL characters. Save it as UTF-8."),
        (b" \n", "report.txt is empty."),
        (b"x" * (2**20 + 1), "report.txt is too large to be a report."),
        (None, "There is no file {file}."),
    ],
    ids=["pdf", "binary", "empty", "large", "missing"],
)
def test_a_file_that_is_no_report_changes_nothing(panel, tmp_path: Path, content, sentence):
    file = tmp_path / "report.txt"
    if content is not None:
        file.write_bytes(content)
    panel.ui.reportEdit.plainText = "what was there"
    panel.bench.answer_file(file)
    panel.ui.loadReportButton.click()
    assert panel.ui.tokensLabel.text == sentence.format(file=file)
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


NVIDIA = {
    "reads_report": False, "draws_one": True, "sequences": ["t2w", "hbv", "adc"], "default_guidance_scale": 10.0,
    "native_shape": [256, 256, 128], "native_spacing_mm": [0.664, 0.664, 0.703], "default_scheduler": "rflow",
}  # fmt: skip


def test_a_model_of_one_sequence_at_a_time_offers_them_instead_of_a_report(case):
    from CCELLAGeneratorLib.panel.parameters import SequenceChoice

    case.client.set_models(NVIDIA)
    panel = case.open()
    assert not any(widget.enabled for widget in (panel.ui.reportEdit, panel.ui.composerSection, panel.ui.pathologyBox))
    box = panel.ui.sequenceBox
    assert box.enabled
    assert [box.itemText(i) for i in range(box.count)] == ["The model's own (T2)", "T2", "DWI", "ADC"]
    assert panel.ui.guidanceSpin.specialValueText == "The model's own (10)"
    panel.parameters.report = "Typed for another model."
    panel.parameters.sequence = SequenceChoice.ADC
    panel.ui.cropCheck.checked = True
    panel.ui.generateButton.click()
    asked = panel.client.job().params
    assert (asked["report"], asked["sequences"], asked["guidance_scale"]) == (None, ["adc"], None)
    assert asked["crop_mm"] == [128.0, 128.0, 64.0]


def test_models_that_read_reports_offer_no_sequence(case):
    from CCELLAGeneratorLib.panel.parameters import SequenceChoice

    case.client.set_models({"native_spacing_mm": [1.0, 1.0, 1.0]})
    panel = case.open()
    assert panel.ui.reportEdit.enabled and not panel.ui.sequenceBox.enabled and not panel.ui.cropCheck.enabled
    assert panel.ui.guidanceSpin.specialValueText == "The model's own (off)"
    panel.parameters.sequence, panel.parameters.crop = SequenceChoice.ADC, True  # chosen with another model
    asked = panel.generate().params
    assert (asked["sequences"], asked["crop_mm"]) == (None, None)


def test_what_a_model_was_not_trained_on_is_said(case):
    case.client.replies["estimate"] = {**case.client.replies["estimate"], "warnings": ["The spacing is <far>."]}
    assert "The spacing is &lt;far&gt;." in case.open().ui.estimateLabel.text


def test_what_was_odd_about_a_volume_is_said_when_it_is_there(panel):
    panel.generate().finish(warnings=["The spacing of 6 mm along Z is far."])
    assert panel.ui.statusLabel.text.endswith(". The spacing of 6 mm along Z is far.")
