"""The text of a report that came wrapped in RTF (rich text) or as an HL7 message. Needs no PyTorch.

Only what is simple is read: text between marks. What is left in marks, or holds no text, is refused by
``report_text.check_report`` as any markup is.
"""

from __future__ import annotations

import re

from ccella_core.errors import InputError
from ccella_core.generation.hl7 import is_hl7, text_of_hl7
from ccella_core.imaging.raw_files import OnWarning

RTF_START = "{\\rtf"
RTF_TOKEN = re.compile(
    r"\\([a-z]{1,32})(-?\d{1,10})? ?|\\'([0-9a-f]{2})|\\([^a-z'])|([{}])|[\r\n]+|([^\\{}\r\n]+)", re.I
)
RTF_SIGNS = {"par": "\n", "line": "\n", "sect": "\n", "page": "\n", "row": "\n", "tab": "\t", "cell": "\t",
             "emdash": "—", "endash": "–", "bullet": "•", "lquote": "‘", "rquote": "’", "ldblquote": "“",
             "rdblquote": "”", "emspace": " ", "enspace": " "}  # fmt: skip
RTF_ASIDE = frozenset(("fonttbl", "colortbl", "stylesheet", "info", "pict", "object", "header", "footer", "headerl",
                       "headerr", "headerf", "footerl", "footerr", "footerf", "footnote", "themedata", "listtable",
                       "listoverridetable", "generator", "fldinst", "bkmkstart", "bkmkend", "xmlnstbl",
                       "datastore", "annotation", "atnid", "atnauthor"))  # fmt: skip
"""Groups whose text is none of the document's."""
RTF_HIDDEN = frozenset(("v", "deleted", "strike", "striked"))
"""Words behind which text is not shown, or struck out, until the same word with a 0."""
DEEPEST_GROUP = 1000


def plain_text(text: str, on_warning: OnWarning | None = None) -> str:
    """The text in RTF or an HL7 message; any other text as it is.

    Args:
        text: a report as it came.
        on_warning: hears that text was taken out of markup.

    Raises:
        InputError: it is one of the two, and broken or without text.
    """
    start = text.lstrip("\ufeff \t\r\n\x0b")
    if start.startswith(RTF_START):
        kind, found = "RTF (rich text)", _of_rtf(start)
    elif is_hl7(start):
        kind, found = "an HL7 message", text_of_hl7(start, on_warning)
    else:
        return text
    found = re.sub(r"[ \t]+\n", "\n", found).strip()
    if not found:
        raise InputError(f"The report is {kind}, in which there is no text: give the report's text alone.")
    if on_warning is not None:
        on_warning(f"The report is {kind}; its text was taken out.")
    return found


def _of_rtf(text: str) -> str:
    encoding = f"cp{page[1]}" if (page := re.search(r"\\ansicpg(\d{3,5})\b", text)) else "cp1252"
    pieces: list[str] = []
    if len(re.findall(r"\{\\rtf\d?\b", text)) > 1:
        raise InputError("The report is RTF (rich text), two documents in one file: give one report's text alone.")
    # Of each group that is open: whether its text counts, how many letters stand in for a \u, and what hides it.
    groups: list[tuple[bool, int, frozenset[str]]] = [(True, 1, frozenset())]
    to_skip, bytes_read = 0, bytearray()

    def add(piece: str) -> None:
        nonlocal to_skip
        if bytes_read:
            pieces.append(_decoded(bytes(bytes_read), encoding))
            bytes_read.clear()
        piece, to_skip = piece[to_skip:], max(0, to_skip - len(piece))
        if groups[-1][0] and not groups[-1][2]:
            pieces.append(piece)

    for token in RTF_TOKEN.finditer(text):
        word, number, code, sign, brace, plain = token.groups()
        if brace == "{":
            add("")
            to_skip = 0
            groups.append(groups[-1])
            if len(groups) > DEEPEST_GROUP:
                raise InputError("The report is RTF (rich text) of too many nested groups: give its text alone.")
        elif brace == "}":
            add("")
            to_skip = 0
            if len(groups) > 1:
                groups.pop()
        elif code is not None:
            if to_skip:
                to_skip -= 1
            elif groups[-1][0] and not groups[-1][2]:
                bytes_read.append(int(code, 16))
        elif sign is not None:
            if sign == "*":
                groups[-1] = (False, *groups[-1][1:])
            else:
                add({"~": " ", "_": "-", "-": "", "\n": "\n", "\r": "\n"}.get(sign, sign if sign in "\\{}" else ""))
        elif word in RTF_ASIDE:
            groups[-1] = (False, *groups[-1][1:])
        elif word in RTF_HIDDEN or word == "plain":
            add("")
            counts, letters, hidden = groups[-1]
            if word == "plain":
                hidden &= {"deleted"}  # which is no formatting
            else:
                hidden = hidden - {word} if number == "0" else hidden | {word}
            groups[-1] = (counts, letters, hidden)
        elif word == "uc":
            groups[-1] = (groups[-1][0], min(int(number or 1), 8), groups[-1][2])
        elif word == "u" and number is not None:
            add(chr(int(number) % 0x10000))
            to_skip = max(0, groups[-1][1])
        elif word == "bin":
            raise InputError("The report is RTF (rich text) with binary data in it: give its text alone.")
        elif word is not None:
            add(RTF_SIGNS.get(word, ""))
        elif plain is not None:
            add(plain)
    add("")
    if len(groups) > 1:
        raise InputError("The report is RTF (rich text) that is incomplete: its end is missing; get it again.")
    joined = "".join(pieces)
    return joined.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # \u gives halves of rarer letters


def _decoded(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding, "replace")
    except LookupError:
        return data.decode("cp1252", "replace")
