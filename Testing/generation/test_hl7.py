"""HL7 messages as senders write them: signs of their own, escapes and what only looks like one, batches."""

from __future__ import annotations

import pytest

from ccella_core.errors import InputError
from ccella_core.generation.markup import plain_text
from ccella_core.generation.report_text import markup_of

USUAL = "|^~\\&"


def message(signs: str = USUAL, *texts: str, characters: str = "") -> str:
    """An ORU message, its texts in the usual signs, which are exchanged for others."""
    between, given = signs[0], dict(zip("^~\\&", signs[1:].ljust(4), strict=False))
    observations = (f"OBX|{number}|TX|&GDT||{text}||||||F" for number, text in enumerate(texts, start=1))
    parts = ("PID|1||123||DOE^JOHN", "OBR|1|||MRI^prostate", *observations)
    head = between.join((f"MSH{signs}", *"ABCD", "20260101", "", f"ORU{signs[1]}R01", "1", "P", "2.5", *[""] * 5,
                         characters))  # fmt: skip
    return "\r".join((head, *("".join({"|": between, **given}.get(sign, sign) for sign in part) for part in parts)))


@pytest.mark.parametrize("signs", [USUAL, "|^~\\&#", "#*~\\&", "$%!?@", "!^~\\&", ":^~\\&", "|$~\\&"])
def test_a_message_says_itself_what_separates_its_parts(signs):
    told = []
    text = plain_text(
        message(signs, "Volume 40 \\F\\ 41 mL.\\.br\\a \\S\\ b \\T\\ c \\R\\ d \\E\\ e~Second."), told.append
    )
    field, component, repetition, escape, subcomponent = signs[:5]
    marks = f"a {component} b {subcomponent} c {repetition} d {escape} e"
    assert text == f"Volume 40 {field} 41 mL.\n{marks}\nSecond."
    assert told == ["The report is an HL7 message; its text was taken out."]


def test_signs_may_be_missing_from_the_end():
    assert plain_text(message("|^~\\", "a \\F\\ b~c")) == "a | b\nc"
    text = plain_text("MSH|^~|A\rOBX|1|TX|a||kept \\F\\ as it is~c||||||F")
    assert text == "kept \\F\\ as it is\nc"


@pytest.mark.parametrize("start", ["MSH||A", "MSH|^|A", "MSH|^^\\&|A", "MSH|^~^&|A", "FHS|^~\\&|A"])
def test_a_message_without_its_signs_is_refused(start):
    with pytest.raises(InputError, match=r"HL7 message that does not say what separates its parts .*: give its text"):
        plain_text(f"{start}\rOBX|1|TX|a||Lesion.||||||F")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (r"see C:\path and other \ signs \F\ here", r"see C:\path and other \ signs | here"),
        (r"Right\left lobe: none\PI-RADS 4", r"Right\left lobe: none\PI-RADS 4"),
        (r"a\.br\b\.BR\c\.sp2\d\.in+4\e\.sk3\f\.ce\g", "a\nb\nc\nd" + "e f\ng"),
        (r"\H\bold\N\ \Zxyz\ \C2842\end\X0D0A\line\X21\ ", "bold  end\nline!"),
        (r"ends with \F", r"ends with \F"),
        (r"\F\\F\ ", "||"),
    ],
)
def test_what_is_no_escape_stays_as_it_is(written, text):
    assert plain_text(message(USUAL, written)) == text


def test_hexadecimal_letters_are_of_the_message_s_own_characters():
    assert plain_text(message(USUAL, "L\\XC3A4\\sion", characters="UNICODE UTF-8")) == "Läsion"
    assert plain_text(message(USUAL, "L\\XE4\\sion", characters="8859/1")) == "Läsion"


def test_a_line_of_three_capitals_is_text():
    assert plain_text(message(USUAL, "One\rMRI\rof the prostate")) == "One\nMRI\nof the prostate"


def test_a_message_in_a_batch_or_as_it_came_over_the_wire():
    whole = plain_text(message(USUAL, "Lesion."))
    assert plain_text(f"FHS#*~\\&#A\rBHS#*~\\&#A\r{message(USUAL, 'Lesion.')}\rBTS|1\rFTS|1") == whole == "Lesion."
    withdrawn = message(USUAL, "Lesion.", "No.")[:-1] + "D"
    assert plain_text(f"\x0b{withdrawn}\x1c\r") == "Lesion."


def test_texts_of_several_examinations_are_said_to_be():
    told = []
    both = f"{message(USUAL, 'Lesion.')}\rOBR|2|||CXR\rOBX|2|TX|a||Lungs are clear.||||||F"
    assert plain_text(both, told.append) == "Lesion.\nLungs are clear." and "texts of 2 examinations (OBR)" in told[0]


@pytest.mark.parametrize("signs", [USUAL, "#*~\\&", "|^~"])
@pytest.mark.parametrize("before", ["", "Report:\r", "Report:\n"])
def test_a_message_within_a_report_is_recognised(signs, before):
    assert markup_of(before + message(signs, "Lesion.")) == "an HL7 message"
    assert markup_of("MSH2 and MSH6 are intact; PID: none. OBX of the lesion | none") is None
