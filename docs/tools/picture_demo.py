"""Draws docs/pictures/demo.png: reports, and what the demonstration model makes of them.

``python docs/tools/picture_demo.py [--model ccella-demo] [--out docs/pictures/demo.png]``
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.phantom.findings import Findings, Lesion
from ccella_core.phantom.report import write_report
from ccella_core.provenance import SYNTHETIC_LABEL

CASES = (
    Findings(34, 9.1, 63, 5, (Lesion("left", "peripheral", "mid", 18, 5),), "mild", rectum="empty"),
    Findings(52, 11.0, 68, 5, (Lesion("right", "transition", "mid", 22, 5),), "moderate", rectum="gas"),
    Findings(28, 3.2, 58, 1, (), "none", bladder="full", rectum="stool"),
    Findings(95, 6.8, 71, 2, (), "marked", "none", bladder="low", rectum="gas"),
)
SEEDS = (3, 4)
SLICES = (9, 16, 24)  # apex, mid-gland, bladder
SLICE_NAMES = ("apex", "mid-gland", "bladder")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ccella-demo")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/demo.png"))
    options = parser.parse_args()
    pipeline = CCELLAPipeline.from_pretrained(options.model)

    columns = len(SEEDS) * len(SLICES)
    figure = Figure(figsize=(15, 2.45 * len(CASES)), facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(CASES), columns + 2, left=0.01, right=0.995, top=0.93, bottom=0.01, wspace=0.03, hspace=0.05
    )
    for row, findings in enumerate(CASES):
        report = write_report(findings, seed=row)
        words = figure.add_subplot(grid[row, :2])
        words.axis("off")
        words.text(0, 1, textwrap.fill(report.replace("\n", " "), 52), va="top", fontsize=7.4, linespacing=1.35)
        for place, seed in enumerate(SEEDS):
            (volume,) = pipeline(report, seed=seed)
            for number, index in enumerate(SLICES):
                axes = figure.add_subplot(grid[row, 2 + place * len(SLICES) + number])
                # Radiological convention: the patient's right is on the left, anterior is up.
                axes.imshow(volume.voxels[::-1, ::-1, index].T, cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
                axes.axis("off")
                if row == 0:
                    axes.set_title(f"seed {seed}: {SLICE_NAMES[number]}", fontsize=9)
    figure.suptitle(f"{SYNTHETIC_LABEL}. Left: the report. Right: what the demonstration model draws.", fontsize=11)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=80)


if __name__ == "__main__":
    main()
