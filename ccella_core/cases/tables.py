"""Tables as people and archives write them, read in one way: encodings, separators, cells that say nothing."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ccella_core.errors import InputError, each_once
from ccella_core.imaging.raw_files import OnWarning

DELIMITERS = ",;\t|"
WORDS_FOR_NOTHING = frozenset(
    ("nan", "na", "n/a", "#n/a", "#na", "<na>", "n.a.", "none", "null", "nil", "nd", "n.d.", "nat", "missing",
     "unknown", "not available", "not applicable", "-", "--", "---", "–", "—", ".", "..", "?", "k.a.",
     "#value!", "#ref!")
)  # fmt: skip
MOST_BYTES = 1 << 28
MOST_BEYOND_ASCII = 0.5
"""Share of a text in Latin-1; in another encoding, as of Cyrillic or Chinese, letter after letter lies beyond."""
MOST_UNREADABLE = 100
"""Rows after which a table is no table; to each that follows the file is read again."""
BYTE_ORDER_MARKS = (
    (b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip
NOT_A_TABLE = {
    b"PK\x03\x04": "a workbook or document (Excel, Word), or an archive; save its sheet as CSV (in Excel: 'CSV UTF-8') "
    "or its text",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file; save it as CSV or text",
    b"%PDF": "a PDF; save its text",
    b"\x1f\x8b": "an archive (gzip); unpack it",
}


class Table(NamedTuple):
    """What a CSV holds."""

    columns: list[str]
    """As written."""
    rows: list[Row]
    """Those that hold anything."""
    has_decimal_comma: bool
    """Excel separates cells by semicolons where numbers have commas."""


class Row(NamedTuple):
    """A row below the header."""

    line: int
    """On which it begins."""
    cells: dict[str, Any] | str
    """By column, or why the row cannot be read."""


class Line(NamedTuple):
    """A row of a CSV, the header among them."""

    line: int
    """On which it begins."""
    cells: list[str] | str
    """Or why it cannot be read."""


def read_any_text(path: Path, on_warning: OnWarning | None = None) -> str:
    """A text in UTF-8 or UTF-16, or else in Windows' Latin-1, which is a warning.

    Raises:
        InputError: it cannot be opened, or is no text.
    """
    try:
        if not path.is_file():
            if not path.exists():
                raise InputError(f"There is no file {path}.")
            raise InputError(f"{path} is no file: it is {'a folder' if path.is_dir() else 'a pipe or a device'}.")
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is larger than any table or report ({path.stat().st_size} bytes).")
        data = path.read_bytes()
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(f"Cannot read {path}: {getattr(error, 'strerror', None) or error}.") from error
    for magic, what in NOT_A_TABLE.items():
        if data.startswith(magic):
            raise InputError(f"{path} is {what}.")
    text = _decoded(data, path, on_warning)
    if "\0" in text:
        raise InputError(f"{path} is no text: it holds NUL characters. Save it as UTF-8.")
    return text


def read_table(path: Path, on_warning: OnWarning | None = None) -> Table:
    """A CSV whose first row names the columns, separated by comma, semicolon, tab or bar.

    Raises:
        InputError: it cannot be read, or a column stands there twice. An empty file is a table without columns.
    """
    rows, delimiter = read_lines(path, on_warning)
    if not rows:
        return Table([], [], False)
    header = rows[0].cells
    if isinstance(header, str):
        raise InputError(f"{path.name}, line {rows[0].line}: {header}.")
    while header and not header[-1]:  # spreadsheets keep columns that were emptied
        header.pop()
    folded = [name.casefold() for name in header if name]
    if len(set(folded)) < len(folded):
        raise InputError(f"{path.name}, line {rows[0].line}: a column stands there twice.")
    found = []
    for line, cells in rows[1:]:
        if isinstance(cells, str):
            found.append(Row(line, cells))
            continue
        while len(cells) > len(header) and not cells[-1]:
            cells.pop()
        if len(cells) != len(header):
            found.append(Row(line, f"there are {len(cells)} cells under {len(header)} columns"))
        else:
            found.append(Row(line, dict(zip(header, cells, strict=True))))
    return Table(header, found, delimiter == ";")


def read_lines(path: Path, on_warning: OnWarning | None = None) -> tuple[list[Line], str]:
    """The header and the rows of a CSV as they are written, and what separates their cells.

    Raises:
        InputError: it cannot be read.
    """
    text = read_any_text(path, on_warning)
    first, _, rest = text.partition("\n")
    named = first.strip().casefold()
    delimiter = named[4:5] if named.startswith("sep=") and len(named) == 5 else None  # Excel's own first line
    delimiter = "\t" if named == "sep=\\t" else delimiter
    if delimiter:
        return _csv_lines(rest, delimiter, path, begins=2), delimiter
    delimiter = delimiter_of(text)
    return _csv_lines(text, delimiter, path, begins=1), delimiter


def json_lines(text: str) -> Iterator[Row]:
    """The objects of JSON lines. Reports may hold rarer line ends (U+2028, U+0085), which divide no lines."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield Row(number, json.loads(line, object_pairs_hook=each_once))
            except (ValueError, RecursionError) as error:
                yield Row(number, f"this is not JSON ({error})")


def says_nothing(cell: Any) -> bool:
    """Whether a cell is empty, or holds a word for nothing, such as nan, N/A or a dash."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return True
    return isinstance(cell, str) and (not cell.strip() or cell.strip().casefold() in WORDS_FOR_NOTHING)


def has_lone_surrogates(text: str) -> bool:
    """Whether a text holds halves of characters, which no file can hold."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def as_name(text: str) -> str:
    """A name of a patient or case: composed, without surrounding white space, so that one is not taken for two."""
    return unicodedata.normalize("NFC", text).strip()


def _decoded(data: bytes, path: Path, on_warning: OnWarning | None) -> str:
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if data.startswith(mark)), None) or _without_mark(data)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise InputError(f"{path} begins as {encoding} and is none; save it again as UTF-8.") from error
    text = data.decode("cp1252", errors="replace")
    if "\ufffd" in text:
        text = data.decode("latin-1")
    if sum(character < " " and character not in "\t\r\n\f" for character in text) > len(text) // 100:
        raise InputError(f"{path} is no text; save it as UTF-8 (in Excel: 'CSV UTF-8').")
    beyond = sum(character > "\x7f" for character in text)
    if beyond > MOST_BEYOND_ASCII * sum(not character.isspace() for character in text):
        raise InputError(f"{path} is neither UTF-8 nor Latin-1, as most of its characters show; save it as UTF-8.")
    if on_warning is not None:
        on_warning(f"{path.name} is not UTF-8 and was read as Latin-1 (Windows-1252); look at its accents.")
    return text


def _without_mark(data: bytes) -> str:
    """UTF-16 without a byte-order mark shows as every other byte of plain letters being 0."""
    start = data[:200]
    if len(start) >= 4 and start[1::2].count(0) > len(start) // 3:
        return "utf-16-le"
    if len(start) >= 4 and start[::2].count(0) > len(start) // 3:
        return "utf-16-be"
    return "utf-8"


def delimiter_of(text: str) -> str:
    """What separates the cells of a table, by its first row."""
    header = next((line for line in text.split("\n") if line.strip()), "")
    outside = "".join(header.split('"')[::2])  # not within quotation marks
    return max(DELIMITERS, key=outside.count)


def _csv_lines(text: str, delimiter: str, path: Path, *, begins: int) -> list[Line]:
    """Those that hold anything. One that cannot be read, as after a quotation mark that is not closed, costs no other.

    Args:
        text: of the file.
        delimiter: of its cells.
        path: of the file.
        begins: on which line of it the text does.

    Raises:
        InputError: so many rows cannot be read that it is no table.
    """
    lines = list(io.StringIO(text, newline=""))
    rows: list[Line] = []
    usual = csv.field_size_limit(MOST_BYTES)  # one long cell must not cost the other rows; the reader's is for all
    done = failures = 0
    try:
        while done < len(lines):
            reader = csv.reader(itertools.islice(lines, done, None), delimiter=delimiter, strict=True)
            at = done
            try:
                for cells in reader:
                    if any(cell.strip() for cell in cells):
                        rows.append(Line(at + begins, [cell.strip() for cell in cells]))
                    at = done + reader.line_num
                return rows
            except csv.Error as error:
                rows.append(Line(at + begins, f"this cannot be read as CSV ({error})"))
                if (failures := failures + 1) > MOST_UNREADABLE:
                    raise InputError(f"{path.name}, line {at + begins}: cannot be read as CSV ({error}).") from error
                done = at + 1
    finally:
        csv.field_size_limit(usual)
    return rows
