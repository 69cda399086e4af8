"""The figures of a study: what each variant reached, and what its volumes are worth to a classifier."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.networks.config import Variant
from ccella_core.report_page import CHART_FAINT, CHART_INK, WARNING_INK, as_svg
from ccella_core.study.config import ARMS, Arm
from ccella_core.study.measures import ARM_WORDS, ArmScore, Group, Measure, measures_by_row, variants_of
from ccella_core.study.tables import ARROWS

PANELS_A_ROW = 3
PANEL_INCHES = (2.75, 0.9)
"""Width of a panel, and its height besides the lines of the variants."""
LINE_INCHES = 0.22
CURVE_INCHES = (2.75, 2.4)
ARM_INK: dict[Arm, str] = {"real": "#3b4754", "synthetic": CHART_FAINT, "real+synthetic": WARNING_INK}
DODGE = 0.06
"""By which the arms stand beside each other, as a share of the distance between two sizes."""
LABEL_SIZE, PANEL_TITLE_SIZE = 8, 8.5
TITLE_CHARACTERS = 36
"""As many as a panel is wide."""


def forest_plot(measures: Sequence[Measure], group: Group, variants: Sequence[Variant]) -> str | None:
    """A panel a measure as SVG: values and 95 % intervals of the variants, and what they are compared with (grey).

    ``None`` where nothing of the group was measured.
    """
    rows = measures_by_row(measures, group)
    if not rows:
        return None
    variants = variants_of(rows, variants)
    figure, panels = _panels(len(rows), (PANEL_INCHES[0], PANEL_INCHES[1] + LINE_INCHES * len(variants)))
    for number, (axes, row) in enumerate(zip(panels, rows, strict=False)):
        places = {variant: len(variants) - 1 - line for line, variant in enumerate(variants)}
        reference = row[0].reference
        if reference is not None and reference.value is not None:
            axes.axvline(reference.value, color=CHART_FAINT, linewidth=1.2, zorder=0)
            if reference.has_interval:
                axes.axvspan(reference.low, reference.high, color=CHART_FAINT, alpha=0.3, linewidth=0, zorder=0)
        for measure in row:
            _with_interval(axes, measure.number, places[measure.variant])
        axes.set_title(_panel_title(row[0]), fontsize=PANEL_TITLE_SIZE, loc="left")
        axes.set_ylim(-0.6, len(variants) - 0.4)
        names = list(variants) if number % PANELS_A_ROW == 0 else [""] * len(variants)
        axes.set_yticks(list(places.values()), names)
        axes.tick_params(axis="y", length=0)
        axes.locator_params(axis="x", nbins=4)
    return as_svg(figure)


def classifier_plot(scores: Sequence[ArmScore], variants: Sequence[Variant]) -> str | None:
    """AUROC over the size of the real set as SVG, a panel a variant; ``None`` where no classifier was trained.

    Points are means over the seeds, bars 95 % intervals; synthetic volumes alone have no real set and are drawn across.
    """
    counts = sorted({score.real_count for score in scores if score.real_count is not None})
    if not counts:
        return None
    shown: Sequence[Variant | None] = [v for v in variants if any(score.variant == v for score in scores)] or [None]
    figure, panels = _panels(len(shown), CURVE_INCHES, sharey=True)
    for number, (axes, variant) in enumerate(zip(panels, shown, strict=False)):
        for score in scores:
            if score.arm == "synthetic" and score.variant == variant:
                _across(axes, score.auroc)
        for arm in ARMS:
            own = {
                score.real_count: score.auroc
                for score in scores
                if score.arm == arm and score.real_count is not None and score.variant in (None, variant)
            }
            _curve(axes, arm, counts, own)
        axes.set_xticks(range(len(counts)), [str(count) for count in counts])
        axes.set_xlabel("real cases", fontsize=LABEL_SIZE)
        axes.set_xlim(-0.5, len(counts) - 0.5)
        axes.set_title(
            f"volumes of {variant}" if variant else "real cases alone", fontsize=PANEL_TITLE_SIZE, loc="left"
        )
        if number % PANELS_A_ROW == 0:
            axes.set_ylabel("AUROC", fontsize=LABEL_SIZE)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False, fontsize=LABEL_SIZE)
    return as_svg(figure)


def _panels(count: int, inches: tuple[float, float], *, sharey: bool = False) -> tuple[Any, list[Any]]:
    """A figure of as many axes as are needed, up to PANELS_A_ROW beside each other."""
    from matplotlib.figure import Figure

    rows = -(-count // PANELS_A_ROW)
    figure = Figure((inches[0] * PANELS_A_ROW, inches[1] * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, PANELS_A_ROW, squeeze=False, sharey=sharey).ravel()
    for axes in grid[count:]:
        axes.set_axis_off()
    for axes in grid[:count]:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=LABEL_SIZE)
    return figure, list(grid[:count])


def _panel_title(measure: Measure) -> str:
    lines = [f"{measure.name} {ARROWS[measure.better]}".strip(), measure.extractor or ""]
    return "\n".join(textwrap.fill(line, TITLE_CHARACTERS) for line in lines if line).replace("$", "\\$")


def _with_interval(axes: Any, number: Estimate, place: float) -> None:
    if number.value is None:
        return
    if number.has_interval:
        axes.plot([number.low, number.high], [place, place], color=CHART_INK, linewidth=1.4, solid_capstyle="butt")
    axes.plot([number.value], [place], marker="o", markersize=4.5, color=CHART_INK)


def _across(axes: Any, number: Estimate) -> None:
    if number.value is None:
        return
    ink = ARM_INK["synthetic"]
    axes.axhline(number.value, color=ink, linewidth=1.4, linestyle="--", label=ARM_WORDS["synthetic"])
    if number.has_interval:
        axes.axhspan(number.low, number.high, color=ink, alpha=0.2, linewidth=0)


def _curve(axes: Any, arm: Arm, counts: Sequence[int], numbers: Mapping[int, Estimate]) -> None:
    known = [(place, numbers[count]) for place, count in enumerate(counts) if count in numbers]
    drawn = [(place, each) for place, each in known if each.value is not None]
    if not drawn:
        return
    shift = DODGE * (ARMS.index(arm) - 1)
    ink = ARM_INK[arm]
    axes.plot([place + shift for place, _ in drawn], [each.value for _, each in drawn], color=ink, linewidth=1.4,
              marker="o", markersize=4.5, label=ARM_WORDS[arm])  # fmt: skip
    for place, each in drawn:
        if each.has_interval:
            axes.plot([place + shift] * 2, [each.low, each.high], color=ink, linewidth=1.2)
