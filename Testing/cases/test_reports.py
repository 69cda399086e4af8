"""Cases without a report: one is written from what is known, or the null report stands in; the log says which."""

from __future__ import annotations

import logging
import zlib
from pathlib import Path

import pytest

from ccella_core.cases.case import Case, LesionFields, StructuredFields
from ccella_core.cases.reports import with_languages_noticed, with_reports
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import write_report


def new_case(name: str, **more) -> Case:
    return Case(id=name, patient=name, images={"t2w": Path("a.mha")}, pathology="positive", **more)


@pytest.fixture
def cases() -> tuple[Case, ...]:
    known = StructuredFields(psa_ng_ml=7.3, gland_volume_ml=55, isup=2, lesions=(LesionFields(isup=2),))
    return (
        new_case("told", reports=("A lesion.",), report_source="given", fields=known),
        new_case("known", fields=known),
        new_case("bare"),
    )


def test_only_what_is_known_is_written(cases):
    told, known, bare = with_reports(cases, "write")
    assert told.reports == ("A lesion.",) and told.report_source == "given"
    assert known.report_source == "written"
    for words in ("PSA 7.3 ng/mL", "55", "grade group 2"):
        assert words in known.reports[0]
    for words in ("PI-RADS", "bladder", "left", "right", "-year-old"):
        assert words not in known.reports[0], "nobody knows that"
    assert bare.reports == () and bare.report_source == "none"
    assert with_reports(cases, "write")[1] == known, "the same words every time"


def test_where_everything_is_known_the_phantoms_writer_writes():
    findings = draw_findings(3, pathology="positive")
    case = new_case("whole", fields=StructuredFields.from_findings(findings), pirads=findings.pirads)
    (filled,) = with_reports([case], "write")
    assert filled.reports == (write_report(findings, seed=zlib.crc32(b"whole")),)


def test_or_the_null_report_stands_in(cases):
    assert [case.report_source for case in with_reports(cases, "null")] == ["given", "none", "none"]


def test_the_log_says_which_and_how_many(cases, caplog):
    with caplog.at_level(logging.INFO, "ccella_core"):
        with_reports(cases, "write")
    assert "1 given, 1 written from structured fields, 1 cases with the null report" in caplog.text
    assert "written from structured fields: known" in caplog.text and "null report: bare" in caplog.text


def test_a_report_in_another_language_than_most_is_noticed():
    english = new_case("a", reports=("There is no suspicious lesion in the prostate.",), report_source="given")
    short = new_case("b", reports=("PI-RADS 4",), report_source="given")
    german = new_case("c", reports=("Kein Nachweis einer Läsion in der Prostata.",), report_source="given")
    first, second, third = with_languages_noticed([english, short, german, english])[:3]
    assert (first.warnings, second.warnings) == ((), ())
    assert third.warnings == ("Its report seems to be in German; most are in English.",)
    assert with_languages_noticed([german])[0].warnings == (), "a set in one language is none of another"
