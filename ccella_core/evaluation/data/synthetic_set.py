"""A folder of synthetic cases, as ``ccella synthesize`` leaves it.

``synthesis.json`` (what everything in it was made with), ``volumes/`` (images and their sidecars), one merged table,
``cases.csv``: a row a volume, and in ``left_out/`` a text for each case of which none could be made.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, ValidationError, field_validator

from ccella_core.cases.case import RejectedCase, Split
from ccella_core.config import StrictModel, sentence_of
from ccella_core.errors import InputError, SaveError, first_line
from ccella_core.files import MOST_BYTES_OF_A_NAME, read_bytes, read_text, whole_file, write_text
from ccella_core.fingerprints import refuse_other
from ccella_core.generation.options import GenerationOptions
from ccella_core.phantom.findings import Pathology
from ccella_core.provenance import SequenceName

SETTINGS_NAME, CSV_NAME = "synthesis.json", "cases.csv"
VOLUMES, LEFT_OUT = "volumes", "left_out"
MOST_SHOWN = 80
"""Characters of a path that a sentence shows."""
MAY_CHANGE = ("options.memory_limit_gib",)
"""Settings that change nothing but rounding."""


class SynthesisSettings(StrictModel):
    """What every volume of a folder was made with; a folder never mixes two of them."""

    format: Literal["ccella-synthesis"] = "ccella-synthesis"
    format_version: Literal[1] = 1
    model_name: str
    model_version: str
    model_sha256: str
    source: str = Field(description="fingerprint of the prepared cases whose reports were used")
    split: Split | None = Field(description="whose cases; None: all")
    per_case: int = Field(gt=0, description="volumes of each case and sequence")
    pathology: Literal["report", "case"] = Field(description="the class is read from the report, or given")
    options: GenerationOptions = Field(description="of every volume; its seed is the one that each case's follow from")


class SyntheticCase(StrictModel):
    """A row of the table: one volume."""

    id: str = Field(description="of the volume: the case's and a number where a case has several")
    case: str = Field(description="whose report it was made from")
    patient: str
    split: Split
    sequence: SequenceName
    pathology: Pathology | None = Field(description="the case's own class; None: it is unknown")
    predicted_pathology: Pathology | None = Field(description="what the model read; None: no head, or no report")
    predicted_positive_probability: float | None = Field(ge=0, le=1)
    seed: int = Field(ge=0)
    path: str = Field(description="in the folder, with forward slashes")
    sha256: str = Field(description="of the image")
    labels: str | None = Field(None, description="the label map of its examination, as `path`; None: no labels")
    report_is_outside: bool | None = Field(
        None, description="the report is worded unlike those that the model was trained on; None: no report, or unknown"
    )

    @field_validator("path", "labels")
    @classmethod
    def _stays_inside(cls, value: str | None) -> str | None:
        path = PurePosixPath(value or "")
        if path.is_absolute() or ".." in path.parts or "\\" in str(path) or ":" in str(path):
            raise ValueError(f"the path {path.as_posix()[:MOST_SHOWN]!r} leads out of the folder")
        if "\0" in str(path) or any(len(part.encode()) > MOST_BYTES_OF_A_NAME for part in path.parts):
            raise ValueError("the path is none that a file can have")
        return value


def is_synthetic_set(folder: Path) -> bool:
    """Whether ``ccella synthesize`` wrote into the folder."""
    return (folder / SETTINGS_NAME).is_file()


def read_synthesis_settings(folder: Path) -> SynthesisSettings:
    """Raises InputError where the folder is not one of ``ccella synthesize``, or cannot be read."""
    try:
        return SynthesisSettings.model_validate_json(read_bytes(folder / SETTINGS_NAME))
    except (OSError, ValidationError) as error:
        raise InputError(f"{folder} was not made by `ccella synthesize`: {SETTINGS_NAME} cannot be read.") from error


def read_table(folder: Path) -> tuple[SyntheticCase, ...]:
    """The rows of ``cases.csv``.

    Raises:
        InputError: there is none, it is damaged or was altered so that it cannot be read, or a volume or a file stands
            there twice.
    """
    try:
        text = read_text(folder / CSV_NAME)
        rows = csv.DictReader(io.StringIO(text))
        required = {name for name, field in SyntheticCase.model_fields.items() if field.is_required()}
        if not required <= set(rows.fieldnames or ()) <= set(SyntheticCase.model_fields):
            raise csv.Error("its columns are others")
        found = tuple(_row(row, rows.line_num) for row in rows)
    except FileNotFoundError as error:
        raise InputError(
            f"The table {CSV_NAME} is missing in {folder}: let `ccella synthesize` finish first."
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"The table {folder / CSV_NAME} is damaged ({first_line(error)}); let `ccella synthesize` write it again."
        ) from error
    for what, names in (("volume", [f"{row.id} {row.sequence}" for row in found]), ("file", [r.path for r in found])):
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise InputError(
                f"The table {folder / CSV_NAME} has the {what} {twice[0]} twice; let `ccella synthesize` write it "
                "again."
            )
    return found


def _row(row: dict[str, str], line: int) -> SyntheticCase:
    if None in row or None in row.values():
        raise csv.Error(f"line {line} has more or fewer cells than the header")
    try:
        return SyntheticCase.model_validate({key: value or None for key, value in row.items()})
    except ValidationError as error:
        raise csv.Error(f"line {line}: {sentence_of(error)}") from error


def refuse_other_synthesis(folder: Path, settings: SynthesisSettings) -> None:
    """Raises InputError, naming what differs, where ``folder`` holds volumes that were made with other settings."""
    if is_synthetic_set(folder):
        before, now = (each.model_dump(mode="json") for each in (read_synthesis_settings(folder), settings))
        refuse_other(folder, before, now, what="another synthesis", may_change=MAY_CHANGE)


def write_settings(folder: Path, settings: SynthesisSettings) -> None:
    """Raises SaveError where the disk refuses."""
    write_text(folder / SETTINGS_NAME, settings.model_dump_json(indent=2) + "\n")


def write_table(folder: Path, rows: Sequence[SyntheticCase]) -> None:
    """The rows as ``cases.csv``. Raises SaveError where the disk refuses."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(SyntheticCase.model_fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.model_dump() for row in rows)
    _write(folder / CSV_NAME, text.getvalue().encode())


def leave_out(folder: Path, id: str, reason: str) -> None:
    """Note why there is no volume ``id``. Raises SaveError."""
    write_text(folder / LEFT_OUT / f"{id}.txt", reason + "\n", private=True)


def forget_left_out(folder: Path) -> None:
    """Before all that was left out is tried again."""
    shutil.rmtree(folder / LEFT_OUT, ignore_errors=True)


def read_left_out(folder: Path) -> list[RejectedCase]:
    """What could not be made, and why. Raises InputError where that cannot be read."""
    try:
        return [RejectedCase(file.stem, read_text(file).strip()) for file in sorted((folder / LEFT_OUT).glob("*.txt"))]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{folder / LEFT_OUT} cannot be read ({error}); remove it and start again.") from error


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            unfinished.write_bytes(content)
    except OSError as error:
        raise SaveError(f"{path} could not be written: {error.strerror or error}; free some disk space.") from error
