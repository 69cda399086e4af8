"""Whether a T2-weighted volume shows an endorectal coil: its balloon is a large, round, black disc behind the gland.

Gas in the rectum is dark, too, but greyer, and its outline is no circle. The limits were set on the training
patients of the recipe; docs/evaluation/adherence.md has the numbers, also of its held-out ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage

MIDDLE_SLICES = (0.25, 0.75)
"""Of the gland's slices: the balloon lies behind all of them, and folds of the rectum above and below."""
BLUR_MM = 0.75
DARK_BELOW = 0.35
"""Of the gland's median: where the body of the disc is looked for."""
BESIDE_MM, BEFORE_MM = 35.0, 5.0
"""How far beside the gland's middle, and before its hindmost edge, the disc may reach."""
OPENING_MM = 3.0
"""Vessels and the rectal wall are thinner and fall away."""
LEAST_AREA_MM2 = 500.0
BLACK_BELOW = 0.1
"""Of the gland's median: the mean of the disc."""
MOST_UNROUND = 0.2
"""How far the outline is off a circle, root mean square, in its radii; a balloon bulges where it meets the gland."""
FEWEST_POINTS = 8
"""Of an outline: fewer make no circle."""
NOTHING = (0.0, 1.0, 1.0)


class DarkDisc(NamedTuple):
    """The largest dark body behind the gland, its median over the middle slices."""

    area_mm2: float
    blackness: float
    """Its mean as a share of the gland's median: 0 is black."""
    unroundness: float
    """0 is a circle."""


def shows_coil(t2w: np.ndarray, gland: np.ndarray, spacing: tuple[float, float, float]) -> bool:
    """Whether there is an endorectal coil.

    Args:
        t2w: (X, Y, Z) on a RAS+ grid, air at 0.
        gland: (X, Y, Z) bool, not empty.
        spacing: in mm.
    """
    disc = dark_disc(t2w, gland, spacing)
    return (
        disc.area_mm2 >= LEAST_AREA_MM2 and disc.blackness <= BLACK_BELOW and disc.unroundness <= MOST_UNROUND
    )  # fmt: skip


def dark_disc(t2w: np.ndarray, gland: np.ndarray, spacing: tuple[float, float, float]) -> DarkDisc:
    """The disc that `shows_coil` judges, with the same arguments; of no area where there is none."""
    heights = np.flatnonzero(gland.any(axis=(0, 1)))
    low, high = np.quantile(heights, MIDDLE_SLICES).astype(int)
    median = float(np.median(t2w[gland]))
    found = list(_discs(t2w[..., low : high + 1], gland[..., low : high + 1], median, spacing[:2]))
    return DarkDisc(*(float(each) for each in np.median(found or [NOTHING], axis=0)))


def _discs(
    t2w: np.ndarray, gland: np.ndarray, median: float, spacing: tuple[float, ...]
) -> Iterator[tuple[float, float, float]]:
    x, y = np.ogrid[: t2w.shape[0], : t2w.shape[1]]
    steps = max(1, round(OPENING_MM / min(spacing)))
    for index in range(t2w.shape[2]):
        plane, inside = t2w[..., index], gland[..., index]
        if not inside.any():
            continue
        columns, rows = np.nonzero(inside)
        near = (abs(x - columns.mean()) * spacing[0] < BESIDE_MM) & (y < rows.min() + BEFORE_MM / spacing[1])
        smooth = ndimage.gaussian_filter(np.asarray(plane, np.float32), [BLUR_MM / each for each in spacing])
        dark = (smooth < DARK_BELOW * median) & ~inside & near
        # Padded, because the picture often ends within the disc.
        opened = ndimage.binary_opening(np.pad(dark, steps, mode="edge"), iterations=steps)[steps:-steps, steps:-steps]
        bodies, count = ndimage.label(opened)
        if count == 0:
            yield NOTHING
            continue
        body = ndimage.binary_fill_holes(bodies == 1 + np.bincount(bodies.ravel())[1:].argmax())
        yield (
            int(body.sum()) * spacing[0] * spacing[1],
            float(smooth[body].mean()) / median,
            _unroundness(body, spacing),
        )


def _unroundness(body: np.ndarray, spacing: tuple[float, ...]) -> float:
    """Residual of the circle through the outline by least squares (Kåsa 1976), in its radii."""
    inner = ndimage.binary_erosion(np.pad(body, 1, mode="edge"))[1:-1, 1:-1]
    points = np.argwhere(body & ~inner) * np.asarray(spacing)
    if len(points) < FEWEST_POINTS:
        return NOTHING[2]
    points -= points.mean(axis=0)
    squares = (points**2).sum(axis=1)
    (a, b, c), *_ = np.linalg.lstsq(np.column_stack([2 * points, np.ones(len(points))]), squares, rcond=None)
    radius = float(np.sqrt(c + a * a + b * b))
    distances = np.hypot(points[:, 0] - a, points[:, 1] - b)
    return float(np.sqrt(np.mean((distances - radius) ** 2))) / radius
