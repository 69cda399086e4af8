"""In whose words the reports of an adherence run are written.

``patients`` writes as the reports of patients are written for training: little beside the scan, the gland and the
lesions, and whether there is an endorectal coil.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from ccella_core.errors import InputError
from ccella_core.phantom.fields import LesionFields, StructuredFields
from ccella_core.phantom.findings import Findings
from ccella_core.phantom.known_report import write_known_report
from ccella_core.phantom.report import ReportStyle, StyleChoice, write_report

PATIENTS: Literal["patients"] = "patients"
AdherenceStyle = Literal[StyleChoice, "patients"]
STYLES: tuple[str, ...] = (*get_args(ReportStyle), "any", PATIENTS)
TECHNIQUE = {True: "1.5 T with endorectal coil", False: "3 T, no endorectal coil"}


class WrittenReport(NamedTuple):
    """A report, and what it says beside the findings."""

    text: str
    states_coil: bool | None
    """Whether there is an endorectal coil; ``None`` where the report says nothing of it."""


def check_style(style: str) -> AdherenceStyle:
    """The style of that name. Raises InputError where there is none."""
    if style not in STYLES:
        raise InputError(f"There is no style {style}; there are {', '.join(STYLES)}.")
    return style  # type: ignore[return-value]


def written_report(findings: Findings, seed: int, style: AdherenceStyle) -> WrittenReport:
    """The report of some findings; the seed chooses the words and, in the patients' style, whether there is a coil."""
    if style != PATIENTS:
        return WrittenReport(write_report(findings, seed=seed, style=style), None)
    known = StructuredFields(
        age_years=findings.age_years,
        gland_volume_ml=findings.gland_volume_ml,
        pirads=findings.pirads,
        lesions=tuple(
            LesionFields(side=each.side, zone=each.zone, level=each.level, size_mm=each.size_mm, pirads=each.pirads)
            for each in findings.lesions
        ),
    )
    has_coil = seed % 2 == 1  # findings do not depend on whether a seed is odd
    text = write_known_report(known, seed=seed, technique=TECHNIQUE[has_coil])
    assert text is not None
    return WrittenReport(text, has_coil)
