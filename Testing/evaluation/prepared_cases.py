"""A folder of prepared cases with reports and classes and no images, which is all that synthesis reads."""

from __future__ import annotations

from pathlib import Path

from ccella_core.cases.prepared import PreparedCase, PreparedSet, PrepareSettings, write_cases, write_index

SHAPE, SPACING = (16, 16, 8), (1.0, 1.0, 3.0)
REPORTS = ("IMPRESSION: PI-RADS 4 lesion in the left apex.", "The prostate is enlarged.")


def prepared_case(name: str, **changes: object) -> PreparedCase:
    content = {
        "id": name, "patient": f"patient of {name}", "split": "train", "pathology": "positive", "pirads": 4,
        "reports": REPORTS, "report_source": "given", "fields": None, "source_spacing_mm": SPACING,
        "source_shape": SHAPE, "has_regions": False, "sha256": {},
    }  # fmt: skip
    return PreparedCase.model_validate({**content, **changes})


def prepared_set(folder: Path, cases: list[PreparedCase]) -> PreparedSet:
    write_index(folder, PrepareSettings(shape=SHAPE, spacing=SPACING))
    write_cases(folder, cases)
    return PreparedSet.open(folder)
