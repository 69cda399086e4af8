"""One examination as its source states it: where its images lie, what its report says, which class it has."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field, field_validator, model_validator

from ccella_core.config import StrictModel, sentence_of
from ccella_core.limits import MAX_NAME_CHARACTERS, is_file_name
from ccella_core.phantom.fields import LesionFields, PiRads, StructuredFields
from ccella_core.phantom.findings import Pathology
from ccella_core.provenance import SequenceName

__all__ = [
    "SPLITS",
    "Case",
    "LesionFields",
    "PiRads",
    "PositiveMeans",
    "RejectedCase",
    "ReportSource",
    "SourceCases",
    "Split",
    "StructuredFields",
    "pathology_of",
    "safe_id",
    "sentence_of",
    "with_own_names",
]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
ReportSource = Literal["given", "written", "none"]
PositiveMeans = Literal["pirads", "cspca"]
"""What makes a case positive: PI-RADS 3 to 5, or clinically significant cancer in the histology (ISUP 2 or higher)."""
POSITIVE_IN_WORDS: dict[PositiveMeans, str] = {
    "pirads": "PI-RADS 3 to 5",
    "cspca": "clinically significant cancer in the histology (ISUP 2 or higher)",
}
Millimetres = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)]

DIGEST_LENGTH = 8


class Case(StrictModel):
    """One examination.

    Args:
        id: a file name that is safe on every system; no two cases of a listing differ only in upper and lower case.
        patient: whose examination it is; one patient never stands in two splits.
        images: a file or a DICOM folder for each sequence; ``t2w`` is always there.
        reports: several wordings of the same report, or none.
        pathology: the class; ``None`` where it is unknown, which is not the same as negative. PI-RADS 1-2 is negative
            and 3-5 positive; a source that takes it from a biopsy says so.
        spacing_mm: (X, Y, Z) as the source states it; only compared with the image's own.
        gland, lesion: masks on any grid, whatever is not 0.
        fields: what else is known.
        positive_means: what its source takes for positive; only PI-RADS can contradict ``pirads``.
        warnings: what was odd about its line in the source, in sentences.
    """

    id: str
    patient: str = Field(min_length=1)
    images: dict[SequenceName, Path]
    reports: tuple[str, ...] = ()
    report_source: ReportSource = "none"
    pathology: Pathology | None = None
    pirads: PiRads | None = None
    split: Split | None = None
    spacing_mm: tuple[Millimetres, Millimetres, Millimetres] | None = None
    gland: Path | None = None
    lesion: Path | None = None
    fields: StructuredFields | None = None
    positive_means: PositiveMeans = "pirads"
    warnings: tuple[str, ...] = ()

    @field_validator("id")
    @classmethod
    def _id_is_safe(cls, value: str) -> str:
        if not is_file_name(value):
            raise ValueError(f"{value!r} cannot be a file name on every system")
        return value

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Case:
        if "t2w" not in self.images:
            raise ValueError("there is no t2w image")
        if (self.report_source == "none") != (not self.reports):
            raise ValueError(f"the report source is {self.report_source!r} with {len(self.reports)} reports")
        if not all(report.strip() for report in self.reports):
            raise ValueError("a report is empty")
        if self.pathology is None and self.pirads is not None:
            raise ValueError(f"PI-RADS is {self.pirads}, but the pathology is said to be unknown")
        if self.pathology is None and self.fields is not None and self.fields.lesions == ():
            raise ValueError("fields say that there are no lesions, but the pathology is unknown")
        stated = self.pirads if self.positive_means == "pirads" else None
        if stated is not None and pathology_of(stated) != self.pathology:
            raise ValueError(f"PI-RADS {stated} is {pathology_of(stated)}, but pathology says otherwise")
        if self.fields is not None and self.fields.pirads not in (None, self.pirads):
            raise ValueError(f"pirads is {self.pirads} and in fields {self.fields.pirads}")
        return self


class RejectedCase(NamedTuple):
    """A case that cannot be used: its id, as far as it is known, and why in a sentence."""

    id: str
    reason: str


class SourceCases(NamedTuple):
    """What a source holds: the cases that can be used, and those that cannot."""

    cases: tuple[Case, ...]
    refused: tuple[RejectedCase, ...] = ()
    warnings: tuple[str, ...] = ()
    """What was odd about the source as a whole, in sentences."""


def pathology_of(pirads: int) -> Pathology:
    """The class of an overall PI-RADS score."""
    return "positive" if pirads >= 3 else "negative"


def safe_id(name: str) -> str:
    """`name` itself where it is a safe file name; otherwise what is safe of it and a digest of the whole name."""
    return name if is_file_name(name) else _digested(name)


def with_own_names(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The same cases, none of whose ids differ only in case: those that do get a digest of the image they belong to.

    An id does not depend on the order of the cases.
    """
    cases = tuple(cases)
    alike = Counter(case.id.casefold() for case in cases)
    return tuple(
        case
        if alike[case.id.casefold()] == 1
        else case.model_copy(update={"id": _digested(case.id, str(case.images["t2w"]))})
        for case in cases
    )


def _digested(name: str, *more: str) -> str:
    digest = hashlib.sha256("\n".join((name, *more)).encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST_LENGTH]
    kept = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[: MAX_NAME_CHARACTERS - DIGEST_LENGTH - 1]
    return f"{kept}-{digest}" if is_file_name(kept) else f"case-{digest}"
