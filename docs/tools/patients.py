"""Turns the patients of the recipe into a manifest for `ccella prepare`, with reports of what is known of them.

    python docs/tools/patients.py DATA --out manifest.jsonl

DATA is a folder with ``manifest.csv`` and the images that it names; docs/demo_model.md says what stands there and where
anyone gets it. The recipe's ``patients.csv`` names the patients, their collections, licences and splits. A report says
what kind of scan it is, the age, the gland's volume and, where the collection states findings, these: nothing else.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from ccella_core.cases.case import Case, RejectedCase
from ccella_core.cases.facts import usable_fact
from ccella_core.cases.manifest import case_of, write_manifest
from ccella_core.cases.splits import check_splits
from ccella_core.cases.tables import read_table, says_nothing
from ccella_core.config import StrictModel, sentence_of
from ccella_core.errors import CCELLAError, InputError
from ccella_core.phantom.fields import LesionFields, StructuredFields
from ccella_core.phantom.known_report import write_known_report

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "Resources" / "Recipes" / "ccella-demo" / "patients.csv"
TABLE_NAME = "manifest.csv"
AS_THE_RECIPE_HAS_IT = ("patient", "collection", "doi", "licence")
COLLECTION_OF_FINDINGS = "PROSTATEx"
"""The only one that states whether a patient has a lesion; of all others it is unknown."""
WORDINGS = 6
FIELD_STRENGTH = re.compile(r"(?P<tesla>\d+(?:\.\d+)?) ?T\b")
COIL = {"yes": " with endorectal coil", "no": ", no endorectal coil"}
ZONES = {"PZ": "peripheral", "TZ": "transition"}
MOST_NAMED = 5


class RecipePatient(StrictModel):
    """A line of the recipe's table."""

    case: str = Field(min_length=1)
    patient: str = Field(min_length=1)
    collection: str = Field(min_length=1)
    doi: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    split: Literal["train", "validation"]

    @property
    def id(self) -> str:
        """Of the case, as `check_splits` names it."""
        return self.case


class Finding(StrictModel):
    """One of a patient's findings, as DATA has it."""

    fid: str | None = None
    side: str | None = None
    zone: str | None = None
    level: Literal["base", "mid", "apex"] | None = None
    ap: str | None = None
    clinsig: bool | None = None
    ggg: int | None = Field(None, ge=0, le=5)
    set: str | None = None
    ijk_in_crop: tuple[float, float, float] | None = None
    volume_ml: float | None = None
    max_inplane_mm: float | None = None

    @property
    def fields(self) -> LesionFields:
        """What the words of reports know; a midline lesion has no side, and another zone than the two is not told."""
        return LesionFields(
            side=self.side if self.side in ("left", "right") else None,  # type: ignore[arg-type]
            zone=ZONES.get(self.zone or ""),  # type: ignore[arg-type]
            level=self.level,
            isup=self.ggg,
            significant=self.clinsig,
        )


def read_recipe(path: Path = RECIPE) -> tuple[RecipePatient, ...]:
    """The patients of the recipe. Raises InputError for a line that cannot be used, or a patient in two splits."""
    found = []
    for line, cells in read_table(path).rows:
        try:
            if isinstance(cells, str):
                raise InputError(cells)
            found.append(RecipePatient.model_validate(cells))
        except (InputError, ValidationError) as error:
            reason = sentence_of(error, RecipePatient) if isinstance(error, ValidationError) else str(error)
            raise InputError(f"{path}, line {line}: {reason}.") from error
    if not found:
        raise InputError(f"{path} names no patient.")
    if twice := [case for case, count in Counter(each.case for each in found).items() if count > 1]:
        raise InputError(f"{path} names {twice[0]} twice.")
    check_splits(found)
    return tuple(found)


def patients_manifest(data: Path, out: Path, recipe: Sequence[RecipePatient]) -> Path:
    """Write a manifest of the recipe's patients, all of them or none.

    Args:
        data: the folder with ``manifest.csv`` and the images.
        out: the manifest, JSON lines.
        recipe: who is wanted.

    Returns:
        ``out``.

    Raises:
        InputError: a patient of the recipe is not there, is another's, or stands there under another licence; a file
            is missing; a value cannot be used.
        SaveError: the disk refuses.
    """
    table = data / TABLE_NAME
    rows: dict[str, dict[str, str]] = {}
    for line, cells in read_table(table).rows:
        if isinstance(cells, str) or not cells.get("case"):
            raise InputError(f"{table}, line {line}: {cells if isinstance(cells, str) else 'there is no case'}.")
        if rows.setdefault(cells["case"], cells) is not cells:
            raise InputError(f"{table}, line {line}: {cells['case']} stands there twice.")
    if missing := [each.case for each in recipe if each.case not in rows]:
        named = ", ".join(missing[:MOST_NAMED]) + (" …" if len(missing) > MOST_NAMED else "")
        raise InputError(f"{table} lacks {len(missing)} of the {len(recipe)} patients of the recipe ({named}).")
    refused: list[RejectedCase] = []
    cases = []
    for wanted in recipe:
        try:
            cases.append(_case(wanted, rows[wanted.case], data))
        except InputError as error:
            refused.append(RejectedCase(wanted.case, str(error)))
    if refused:
        named = "; ".join(f"{each.id}: {each.reason}" for each in refused[:MOST_NAMED])
        raise InputError(f"{len(refused)} patients in {table} cannot be used ({named}).")
    return write_manifest(cases, out)


def attribution(recipe: Sequence[RecipePatient]) -> str:
    """Whose images a model was trained on, as their licences ask: collections with licence, DOI and patients."""
    counts = Counter((each.collection, each.licence, each.doi) for each in recipe if each.split == "train")
    named = [
        f"{count} of {collection} ({licence}, https://doi.org/{doi})"
        for (collection, licence, doi), count in counts.items()
    ]
    return f"{sum(counts.values())} patients of The Cancer Imaging Archive: {'; '.join(named)}"


def technique_of(scanner: str, coil: str, rng: random.Random) -> str | None:
    """What kind of scan it is, in words; ``None`` where nothing is known of it."""
    found = FIELD_STRENGTH.search(scanner)
    strength = f"{found['tesla']} T" if found else ""
    kind = f"{strength}{COIL.get(coil, '')}".removeprefix(", ").strip()
    maker = FIELD_STRENGTH.sub("", scanner).strip()
    said = [part for part in (kind, maker) if part]
    rng.shuffle(said)
    return ", ".join(said if rng.random() < 0.5 else [part for part in said if part == kind or not kind]) or None


def _case(wanted: RecipePatient, row: dict[str, str], data: Path) -> Case:
    for name in AS_THE_RECIPE_HAS_IT:
        if row.get(name, "") != getattr(wanted, name):
            raise InputError(f"its {name} is {row.get(name, '')!r} there and {getattr(wanted, name)!r} in the recipe")
    fields, pathology = _known(wanted, row)
    reports = [_report(wanted.case, number, fields, row) for number in range(WORDINGS)]
    known = {
        "case": wanted.case,
        "patient": wanted.patient,
        "split": wanted.split,
        "reports": list(dict.fromkeys(report for report in reports if report)),
        "report_source": "written",
        "pathology": pathology,
        "positive_means": "cspca" if pathology else None,
        "fields": fields.model_dump(mode="json", exclude_none=True),
        **{name: row.get(name) for name in ("t2w", "adc", "hbv", "gland")},
    }
    return case_of({name: value for name, value in known.items() if value}, data)


def _report(case: str, number: int, fields: StructuredFields, row: dict[str, str]) -> str | None:
    seed = zlib.crc32(f"{case}/{number}".encode())
    technique = technique_of(row.get("scanner", ""), row.get("endorectal_coil", ""), random.Random(seed))
    return write_known_report(fields, seed=seed, technique=technique)


def _known(wanted: RecipePatient, row: dict[str, str]) -> tuple[StructuredFields, str | None]:
    """Facts, and the class where it is known: a finding of significant cancer; that there is none is not known."""
    facts = {name: usable_fact(name, row.get(name), lambda _: None) for name in ("age_years", "gland_volume_ml")}
    if wanted.collection != COLLECTION_OF_FINDINGS or says_nothing(row.get("findings")):
        return StructuredFields(**facts), None
    try:
        findings = [Finding.model_validate(each) for each in json.loads(row["findings"])]
    except ValidationError as error:
        raise InputError(f"findings: {sentence_of(error, Finding)}") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"findings: this is no list in JSON ({error})") from error
    lesions = tuple(finding.fields for finding in findings) or None
    return StructuredFields(**facts, lesions=lesions), "positive" if any(each.clinsig for each in findings) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with manifest.csv and the images")
    parser.add_argument("--out", type=Path, required=True, help="the manifest, JSON lines")
    options = parser.parse_args()
    try:
        recipe = read_recipe()
        print(patients_manifest(options.data.resolve(), options.out, recipe), attribution(recipe), sep="\n")
    except CCELLAError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
