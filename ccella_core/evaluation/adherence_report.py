"""The outcome of an adherence run: its numbers, a table for people, and a picture to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from ccella_core.evaluation.measurements import Reading
from ccella_core.evaluation.scores import Proportion, ReadingScores, Stated, score_readings
from ccella_core.provenance import SYNTHETIC_LABEL
from ccella_core.settings import StrictModel

Request = Literal["asked", "mirrored"]
ASKED: Request = "asked"
MIRRORED: Request = "mirrored"
CASES_A_ROW = 4
CASE_INCHES = (4.0, 2.5)
DOTS_PER_INCH = 100


class Case(StrictModel):
    """One generated volume: what was asked, what it shows, and what the phantom of that patient shows."""

    patient: int
    request: Request
    """The patient's own report, or the one with left and right exchanged."""
    volume_seed: int
    model: str
    sampler: str
    report: str
    stated: Stated
    predicted_positive_probability: float | None
    generated: Reading
    phantom: Reading
    """Of the patient as drawn, never mirrored."""


class AdherenceResult(StrictModel):
    """What a model does with reports that it has never seen."""

    model: str
    sampler: str
    generated: ReadingScores
    phantoms: ReadingScores
    """The ceiling: the same readings of the phantoms of the same patients."""
    class_head: Proportion
    """The class that the model read from the report, against what the report says; no cases without a class head."""
    steering: Proportion
    """Volumes whose lesion lies on the side that was asked before the exchange, and on the other after it."""
    cases: list[Case]

    @classmethod
    def of(cls, cases: Sequence[Case]) -> AdherenceResult:
        """The result of at least one case; those asked first, the mirrored after."""
        asked = [case for case in cases if case.request == ASKED]
        stated = [case.stated for case in asked]
        before = {case.patient: case.generated.side for case in asked}
        return cls(
            model=cases[0].model,
            sampler=cases[0].sampler,
            generated=score_readings(stated, [case.generated for case in asked]),
            phantoms=score_readings(stated, [case.phantom for case in asked]),
            class_head=Proportion.of(
                (case.predicted_positive_probability >= 0.5) == case.stated.has_lesion
                for case in asked
                if case.predicted_positive_probability is not None
            ),
            steering=Proportion.of(
                case.generated.side == case.stated.side and before[case.patient] not in (None, case.stated.side)
                for case in cases
                if case.request == MIRRORED
            ),
            cases=list(cases),
        )


def markdown(result: AdherenceResult) -> str:
    """Two tables: agreement, and pathology as stated against pathology as read."""
    rows = [
        ("Pathology as stated", str(result.generated.pathology), str(result.phantoms.pathology)),
        ("… lesion seen where stated", str(result.generated.sensitivity), str(result.phantoms.sensitivity)),
        ("… none seen where none is stated", str(result.generated.specificity), str(result.phantoms.specificity)),
        ("Side, of reports that name one", str(result.generated.side), str(result.phantoms.side)),
        ("Zone", str(result.generated.zone), str(result.phantoms.zone)),
        ("Level", str(result.generated.level), str(result.phantoms.level)),
        (
            "Gland volume, Pearson's r",
            _number(result.generated.gland_volume_r),
            _number(result.phantoms.gland_volume_r),
        ),
        ("Gland volume, mean absolute error", _ml(result.generated, "error"), _ml(result.phantoms, "error")),
        ("Gland volume, mean difference", _ml(result.generated, "bias"), _ml(result.phantoms, "bias")),
        ("Side follows when left and right are exchanged", str(result.steering), ""),
        ("Class read from the report by the model", str(result.class_head), ""),
    ]
    asked = sum(case.request == ASKED for case in result.cases)
    lines = [
        f"# Adherence of {result.model}",
        "",
        f"{asked} held-out reports of the digital prostate; {result.sampler}. A volume in which no lesion is seen",
        "counts as wrong on side, zone and level. Intervals are Wilson's.",
        "",
        "| | generated | phantoms of the same patients |",
        "|---|---|---|",
        *(f"| {name} | {generated} | {phantoms} |" for name, generated, phantoms in rows),
        "",
        "| | lesion seen | none seen |",
        "|---|---|---|",
        _confusion_row("stated positive", result.generated.sensitivity, hits_are_seen=True),
        _confusion_row("stated negative", result.generated.specificity, hits_are_seen=False),
    ]
    return "\n".join(lines)


def picture(cases: Sequence[Case], strips: Sequence[np.ndarray]) -> Image.Image:
    """The generated slice and the phantom's, (rows, columns) uint8 side by side, of each case, under what was asked."""
    columns = min(CASES_A_ROW, len(cases))
    rows = -(-len(cases) // columns)
    figure = Figure((CASE_INCHES[0] * columns, CASE_INCHES[1] * rows + 0.5), dpi=DOTS_PER_INCH, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(
        f"{SYNTHETIC_LABEL}. Left: generated; right: phantom. Asked > seen; the patient's right is at the left"
    )
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, case, strip in zip(grid, cases, strips, strict=False):
        axes.imshow(strip, cmap="gray", vmin=0, vmax=255)
        right = case.stated.has_lesion == case.generated.has_lesion and case.stated.side in (None, case.generated.side)
        axes.set_title(
            f"{_place(case.stated)} > {_place(case.generated)}", fontsize=9, color="black" if right else "firebrick"
        )
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _place(what: Stated | Reading) -> str:
    where = " ".join(word for word in (what.side, what.zone, what.level) if word) if what.has_lesion else "no lesion"
    return f"{where or 'several lesions'}, {what.gland_volume_ml:.0f} ml"


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"


def _ml(scores: ReadingScores, which: Literal["error", "bias"]) -> str:
    return f"{scores.gland_volume_error_ml:.1f} ml" if which == "error" else f"{scores.gland_volume_bias_ml:+.1f} ml"


def _confusion_row(name: str, right: Proportion, *, hits_are_seen: bool) -> str:
    wrong = right.total - right.hits
    seen, unseen = (right.hits, wrong) if hits_are_seen else (wrong, right.hits)
    return f"| {name} | {seen} | {unseen} |"
