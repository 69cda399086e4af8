"""The quality report: one page that shows what a model would be trained on, before it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from ccella_core.cases.case import POSITIVE_IN_WORDS, SPLITS, RejectedCase
from ccella_core.cases.prepared import PreparedCase, PreparedSet, picture_path
from ccella_core.files import write_text
from ccella_core.report_page import bar_chart, page, table

PAGE_NAME = "quality.html"
BARS = 24
SOURCE_WORDS = {"given": "given", "written": "written from structured fields", "none": "none (null report)"}


class ReportLength(NamedTuple):
    """How reports are counted."""

    unit: str
    """``tokens`` or ``words``."""
    count: Callable[[str], int]
    limit: int | None
    """Longer reports lose their beginning; ``None``: not known."""


WORDS = ReportLength("words", lambda report: len(report.split()), None)


def write_quality_report(
    prepared: PreparedSet,
    refused: Sequence[RejectedCase],
    *,
    length: ReportLength = WORDS,
    warnings: Sequence[str] = (),
) -> Path:
    """Write ``quality.html`` beside the cases, with the pictures that lie there.

    Args:
        prepared: the cases.
        refused: those that were left out.
        length: how reports are counted.
        warnings: what was odd about the source as a whole.

    Returns:
        The page's path.

    Raises:
        SaveError: the disk refuses.
    """
    cases = prepared.cases
    sections = [
        ("Cases", _counts(cases)),
        ("Reports", _reports(cases, length)),
        ("Scans", _scans(prepared)),
        (f"Refused ({len(refused)})", _refusals(refused)),
        (f"Warnings ({sum(len(case.warnings) for case in cases) + len(warnings)})", _warnings(cases, warnings)),
        ("Pictures", _gallery(cases)),
    ]
    shape, spacing = (
        " x ".join(f"{value:g}" for value in each) for each in (prepared.settings.shape, prepared.settings.spacing)
    )
    patients = len({case.patient for case in cases})
    about = (
        f"{len(cases)} cases of {patients} patients, {', '.join(prepared.settings.sequences)}, "
        f"{shape} voxels of {spacing} mm. Positive means "
        f"{', or '.join(POSITIVE_IN_WORDS[each] for each in prepared.positive_means)}. "
        f"Fingerprint {prepared.fingerprint}."
    )
    path = prepared.folder / PAGE_NAME
    write_text(path, page("Prepared cases", about, sections), private=True)
    return path


def _counts(cases: Sequence[PreparedCase]) -> str:
    rows = [_count(split, [case for case in cases if split in (case.split, "all")]) for split in (*SPLITS, "all")]
    header = [
        "split",
        "cases",
        "patients",
        "negative",
        "positive",
        *(f"PI-RADS {score}" for score in range(1, 6)),
        "not scored",
    ]
    return table(header, rows)


def _count(name: str, cases: Sequence[PreparedCase]) -> list[object]:
    classes, scores = Counter(case.pathology for case in cases), Counter(case.pirads for case in cases)
    patients = len({case.patient for case in cases})
    return [name, len(cases), patients, classes["negative"], classes["positive"],
            *(scores[score] for score in range(1, 6)), scores[None]]  # fmt: skip


def _reports(cases: Sequence[PreparedCase], length: ReportLength) -> str:
    sources = Counter(case.report_source for case in cases)
    parts = [table(["report", "cases"], [[words, sources[source]] for source, words in SOURCE_WORDS.items()])]  # type: ignore[index]
    lengths = sorted(length.count(report) for case in cases for report in case.reports)
    if not lengths:
        return parts[0] + "<p>There is no report at all: only variants without text can be trained.</p>"
    middle = lengths[len(lengths) // 2]
    said = f"{len(lengths)} reports have {lengths[0]} to {lengths[-1]} {length.unit}, half of them {middle} or more."
    if length.limit is None:
        said += " Give a tokenizer to see how many would be truncated."
    else:
        cut = sum(count > length.limit for count in lengths)
        said += f" {cut} ({cut / len(lengths):.0%}) are longer than {length.limit} and lose their beginning."
    parts.append(f"<p>{escape(said)}</p>")
    parts.append(bar_chart(lengths, bars=BARS, x_label=f"{length.unit} a report", y_label="reports", mark=length.limit))
    return "".join(parts)


def _scans(prepared: PreparedSet) -> str:
    sources = Counter(
        (" x ".join(map(str, case.source_shape)), " x ".join(f"{length:.3g}" for length in case.source_spacing_mm))
        for case in prepared.cases
    )
    cropped = ", and are cropped around it" if prepared.settings.centre == "gland" else ""
    masks = sum(case.has_regions for case in prepared.cases)
    rows = [[shape, spacing, count] for (shape, spacing), count in sources.most_common()]
    return table(["voxels of the T2-weighted scan", "spacing in mm", "cases"], rows) + (
        f"<p>{masks} of {len(prepared.cases)} cases have a mask of the gland{cropped}.</p>"
    )


def _refusals(refused: Sequence[RejectedCase]) -> str:
    if not refused:
        return "<p>None.</p>"
    return table(["case", "why"], [[each.id, each.reason] for each in refused])


def _warnings(cases: Sequence[PreparedCase], of_source: Sequence[str]) -> str:
    rows = [["", warning] for warning in of_source]
    rows += [[case.id, warning] for case in cases for warning in case.warnings]
    return table(["case", "what is odd"], rows) if rows else "<p>None.</p>"


def _gallery(cases: Sequence[PreparedCase]) -> str:
    figures = []
    for case in cases:
        score = "" if case.pirads is None else f" · PI-RADS {case.pirads}"
        caption = f"<b>{escape(case.id)}</b><br/>{case.split} · {case.pathology}{score}"
        title = escape(case.reports[0] if case.reports else "no report", quote=True)
        figures.append(
            f'<figure><img src="{escape(picture_path(case.id))}" alt="three planes of {escape(case.id)}" '
            f'loading="lazy" title="{title}"/><figcaption>{caption}</figcaption></figure>'
        )
    return f'<div class="gallery">{"".join(figures)}</div>'
