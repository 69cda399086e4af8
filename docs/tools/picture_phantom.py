"""Draws docs/pictures/real_and_phantom.png: three levels of a real pelvis and of a digital one, with their parts named.

    python docs/tools/picture_phantom.py FOLDER [--out FILE]

FOLDER holds the T2-weighted DICOM series of patient ProstateX-0000 of the PROSTATEx collection (CC BY 3.0). The marks
on the real slices were set by eye on that very series; those on the phantom are checked against its label map.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch
from numpy.typing import NDArray

from ccella_core.phantom.anatomy import Tissue
from ccella_core.phantom.patient import Patient, draw_patient
from ccella_core.phantom.render import render

FIELD_MM = 96.0  # of the phantom, and so of the crop of the real slice
PATIENT = 1201  # 34 mL, empty rectum, full bladder, one lesion in the right peripheral zone at mid-gland
CREDIT = (
    "Real scan: G. Litjens, O. Debats, J. Barentsz, N. Karssemeijer, H. Huisman, SPIE-AAPM PROSTATEx Challenge Data, "
    "The Cancer Imaging Archive, 2017. CC BY 3.0. Patient ProstateX-0000, cropped and marked."
)
MARK, INK = "#ffd23f", "#222222"


class Part(NamedTuple):
    """A structure: where it lies in the real slice (column, row) and in the phantom (mm right, mm anterior)."""

    name: str
    real: tuple[float, float] | None
    phantom: tuple[float, float] | None
    tissue: Tissue


class Level(NamedTuple):
    name: str
    slice: int
    """of the real series, from below."""
    centre: tuple[float, float]
    """Column and row of the real slice in the middle of the crop."""
    height_mm: float
    """Of the phantom's slice, from the gland's centre."""
    parts: tuple[Part, ...]


LEVELS = (
    Level("Bladder and seminal vesicles", 16, (192, 205), 24, (
        Part("bladder (urine)", (215, 140), (8, 20), Tissue.URINE),
        Part("bladder wall", (205, 196), (27, -2), Tissue.BLADDER_WALL),
        Part("seminal vesicle", (233, 238), (15, -11), Tissue.SEMINAL_VESICLE),
        Part("rectum", (212, 285), (4, -30), Tissue.BOWEL_WALL),
    )),
    Level("Mid-gland", 7, (190, 200), 0, (
        Part("veins in front of the gland", (207, 148), (6, 20), Tissue.VENOUS_PLEXUS),
        Part("anterior fibromuscular stroma", (196, 167), (4, 13), Tissue.FIBROMUSCULAR_STROMA),
        Part("obturator internus", (264, 172), (41, 14), Tissue.MUSCLE),
        Part("transition zone", (208, 183), (10, 4), Tissue.TRANSITION_ZONE),
        Part("urethra, verumontanum", (193, 197), (0, 3), Tissue.URETHRA),
        Part("peripheral zone", (229, 205), (20, -4), Tissue.PERIPHERAL_ZONE),
        Part("lesion (marked in the phantom only)", None, (12, -8), Tissue.LESION),
        Part("levator ani", (236, 252), (30, -18), Tissue.MUSCLE),
        Part("rectum", (203, 250), (5, -27), Tissue.BOWEL_WALL),
        Part("fat of the ischioanal fossa", (262, 272), (35, -38), Tissue.FAT),
    )),
    Level("Apex", 3, (192, 175), -16, (
        Part("pubic bone", (225, 105), (20, 35), Tissue.BONE_MARROW),
        Part("pubic symphysis", (187, 112), None, Tissue.FAT),
        Part("obturator internus", (262, 190), (40, 5), Tissue.MUSCLE),
        Part("urethra", (194, 199), (0, 2), Tissue.URETHRA),
        Part("levator ani", (230, 226), (22, -20), Tissue.MUSCLE),
        Part("anal canal", (200, 245), (5, -25), Tissue.BOWEL_WALL),
    )),
)  # fmt: skip


def real_slice(series: sitk.Image, level: Level) -> NDArray[np.float32]:
    """A square of FIELD_MM around the level's centre; rows run backwards, columns to the patient's left."""
    column_mm, row_mm, _ = series.GetSpacing()
    half_columns, half_rows = round(FIELD_MM / column_mm / 2), round(FIELD_MM / row_mm / 2)
    column, row = (round(value) for value in level.centre)
    whole = sitk.GetArrayViewFromImage(series)[level.slice]
    crop = whole[row - half_rows : row + half_rows, column - half_columns : column + half_columns]
    dark, bright = np.percentile(crop, (1, 99.5))
    return np.clip((crop - dark) / (bright - dark), 0, 1).astype(np.float32)


def draw_level(left: Axes, names: Axes, right: Axes, series: sitk.Image, patient: Patient, level: Level) -> None:
    rendering = render(patient, "t2w")
    centre = np.linalg.inv(rendering.affine) @ [*patient.gland_centre[:2], patient.gland_centre[2] + level.height_mm, 1]
    k = round(centre[2])
    half = FIELD_MM / 2
    # Data coordinates are mm: to the right in the picture, and down.
    for axes, image in ((left, real_slice(series, level)), (right, rendering.voxels[::-1, ::-1, k].T)):
        axes.imshow(image, cmap="gray", vmin=0, vmax=1, extent=(-half, half, half, -half), interpolation="bicubic")
        axes.set_xticks([])
        axes.set_yticks([])
        for x, side in ((-0.95 * half, "R"), (0.9 * half, "L")):
            axes.text(x, 0.95 * half, side, color="white", fontsize=9, weight="bold")
    names.set_xlim(0, 1)
    names.set_ylim(half, -half)
    names.axis("off")
    names.text(0.5, -half, level.name, ha="center", va="top", fontsize=13, weight="bold", color=INK)

    column_mm, row_mm, _ = series.GetSpacing()
    for number, part in enumerate(level.parts):
        y = half * (-0.76 + 1.66 * (number + 0.5) / len(level.parts))
        names.text(0.5, y, part.name, ha="center", va="center", fontsize=10.5, color=INK)
        if part.real is not None:
            spot = (part.real[0] - level.centre[0]) * column_mm, (part.real[1] - level.centre[1]) * row_mm
            lead(left, spot, names, (0.02, y))
        if part.phantom is not None:
            x, ahead = part.phantom
            i, j = (round(value) for value in (centre[0] + x, centre[1] + ahead))
            found = Tissue(int(rendering.labels[i, j, k]))
            if found is not part.tissue:
                print(f"{level.name}: the mark of {part.name!r} lies on {found.name}, not on {part.tissue.name}")
            middle = np.array(rendering.labels.shape[:2]) / 2
            lead(right, (middle[0] - i, middle[1] - j), names, (0.98, y))


def lead(axes: Axes, spot: tuple[float, float], names: Axes, anchor: tuple[float, float]) -> None:
    """A line from a name to the structure, that ends in a dot."""
    line = ConnectionPatch(anchor, spot, "data", "data", axesA=names, axesB=axes, color=MARK, linewidth=1.1)
    axes.figure.add_artist(line)
    axes.plot(*spot, "o", markersize=5, markerfacecolor=MARK, markeredgecolor="black", markeredgewidth=0.7)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="T2-weighted DICOM series of ProstateX-0000")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/real_and_phantom.png"))
    options = parser.parse_args()
    series = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(options.folder)))
    patient = draw_patient(PATIENT)

    matplotlib.use("Agg")
    figure, grid = plt.subplots(
        len(LEVELS), 3, figsize=(12, 4.35 * len(LEVELS)), width_ratios=(1, 0.72, 1), facecolor="white"
    )
    for row, level in zip(grid, LEVELS, strict=True):
        draw_level(*row, series, patient, level)
    grid[0, 0].set_title("a patient (PROSTATEx), T2-weighted", fontsize=12, color=INK)
    grid[0, 2].set_title("SYNTHETIC: the digital prostate, T2-weighted", fontsize=12, color=INK)
    figure.text(0.5, 0.008, CREDIT, ha="center", fontsize=7, color=INK)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.97, bottom=0.025, wspace=0.01, hspace=0.03)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=75)


if __name__ == "__main__":
    main()
