"""A table of examinations: CSV, or JSON with one object a line.

Columns (all but ``case`` and ``t2w`` may be missing or empty): ``case``, ``patient``; ``t2w``, ``adc``, ``hbv`` (a file
or a DICOM folder); ``report`` or ``report_file``; ``pirads``; ``pathology``; ``split``; ``spacing`` (``0.5x0.5x3``) or
``spacing_x``, ``spacing_y``, ``spacing_z``; ``gland``, ``lesion`` (masks); ``age_years``, ``psa_ng_ml``,
``gland_volume_ml``, ``isup``. JSON lines may also hold ``reports`` (a list), ``report_source`` and ``fields`` (what
``StructuredFields`` holds). Relative paths begin at the manifest's own folder.
"""

from __future__ import annotations

import csv
import difflib
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from ccella_core.cases.case import (
    Case,
    Millimetres,
    PiRads,
    RejectedCase,
    ReportSource,
    SourceCases,
    Split,
    StructuredFields,
    pathology_of,
    safe_id,
    with_own_names,
)
from ccella_core.config import StrictModel, sentence_of
from ccella_core.errors import InputError, SaveError
from ccella_core.files import whole_file
from ccella_core.phantom.fields import Isup
from ccella_core.phantom.findings import Pathology
from ccella_core.provenance import SequenceName

DELIMITERS = ",;\t"
SPLIT_WORDS = {"training": "train", "val": "validation", "valid": "validation", "testing": "test"}
FACT_COLUMNS = ("age_years", "psa_ng_ml", "gland_volume_ml", "isup")
NUMBER_COLUMNS = {"spacing", "spacing_x", "spacing_y", "spacing_z", *FACT_COLUMNS}


class ManifestRow(StrictModel):
    """One line of a manifest; its fields are the columns."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    case: str = Field(min_length=1)
    patient: str | None = None
    t2w: str
    adc: str | None = None
    hbv: str | None = None
    report: str | None = None
    report_file: str | None = None
    reports: tuple[str, ...] = ()
    report_source: ReportSource | None = None
    pirads: PiRads | None = None
    pathology: Pathology | None = None
    split: Split | None = None
    spacing: tuple[Millimetres, Millimetres, Millimetres] | None = None
    spacing_x: Millimetres | None = None
    spacing_y: Millimetres | None = None
    spacing_z: Millimetres | None = None
    gland: str | None = None
    lesion: str | None = None
    age_years: float | None = None
    psa_ng_ml: float | None = None
    gland_volume_ml: float | None = None
    isup: Isup | None = None
    fields: StructuredFields | None = None

    @field_validator("split", "pathology", mode="before")
    @classmethod
    def _as_written_by_people(cls, value: object) -> object:
        return SPLIT_WORDS.get(value.casefold(), value.casefold()) if isinstance(value, str) else value

    @field_validator("spacing", mode="before")
    @classmethod
    def _three_lengths(cls, value: object) -> object:
        return value.casefold().replace("×", "x").split("x") if isinstance(value, str) else value

    @model_validator(mode="after")
    def _says_each_thing_once(self) -> ManifestRow:
        if sum((self.report is not None, self.report_file is not None, bool(self.reports))) > 1:
            raise ValueError("give one of report, report_file and reports")
        three = (self.spacing_x, self.spacing_y, self.spacing_z)
        if any(three) and (self.spacing or not all(three)):
            raise ValueError("give spacing, or all of spacing_x, spacing_y and spacing_z")
        if self.pathology is None and self.pirads is None and (self.fields is None or self.fields.pirads is None):
            raise ValueError("give pirads or pathology")
        for name, value in self.facts.items():
            if self.fields is not None and getattr(self.fields, name) not in (None, value):
                raise ValueError(f"{name} is {value} here and {getattr(self.fields, name)} in fields")
        return self

    @property
    def facts(self) -> dict[str, Any]:
        """The structured facts that stand in columns of their own."""
        columns = {name: getattr(self, name) for name in (*FACT_COLUMNS, "pirads")}
        return {name: value for name, value in columns.items() if value is not None}


COLUMNS = tuple(ManifestRow.model_fields)


def read_manifest(path: Path) -> SourceCases:
    """The cases of a ``.csv`` or ``.jsonl`` file; lines that cannot be used are refused, each with line and column.

    Raises:
        InputError: the file cannot be read at all, or its header names a column that is not known.
    """
    path = Path(path)
    text = read_text(path)
    lines = _json_lines(text) if path.suffix.lower() == ".jsonl" else _csv_lines(text, path)
    cases: list[Case] = []
    refused: list[RejectedCase] = []
    first_line: dict[str, int] = {}
    for number, cells in lines:
        name = str(cells.get("case") or f"line {number}") if isinstance(cells, dict) else f"line {number}"
        try:
            if first_line.setdefault(name, number) != number:
                raise InputError(f"the case {name} stands on line {first_line[name]} already")
            cases.append(case_of(cells, path.parent))
        except InputError as error:
            refused.append(RejectedCase(name, f"{path.name}, line {number}: {error}"))
    return SourceCases(with_own_names(cases), tuple(refused))


def case_of(line: Any, folder: Path) -> Case:
    """The case of one line: a value for each column that is not empty, relative paths beginning at `folder`.

    Raises:
        InputError: an unknown column, a value that cannot be used, or a file that is not there, by column.
    """
    if not isinstance(line, dict):
        raise InputError(line if isinstance(line, str) else "this is not an object with a value for each column")
    try:
        row = ManifestRow.model_validate({name: value for name, value in line.items() if value not in (None, "")})
        return _case_of(row, folder)
    except ValidationError as error:
        raise InputError(_explained(error)) from error


def write_manifest(cases: Iterable[Case], path: Path) -> Path:
    """Write JSON lines that `read_manifest` reads as the same cases; paths below the manifest's folder are relative.

    Raises:
        SaveError: the disk refuses; a manifest that was there stays as it was.
    """
    path = Path(path)
    lines = [json.dumps(_line_of(case, path.parent), ensure_ascii=False) + "\n" for case in cases]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            temporary.write_text("".join(lines), encoding="utf-8", newline="\n")
    except OSError as error:
        raise SaveError(f"Cannot write {path}: {error}") from error
    return path


def read_text(path: Path) -> str:
    """A UTF-8 text, with or without a byte-order mark. Raises InputError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8; save it again as UTF-8 (in Excel: 'CSV UTF-8').") from error
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror or error}.") from error


def csv_rows(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV that hold anything, each with the line it begins on; separated by comma, semicolon or tab.

    Raises:
        InputError: a quotation mark is not closed.
    """
    header = text.split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=header.count), strict=True)
    begins = 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield begins, [cell.strip() for cell in row]
            begins = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path.name}, line {begins}: cannot be read as CSV ({error}).") from error


def _csv_lines(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    rows = csv_rows(text, path)
    _, header = next(rows, (1, []))
    columns = [name.casefold() for name in header]
    for name in columns:
        if name not in COLUMNS:
            raise InputError(f"{path.name}, line 1: {_unknown(name)}.")
    if missing := [name for name in ("case", "t2w") if name not in columns]:
        raise InputError(f"{path.name}, line 1: there is no column {missing[0]!r}.")
    if len(set(columns)) < len(columns):
        raise InputError(f"{path.name}, line 1: a column stands there twice.")
    decimal_comma = ";" in text.split("\n", 1)[0]  # Excel separates cells by semicolons where decimals have commas
    for number, row in rows:
        if len(row) != len(columns):
            yield number, f"there are {len(row)} cells under {len(columns)} columns"
            continue
        cells = dict(zip(columns, row, strict=True))
        if decimal_comma:
            cells |= {name: cells[name].replace(",", ".") for name in NUMBER_COLUMNS & cells.keys()}
        yield number, cells


def _json_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):  # not splitlines: reports may hold rarer line ends
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                yield number, f"this is not JSON ({error})"


def _case_of(row: ManifestRow, folder: Path) -> Case:
    reports = row.reports
    if row.report is not None:
        reports = (row.report,)
    elif row.report_file is not None:
        text = read_text(_existing(folder, row.report_file, "report_file")).strip()
        reports = (text,) if text else ()
    facts = {**(row.fields.model_dump(exclude_none=True) if row.fields else {}), **row.facts}
    pirads: int | None = facts.get("pirads")
    three = (row.spacing_x, row.spacing_y, row.spacing_z)
    pathology = row.pathology if pirads is None else row.pathology or pathology_of(pirads)
    images = {name: getattr(row, name) for name in get_args(SequenceName)}
    return Case(
        id=safe_id(row.case),
        patient=row.patient or row.case,
        images={name: _existing(folder, value, name) for name, value in images.items() if value is not None},
        reports=reports,
        report_source=(row.report_source or "given") if reports else "none",
        pathology=pathology,  # type: ignore[arg-type] # a row has one or the other
        pirads=pirads,
        split=row.split,
        spacing_mm=row.spacing or (three if all(three) else None),
        gland=None if row.gland is None else _existing(folder, row.gland, "gland"),
        lesion=None if row.lesion is None else _existing(folder, row.lesion, "lesion"),
        fields=StructuredFields.model_validate(facts) if facts else None,
    )


def _existing(folder: Path, text: str, column: str) -> Path:
    # A manifest that was written on Windows may be read elsewhere.
    for written in (text, text.replace("\\", "/")):
        if (folder / written).exists():
            return folder / written
    raise InputError(f"{column}: there is no {folder / text}")


def _line_of(case: Case, folder: Path) -> dict[str, Any]:
    fields = None if case.fields is None else case.fields.model_dump(mode="json", exclude_none=True)
    line: dict[str, Any] = {
        "case": case.id,
        "patient": case.patient,
        **{name: _written(path, folder) for name, path in case.images.items()},
        "reports": list(case.reports),
        "report_source": case.report_source if case.reports else None,
        "pathology": case.pathology,
        "pirads": case.pirads,
        "split": case.split,
        "spacing": case.spacing_mm,
        "gland": case.gland and _written(case.gland, folder),
        "lesion": case.lesion and _written(case.lesion, folder),
        "fields": fields,
    }
    return {name: value for name, value in line.items() if value not in (None, [])}


def _written(path: Path, folder: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _unknown(name: str) -> str:
    nearest = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0)
    return f"there is no column {name!r}; the nearest is {nearest[0]!r}"


def _explained(error: ValidationError) -> str:
    unknown = [_unknown(str(each["loc"][0])) for each in error.errors()
               if each["type"] == "extra_forbidden" and len(each["loc"]) == 1]  # fmt: skip
    return "; ".join(unknown) or sentence_of(error)
