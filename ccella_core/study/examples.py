"""Volumes of the same reports side by side: the real test case, and what each variant made of its report."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ccella_core.cases.prepared import PreparedCase, PreparedSet
from ccella_core.imaging.orientation import radiological
from ccella_core.networks.config import Variant
from ccella_core.provenance import SYNTHETIC_LABEL, SequenceName

TILE_INCHES = 1.7
"""Width of a slice."""
EXAMPLES_HEADING_INCHES = 0.75
EXAMPLES_DOTS_PER_INCH = 110
EXAMPLES_BACKGROUND, PALE_INK, WARNING_ON_DARK = "#0e1116", "#e8eaed", "#ff6a3d"
REPORT_CHARACTERS = 400
"""Of a caption: the rest of a report is cut."""


def chosen_cases(cases: Sequence[PreparedCase], count: int) -> list[PreparedCase]:
    """The first cases with a report, positive and negative by turns, positive first."""
    with_report = [case for case in cases if case.reports]
    kinds = [[case for case in with_report if case.pathology == kind] for kind in ("positive", "negative")]
    by_turns = [kind[place] for place in range(len(with_report)) for kind in kinds if place < len(kind)]
    return by_turns[:count]


def shown_slice(prepared: PreparedSet, case: PreparedCase) -> int:
    """The axial slice with the most of the lesion; the middle one where none is outlined."""
    regions = prepared.regions(case)
    if regions is None or not regions[1].any():
        return prepared.settings.shape[2] // 2
    return int(regions[1].sum(axis=(0, 1)).argmax())


class Examples(NamedTuple):
    """A picture, one row a case, and the reports to stand under it."""

    picture: str
    """PNG in base64."""
    reports: list[tuple[str, str]]
    """Whose it is, and the report."""


def examples_of(
    prepared: PreparedSet,
    cases: Sequence[PreparedCase],
    sequence: SequenceName,
    made: Mapping[Variant, Mapping[str, np.ndarray]],
) -> Examples:
    """Volumes of the same reports side by side.

    Args:
        prepared: the real cases.
        cases: those to show, a row each.
        sequence: to show.
        made: by variant and case, voxels (X, Y, Z) in 0 … 1.
    """
    picture = base64.b64encode(_picture(prepared, cases, sequence, made)).decode()
    return Examples(picture, [(f"{case.id}, {case.pathology}", _shortened(case.reports[0])) for case in cases])


def _picture(
    prepared: PreparedSet,
    cases: Sequence[PreparedCase],
    sequence: SequenceName,
    made: Mapping[Variant, Mapping[str, np.ndarray]],
) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 1 + len(made)
    shape, spacing = prepared.settings.shape, prepared.settings.spacing
    tall = shape[1] * spacing[1] / (shape[0] * spacing[0])
    inches = (TILE_INCHES * columns, TILE_INCHES * tall * len(cases) + EXAMPLES_HEADING_INCHES)
    figure = Figure(inches, dpi=EXAMPLES_DOTS_PER_INCH, facecolor=EXAMPLES_BACKGROUND, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    figure.suptitle(
        f"{SYNTHETIC_LABEL}, but for the first column; the patient's right is at the left",
        color=WARNING_ON_DARK,
        fontsize=8,
    )
    grid = figure.subplots(len(cases), columns, squeeze=False)
    for row, case in zip(grid, cases, strict=True):
        index = shown_slice(prepared, case)
        volumes = {"test case": prepared.voxels(case, sequence)}
        volumes |= {f"SYNTHETIC\n{variant}": by_case[case.id] for variant, by_case in made.items()}
        for axes, (name, voxels) in zip(row, volumes.items(), strict=True):
            plane = np.clip(radiological(voxels[:, :, index]), 0, 1)
            axes.imshow(plane, cmap="gray", vmin=0, vmax=1, aspect=spacing[1] / spacing[0], interpolation="bicubic")
            axes.set_axis_off()
            if case is cases[0]:
                axes.set_title(name, color=PALE_INK, fontsize=8)
    stream = io.BytesIO()
    canvas.print_png(stream, metadata={"Description": SYNTHETIC_LABEL})
    return stream.getvalue()


def _shortened(report: str) -> str:
    words = " ".join(report.split())
    return words if len(words) <= REPORT_CHARACTERS else f"{words[:REPORT_CHARACTERS].rstrip()} …"
