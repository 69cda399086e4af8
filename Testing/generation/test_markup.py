"""Reports that came as RTF or HL7: their text, or a sentence."""

from __future__ import annotations

import pytest

from ccella_core.errors import InputError
from ccella_core.generation.markup import plain_text
from ccella_core.generation.report_text import check_report, markup_of

RTF = (
    r"{\rtf1\ansi\deff0{\fonttbl{\f0 Arial;}}\f0\fs20\b FINDINGS:\b0  Left peripheral zone, mid gland, 18 mm "
    r"lesion.\par"
    "\n"
    r"\b IMPRESSION:\b0  PI-RADS 5.\par}"
)
HL7 = "\r".join(
    (
        "MSH|^~\\&|RIS|A|B|C|20260101||ORU^R01|1|P|2.5",
        "PID|1||123||DOE^JOHN",
        "OBX|1|TX|&GDT||FINDINGS: Right PZ lesion, 12 mm.\\.br\\IMPRESSION: PI-RADS 4.||||||F",
        "OBX|2|FT|&GDT||Volume 40 \\F\\ 41 mL~Second line \\X2626\\||||||F",
        "OBX|3|ED|PDF||^application^pdf^Base64^JVBERi0||||||F",
    )
)


def test_the_text_is_taken_out():
    said: list[str] = []
    assert plain_text(RTF, said.append) == (
        "FINDINGS: Left peripheral zone, mid gland, 18 mm lesion.\nIMPRESSION: PI-RADS 5."
    )
    assert plain_text(HL7, said.append) == (
        "FINDINGS: Right PZ lesion, 12 mm.\nIMPRESSION: PI-RADS 4.\nVolume 40 | 41 mL\nSecond line &&"
    )
    assert said == [
        "The report is RTF (rich text); its text was taken out.",
        "The report is an HL7 message; its text was taken out.",
    ]
    assert markup_of(check_report(plain_text(RTF))) is None and "DOE" not in plain_text(HL7)
    assert plain_text(HL7.replace("&|RIS", "&#|RIS")) == plain_text(HL7)
    assert plain_text("PI-RADS 4.", said.append) == "PI-RADS 4." and len(said) == 2


@pytest.mark.parametrize(
    ("rtf", "text"),
    [
        (r"{\rtf1\ansi\ansicpg1252 L\'e4sion links \'96 12 mm}", "Läsion links – 12 mm"),
        (r"{\rtf1\ansicpg1251 \'cf\'f0\'ee}", "Про"),
        (r"{\rtf1\ansicpg932 \'91\'4f}", "前"),
        (r"{\rtf1\uc1 \u228?\u8211\'96x}", "ä–x"),
        (r"{\rtf1\uc0\u21069 \u-10179\u-8704}", "前😀"),
        (
            r"{\rtf1{\*\generator Word 16;}{\info{\author Somebody}}{\header page 1}a\tab b\line c\~d\_e\{\}\\}",
            "a\tb\nc d-e{}\\",
        ),
        (r"{\rtf1 {\field{\*\fldinst HYPERLINK x}{\fldrslt link}} end}", "link end"),
        (r"{\rtf1 {\pict\pngblip 89504e47}text}", "text"),
        (r"{\rtf1 No lesion.{\deleted  PI-RADS 5 lesion.} PI-RADS 1.}", "No lesion. PI-RADS 1."),
        (r"{\rtf1 No lesion.\strike  PI-RADS 5.\strike0  PI-RADS 1.{\striked1  Left.}}", "No lesion. PI-RADS 1."),
        (r"{\rtf1 No lesion.\strike  PI-RADS 5.\plain  PI-RADS 1.}", "No lesion. PI-RADS 1."),
        (r"{\rtf1 No lesion.\v  PI-RADS 5\'2e\v0  PI-RADS 1.\deleted  5\plain  or 2.}", "No lesion. PI-RADS 1."),
        (r"{\rtf1 {\v hidden {\b inside}}seen {\annotation a remark}again}", "seen again"),
    ],
)
def test_rich_text(rtf, text):
    assert plain_text(rtf) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (r"{\rtf1\ansi{\fonttbl{\f0 Arial;}}\par}", "RTF .* in which there is no text"),
        ("MSH|^~\\&|RIS\rOBX|1|ED|PDF||JVBERi0", "HL7 message, in which there is no text"),
        (r"{\rtf1 " + "{" * 2000, "too many nested groups"),
        (r"{\rtf1 {\pict\bin4 abcd}}", "binary data"),
        (r"{\rtf1 {\b No lesion} in the right half. But the lef", "incomplete: its end is missing"),
        (r"{\rtf1 No lesion.}{\rtf1 PI-RADS 5.}", "two documents in one file"),
        (f"{HL7}\r{HL7}", "several HL7 messages in one file"),
    ],
)
def test_what_holds_none_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        plain_text(text)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_a_line_that_begins_no_segment_goes_on_with_the_one_before(end):
    broken = HL7.replace("\r", end).replace("FINDINGS: Right PZ", f"FINDINGS:{end}Right PZ")
    assert plain_text(broken) == plain_text(HL7).replace("FINDINGS: Right PZ", "FINDINGS:\nRight PZ")


@pytest.mark.parametrize("status", ["D", "X", "W"])
def test_withdrawn_lines_and_notes_are_left_out_and_said_to_be(status):
    said: list[str] = []
    withdrawn = f"OBX|4|TX|&GDT||PI-RADS 5 lesion.||||||{status}\rNTE|1||See the addendum."
    assert plain_text(f"{HL7}\r{withdrawn}", said.append) == plain_text(HL7)
    assert said[0] == (
        "The report is an HL7 message, of which lines that are marked as withdrawn and notes (NTE) were left out."
    )


@pytest.mark.parametrize(
    ("report", "words"),
    [
        ("." * 200, "contains no words"),
        ("4 / 5, 18 – 20", "contains no words"),
        ("%!PS-Adobe-3.0\n(PI-RADS 5) show", "PostScript, not plain text"),
        ("From: a\nMIME-Version: 1.0\n\nPI-RADS 5 lesion=3D", "an e-mail, not plain text"),
        ("UEktUkFEUyA1IGxlc2lvbiBpbiB0aGUgbGVmdCBwZXJpcGhlcmFsIHpvbmUsIDE4IG1t", r"encoded \(Base64\)"),
    ],
)
def test_what_is_no_report_is_refused(report, words):
    with pytest.raises(InputError, match=words):
        check_report(report)
