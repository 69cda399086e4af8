"""The layout of the PI-CAI challenge (Saha et al., Lancet Oncology 2024; CC BY-NC 4.0).

``images/<patient>/<patient>_<study>_t2w.mha`` (and ``_hbv``, ``_adc``), ``marksheet.csv`` beside it or in
``picai_labels/clinical_information/``, and, where they were downloaded, masks in ``picai_labels/``. Its archives
unpack into folders ``picai_public_images_fold0`` and so on, which are looked through as well.

There are no reports. Since July 2026 the marksheet has the PI-RADS score of each lesion (``lesion_PIRADS``), from which
a case's own follows: the highest. What counts as positive is for the user to choose: PI-RADS 3 to 5, or clinically
significant cancer in the histology (``case_csPCa``: ISUP 2 or higher), which is another meaning and gives hundreds of
cases another class.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from ccella_core.cases.case import (
    POSITIVE_IN_WORDS,
    Case,
    LesionFields,
    PositiveMeans,
    RejectedCase,
    SourceCases,
    StructuredFields,
    pathology_of,
    with_own_names,
)
from ccella_core.cases.facts import as_number, usable_fact
from ccella_core.cases.tables import Table, as_name, read_table, says_nothing
from ccella_core.errors import InputError
from ccella_core.imaging.raw_files import OnWarning
from ccella_core.limits import is_file_name
from ccella_core.provenance import SequenceName

log = logging.getLogger(__name__)

MARKSHEET = "marksheet.csv"
LESION_PIRADS = "lesion_PIRADS"
GLANDS = "anatomical_delineations/whole_gland/AI/Bosma22b"
LESIONS = ("csPCa_lesion_delineations/human_expert/resampled", "csPCa_lesion_delineations/AI/Bosma22a")
"""Masks that lie on the T2-weighted image; others by experts are looked for before those by networks."""
BY_EXPERTS, BY_NETWORKS = "human_expert", "AI"
CSPCA = {"YES": "positive", "NO": "negative"}


def is_picai(folder: Path) -> bool:
    """Whether a folder is laid out so."""
    return _marksheet(folder) is not None and next(folder.rglob("*_t2w.mha"), None) is not None


def read_picai(folder: Path, positive: PositiveMeans | None = None) -> SourceCases:
    """The examinations of PI-CAI; those that cannot be used are refused by name.

    Args:
        folder: see above.
        positive: what counts as positive; by default PI-RADS 3 to 5 where the marksheet has scores, and csPCa in an
            older one that has none. The log says which.

    Raises:
        InputError: there is no marksheet, or it lacks a column that is needed.
    """
    marksheet = _marksheet(folder)
    if marksheet is None:
        raise InputError(f"There is no {MARKSHEET} in {folder}; it comes with the repository picai_labels.")
    warnings: list[str] = []
    table = read_table(marksheet, warnings.append)
    meaning = _meaning(table, positive, marksheet)
    log.info("positive means %s, as the marksheet says", POSITIVE_IN_WORDS[meaning])
    # Not what macOS puts beside each file of an archive (._…).
    scans = {path.name.removesuffix("_t2w.mha"): path for path in sorted(folder.rglob("[!.]*_t2w.mha"))}
    cases: list[Case] = []
    refused: list[RejectedCase] = []
    listed: set[str] = set()
    for number, line in table.rows:
        if isinstance(line, str):
            refused.append(RejectedCase(f"line {number}", f"{MARKSHEET}, line {number}: {line}."))
            continue
        name = f"{as_name(line['patient_id'])}_{as_name(line['study_id'])}"
        if name in listed:
            refused.append(RejectedCase(name, f"{MARKSHEET}, line {number}: it stands there already."))
        elif name not in scans:
            refused.append(RejectedCase(name, "There is no T2-weighted image of it."))
        else:
            try:
                cases.append(_case(name, line, scans[name], folder, meaning))
            except (InputError, ValueError) as error:
                refused.append(RejectedCase(name, f"Its line in {MARKSHEET} cannot be used: {error}"))
        listed.add(name)
    refused += [RejectedCase(name, f"It is not in {MARKSHEET}.") for name in scans if name not in listed]
    return SourceCases(with_own_names(cases), tuple(refused), tuple(warnings))


def _meaning(table: Table, positive: PositiveMeans | None, marksheet: Path) -> PositiveMeans:
    needed = {"pirads": LESION_PIRADS, "cspca": "case_csPCa"}
    meaning: PositiveMeans = positive or ("pirads" if LESION_PIRADS in table.columns else "cspca")
    for column in ("patient_id", "study_id", needed[meaning]):
        if column not in table.columns:
            other = next(each for each in get_args(PositiveMeans) if each != meaning)
            advice = f"; choose `--positive {other}`, or get a newer one" if column == needed[meaning] else ""
            raise InputError(f"{marksheet} has no column {column}{advice}.")
    return meaning


def _case(name: str, line: dict[str, str], scan: Path, folder: Path, meaning: PositiveMeans) -> Case:
    if not is_file_name(name):
        raise InputError(f"{name!r} cannot be a file name on every system.")
    images: dict[SequenceName, Path] = {"t2w": scan}
    for sequence in get_args(SequenceName):
        other = scan.with_name(f"{name}_{sequence}.mha")
        if other.exists():
            images[sequence] = other
    warnings: list[str] = []
    lesions = _lesions(line, warnings.append)
    scores = [lesion.pirads for lesion in lesions if lesion.pirads is not None]
    pirads = max(scores, default=None)
    if meaning == "cspca":
        found = line["case_csPCa"].strip().upper()
        if found not in CSPCA:
            raise InputError(f"its case_csPCa is {found!r}, neither YES nor NO.")
        pathology = CSPCA[found]
    elif pirads is None:
        raise InputError(f"its {LESION_PIRADS} holds no score ({line[LESION_PIRADS]!r}).")
    else:
        pathology = pathology_of(pirads)
    return Case(
        id=name,
        patient=as_name(line["patient_id"]),
        images=images,
        pathology=pathology,  # type: ignore[arg-type]
        pirads=pirads,
        gland=_mask(folder, name, "anatomical_delineations/whole_gland", (GLANDS,)),
        lesion=_mask(folder, name, "csPCa_lesion_delineations", LESIONS),
        fields=_fields(line, lesions, pirads, warnings.append),
        positive_means=meaning,
        warnings=tuple(warnings),
    )


def _fields(line: dict[str, str], lesions: tuple[LesionFields, ...], pirads: int | None,
            on_warning: OnWarning) -> StructuredFields:  # fmt: skip
    columns = {"age_years": "patient_age", "psa_ng_ml": "psa", "gland_volume_ml": "prostate_volume"}
    facts = {name: usable_fact(name, line.get(column), on_warning, column=column) for name, column in columns.items()}
    if _tissue_was_taken(line):
        facts["isup"] = usable_fact("isup", line.get("case_ISUP"), on_warning, column="case_ISUP")
    return StructuredFields(**facts, pirads=pirads, lesions=lesions or None)


def _lesions(line: dict[str, str], on_warning: OnWarning) -> tuple[LesionFields, ...]:
    """Lesion by lesion, as ``"4,2"`` and ``"0,2"`` list their scores and grades; what was not sampled has no grade."""
    scores = list(_parts(line.get(LESION_PIRADS), "pirads", LESION_PIRADS, on_warning))
    grades = list(_parts(line.get("lesion_ISUP"), "isup", "lesion_ISUP", on_warning)) if _tissue_was_taken(line) else []
    if scores and grades and len(scores) != len(grades):
        on_warning(
            f"{LESION_PIRADS} lists {len(scores)} lesions and lesion_ISUP {len(grades)}; the grades are left out"
        )
        grades = []
    count = max(len(scores), len(grades))
    pairs = zip(scores or [None] * count, grades or [None] * count, strict=True)
    return tuple(LesionFields(pirads=score, isup=grade) for score, grade in pairs if (score, grade) != (None, None))


def _parts(cell: str | None, name: str, column: str, on_warning: OnWarning) -> Iterator[int | None]:
    for part in [] if says_nothing(cell) else str(cell).split(","):
        yield usable_fact(name, part, on_warning, column=column, model=LesionFields)


def _tissue_was_taken(line: dict[str, str]) -> bool:
    """Grades are 0 by default, which says nothing where no kind of histology is named. Older tables name none."""
    if "histopath_type" not in line or not says_nothing(line["histopath_type"]):
        return True
    grades = f"{line.get('case_ISUP')},{line.get('lesion_ISUP')}".split(",")
    return any((as_number(grade) or 0) > 0 for grade in grades)


def _mask(folder: Path, name: str, below: str, first: tuple[str, ...]) -> Path | None:
    """An expert's, where there is one: of several the one on the T2-weighted grid, else the newest by name."""
    roots = [root for root in (folder / "picai_labels", folder) if (root / below).is_dir()]
    for root in roots:
        known = [root / each for each in first]
        for maker in (BY_EXPERTS, BY_NETWORKS):
            others = sorted((root / below / maker).glob("*"), reverse=True)
            for place in dict.fromkeys([each for each in known if f"/{maker}/" in each.as_posix()] + others):
                if (place / f"{name}.nii.gz").is_file():
                    return place / f"{name}.nii.gz"
    return None


def _marksheet(folder: Path) -> Path | None:
    candidates = (folder / MARKSHEET, folder / "clinical_information" / MARKSHEET,
                  folder / "picai_labels" / "clinical_information" / MARKSHEET)  # fmt: skip
    return next((path for path in candidates if path.is_file()), None)
