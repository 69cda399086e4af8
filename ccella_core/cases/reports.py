"""Reports for cases that came without one."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from ccella_core.cases.case import Case
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


def _filled(case: Case) -> Case:
    if case.fields is None:
        return case
    seed = zlib.crc32(case.id.encode())
    findings = case.fields.to_findings()
    report = write_report(findings, seed=seed) if findings else write_known_report(case.fields, seed=seed)
    return case if report is None else case.model_copy(update={"reports": (report,), "report_source": "written"})
