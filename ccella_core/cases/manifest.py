"""A table of examinations: CSV, or JSON with one object a line.

Columns (all but ``case`` and ``t2w`` may be missing or empty): ``case``, ``patient``; ``t2w``, ``hbv``, ``adc`` (a file
or a DICOM folder); ``report`` or ``report_file``; ``pirads``; ``pathology``; ``split``; ``spacing`` (``0.5x0.5x3``) or
``spacing_x``, ``spacing_y``, ``spacing_z``; ``gland``, ``lesion`` (masks); ``age_years``, ``psa_ng_ml``,
``gland_volume_ml``, ``isup``. JSON lines may also hold ``reports`` (a list), ``report_source``, ``positive_means`` and
``fields`` (what ``StructuredFields`` holds). The class of a case that states neither ``pirads`` nor ``pathology`` is
unknown. Relative paths begin at the manifest's own folder.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from ccella_core.cases.case import (
    Case,
    Millimetres,
    PiRads,
    PositiveMeans,
    RejectedCase,
    ReportSource,
    SourceCases,
    Split,
    StructuredFields,
    pathology_of,
    safe_id,
    with_own_names,
)
from ccella_core.cases.facts import FACTS, usable_fact, usable_fields
from ccella_core.cases.tables import (
    Row,
    as_name,
    has_lone_surrogates,
    json_lines,
    read_any_text,
    read_table,
    says_nothing,
)
from ccella_core.config import MOST_CHARACTERS_GIVEN, StrictModel, sentence_of
from ccella_core.errors import InputError
from ccella_core.files import write_text
from ccella_core.generation.markup import plain_text
from ccella_core.imaging.raw_files import OnWarning
from ccella_core.phantom.fields import Isup
from ccella_core.phantom.findings import Pathology
from ccella_core.provenance import SequenceName

SPLIT_WORDS = {"training": "train", "val": "validation", "valid": "validation", "testing": "test"}
NUMBER_COLUMNS = {"spacing", "spacing_x", "spacing_y", "spacing_z", *FACTS}


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
    positive_means: PositiveMeans = "pirads"

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
        for name, value in self.facts.items():
            if self.fields is not None and getattr(self.fields, name) not in (None, value):
                raise ValueError(f"{name} is {value} here and {getattr(self.fields, name)} in fields")
        return self

    @property
    def facts(self) -> dict[str, Any]:
        """The structured facts that stand in columns of their own."""
        columns = {name: getattr(self, name) for name in (*FACTS, "pirads")}
        return {name: value for name, value in columns.items() if value is not None}


COLUMNS = tuple(ManifestRow.model_fields)


def read_manifest(path: Path) -> SourceCases:
    """The cases of a ``.csv`` or ``.jsonl`` file; lines that cannot be used are refused, each with line and column.

    Raises:
        InputError: the file cannot be read at all, or its header names a column that is not known.
    """
    path = Path(path)
    warnings: list[str] = []
    if path.suffix.lower() in (".jsonl", ".ndjson"):
        lines = json_lines(read_any_text(path, warnings.append))
    else:
        lines = _csv_lines(path, warnings.append)
    cases: list[Case] = []
    refused: list[RejectedCase] = []
    first_line: dict[str, int] = {}
    nothing: Counter[str] = Counter()
    for number, cells in lines:
        name = _name_of(cells, number)
        try:
            if first_line.setdefault(name, number) != number:
                raise InputError(f"the case {name} stands on line {first_line[name]} already")
            if isinstance(cells, dict):
                nothing.update(
                    key for key, value in cells.items() if isinstance(value, str) and value and says_nothing(value)
                )
            cases.append(case_of(cells, path.parent))
        except InputError as error:
            refused.append(RejectedCase(name, f"{path.name}, line {number}: {error}"))
    if unknown := sum(case.pathology is None for case in cases):
        warnings.append(f"{path.name}: {unknown} of {len(cases)} cases state no pirads and no pathology: unknown.")
    warnings += [f"{path.name}: {count} cells in the column {column} hold a word for nothing and were taken as empty."
                 for column, count in nothing.items()]  # fmt: skip
    return SourceCases(with_own_names(cases), tuple(refused), tuple(warnings))


def case_of(line: Any, folder: Path) -> Case:
    """The case of one line: a value for each column that is not empty, relative paths beginning at `folder`.

    A fact that cannot be, such as a volume of 0 mL, is left out and named in the case's warnings.

    Raises:
        InputError: an unknown column, a value that cannot be used, or a file that is not there, by column.
    """
    if not isinstance(line, dict):
        raise InputError(line if isinstance(line, str) else "this is not an object with a value for each column")
    if has_lone_surrogates("".join(line)):
        raise InputError("a column's name holds halves of characters, which are no text; write it again")
    for name, value in line.items():
        if has_lone_surrogates(json.dumps(value, ensure_ascii=False, default=str)):
            raise InputError(f"{name}: it holds halves of characters, which are no text; write it again")
    if str(line.get("pathology")).strip().casefold() == "unknown" and (score := _stated_score(line)) is not None:
        raise InputError(f"pathology says unknown, and pirads {score}; leave one of them empty")
    warnings: list[str] = []
    cells = {name: value for name, value in line.items() if not says_nothing(value)}
    for name in FACTS:
        if name in cells:
            cells[name] = usable_fact(name, cells[name], warnings.append)
    if "fields" in cells:
        cells["fields"] = usable_fields(cells["fields"], warnings.append)
    try:
        row = ManifestRow.model_validate({name: value for name, value in cells.items() if value is not None})
        return _case_of(row, folder, warnings.append).model_copy(update={"warnings": tuple(warnings)})
    except ValidationError as error:
        raise InputError(_explained(error)) from error


def write_manifest(cases: Iterable[Case], path: Path) -> Path:
    """Write JSON lines that `read_manifest` reads as the same cases; paths below the manifest's folder are relative.

    Raises:
        SaveError: the disk refuses; a manifest that was there stays as it was.
    """
    lines = [json.dumps(_line_of(case, Path(path).parent), ensure_ascii=False) + "\n" for case in cases]
    write_text(Path(path), "".join(lines), private=True)
    return Path(path)


def _csv_lines(path: Path, on_warning: OnWarning) -> Iterator[Row]:
    table = read_table(path, on_warning)
    columns = [name.casefold() for name in table.columns]
    for name in columns:
        if name not in COLUMNS:
            raise InputError(f"{path.name}, line 1: {_unknown(name)}.")
    if missing := [name for name in ("case", "t2w") if name not in columns]:
        raise InputError(f"{path.name}, line 1: there is no column {missing[0]!r}.")
    for number, row in table.rows:
        if isinstance(row, str):
            yield Row(number, row)
            continue
        cells = dict(zip(columns, row.values(), strict=True))
        if table.has_decimal_comma:
            cells |= {name: cells[name].replace(",", ".") for name in NUMBER_COLUMNS & cells.keys()}
        yield Row(number, cells)


def _name_of(cells: Any, number: int) -> str:
    """A line's case, as far as it has one that can be printed."""
    name = cells.get("case") if isinstance(cells, dict) else None
    if says_nothing(name) or not isinstance(name, (str, int, float)):
        return f"line {number}"
    return as_name(str(name)).encode("utf-8", "replace").decode("utf-8")


def _case_of(row: ManifestRow, folder: Path, on_warning: OnWarning) -> Case:
    reports = row.reports
    if row.report is not None:
        reports = (row.report,)
    elif row.report_file is not None:
        reports = (read_any_text(_existing(folder, row.report_file, "report_file"), on_warning),)
    texts = [text for report in reports if (text := plain_text(report, on_warning).strip())]
    reports = tuple(text for text in texts if not says_nothing(text))
    if nothing := sorted(set(texts) - set(reports)):
        on_warning(f"a report holds only {nothing[0]!r}, a word for nothing, and was left out")
    facts = {**(row.fields.model_dump(exclude_none=True) if row.fields else {}), **row.facts}
    pirads: int | None = facts.get("pirads")
    three = (row.spacing_x, row.spacing_y, row.spacing_z)
    pathology = row.pathology if pirads is None else row.pathology or pathology_of(pirads)
    images = {name: getattr(row, name) for name in get_args(SequenceName)}
    return Case(
        id=safe_id(as_name(row.case)),
        patient=as_name(row.patient or row.case),
        images={name: _existing(folder, value, name) for name, value in images.items() if value is not None},
        reports=reports,
        report_source=(row.report_source or "given") if reports else "none",
        pathology=pathology,
        pirads=pirads,
        split=row.split,
        spacing_mm=row.spacing or (three if all(three) else None),
        gland=None if row.gland is None else _existing(folder, row.gland, "gland"),
        lesion=None if row.lesion is None else _existing(folder, row.lesion, "lesion"),
        fields=StructuredFields.model_validate(facts) if facts else None,
        positive_means=row.positive_means,
    )


def _stated_score(line: dict[str, Any]) -> Any:
    """The PI-RADS that a line states, in its column or in its fields."""
    fields = line.get("fields")
    stated = (line.get("pirads"), fields.get("pirads") if isinstance(fields, dict) else None)
    return next((score for score in stated if not says_nothing(score)), None)


def _existing(folder: Path, text: str, column: str) -> Path:
    # A manifest that was written on Windows may be read elsewhere.
    for written in (text, text.replace("\\", "/")):
        try:
            if (folder / written).exists():
                return folder / written
        except (OSError, ValueError) as error:  # a name that is too long, or holds a NUL character
            raise InputError(f"{column}: {getattr(error, 'strerror', None) or error} ({text[:60]}…)") from error
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
        "positive_means": None if case.positive_means == "pirads" else case.positive_means,
    }
    return {name: value for name, value in line.items() if value not in (None, [])}


def _written(path: Path, folder: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def _unknown(name: str) -> str:
    nearest = difflib.get_close_matches(name, COLUMNS, n=1, cutoff=0)
    return f"there is no column {name[:MOST_CHARACTERS_GIVEN]!r}; the nearest is {nearest[0]!r}"


def _explained(error: ValidationError) -> str:
    """Without the whole line, which holds the report."""
    problems = error.errors(include_url=False)
    unknown = [_unknown(str(each["loc"][0])) for each in problems
               if each["type"] == "extra_forbidden" and len(each["loc"]) == 1]  # fmt: skip
    return "; ".join(unknown) or sentence_of(error, private=True)
