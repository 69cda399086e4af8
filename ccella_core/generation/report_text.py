"""What a usable report is: one rule for preparing, training and generating. Needs no PyTorch."""

from __future__ import annotations

import re

from ccella_core.errors import InputError

NULL_REPORT = ""
"""What classifier-free guidance, and a case without a report, give the encoder."""
MAX_REPORT_CHARACTERS = 20_000
"""Ten times a long report: more is a file pasted by mistake."""
MARKUP: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\{\\rtf|\\pard?\b.*\\par\b", re.DOTALL), "RTF (rich text)"),
    (re.compile(r"(MSH|FHS|BHS)\|\^~\\&|(\A|[\r\n])(MSH|FHS|BHS)([^\w\s])[^\w\s]{0,5}\4|"
                r"(\A|[\r\n])(OBX|OBR|PID|NTE)\|[^\r\n]*\|", re.IGNORECASE), "an HL7 message"),
    (re.compile(r"\s*<\?xml|\s*<!doctype|</?(html|body|div|span|p|br|table|td|tr|b|i|section|text|paragraph)\b[^<>]*>",
                re.IGNORECASE), "HTML or XML"),
    (re.compile(r"</[a-z][\w:.-]*\s*>|&(?:[lg]t|amp|quot|apos|nbsp|#x?[0-9a-f]{1,6});", re.IGNORECASE), "HTML or XML"),
    (re.compile(r"\\(?:documentclass|begin|end|(?:sub)*section\*?|text[a-z]{2})\{"), "LaTeX"),
    (re.compile(r"\x1b"), "coloured for a terminal"),
    (re.compile(r"\s*\[?\s*[{\[]\s*\"[^\"]+\"\s*:", re.DOTALL), "JSON"),
    (re.compile(r"%PDF-"), "a PDF"),
    (re.compile(r"%!PS"), "PostScript"),
    (re.compile(r"^(MIME-Version|Content-Transfer-Encoding):", re.IGNORECASE | re.MULTILINE), "an e-mail"),
    (re.compile(r"PK\x03\x04"), "a Word document or an archive"),
    (re.compile(r"\xd0\xcf\x11\xe0|\ufffd{2}\x11\ufffd"), "an old Word document"),
    (re.compile(r".{128}DICM", re.DOTALL), "a DICOM file"),
    (re.compile(r"(?=.*\d)(?=.*[A-Z])(?=.*[a-z])\s*[A-Za-z0-9+/\r\n]{60,}={0,2}\s*\Z", re.DOTALL), "encoded (Base64)"),
)  # fmt: skip
"""Text in which a report is wrapped: a model that reads words would read its marks as words."""


def check_report(report: object) -> str:
    """The report without surrounding white space.

    Raises:
        InputError: it is not a text that can be encoded: empty, too long, not printable, not Unicode, or markup.
    """
    if not isinstance(report, str):
        raise InputError(f"A report is a text; got {type(report).__name__}.")
    if len(report) > MAX_REPORT_CHARACTERS:
        raise InputError(f"The report has {len(report)} characters; shorten it to at most {MAX_REPORT_CHARACTERS}.")
    if not report.strip():
        raise InputError("The report is empty: write at least one finding.")
    if (markup := markup_of(report)) is not None:
        raise InputError(f"The report is {markup}, not plain text: open it where it is read, and copy the text alone.")
    if "\0" in report:
        raise InputError("The report contains NUL characters: it is not plain text; paste it again as text.")
    if not any(character.isprintable() and not character.isspace() for character in report):
        raise InputError("The report contains no printable characters: paste it again as text.")
    if not any(character.isalpha() for character in report):
        raise InputError("The report contains no words: write at least one finding.")
    try:
        report.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InputError(
            "The report contains characters that are not valid Unicode: paste it again as text."
        ) from error
    return report.strip()


def markup_of(text: str) -> str | None:
    """The markup that a report is wrapped in, in words; ``None`` for plain text."""
    for pattern, name in MARKUP:
        searched = pattern.match(text) if name in ("JSON", "a DICOM file", "encoded (Base64)") else pattern.search(text)
        if searched:
            return name
    return None
