"""Draws docs/pictures/demo.png: reports, and what the demonstration model makes of them.

``python docs/tools/picture_demo.py [--model ccella-demo] [--out docs/pictures/demo.png]``
"""

from __future__ import annotations

import argparse
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.orientation import radiological
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.phantom.fields import LesionFields, StructuredFields
from ccella_core.phantom.findings import Findings
from ccella_core.phantom.known_report import write_known_report
from ccella_core.phantom.report import write_report
from ccella_core.provenance import SYNTHETIC_LABEL

AT_3_T = "3 T, no endorectal coil"
LEFT = LesionFields(side="left", zone="peripheral", level="mid", size_mm=18, pirads=5)
RIGHT = LesionFields(side="right", zone="transition", level="mid", size_mm=22, pirads=5)
APEX = LesionFields(side="right", zone="peripheral", level="apex", size_mm=15, pirads=5)
SMALL = StructuredFields(age_years=66, gland_volume_ml=34, pirads=5, lesions=(LEFT,))
MEDIUM = StructuredFields(age_years=69, gland_volume_ml=50, pirads=5, lesions=(APEX,))
LARGE = StructuredFields(age_years=71, gland_volume_ml=75, pirads=5, lesions=(RIGHT,))
REPORTS = (
    write_known_report(SMALL, seed=1, technique=AT_3_T),
    write_known_report(LARGE, seed=2, technique=AT_3_T),
    write_known_report(MEDIUM, seed=3, technique=AT_3_T),
    write_report(Findings(52, 3.2, 58, 1, (), "moderate", bladder="full", rectum="stool"), seed=3, style="structured"),
)
SEED = 3
HEIGHTS = (0.25, 0.5, 0.75)  # of the volume
HEIGHT_NAMES = ("towards the apex", "mid-gland", "towards the base")
OUTLINES = {"gland": "#ffd479", "lesion": "#ff6a3d"}
WORDS_COLUMNS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ccella-demo")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/demo.png"))
    options = parser.parse_args()
    pipeline = CCELLAPipeline.from_pretrained(options.model)

    columns = WORDS_COLUMNS + len(HEIGHTS) + 3
    figure = Figure(figsize=(1.9 * columns, 1.95 * len(REPORTS) + 0.6), facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(REPORTS), columns, left=0.008, right=0.995, top=0.9, bottom=0.01, wspace=0.03, hspace=0.05
    )
    for row, report in enumerate(REPORTS):
        assert report is not None
        words = figure.add_subplot(grid[row, :WORDS_COLUMNS])
        words.axis("off")
        words.text(0, 1, textwrap.fill(report.replace("\n", " "), 50), va="top", fontsize=7.6, linespacing=1.35)
        volumes = {volume.sequence: volume for volume in pipeline(report, seed=SEED, output_range="0-1")}
        for column, (name, slice_, outlines) in enumerate(tiles(volumes)):
            axes = figure.add_subplot(grid[row, WORDS_COLUMNS + column])
            axes.imshow(radiological(slice_), cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
            for colour, mask in outlines:
                axes.contour(radiological(mask), [0.5], colors=colour, linewidths=1)
            axes.axis("off")
            if row == 0:
                axes.set_title(name, fontsize=9)
    figure.suptitle(f"{SYNTHETIC_LABEL}. Left: the report. Right: what the demonstration model draws.", fontsize=11)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=80)


def tiles(volumes: dict[str, SyntheticVolume]) -> list[tuple[str, np.ndarray, list[tuple[str, np.ndarray]]]]:
    """What is shown of an examination: titles, slices (X, Y), and outlines with their colours."""
    t2w = volumes["t2w"]
    labels, count = t2w.labels, t2w.voxels.shape[2]
    # The other sequences are shown where the lesion is largest, or in the middle.
    sizes = np.zeros(count) if labels is None else labels.mask("lesion").sum(axis=(0, 1))
    best = int(sizes.argmax()) if sizes.any() else count // 2
    shown = [
        (f"T2, {name}", t2w.voxels[:, :, int(height * count)], [])
        for height, name in zip(HEIGHTS, HEIGHT_NAMES, strict=True)
    ]
    outlines = [] if labels is None else [(colour, labels.mask(name)[:, :, best]) for name, colour in OUTLINES.items()]
    marked = [("T2 at the lesion, labels", t2w.voxels[:, :, best], [each for each in outlines if each[1].any()])]
    others = [(title, volumes[name].voxels[:, :, best], []) for name, title in (("hbv", "high b"), ("adc", "ADC"))]
    return [*shown, *marked, *others]


if __name__ == "__main__":
    main()
