"""The summary of a training: one page, to look at and to send to a colleague."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from ccella_core.config import read_json
from ccella_core.files import read_text, write_text
from ccella_core.provenance import SYNTHETIC_LABEL
from ccella_core.report_page import line_chart, render_page
from ccella_core.runs.folder import CONFIG_NAME, RUN_NAME
from ccella_core.runs.logging import read_log, seconds_of

SUMMARY_NAME = "summary.html"
PICTURES_SHOWN = 6
SMOOTHED_SHARE = 50  # of the run: each smoothed point is the mean over this part of it
CHARTS = (
    ("Denoising loss", ("loss/denoising", "loss/l1"), "mean absolute error", False),
    ("Class loss (focal)", ("loss/focal",), "focal loss", True),
    ("Discriminator", ("loss/adversarial", "loss/discriminator"), "squared error", False),
    ("Class accuracy", ("accuracy",), "share right", False),
    ("AUROC of the class", ("auroc",), "area", False),
    ("Peak signal-to-noise ratio", ("psnr",), "dB", False),
    ("Norm of the gradient", ("gradient_norm",), "norm before clipping", True),
    ("Learning rate", ("learning_rate",), "rate", False),
)


def write_summary(folder: Path) -> Path:
    """Write ``summary.html`` from what lies in the folder of a run; returns its path.

    Raises:
        SaveError: the disk refuses.
    """
    records = read_log(folder)
    about = _read_json(folder / RUN_NAME)
    steps = [record for record in records if record["kind"] == "step"]
    looks = [record for record in records if record["kind"] == "validation"]
    config = folder / CONFIG_NAME
    page = render_page(
        "summary.html",
        title=f"Training of {about.get('name', folder.name)}",
        about=f"{steps[-1]['step']} steps." if steps else "No step was recorded yet.",
        known=_known(about, steps, looks),
        charts=_charts(steps, looks),
        label=SYNTHETIC_LABEL,
        pictures=_pictures(folder, records),
        config_name=CONFIG_NAME,
        config=config.read_text(encoding="utf-8") if config.exists() else None,
    )
    path = folder / SUMMARY_NAME
    write_text(path, page)
    return path


def _known(about: dict[str, Any], steps: list[dict[str, Any]], looks: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """What is known of the run, by name."""
    data = about.get("data", {})
    cases = data.get("cases", {})
    rows: list[tuple[str, Any]] = [
        ("cases", ", ".join(f"{count} {split}" for split, count in cases.items()) or data.get("reports")),
        ("prepared in", data.get("folder")),
        ("fingerprint of the cases", data.get("fingerprint")),
        ("parameters", f"{about['parameters']:,}" if "parameters" in about else None),
        ("processes and device", f"{about.get('processes')} on {about.get('device')}" if "device" in about else None),
        ("time", _time(steps)),
        ("best on the validation cases", _best(looks)),
        ("software", ", ".join(f"{name} {number}" for name, number in about.get("software", {}).items()) or None),
    ]
    return [(name, value) for name, value in rows if value not in (None, "")]


def _time(steps: list[dict[str, Any]]) -> str | None:
    seconds = seconds_of(steps)
    return None if seconds is None else f"{seconds / 3600:.2f} h, {seconds / len(steps):.3g} s a step"


def _best(looks: list[dict[str, Any]]) -> str | None:
    known = [each for each in looks if "loss" in each]
    if not known:
        return None
    best = min(known, key=lambda each: each["loss"])
    return f"loss {best['loss']:.4f} after step {best['step']}"


def _charts(steps: list[dict[str, Any]], looks: list[dict[str, Any]]) -> list[tuple[str, Markup]]:
    """A title and a chart each, of what was recorded."""
    charts = []
    for title, names, unit, log_scale in CHARTS:
        curves = {}
        recorded = [name for name in names if any(name in record for record in (*steps, *looks))]
        for name in recorded:
            label = f"{name.rpartition('/')[2].replace('_', ' ')} " if len(recorded) > 1 else ""
            if learned := [(record["step"], record[name]) for record in steps if name in record]:
                curves[f"{label}training"] = _smoothed(learned)
            if seen := [(record["step"], record[name]) for record in looks if name in record]:
                curves[f"{label}validation"] = ([step for step, _ in seen], [value for _, value in seen])
        if curves:
            charts.append((title, line_chart(curves, x_label="step", y_label=unit, log_scale=log_scale)))
    return charts


def _smoothed(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Means over parts of the run: single batches differ more than the run changes."""
    block = max(1, len(points) // SMOOTHED_SHARE)
    parts = [points[start : start + block] for start in range(0, len(points) - block + 1, block)]
    return [part[-1][0] for part in parts], [sum(value for _, value in part) / len(part) for part in parts]


def _pictures(folder: Path, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Some that are still there, evenly over the run."""
    files = [record for record in records if record["kind"] == "picture" and (folder / record["file"]).exists()]
    last = len(files) - 1
    shown = {round(number * last / max(1, PICTURES_SHOWN - 1)) for number in range(PICTURES_SHOWN)}
    return [files[number] for number in sorted(shown) if files]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return dict(read_json(read_text(path)))
    except (OSError, TypeError, ValueError):
        return {}
