"""Reports for cases that came without one."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from ccella_core.cases.case import Case
from ccella_core.models.languages import language_of
from ccella_core.phantom.known_report import write_known_report
from ccella_core.phantom.report import write_report

log = logging.getLogger(__name__)

MissingReports = Literal["write", "null"]


def with_reports(cases: Sequence[Case], missing: MissingReports) -> tuple[Case, ...]:
    """Where there is no report, write one from what is known of the case, or leave it to the null report.

    A report that is written says nothing that is not known; where nothing is, the case keeps the null report. The log
    says how many cases have which.
    """
    filled = tuple(_filled(case) if missing == "write" and not case.reports else case for case in cases)
    counts = Counter(case.report_source for case in filled)
    log.info("reports: %d given, %d written from structured fields, %d cases with the null report",
             counts["given"], counts["written"], counts["none"])  # fmt: skip
    for source, words in (("written", "written from structured fields"), ("none", "null report")):
        if names := [case.id for case in filled if case.report_source == source]:
            log.info("%s: %s", words, ", ".join(names))
    return filled


def with_languages_noticed(cases: Sequence[Case]) -> list[Case]:
    """The same cases, with a warning for those whose report is in another language than most."""
    languages = {case.id: [language_of(report) for report in case.reports] for case in cases}
    counts = Counter(language for found in languages.values() for language in found if language is not None)
    if not counts:
        return list(cases)
    usual = counts.most_common(1)[0][0]
    noticed = []
    for case in cases:
        others = sorted({language for language in languages[case.id] if language not in (None, usual)})  # type: ignore[type-var]
        said = tuple(f"Its report seems to be in {other}; most are in {usual}." for other in others)
        noticed.append(case.model_copy(update={"warnings": case.warnings + said}) if said else case)
    return noticed


def _filled(case: Case) -> Case:
    if case.fields is None:
        return case
    seed = zlib.crc32(case.id.encode())
    findings = case.fields.to_findings()
    report = write_report(findings, seed=seed) if findings else write_known_report(case.fields, seed=seed)
    return case if report is None else case.model_copy(update={"reports": (report,), "report_source": "written"})
