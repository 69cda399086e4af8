"""The results of a reader study for people: a table of cases, Markdown, and one page with figures."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ccella_core.evaluation.readers.scores import ReadCase, ReaderResult, ReaderScores
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.files import write_text
from ccella_core.provenance import SYNTHETIC_LABEL
from ccella_core.report_page import bar_chart, line_chart, markdown_table, render_page, save_result

NAME, TABLE_NAME, PAGE_NAME = "readers", "cases.csv", "readers.html"
HEADER = (
    "Reader", "Accuracy", "Synthetic found", "Real found", "AUROC", "Quality, synthetic", "Quality, real",
    "Seconds a case (quartiles)",
)  # fmt: skip
BARS = 20


def save_reader_result(result: ReaderResult, out: Path) -> Path:
    """Write ``readers.json``, ``readers.md``, ``cases.csv`` and the page, whose path is returned. Raises SaveError."""
    save_result(result, readers_markdown(result), out / NAME)
    write_text(out / TABLE_NAME, _table(result.answers))
    write_text(out / PAGE_NAME, _page(result))
    return out / PAGE_NAME


def readers_markdown(result: ReaderResult) -> str:
    """The tables of readers and of their agreement."""
    parts = ["# Reader study", _about(result), markdown_table(HEADER, map(_row, result.readers))]
    if result.agreement:
        parts += ["## Agreement", markdown_table(AGREEMENT_HEADER, _agreement(result))]
    return "\n\n".join(parts) + "\n"


AGREEMENT_HEADER = ("Question", "Readers", "Kappa")


def _about(result: ReaderResult) -> str:
    of = (
        f"{result.synthetic} synthetic and {result.cases - result.synthetic} real volumes, one at a time"
        if result.design == "single"
        else f"{result.cases} pairs of a synthetic and a real volume; the synthetic one was on the left in "
        f"{result.synthetic}, and what is said of a synthetic case is said of those"
    )
    return (
        f"{of}. Guessing gives an accuracy and an AUROC of 0.5. Intervals are at 95 %: Wilson's for shares, DeLong's "
        "for the AUROC, the large-sample ones of Cohen's kappa (two readers) and Fleiss' (all of them)."
    )


def _row(scores: ReaderScores) -> list[str]:
    low, middle, high = scores.seconds
    return [
        scores.reader,
        scores.accuracy.as_share(),
        scores.synthetic_found.as_share(),
        scores.real_found.as_share(),
        scores.auroc.with_n(".2f"),
        _grade(scores.quality_synthetic),
        _grade(scores.quality_real),
        f"{middle:.0f} ({low:.0f} to {high:.0f})",
    ]


def _grade(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _kappa(kappa: Estimate) -> str:
    return kappa.with_n(".2f")


def _agreement(result: ReaderResult) -> list[list[str]]:
    return [[each.question, ", ".join(each.readers), _kappa(each.kappa)] for each in result.agreement]


def _table(rows: list[ReadCase]) -> str:
    text = io.StringIO()
    place = ("right_mm", "anterior_mm", "superior_mm")
    fields = [name for name in ReadCase.model_fields if name != "location"]
    writer = csv.DictWriter(text, fieldnames=[*fields, *place], lineterminator="\n")
    writer.writeheader()
    for row in rows:
        content = row.model_dump(exclude={"location"})
        located = dict(zip(place, row.location or ("", "", ""), strict=True))
        writer.writerow({**content, "volumes": " | ".join(row.volumes), **located})
    return text.getvalue()


def _page(result: ReaderResult) -> str:
    curves = {scores.reader: tuple(map(list, zip(*scores.roc, strict=True))) for scores in result.readers if scores.roc}
    wrong = [row for row in result.answers if not row.is_right]
    return render_page(
        "readers.html",
        title="Reader study",
        about=f"{_about(result)} The synthetic volumes: {SYNTHETIC_LABEL}.",
        header=HEADER,
        readers=list(map(_row, result.readers)),
        agreement_header=AGREEMENT_HEADER,
        agreement=_agreement(result),
        roc=line_chart(
            curves,  # type: ignore[arg-type]
            x_label="real cases called synthetic",
            y_label="synthetic cases called so",
        )
        if curves
        else None,
        seconds=bar_chart(
            [row.seconds for row in result.answers], bars=BARS, x_label="seconds a case", y_label="answers"
        ),
        mistaken=[
            [row.reader, row.case, ", ".join(row.volumes), _word(row.is_synthetic), str(row.confidence)]
            for row in sorted(wrong, key=lambda row: -row.confidence)
        ],
        answers=list(map(_cells, result.answers)),
    )


def _cells(row: ReadCase) -> list[str]:
    return [
        row.reader,
        row.case,
        ", ".join(row.volumes),
        _word(row.is_synthetic),
        _word(row.says_synthetic),
        str(row.confidence),
        str(row.quality),
        str(row.pirads or "–"),
        f"{row.seconds:.0f}",
    ]


def _word(is_synthetic: bool) -> str:
    return "SYNTHETIC" if is_synthetic else "real"
