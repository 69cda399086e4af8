"""The layout of PROSTATEx (Litjens et al., The Cancer Imaging Archive 2017; CC BY 3.0).

``ProstateX-0000/<study>/<series>/*.dcm``, somewhere below the folder, and ``ProstateX-Findings-Train.csv`` (patient,
zone, clinical significance of each finding). Series are recognised by their DICOM description. Without the table, or
for patients who are not in it, there is no class, and the case is refused.

A case counts as positive where a finding is clinically significant (Gleason 7 or higher), which is histology and so not
the same as PI-RADS 3-5.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from pathlib import Path

from ccella_core.cases.case import Case, LesionFields, RejectedCase, SourceCases, StructuredFields, with_own_names
from ccella_core.errors import InputError
from ccella_core.imaging.scans import series_descriptions
from ccella_core.provenance import SequenceName

PATIENT = re.compile(r"ProstateX-\d{4}", re.IGNORECASE)
FINDINGS_PATTERN = "*Findings*.csv"
# In the order in which they are asked: a calculated high b-value image may have "diffusie" in its name as the ADC has.
SERIES: tuple[tuple[SequenceName, re.Pattern[str]], ...] = (
    ("adc", re.compile(r"adc", re.IGNORECASE)),
    ("hbv", re.compile(r"bval|b[_ -]?1400|calc|hbv", re.IGNORECASE)),
    ("t2w", re.compile(r"t2.*(tra|ax)|t2w", re.IGNORECASE)),
)
ZONES = {"PZ": "peripheral", "TZ": "transition"}  # the others, AS and SV, are neither


def is_prostatex(folder: Path) -> bool:
    return any(PATIENT.fullmatch(path.name) for path in folder.glob("*") if path.is_dir()) or bool(
        next(folder.glob("*/ProstateX-*"), None)
    )


def read_prostatex(folder: Path) -> SourceCases:
    """Raises InputError where no patient is found; those that cannot be used are refused by name."""
    patients = sorted(path for path in folder.rglob("*") if path.is_dir() and PATIENT.fullmatch(path.name))
    if not patients:
        raise InputError(f"There are no folders ProstateX-0000, ProstateX-0001, … in {folder}.")
    findings = _findings(folder)
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
    return SourceCases(with_own_names(cases), tuple(refused))


def find_series(patient: Path) -> dict[SequenceName, Path]:
    """The folder of each sequence below a patient's; of several T2-weighted axial series the last, as it was repeated
    for a reason."""
    found: dict[SequenceName, Path] = {}
    for folder in sorted({file.parent for file in patient.rglob("*.dcm")}):
        descriptions = " ".join(series_descriptions(folder).values())
        for sequence, pattern in SERIES:
            if pattern.search(descriptions) or pattern.search(folder.name):
                found[sequence] = folder
                break
    return found


def _case(name: str, patient: Path, findings: list[dict[str, str]]) -> Case:
    images = find_series(patient)
    if "t2w" not in images:
        raise InputError("There is no axial T2-weighted series.")
    significant = any(line["ClinSig"].strip().upper() == "TRUE" for line in findings)
    lesions = tuple(LesionFields(zone=ZONES.get(line.get("zone", "").strip().upper())) for line in findings)  # type: ignore[arg-type]
    return Case(
        id=name,
        patient=name,
        images=images,
        pathology="positive" if significant else "negative",
        fields=StructuredFields(lesions=lesions) if significant else None,
    )


def _findings(folder: Path) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    for table in sorted(folder.rglob(FINDINGS_PATTERN)):
        with table.open(encoding="utf-8-sig", newline="") as file:
            for line in csv.DictReader(file):
                if line.get("ProxID") and line.get("ClinSig"):
                    found["ProstateX-" + line["ProxID"].strip()[-4:]].append(line)
    return dict(found)
