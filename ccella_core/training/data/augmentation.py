"""Random copies of a case, made before it is encoded: another posture, another coil, another scanner's contrast.

What a report states must stay true of every copy. Stretching along one axis therefore squeezes along the other, and the
warp is the curl of a stream function, whose divergence is zero: volumes keep their millilitres, under the warp to first
order (by default a ball of 30 mm changes by 1 % as a rule and 3 % at most, one of 12 mm by 2 % and 5 %). Diffusion
coefficients, which have a unit, keep their values but for noise; and nobody is mirrored here, as that needs another
report. All of it happens within slices: between slices of several millimetres interpolation would take away the detail
that is to be learnt.

Without the warp all copies of a patient show the same outlines, which a network learns by heart: nothing but straight
lines separates them. With it the shapes of gland and neighbours are others too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.polynomial.legendre import legvander
from pydantic import Field
from scipy.interpolate import BSpline
from torch import Tensor
from torch.nn import functional as F

from ccella_core.config import StrictModel
from ccella_core.provenance import SequenceName

QUANTITATIVE: frozenset[SequenceName] = frozenset(["adc"])
"""Sequences whose values have a unit."""
BIAS_DEGREE = 3
CONTROL_MM = (25.0, 25.0, 30.0)
"""Between the warp's control points: organs are bent, their texture is not, and neighbouring slices move alike."""
CUBIC, LINEAR = 3, 1
"""Degrees of the warp's splines, within slices and across them."""
WARP_VARIANCE = 151 / 315 * 2 / 3 * 2 / 3
"""Of the curl of splines with coefficients of unit variance: means of B², B'² (cubic) and B² (linear) over a period."""
LARGEST_WARP = 2.5
"""The map cannot fold below 2.96 mm = 25 mm · sqrt(WARP_VARIANCE / 3) / 2.25. It folds where the determinant
1 + det(H) is not positive, H being the Hessian of the stream function; -det(H) is at most the square of the largest
shear, and that at most 2.25 times the largest coefficient (the sum of |B'| is 1.5 at most), sqrt(3) deviations."""


class RandomCopies(StrictModel):
    """How random copies differ from their case; most numbers are the most that is drawn, to either side."""

    copies: int = Field(gt=0, le=1000, description="of each training case")
    rotation: float = Field(8.0, ge=0, le=45, description="degrees, within the slices")
    stretch: float = Field(0.08, ge=0, lt=0.5, description="along one axis of the slices, squeezed along the other")
    shift: float = Field(6.0, ge=0, le=50, description="mm, within the slices")
    shift_slices: int = Field(2, ge=0, le=10, description="whole slices, up or down")
    warp: float = Field(
        1.5, ge=0, le=LARGEST_WARP, description="mm along each axis of the slices, standard deviation; keeps areas"
    )
    bias: float = Field(0.1, ge=0, le=1, description="coefficients of a smooth field of the coil's sensitivity")
    contrast: float = Field(0.2, ge=0, le=1, description="logarithm of gamma")
    noise: float = Field(0.01, ge=0, le=0.5, description="standard deviation, of a range of 1")
    seed: int = Field(0, ge=0, description="of all that is drawn")


def random_copy(
    volumes: Tensor,
    names: Sequence[SequenceName],
    masks: Tensor | None,
    settings: RandomCopies,
    spacing: tuple[float, float, float],
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor | None]:
    """A copy of a case; sequences and masks are moved alike.

    Everything is drawn on the CPU, so that another device makes the same copy, but for rounding.

    Args:
        volumes: (P, X, Y, Z) float32 in 0 … 1, on any device; what is 0 was outside the scan or is air, and stays 0.
        names: P sequences.
        masks: (M, X, Y, Z) bool, on the same device, or ``None``.
        settings: how much may be drawn.
        spacing: mm.
        rng: what is drawn follows from it.

    Returns:
        The same in the same form, on the same device.
    """
    slices = int(rng.integers(-settings.shift_slices, settings.shift_slices + 1))
    grid = _sampling_grid(volumes.shape[1:], settings, spacing, rng, volumes.device)
    images = _slices_of(volumes, slices)
    moved = _moved(images, grid, "bicubic").clamp(0, 1)
    # Splines leave something of nothing beside an edge; so where the scan is, is moved as masks are.
    flags = torch.cat([images > 0, *([] if masks is None else [_slices_of(masks, slices)])], dim=1)
    is_there = _moved(flags.float(), grid, "bilinear") > 0.5
    is_scanned, moved_masks = is_there.tensor_split([len(names)], dim=1)
    scanned = torch.where(is_scanned, _as_scanned(moved, names, settings, rng), 0)
    return scanned.permute(1, 2, 3, 0), None if masks is None else moved_masks.permute(1, 2, 3, 0)


def _sampling_grid(
    shape: Sequence[int],
    settings: RandomCopies,
    spacing: tuple[float, float, float],
    rng: np.random.Generator,
    device: torch.device,
) -> Tensor:
    """(Z, X, Y, 2) for ``grid_sample``: where in the case's slice a copy's voxel lies, after warp and posture."""
    angle = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation))
    stretch = np.exp(rng.uniform(-1, 1) * np.log1p(settings.stretch))
    shift = rng.uniform(-settings.shift, settings.shift, size=2)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    half = np.array([max(size - 1, 1) * mm / 2 for size, mm in zip(shape[:2], spacing[:2], strict=True)])
    x, y = (
        (torch.arange(size, device=device) - (size - 1) / 2) * mm
        for size, mm in zip(shape[:2], spacing[:2], strict=True)
    )
    along_x, along_y = area_keeping_warp(shape, settings.warp, spacing, rng, device)
    warped = torch.stack([x[:, None] + along_x, y + along_y], dim=-1)
    matrix, offset = (turn @ np.diag([stretch, 1 / stretch])) / half[:, None], shift / half
    # grid_sample names the last axis first.
    return warped @ _on(matrix[::-1].T, device) + _on(offset[::-1], device)


def area_keeping_warp(
    shape: Sequence[int],
    deviation: float,
    spacing: tuple[float, float, float],
    rng: np.random.Generator,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Random displacements (dψ/dy, -dψ/dx) within slices, ψ being a spline through random coefficients.

    Args:
        shape: X, Y, Z.
        deviation: along each axis, mm; at most ``LARGEST_WARP``.
        spacing: mm.
        rng: what is drawn follows from it.
        device: of what is returned.

    Returns:
        Along X and along Y, each (Z, X, Y) mm.
    """
    bases, slopes = [], []
    for size, mm, control, degree in zip(shape, spacing, CONTROL_MM, (CUBIC, CUBIC, LINEAR), strict=True):
        at = np.arange(size) * mm / control + rng.uniform()
        count = int(at[-1]) + 1 + degree
        spline = BSpline(np.arange(-degree, count + 1), np.eye(count), degree)
        bases.append(_on(spline(at), device))
        slopes.append(_on(spline(at, nu=1), device))
    # Uniform, as a normal distribution has no largest value, and the map might fold.
    most = deviation * math.sqrt(3 / WARP_VARIANCE)
    drawn = _on(rng.uniform(-most, most, size=[basis.shape[1] for basis in bases]), device)
    (in_x, in_y, in_z), (slope_x, slope_y, _) = bases, slopes
    series = "ijk,zk,yj,xi->zxy"
    return torch.einsum(series, drawn, in_z, slope_y, in_x), -torch.einsum(series, drawn, in_z, in_y, slope_x)


def _slices_of(volumes: Tensor, by: int) -> Tensor:
    """(Z, N, X, Y) of (N, X, Y, Z), moved by whole slices; the first or last is repeated."""
    depth = volumes.shape[-1]
    taken = (torch.arange(depth, device=volumes.device) - by).clamp(0, depth - 1)
    return volumes.permute(3, 0, 1, 2).contiguous()[taken]


def _moved(slices: Tensor, grid: Tensor, mode: str) -> Tensor:
    """(Z, N, X, Y); beyond the edge the image goes on as in a mirror."""
    return F.grid_sample(slices, grid, mode, padding_mode="reflection", align_corners=True)


def _as_scanned(
    slices: Tensor, names: Sequence[SequenceName], settings: RandomCopies, rng: np.random.Generator
) -> Tensor:
    """(Z, P, X, Y) with another coil's shading, another contrast and noise, in 0 … 1."""
    changes = np.array([name not in QUANTITATIVE for name in names], dtype=float)
    terms = BIAS_DEGREE + 1
    bias = rng.uniform(-settings.bias, settings.bias, size=(len(names), terms, terms, terms))
    of_low_degree = np.indices((terms,) * 3).sum(axis=0) <= BIAS_DEGREE
    device, (depth, _, *plane) = slices.device, slices.shape
    polynomials = [_on(legvander(np.linspace(-1, 1, size), BIAS_DEGREE), device) for size in (depth, *plane[::-1])]
    drawn = _on(bias * of_low_degree * changes[:, None, None, None], device)
    field = torch.einsum("pijk,zk,yj,xi->zpxy", drawn, *polynomials).exp()
    gamma = _on(np.exp(rng.uniform(-settings.contrast, settings.contrast, size=len(names)) * changes), device)
    shown = (slices * field).clamp(0, 1) ** gamma[:, None, None]
    noise = torch.from_numpy(rng.standard_normal(tuple(slices.shape), dtype=np.float32)).to(device)
    return (shown + settings.noise * noise).clamp(0, 1)


def _on(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(device)
