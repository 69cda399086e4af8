"""A self-contained HTML page: no script, nothing from the network, light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from ccella_core.config import StrictModel
from ccella_core.files import write_texts

WRITTEN_NUMBER = re.compile(r"[-+]?[\d,.]+%?|–")
"""A cell of a table that stands to the right, as one that holds a number does."""
TEMPLATES = Path(__file__).parent / "templates"
CHART_INK, CHART_FAINT = "#1f6f8b", "#9fb8c2"
WARNING_INK = "#b3261e"
CURVE_INKS = (CHART_INK, "#c8553d", CHART_FAINT, "#6a4c93")
FIGURE_INCHES = (8.0, 2.6)
MOST_POINTS = 500  # of a curve: more cannot be told apart at this width


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["words"] = lambda cell: isinstance(cell, str) and not WRITTEN_NUMBER.fullmatch(cell)
    return environment


def render_page(template: str, **content: Any) -> str:
    """A whole page of HTML.

    Args:
        template: a file in ``ccella_core/templates`` that extends ``page.html``.
        content: what it shows; texts are escaped, and only what the charts below return is taken for markup.
    """
    return _environment().get_template(template).render(content) + "\n"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown, a line a row, without a line end after the last."""

    def line(cells: Sequence[object]) -> str:
        written = (str(cell).replace("|", "\\|") for cell in cells)
        return "|" + "|".join(f" {cell} " if cell else " " for cell in written) + "|"

    return "\n".join([line(header), "|" + "---|" * len(header), *map(line, rows)])


def bar_chart(values: Sequence[float], *, bars: int, x_label: str, y_label: str, mark: float | None = None) -> Markup:
    """A histogram as SVG; ``mark``: where a limit lies."""
    figure, axes = _figure(x_label, y_label)
    axes.hist(values, bins=min(bars, max(1, len(set(values)))), color=CHART_INK)
    axes.yaxis.get_major_locator().set_params(integer=True)  # they are counted
    if mark is not None:
        axes.axvline(mark, color=WARNING_INK, linewidth=1.2)
        axes.annotate("limit", (mark, 1), xycoords=("data", "axes fraction"), color=WARNING_INK, ha="right", va="top",
                      xytext=(-3, -3), textcoords="offset points", fontsize=8)  # fmt: skip
    return as_svg(figure)


def line_chart(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    x_label: str,
    y_label: str,
    log_scale: bool = False,
) -> Markup:
    """Curves (x, y) by name as SVG, with a legend where there are several; NaN values are left out."""
    from matplotlib.ticker import NullFormatter

    figure, axes = _figure(x_label, y_label)
    for number, (name, (x, y)) in enumerate(curves.items()):
        x_values, y_values = _thinned(np.asarray(x, float), np.asarray(y, float))
        marker = "o" if len(x_values) < 2 else None
        color = CURVE_INKS[number % len(CURVE_INKS)]
        axes.plot(x_values, y_values, label=name, color=color, linewidth=1.4, marker=marker)
    if log_scale:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")  # not as powers of ten
        low, high = axes.get_ylim()
        # Within one power of ten there is room for the numbers between, and hardly another would stand there.
        axes.yaxis.set_minor_formatter("{x:g}" if high < 10 * low else NullFormatter())
    if len(curves) > 1:
        axes.legend(frameon=False, fontsize=8)
    return as_svg(figure)


def _thinned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    known = np.isfinite(y)
    x, y = x[known], y[known]
    block = -(-len(x) // MOST_POINTS)
    if block <= 1:
        return x, y
    whole = len(x) // block * block
    return x[:whole].reshape(-1, block).mean(1), y[:whole].reshape(-1, block).mean(1)


def _figure(x_label: str, y_label: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # without pyplot, which keeps every figure and looks for a screen

    figure = Figure(figsize=FIGURE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(which="both", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_svg(figure: Any) -> Markup:
    """A matplotlib figure as SVG to stand in a page: in the dark its colours are turned round, see ``page.css``."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return Markup(text[text.index("<svg") :])


def save_result(result: StrictModel, text: str, path: Path) -> None:
    """Write ``path`` with the suffixes ``.json`` and ``.md``, both or none; the folder is made. Raises SaveError."""
    content = result.model_dump_json(indent=2)
    write_texts({path.with_name(f"{path.name}.json"): f"{content}\n", path.with_name(f"{path.name}.md"): text})
