"""Smooth solids on a physical grid: coordinates, windows, ellipsoids, the gland, band-limited texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Vector = tuple[float, float, float]
Window = tuple[slice, slice, slice]

GLAND_EXPONENT = 2.2  # a little fuller than an ellipsoid
TEXTURE_PERIOD_MM = 144.0  # textures repeat beyond this, so that they exist on any grid


@dataclass(frozen=True, slots=True)
class Grid:
    """Sparse RAS+ coordinates in mm, each broadcastable to (X, Y, Z)."""

    x: Array
    y: Array
    z: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along X, Y, Z."""
        return self.x.shape[0], self.y.shape[1], self.z.shape[2]

    def around(self, centre: Vector, reach: Vector) -> tuple[Window, Grid]:
        """The part of the grid within `reach` of `centre`, with coordinates relative to `centre`."""
        window = []
        for axis, middle, extent in zip((self.x, self.y, self.z), centre, reach, strict=True):
            low, high = np.searchsorted(axis.ravel(), (middle - extent, middle + extent))
            window.append(slice(int(low), int(high)))
        i, j, k = window
        return (i, j, k), Grid(
            self.x[i] - np.float32(centre[0]),
            self.y[:, j] - np.float32(centre[1]),
            self.z[:, :, k] - np.float32(centre[2]),
        )


def grid_affine(shape: tuple[int, int, int], spacing: Vector) -> NDArray[np.float64]:
    """RAS+ affine in mm of a grid that is centred at the origin."""
    if len(shape) != 3 or any(int(n) != n or n < 1 for n in shape):
        raise ValueError(f"shape must be three positive whole numbers; got {shape!r}")
    if len(spacing) != 3 or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise ValueError(f"spacing must be three positive numbers in mm; got {spacing!r}")
    affine = np.diag([*map(float, spacing), 1.0])
    affine[:3, 3] = [-(n - 1) / 2 * s for n, s in zip(shape, spacing, strict=True)]
    return affine


def make_grid(shape: tuple[int, int, int], spacing: Vector, origin: Vector) -> Grid:
    """Coordinates relative to `origin` of a grid that is centred at the scanner's isocentre."""
    affine = grid_affine(shape, spacing)
    x, y, z = ((np.arange(n) * affine[a, a] + affine[a, 3] - origin[a]).astype(np.float32) for a, n in enumerate(shape))
    return Grid(x[:, None, None], y[None, :, None], z[None, None, :])


def soft(distance: Array, width_mm: float = 1.2) -> Array:
    """Opacity of a solid from its signed distance (negative inside): an antialiased edge."""
    return np.clip(0.5 - distance / np.float32(width_mm), 0, 1)


def ellipsoid(grid: Grid, semi: Vector, tilt_xy: float = 0.0, tilt_xz: float = 0.0) -> Array:
    """Approximate signed distance to an ellipsoid, turned in the axial, then in the coronal plane."""
    x: Array = grid.x
    y: Array = grid.y
    z: Array = grid.z
    if tilt_xy:
        c, s = np.float32(np.cos(tilt_xy)), np.float32(np.sin(tilt_xy))
        x, y = c * x + s * y, c * y - s * x
    if tilt_xz:
        c, s = np.float32(np.cos(tilt_xz)), np.float32(np.sin(tilt_xz))
        x, z = c * x + s * z, c * z - s * x
    a, b, d = (np.float32(1 / s) for s in semi)
    radius = np.sqrt((x * a) ** 2 + (y * b) ** 2 + (z * d) ** 2)
    return (radius - np.float32(1)) * np.float32(min(semi))


def gland_radius(u: Array, v: Array, w: Array, warp: NDArray[np.float64]) -> Array:
    """One on the gland's surface, less inside, in coordinates scaled by the gland's semi-axes.

    Narrower towards the apex, with a shallow posterior median furrow; `warp` holds four small asymmetries.
    """
    taper = 1 + np.float32(0.14) * np.clip(w, -1, 1)
    furrow = np.float32(0.13) * np.exp(-((u / np.float32(0.4)) ** 2)) * np.clip(-v, 0, 1)
    u, v = np.abs(u) / taper, v / taper - furrow
    p = np.float32(GLAND_EXPONENT)
    radius = (u**p + np.abs(v) ** p + np.abs(w) ** p) ** (1 / p)
    q = [np.float32(value) for value in warp]
    square = radius * radius + np.float32(0.1)
    asymmetry = q[0] * u * v + q[1] * v * w + q[2] * (u * u - v * v) + q[3] * (w * w - u * u)
    return np.asarray(radius / (1 + asymmetry / square), np.float32)


def gland_unit_volume(warp: NDArray[np.float64]) -> float:
    """Volume of the gland's shape with semi-axes of one; scales the semi-axes to a wanted volume exactly."""
    axis = np.linspace(-1.4, 1.4, 48, dtype=np.float32)
    step = float(axis[1] - axis[0])
    radius = gland_radius(axis[:, None, None], axis[None, :, None], axis[None, None, :], warp)
    return float(np.sum(soft(radius - 1, step))) * step**3


def texture(rng: np.random.Generator, grid: Grid, knot_mm: Vector) -> Array:
    """Smooth noise of unit variance with detail down to two knots, the same wherever the grid lies."""
    counts = [max(4, round(TEXTURE_PERIOD_MM / step)) for step in knot_mm]
    field = rng.standard_normal(counts, dtype=np.float32)
    for axis, coordinate in enumerate((grid.x, grid.y, grid.z)):
        matrix = _spline_matrix(coordinate.ravel(), counts[axis])
        field = np.moveaxis(np.tensordot(matrix, field, (1, axis)), 0, axis)
    return np.ascontiguousarray(field)


def _spline_matrix(coordinate: Array, count: int) -> Array:
    """Periodic cubic B-spline interpolation from `count` knots, each row of unit power."""
    position = np.mod(coordinate / TEXTURE_PERIOD_MM, 1.0) * count
    knot = np.floor(position).astype(int)
    t = position - knot
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    matrix = np.zeros((len(coordinate), count), np.float32)
    for offset in range(4):
        matrix[np.arange(len(coordinate)), (knot + offset - 1) % count] += weights[:, offset]
    return matrix
