"""Draws CCELLAGenerator/Resources/Icons/CCELLAGenerator.png: a report, and the prostate it describes.

``python docs/tools/picture_icon.py [--out FILE]``
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = 128  # pixels, as the Extension Manager asks
FINER = 8  # drawn this many times larger and then reduced, which smooths the edges
ICON = Path(__file__).parents[2] / "CCELLAGenerator" / "Resources" / "Icons" / "CCELLAGenerator.png"

NIGHT, PAPER, PERIPHERAL, TRANSITION, URETHRA, LESION = (
    "#16324f", "#7fd1c7", "#eef3f7", "#8ea6bd", "#16324f", "#ff8c42",
)  # fmt: skip
LINES = ((13, 43, 40), (13, 34, 63), (13, 39, 86))  # left, right, height of the middle
LINE_WIDTH = 10  # still two pixels and a half where the icon is drawn 32 pixels wide

Point = tuple[float, float]


def gland(centre: Point, width: float, height: float, notch: float) -> list[Point]:
    """The outline in an axial slice: rounded in front (above), broad and slightly indented behind (below)."""
    angle = np.linspace(0, 2 * np.pi, 400)
    x = np.cos(angle) * (1 + 0.13 * np.sin(angle))
    behind = np.clip(np.sin(angle), 0, None)
    y = np.sin(angle) - notch * behind * np.exp(-((x / 0.34) ** 2))
    return list(zip(centre[0] + x * width / 2, centre[1] + y * height / 2, strict=True))


def draw() -> Image.Image:
    picture = Image.new("RGBA", (SIZE * FINER, SIZE * FINER))
    brush = ImageDraw.Draw(picture)

    def scaled(*numbers: float) -> list[float]:
        return [number * FINER for number in numbers]

    def outline(points: list[Point], colour: str) -> None:
        brush.polygon([(x * FINER, y * FINER) for x, y in points], fill=colour)

    def disc(x: float, y: float, radius: float, colour: str) -> None:
        brush.ellipse(scaled(x - radius, y - radius, x + radius, y + radius), fill=colour)

    brush.rounded_rectangle(scaled(2, 2, SIZE - 2, SIZE - 2), radius=24 * FINER, fill=NIGHT)
    for left, right, middle in LINES:
        ends = scaled(left, middle - LINE_WIDTH / 2, right, middle + LINE_WIDTH / 2)
        brush.rounded_rectangle(ends, radius=LINE_WIDTH / 2 * FINER, fill=PAPER)
    outline(gland((81, 63), 72, 64, notch=0.3), PERIPHERAL)
    for side in (-1, 1):
        lobe = 81 + side * 8
        brush.ellipse(scaled(lobe - 16, 39, lobe + 16, 71), fill=TRANSITION)
    disc(81, 65, 4, URETHRA)
    disc(102, 79, 9, LESION)
    return picture.resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ICON)
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    draw().save(options.out, optimize=True)


if __name__ == "__main__":
    main()
