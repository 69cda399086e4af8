"""A table of reports, read and checked whole before anything is generated; a row that cannot be used is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from slicer.i18n import tr as _

from ..client.command import shared_limits
from .report_file import OnWarning, read_lines, read_report

COLUMNS = ("name", "report", "report_file", "pathology", "seed", "count", "steps")
LIMITS = shared_limits()
NAME_PREFIX_OF_FILES = "SYNTHETIC"
"""Every file gets it."""

RowState = Literal["waiting", "done", "skipped", "failed", "cancelled", "left_out"]


class BatchError(ValueError):
    """A table of which nothing can be used; where that is the rows' fault, the text names each by its line."""


@dataclass(frozen=True)
class BatchRow:
    """One row; ``line`` is where it begins in the file, ``steps`` the number of denoising steps.

    ``problem`` says why the row cannot be used; then nothing else of it but line and name means anything.
    """

    line: int
    name: str
    report: str
    pathology: str | float | None = None
    seed: int | None = None
    count: int = 1
    steps: int | None = None
    problem: str = ""


@dataclass
class BatchOutcome:
    """What became of a row: ``volumes`` are nodes of the scene, or paths of files; ``message`` says why it failed."""

    row: BatchRow
    state: RowState = "waiting"
    volumes: list[Any] = field(default_factory=list)
    message: str = ""


def read_rows(path: Path, on_warning: OnWarning | None = None) -> list[BatchRow]:
    """Read a table with a header, in any encoding and with any separator that ``ccella prepare`` knows.

    Args:
        path: the file. Its column ``report`` holds texts, or ``report_file`` the names of text files, relative to the
            table; the other COLUMNS may be missing, and their cells empty. Names tell rows apart; ``line7`` for the
            row in line 7 by default.
        on_warning: hears what is odd and usable, for instance a file that is not UTF-8.

    Raises:
        BatchError: the file cannot be read, has no rows, or none that can be used.
    """
    try:
        cells = read_lines(path, on_warning)
    except ValueError as error:
        raise BatchError(str(error)) from error
    if len(cells) < 2:
        raise BatchError(_("{path} has no rows below its header.").format(path=path))

    (_first, header), *body = cells
    if isinstance(header, str):
        raise BatchError(_("{path} is not a table: {reason}.").format(path=path, reason=header))
    columns = _checked_header(header)
    rows = []
    for line, values in body:
        try:
            rows.append(_row(line, columns, values, path.parent, on_warning))
        except ValueError as error:
            rows.append(BatchRow(line, f"line{line}", "", problem=str(error)))
    return with_usable_rows(list(_without_shared_names(rows)))


def with_usable_rows(rows: list[BatchRow]) -> list[BatchRow]:
    """The same rows. Raises BatchError, naming every one by its line, where none can be used."""
    if all(row.problem for row in rows):
        lines = (_("Line {line}: {problem}").format(line=row.line, problem=row.problem) for row in rows)
        raise BatchError("\n".join(lines))
    return rows


def _checked_header(header: list[str]) -> list[str]:
    columns = [name.lower() for name in header]
    unknown = sorted({name or "–" for name in columns} - set(COLUMNS))
    if unknown:
        raise BatchError(
            _("The header names columns that are not known ({unknown}); known are {known}.").format(
                unknown=", ".join(unknown), known=", ".join(COLUMNS)
            )
        )
    if len(set(columns)) < len(columns):
        raise BatchError(_("The header names a column twice."))
    if not {"report", "report_file"} & set(columns):
        raise BatchError(_("The header needs a column “report” or “report_file”."))
    return columns


def _row(
    line: int, columns: list[str], values: list[str] | str, folder: Path, on_warning: OnWarning | None
) -> BatchRow:
    if isinstance(values, str):
        raise ValueError(f"{values}.")
    if len(values) > len(columns):
        raise ValueError(
            _("{cells} cells, but the header has {columns}; put a report into double quotes.").format(
                cells=len(values), columns=len(columns)
            )
        )
    given = {column: value for column, value in zip(columns, values, strict=False) if value}  # the last may be missing
    report = _report(given.pop("report", ""), given.pop("report_file", ""), folder, on_warning)
    return BatchRow(
        line, report=report, **{"name": f"line{line}", **{key: PARSERS[key](text) for key, text in given.items()}}
    )


def _report(text: str, file_name: str, folder: Path, on_warning: OnWarning | None) -> str:
    if bool(text) == bool(file_name):
        raise ValueError(_("needs a report or a report_file, one of the two."))
    return text or read_report(folder / file_name, on_warning)


def _name(text: str) -> str:
    if text.startswith(NAME_PREFIX_OF_FILES) or not LIMITS.is_file_name(text):
        raise ValueError(
            _(
                "the name {name} is too long, begins with SYNTHETIC, or has a character that file names must not."
            ).format(name=text)
        )
    return text


def _pathology(text: str) -> str | float:
    if text.lower() in ("negative", "positive"):
        return text.lower()
    try:
        probability = float(text.replace(",", "."))  # the decimal comma of a table with semicolons
    except ValueError:
        probability = -1.0
    if not 0 <= probability <= 1:
        raise ValueError(
            _("the pathology is “negative”, “positive” or a probability from 0 to 1, not {text}.").format(text=text)
        )
    return probability


def _whole_number(column: str, smallest: int, largest: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and smallest <= int(text) <= largest):
            raise ValueError(
                _("{column} is a whole number from {smallest} to {largest}, not {text}.").format(
                    column=column, smallest=smallest, largest=largest, text=text
                )
            )
        return int(text)

    return parse


PARSERS: dict[str, Callable[[str], Any]] = {
    "name": _name,
    "pathology": _pathology,
    "seed": _whole_number("seed", 0, 2**63 - LIMITS.MAX_COUNT),
    "count": _whole_number("count", 1, LIMITS.MAX_COUNT),
    "steps": _whole_number("steps", 1, LIMITS.MAX_STEPS),
}


def _without_shared_names(rows: list[BatchRow]) -> Iterator[BatchRow]:
    """The first row of a name keeps it."""
    lines: dict[str, int] = {}
    for row in rows:
        if row.problem:
            yield row
            continue
        first = lines.setdefault(row.name.casefold(), row.line)  # most file systems do not tell "a" from "A"
        shared = _("the name {name} is that of line {first} too.").format(name=row.name, first=first)
        yield row if first == row.line else replace(row, problem=shared)
