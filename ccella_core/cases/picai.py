"""The layout of the PI-CAI challenge (Saha et al., Lancet Oncology 2024; CC BY-NC 4.0).

``images/<patient>/<patient>_<study>_t2w.mha`` (and ``_adc``, ``_hbv``), ``marksheet.csv`` beside it or in
``picai_labels/clinical_information/``, and, where they were downloaded, masks in ``picai_labels/``. Its archives
unpack into folders ``picai_public_images_fold0`` and so on, which are looked through as well.

There are no reports and no PI-RADS. A case counts as positive where the marksheet says clinically significant cancer
(``case_csPCa``: ISUP 2 or higher), which is histology and so not the same as PI-RADS 3-5: a model that is trained on
these cases learns that other meaning.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from ccella_core.cases.case import Case, LesionFields, RejectedCase, SourceCases, StructuredFields, with_own_names
from ccella_core.errors import InputError

MARKSHEET = "marksheet.csv"
GLANDS = "anatomical_delineations/whole_gland/AI/Bosma22b"
LESIONS = ("csPCa_lesion_delineations/human_expert/resampled", "csPCa_lesion_delineations/AI/Bosma22a")
"""The experts' first; theirs exist for all positive cases but some, whose lesions were found by a network."""
PATHOLOGY = {"YES": "positive", "NO": "negative"}


def is_picai(folder: Path) -> bool:
    return _marksheet(folder) is not None and next(folder.rglob("*_t2w.mha"), None) is not None


def read_picai(folder: Path) -> SourceCases:
    """Raises InputError where there is no marksheet; examinations that cannot be used are refused by name."""
    marksheet = _marksheet(folder)
    if marksheet is None:
        raise InputError(f"There is no {MARKSHEET} in {folder}; it comes with the repository picai_labels.")
    scans = {path.name.removesuffix("_t2w.mha"): path for path in sorted(folder.rglob("*_t2w.mha"))}
    cases: list[Case] = []
    refused: list[RejectedCase] = []
    with marksheet.open(encoding="utf-8-sig", newline="") as file:
        for line in csv.DictReader(file):
            name = f"{line.get('patient_id')}_{line.get('study_id')}"
            if name not in scans:
                refused.append(RejectedCase(name, "There is no T2-weighted image of it."))
                continue
            try:
                cases.append(_case(name, line, scans[name], folder))
            except (KeyError, ValueError) as error:
                first = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
                refused.append(RejectedCase(name, f"Its line in {MARKSHEET} cannot be used: {first}."))
    listed = {case.id for case in cases} | {each.id for each in refused}
    refused += [RejectedCase(name, f"It is not in {MARKSHEET}.") for name in scans if name not in listed]
    return SourceCases(with_own_names(cases), tuple(refused))


def _case(name: str, line: dict[str, str], scan: Path, folder: Path) -> Case:
    images = {"t2w": scan}
    for sequence in ("adc", "hbv"):
        other = scan.with_name(f"{name}_{sequence}.mha")
        if other.exists():
            images[sequence] = other
    labels = next((each for each in (folder / "picai_labels", folder) if (each / GLANDS).is_dir()), folder)
    return Case(
        id=name,
        patient=line["patient_id"],
        images=images,  # type: ignore[arg-type]
        pathology=PATHOLOGY[line["case_csPCa"].strip().upper()],  # type: ignore[arg-type]
        gland=_existing(labels / GLANDS / f"{name}.nii.gz"),
        lesion=next(filter(None, (_existing(labels / where / f"{name}.nii.gz") for where in LESIONS)), None),
        fields=StructuredFields(
            age_years=_number(line.get("patient_age")),  # type: ignore[arg-type]
            psa_ng_ml=_number(line.get("psa")),
            gland_volume_ml=_number(line.get("prostate_volume")),
            isup=_number(line.get("case_ISUP")),  # type: ignore[arg-type]
            lesions=tuple(_lesions(line.get("lesion_ISUP"))) or None,
        ),
    )


def _lesions(text: str | None) -> Iterator[LesionFields]:
    """``"0,2"``: two lesions were sampled, and cancer found in the second. Anything else says nothing."""
    for part in (text or "").split(","):
        grade = _number(part)
        if grade is not None:
            yield LesionFields(isup=int(grade))


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None  # empty, "N/A"


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _marksheet(folder: Path) -> Path | None:
    candidates = (folder / MARKSHEET, folder / "clinical_information" / MARKSHEET,
                  folder / "picai_labels" / "clinical_information" / MARKSHEET)  # fmt: skip
    return next((path for path in candidates if path.is_file()), None)
