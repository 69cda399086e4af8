r"""The text of a report that came as an HL7 v2 message. Needs no PyTorch.

A message says itself what separates its parts (HL7 v2.x, chapter 2): the character after ``MSH`` separates fields
(MSH-1), and those that follow it, MSH-2, separate components and repetitions, begin and end an escape, and separate
subcomponents. Most are ``|^~\&``, and none has to be.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ccella_core.errors import InputError
from ccella_core.imaging.raw_files import OnWarning

SIGNS = r"([^A-Za-z0-9\s])([^A-Za-z0-9\s]{0,5}?)\1"
"""MSH-1, and MSH-2, which is at most five characters."""
START = re.compile(f"(?:MSH|FHS|BHS){SIGNS}")
"""Of a message, or of a file or batch that holds one, whose headers may name other signs."""
MESSAGE = re.compile(rf"(?:\A|[\r\n])MSH{SIGNS}")
FEWEST_SIGNS = 3
"""MSH-1, and of MSH-2 what separates components and repetitions."""
TEXT_TYPES = frozenset(("TX", "FT", "ST"))
"""Of an observation (OBX-2) that is text."""
WITHDRAWN = frozenset("DXW")
"""What an observation's status says where it is deleted, never came about, or is wrong (table 0085)."""
FIELD_TYPE, FIELD_VALUE, FIELD_STATUS, FIELD_NOTE, FIELD_CHARACTERS = 2, 5, 11, 3, 17
"""Of OBX, of OBX, of OBX, of NTE, and of MSH, in which MSH-1 is the separator itself."""
END_OF_BLOCK = "\x1c"
"""With which a message ends where it was kept as it came over the wire (MLLP)."""
FORMATTING = re.compile(r"\.(br|sp|fi|nf|in|ti|sk|ce)[+-]?\d*", re.IGNORECASE)
NEW_LINES = ("br", "sp", "ce")
OTHER_ESCAPES = re.compile(r"[HN]|[CMZ][0-9A-Za-z]*")
"""Highlighting, other sets of characters, and a sender's own, which are no text."""
HEXADECIMAL = re.compile(r"X((?:[0-9A-Fa-f]{2})+)")


@dataclass(frozen=True)
class Signs:
    """The separators of a message; an empty text is a sign that it does not have."""

    field: str
    component: str
    repetition: str
    escape: str = ""
    subcomponent: str = ""
    truncation: str = ""

    def meant_by(self, code: str) -> str | None:
        """The sign that an escape stands for."""
        codes = {"F": self.field, "S": self.component, "R": self.repetition, "E": self.escape, "T": self.subcomponent,
                 "P": self.truncation}  # fmt: skip
        return codes.get(code) or None


def is_hl7(text: str) -> bool:
    """Whether a text begins as a message does."""
    return START.match(text) is not None


def text_of_hl7(text: str, on_warning: OnWarning | None) -> str:
    """The lines of all observations that are text, but for those that were withdrawn.

    Raises:
        InputError: it is damaged, or several messages.
    """
    signs = _signs(text)
    segments = _segments(text.rstrip(f"{END_OF_BLOCK}\r\n\t "), signs)
    lines: list[str] = []
    left_out, orders, with_text = set(), 0, set()
    is_unicode = False
    for fields in (segment.split(signs.field) for segment in segments):
        if fields[0] == "MSH":
            is_unicode = "UTF-8" in _field(fields, FIELD_CHARACTERS).upper()
        elif fields[0] == "OBR":
            orders += 1
        elif fields[0] == "NTE" and _field(fields, FIELD_NOTE).strip():
            left_out.add("notes (NTE)")
        if fields[0] != "OBX" or _field(fields, FIELD_TYPE) not in TEXT_TYPES or not _field(fields, FIELD_VALUE):
            continue
        if _field(fields, FIELD_STATUS).strip().upper() in WITHDRAWN:
            left_out.add("lines that are marked as withdrawn")
            continue
        with_text.add(orders)
        found = fields[FIELD_VALUE].split(signs.repetition)
        lines += [_unescaped(line, signs, "utf-8" if is_unicode else "latin-1") for line in found]
    if left_out and on_warning is not None:
        on_warning(f"The report is an HL7 message, of which {' and '.join(sorted(left_out))} were left out.")
    if len(with_text) > 1 and on_warning is not None:
        on_warning(
            f"The report is an HL7 message with the texts of {len(with_text)} examinations (OBR), which were taken "
            "together; look whether all are of the prostate."
        )
    return "\n".join(lines)


def _signs(text: str) -> Signs:
    start = MESSAGE.search(text)
    given = [] if start is None else [start[1], *start[2]]
    if len(given) < FEWEST_SIGNS or len(set(given)) < len(given):
        raise InputError(
            f"The report is an HL7 message that does not say what separates its parts ({text[:10]!r}): give its text "
            "alone."
        )
    return Signs(*given)


def _segments(text: str, signs: Signs) -> list[str]:
    """The segments of one message. A line that begins none goes on with the one before: senders break long texts."""
    begins = re.compile(rf"[A-Z][A-Z0-9]{{2}}{re.escape(signs.field)}")
    segments: list[str] = []
    for line in re.split(r"\r\n|[\r\n]", text):
        if begins.match(line) or not segments:
            segments.append(line)
        else:
            segments[-1] += f"{signs.repetition}{line}"
    if sum(segment.startswith("MSH") for segment in segments) > 1:
        raise InputError("The report is several HL7 messages in one file: give one report's text alone.")
    return segments


def _field(fields: list[str], number: int) -> str:
    return fields[number] if len(fields) > number else ""


def _unescaped(line: str, signs: Signs, encoding: str) -> str:
    """With what escapes stand for. What is between two signs and is no escape stays: senders forget to escape them."""
    if not signs.escape:
        return line
    pieces = line.split(signs.escape)
    found, number = pieces[0], 1
    while number < len(pieces):
        meant = _meaning(pieces[number], signs, encoding) if number + 1 < len(pieces) else None
        if meant is None:
            found += signs.escape + pieces[number]
            number += 1
        else:
            found += meant + pieces[number + 1]
            number += 2
    return found


def _meaning(code: str, signs: Signs, encoding: str) -> str | None:
    """What an escape stands for; ``None`` where it is none."""
    if (sign := signs.meant_by(code)) is not None:
        return sign
    if formatting := FORMATTING.fullmatch(code):
        return "\n" if formatting[1].lower() in NEW_LINES else " " if formatting[1].lower() == "sk" else ""
    if hexadecimal := HEXADECIMAL.fullmatch(code):
        return bytes.fromhex(hexadecimal[1]).decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
    return "" if OTHER_ESCAPES.fullmatch(code) else None
