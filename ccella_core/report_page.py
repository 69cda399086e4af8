"""A self-contained HTML page: no script, nothing from the network, light and dark."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from ccella_core.config import StrictModel
from ccella_core.errors import SaveError
from ccella_core.files import whole_file

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --faint: #5d6b7a; --line: #d8dee6; --paper: #fff; --band: #f4f6f9;
        --alarm: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6eaef; --faint: #9aa7b5; --line: #35404d; --paper: #161b22; --band: #1d242d;
          --alarm: #f2857c; }
  svg { filter: invert(0.88) hue-rotate(180deg); }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
       margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
.about { color: var(--faint); margin: 0; } .warning { color: var(--alarm); font-weight: 600; }
table { border-collapse: collapse; font-size: .88em; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .45rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top; }
th:first-child, td:first-child, .text { text-align: left; } th { color: var(--faint); font-weight: 600; }
tbody tr:hover { background: var(--band); }
.scroll { overflow-x: auto; } svg { max-width: 100%; height: auto; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figure img { width: 100%; background: #000; display: block; border-radius: 4px; }
figcaption { color: var(--faint); font-size: .85rem; margin-top: .3rem; }
pre { background: var(--band); padding: 1rem; overflow-x: auto; border-radius: 4px; font-size: .85rem; }
"""
INK, FAINT = "#1f6f8b", "#9fb8c2"
WARNING_INK = "#b3261e"
FIGURE_INCHES = (8.0, 2.6)
MOST_POINTS = 500  # of a curve: more cannot be told apart at this width


def page(title: str, about: str, sections: Sequence[tuple[str, str]]) -> str:
    """A whole page.

    Args:
        title, about: plain text.
        sections: heading (plain text) and content (HTML) of each.
    """
    body = "".join(f"<section><h2>{escape(heading)}</h2>{content}</section>" for heading, content in sections)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"/><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"/><style>{STYLE}</style></head>'
        f'<body><h1>{escape(title)}</h1><p class="about">{escape(about)}</p>{body}</body></html>\n'
    )


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """An HTML table; numbers stand to the right, texts to the left, and the header above them."""
    first = rows[0] if rows else [None] * len(header)
    head = "".join(
        f'<th class="text">{escape(name)}</th>' if isinstance(value, str) else f"<th>{escape(name)}</th>"
        for name, value in zip(header, first, strict=True)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(value: Any) -> str:
    return f'<td class="text">{escape(value)}</td>' if isinstance(value, str) else f"<td>{escape(str(value))}</td>"


def bar_chart(values: Sequence[float], *, bars: int, x_label: str, y_label: str, mark: float | None = None) -> str:
    """A histogram as SVG; ``mark``: where a limit lies."""
    figure, axes = _figure(x_label, y_label)
    axes.hist(values, bins=min(bars, max(1, len(set(values)))), color=INK)
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
) -> str:
    """Curves (x, y) by name as SVG, with a legend where there are several; NaN values are left out."""
    figure, axes = _figure(x_label, y_label)
    for number, (name, (x, y)) in enumerate(curves.items()):
        x_values, y_values = _thinned(np.asarray(x, float), np.asarray(y, float))
        marker = "o" if len(x_values) < 2 else None
        axes.plot(x_values, y_values, label=name, color=(INK, "#c8553d", FAINT, "#6a4c93")[number % 4], linewidth=1.4,
                  marker=marker)  # fmt: skip
    if log_scale:
        axes.set_yscale("log")
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
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def as_svg(figure: Any) -> str:
    """A matplotlib figure as SVG to stand in a page: in the dark its colours are turned round, see STYLE."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    return text[text.index("<svg") :]


def save_result(result: StrictModel, text: str, path: Path) -> None:
    """Write ``path`` with the suffixes ``.json`` and ``.md``; the folder is made. Raises SaveError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for suffix, content in ((".json", result.model_dump_json(indent=2) + "\n"), (".md", text)):
            with whole_file(path.with_name(path.name + suffix)) as unfinished:
                unfinished.write_text(content, encoding="utf-8", newline="\n")
    except OSError as error:
        raise SaveError(f"The result cannot be written to {path}.json: {error}.") from error
