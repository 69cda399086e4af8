"""The quality report: one page that shows what a model would be trained on, before it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from ccella_core.cases.case import POSITIVE_IN_WORDS, SPLITS, RejectedCase
from ccella_core.cases.prepared import PreparedCase, PreparedSet, picture_path
from ccella_core.files import write_text
from ccella_core.report_page import bar_chart, render_page

QUALITY_NAME = "quality.html"
REPORT_BARS = 24
COUNTS = [
    "split", "cases", "patients", "negative", "positive", "class unknown",
    *(f"PI-RADS {score}" for score in range(1, 6)), "not scored",
]  # fmt: skip
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
    cases, settings = prepared.cases, prepared.settings
    shape, spacing = (" x ".join(f"{value:g}" for value in each) for each in (settings.shape, prepared.spacing))
    whose = "" if settings.grid == "crop" else " in the median, each case with its own"
    lengths = sorted(length.count(report) for case in cases for report in case.reports)
    sources = Counter(case.report_source for case in cases)
    page = render_page(
        "quality.html",
        title="Prepared cases",
        about=f"{len(cases)} cases of {len({case.patient for case in cases})} patients, "
        f"{', '.join(settings.sequences)}, {shape} voxels of {spacing} mm{whose}. Positive means "
        f"{', or '.join(POSITIVE_IN_WORDS[each] for each in prepared.positive_means)}. "
        f"Fingerprint {prepared.fingerprint}.",
        counts={"header": COUNTS, "rows": [_count(cases, split) for split in (*SPLITS, "all")]},
        sources=[[words, sources[source]] for source, words in SOURCE_WORDS.items()],  # type: ignore[index]
        lengths=_lengths(lengths, length),
        histogram=bar_chart(
            lengths, bars=REPORT_BARS, x_label=f"{length.unit} a report", y_label="reports", mark=length.limit
        )
        if lengths
        else None,
        scans=_scans(cases),
        masks=" ".join(said for said in (_masks(prepared), _sequences(prepared)) if said),
        refused=[[each.id, each.reason] for each in refused],
        warnings=[["", warning] for warning in warnings]
        + [[case.id, warning] for case in cases for warning in case.warnings],
        gallery=[_pictured(case) for case in cases],
    )
    path = prepared.folder / QUALITY_NAME
    write_text(path, page, private=True)
    return path


def _count(cases: Sequence[PreparedCase], split: str) -> list[object]:
    chosen = [case for case in cases if split in (case.split, "all")]
    classes, scores = Counter(case.pathology for case in chosen), Counter(case.pirads for case in chosen)
    patients = len({case.patient for case in chosen})
    return [split, len(chosen), patients, classes["negative"], classes["positive"], classes[None],
            *(scores[score] for score in range(1, 6)), scores[None]]  # fmt: skip


def _lengths(lengths: Sequence[int], length: ReportLength) -> str:
    if not lengths:
        return "There is no report at all: only variants without text can be trained."
    middle = lengths[len(lengths) // 2]
    said = f"{len(lengths)} reports have {lengths[0]} to {lengths[-1]} {length.unit}, half of them {middle} or more."
    if length.limit is None:
        return f"{said} Give a tokenizer to see how many would be truncated."
    cut = sum(count > length.limit for count in lengths)
    return f"{said} {cut} ({cut / len(lengths):.0%}) are longer than {length.limit} and lose their beginning."


def _scans(cases: Sequence[PreparedCase]) -> list[list[object]]:
    """How many cases have a scan of which shape and spacing, the most frequent first."""
    sources = Counter(
        (" x ".join(map(str, case.source_shape)), " x ".join(f"{length:.3g}" for length in case.source_spacing_mm))
        for case in cases
    )
    return [[shape, spacing, count] for (shape, spacing), count in sources.most_common()]


def _masks(prepared: PreparedSet) -> str:
    cropped = ", and are cropped around it" if prepared.settings.centre == "gland" else ""
    masks = sum(case.has_regions for case in prepared.cases)
    return f"{masks} of {len(prepared.cases)} cases have a mask of the gland{cropped}."


def _sequences(prepared: PreparedSet) -> str:
    """How many cases have which sequence; empty where all have all."""
    counts = {name: sum(prepared.has(case, name) for case in prepared.cases) for name in prepared.settings.sequences}
    if all(count == len(prepared.cases) for count in counts.values()):
        return ""
    return "Sequences: " + ", ".join(f"{name} of {count}" for name, count in counts.items()) + " cases."


def _pictured(case: PreparedCase) -> dict[str, str]:
    score = "" if case.pirads is None else f" · PI-RADS {case.pirads}"
    return {
        "id": case.id,
        "picture": picture_path(case.id),
        "report": case.reports[0] if case.reports else "no report",
        "caption": f"{case.split} · {case.pathology or 'class unknown'}{score}",
    }
