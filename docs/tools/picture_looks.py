"""Draws slices of held-out patients and of a model's volumes, mixed, into one picture; prints which is which.

``python docs/tools/picture_looks.py PREPARED SYNTHETIC [--out out/looks.png]``

PREPARED is a folder of ``ccella prepare``, whose validation split is shown; SYNTHETIC one of ``ccella synthesize`` from
the reports of those cases. One slice a volume, at half its height; all through one window.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ccella_core.errors import CCELLAError, InputError
from ccella_core.evaluation.data.volume_set import VolumeSet, open_volume_set
from ccella_core.imaging.orientation import radiological

OF_EACH, COLUMNS = 12, 8
SEED = 0
CAPTION = (
    f"{OF_EACH} of these are SYNTHETIC and {OF_EACH} are patients (PROSTATEx, Prostate-3T, PROSTATE-DIAGNOSIS, "
    "CC BY 3.0); the key is below the picture."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("synthetic", type=Path)
    parser.add_argument("--out", type=Path, default=Path("out/looks.png"))
    options = parser.parse_args()
    try:
        real = chosen(open_volume_set(options.prepared, split="validation"))
        drawn = chosen(open_volume_set(options.synthetic))
    except CCELLAError as error:
        raise SystemExit(str(error)) from error
    tiles = [(slice_, False) for slice_ in real] + [(slice_, True) for slice_ in drawn]
    random.Random(SEED).shuffle(tiles)

    rows = len(tiles) // COLUMNS
    figure = Figure(figsize=(1.6 * COLUMNS, 1.6 * rows + 0.3), facecolor="black")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, COLUMNS, left=0, right=1, top=0.94, bottom=0, wspace=0.02, hspace=0.02)
    for number, (slice_, _) in enumerate(tiles):
        axes = figure.add_subplot(grid[divmod(number, COLUMNS)])
        axes.imshow(slice_, cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
        axes.axis("off")
        axes.text(0.03, 0.96, str(number + 1), transform=axes.transAxes, color="#ffd479", fontsize=9, va="top")
    figure.text(0.005, 0.985, CAPTION, color="white", fontsize=8, va="top")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=100)
    print("synthetic:", ", ".join(str(number + 1) for number, (_, synthetic) in enumerate(tiles) if synthetic))


def chosen(volumes: VolumeSet) -> list[np.ndarray]:
    """The slice at half the height of the first volume of each of ``OF_EACH`` cases, as it is looked at."""
    firsts: dict[str, int] = {}
    for index, member in enumerate(volumes):
        firsts.setdefault(member.case, index)
    if len(firsts) < OF_EACH:
        raise InputError(f"{volumes.name} has volumes of {len(firsts)} cases; {OF_EACH} are shown.")
    middle = volumes.shape[2] // 2
    return [radiological(volumes.voxels(index)[:, :, middle]) for index in list(firsts.values())[:OF_EACH]]


if __name__ == "__main__":
    main()
