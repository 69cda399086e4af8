"""A report in a file, read as the ``ccella`` command reads one: encodings, RTF, HL7."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from slicer.i18n import tr as _

from ..client.command import ensure_core_on_path

MAX_FILE_BYTES = 2**20
"""A report is a page or two; a file larger than this is something else."""

OnWarning = Callable[[str], None]


def read_report(path: Path, on_warning: OnWarning | None = None) -> str:
    """The text of a report.

    Args:
        path: a text file, in UTF-8, UTF-16 or Windows' Latin-1; or RTF, or an HL7 message.
        on_warning: hears that it was not UTF-8, or that its text was taken out of markup.

    Raises:
        ValueError: it cannot be read, holds no text, or is no report; a sentence for the user.
    """
    ensure_core_on_path()
    from ccella_core.cases.tables import read_any_text
    from ccella_core.generation.markup import plain_text

    try:
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(_("{name} is too large to be a report.").format(name=path.name))
    except OSError as error:
        message = _("{name} cannot be read: {reason}.").format(name=path.name, reason=error.strerror)
        raise ValueError(message) from error
    text = plain_text(read_any_text(path, on_warning), on_warning)
    text = text.replace("\r\n", "\n").replace("\r", "\n").strip()
    if not text:
        raise ValueError(_("{name} is empty.").format(name=path.name))
    return text


def read_lines(path: Path, on_warning: OnWarning | None = None) -> list[tuple[int, list[str] | str]]:
    """The rows of a table as ``ccella prepare`` reads it, its header first. Raises ValueError likewise.

    Each with the line on which it begins; a text instead of cells says why it cannot be read.
    """
    ensure_core_on_path()
    from ccella_core.cases import tables

    return list(tables.read_lines(path, on_warning)[0])
