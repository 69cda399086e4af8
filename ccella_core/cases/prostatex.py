"""The layout of PROSTATEx (Litjens et al., The Cancer Imaging Archive 2017; CC BY 3.0).

``ProstateX-0000/<study>/<series>/<DICOM files>``, somewhere below the folder, and ``ProstateX-Findings-Train.csv``
(patient, zone, clinical significance of each finding). Series are recognised by their DICOM description, and files by
their content. Without the table, or for patients who are not in it, there is no class, and the case is refused.

A case counts as positive where a finding is clinically significant (Gleason 7 or higher), which is histology and so not
the same as PI-RADS 3-5.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from pathlib import Path

from ccella_core.cases.case import (
    POSITIVE_IN_WORDS,
    Case,
    LesionFields,
    PositiveMeans,
    RejectedCase,
    SourceCases,
    StructuredFields,
    with_own_names,
)
from ccella_core.cases.tables import read_table, says_nothing
from ccella_core.errors import InputError
from ccella_core.imaging.dicom.series import SeriesHeader, series_headers
from ccella_core.imaging.raw_files import OnWarning
from ccella_core.provenance import SequenceName

log = logging.getLogger(__name__)

PATIENT = re.compile(r"ProstateX-\d{4}", re.IGNORECASE)
FINDINGS_PATTERN = "*Findings*.csv"
# In the order in which they are asked: a calculated high b-value image may have "diffusie" in its name as the ADC has.
SERIES: tuple[tuple[SequenceName, re.Pattern[str]], ...] = (
    ("adc", re.compile(r"adc", re.IGNORECASE)),
    ("hbv", re.compile(r"bval|b[_ -]?1400|calc|hbv", re.IGNORECASE)),
    ("t2w", re.compile(r"t2.*(tra|ax)|t2w", re.IGNORECASE)),
)
ZONES = {"PZ": "peripheral", "TZ": "transition"}  # the others, AS and SV, are neither
SIGNIFICANT = {"TRUE": True, "FALSE": False, "1": True, "0": False, "YES": True, "NO": False}
FOLDER_DATE = re.compile(r"(\d{2})-(\d{2})-(\d{4})-")  # the archive's: month, day, year
FOLDER_NUMBER = re.compile(r"(\d+)\.\d+-")


def is_prostatex(folder: Path) -> bool:
    """Whether a folder is laid out so."""
    return any(PATIENT.fullmatch(path.name) for path in folder.glob("*") if path.is_dir()) or bool(
        next(folder.glob("*/ProstateX-*"), None)
    )


def read_prostatex(folder: Path, positive: PositiveMeans | None = None) -> SourceCases:
    """The patients of PROSTATEx; those that cannot be used are refused by name.

    Args:
        folder: see above.
        positive: only ``cspca`` can be had.

    Raises:
        InputError: no patient is found, or PI-RADS is asked for.
    """
    if positive == "pirads":
        raise InputError("PROSTATEx has no PI-RADS scores; choose `--positive cspca`.")
    patients = sorted(path for path in folder.rglob("*") if path.is_dir() and PATIENT.fullmatch(path.name))
    if not patients:
        raise InputError(f"There are no folders ProstateX-0000, ProstateX-0001, … in {folder}.")
    log.info("positive means %s, as the table of findings says", POSITIVE_IN_WORDS["cspca"])
    warnings: list[str] = []
    findings = _findings(folder, warnings.append)
    cases: list[Case] = []
    refused: list[RejectedCase] = []
    for patient in patients:
        name = "ProstateX-" + patient.name[-4:]
        try:
            if name not in findings:
                raise InputError(f"It is not in a table {FINDINGS_PATTERN}, and so has no class.")
            cases.append(_case(name, patient, findings[name]))
        except InputError as error:
            refused.append(RejectedCase(name, str(error)))
    return SourceCases(with_own_names(cases), tuple(refused), tuple(warnings))


def find_series(patient: Path, on_warning: OnWarning | None = None) -> dict[SequenceName, Path]:
    """The folder of each sequence of one of a patient's examinations, never of two.

    Of several examinations the one that has most of the sequences is taken, of equals the latest; of several series of
    a sequence in it the last by number, as it was repeated for a reason.
    """
    examinations: dict[str, dict[SequenceName, SeriesHeader]] = defaultdict(dict)
    for folder in sorted({patient, *(path for path in patient.rglob("*") if path.is_dir())}):
        for series in series_headers(folder):
            sequence = _sequence(series)
            # The archive has a folder for each; where there is none, the header tells them apart.
            found = examinations[str(folder.parent) if folder.parent != patient else series.study]
            if sequence is not None and (sequence not in found or _number(found[sequence]) < _number(series)):
                found[sequence] = series
    usable = [found for found in examinations.values() if "t2w" in found]
    if not usable:
        return {}
    chosen = max(usable, key=lambda found: (len(found), _date(found["t2w"])))
    if len(usable) > 1 and on_warning is not None:
        on_warning(f"of its {len(usable)} examinations the one in {chosen['t2w'].folder.parent.name} was taken")
    return {sequence: series.folder for sequence, series in chosen.items()}


def _sequence(series: SeriesHeader) -> SequenceName | None:
    """By the description, and where there is none by the folder's name."""
    text = series.description or series.folder.name
    return next((name for name, pattern in SERIES if pattern.search(text)), None)


def _number(series: SeriesHeader) -> tuple[int, str]:
    """Which of a sequence's series came later."""
    in_name = FOLDER_NUMBER.match(series.folder.name)
    return series.number or (int(in_name[1]) if in_name else 0), series.folder.name


def _date(series: SeriesHeader) -> tuple[str, str, str]:
    """When an examination was made: the folder's date, as headers of public archives are often moved to one date."""
    in_name = FOLDER_DATE.match(series.folder.parent.name)
    return ("".join((in_name[3], in_name[1], in_name[2])) if in_name else "", series.date, series.study)


def _case(name: str, patient: Path, findings: list[dict[str, str]]) -> Case:
    warnings: list[str] = []
    images = find_series(patient, warnings.append)
    if "t2w" not in images:
        raise InputError("There is no axial T2-weighted series.")
    significant = any(_is_significant(line) for line in findings)
    lesions = tuple(LesionFields(zone=ZONES.get(line.get("zone", "").strip().upper())) for line in findings)  # type: ignore[arg-type]
    return Case(
        id=name,
        patient=name,
        images=images,
        pathology="positive" if significant else "negative",
        fields=StructuredFields(lesions=lesions) if significant else None,
        positive_means="cspca",
        warnings=tuple(warnings),
    )


def _is_significant(line: dict[str, str]) -> bool:
    word = line["ClinSig"].strip().upper()
    if word not in SIGNIFICANT:
        raise InputError(f"Its ClinSig is {word!r}, neither TRUE nor FALSE.")
    return SIGNIFICANT[word]


def _findings(folder: Path, on_warning: OnWarning) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for path in sorted(folder.rglob(FINDINGS_PATTERN)):
        if path.name.startswith("."):
            continue
        table = read_table(path, on_warning)
        for number, line in table.rows:
            if isinstance(line, str):
                on_warning(f"{path.name}, line {number}: {line}, and was left out.")
            elif not says_nothing(line.get("ProxID")) and not says_nothing(line.get("ClinSig")):
                found["ProstateX-" + line["ProxID"].strip()[-4:]].append(line)
    return dict(found)
