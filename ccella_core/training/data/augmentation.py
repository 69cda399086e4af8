"""Random copies of a case, made before it is encoded: another posture, another coil, another scanner's contrast.

What a report states must stay true of every copy. Stretching along one axis therefore squeezes along the other, so that
volumes keep their millilitres; diffusion coefficients, which have a unit, keep their values; and nobody is mirrored
here, as that needs another report. All of it happens within slices: between slices of several millimetres
interpolation would take away the detail that is to be learnt.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from monai.transforms import AdjustContrast, Affine, RandBiasField
from pydantic import Field

from ccella_core.config import StrictModel
from ccella_core.provenance import SequenceName

QUANTITATIVE: frozenset[SequenceName] = frozenset(["adc"])
"""Sequences whose values have a unit."""
BIAS_DEGREE = 3
EMPTY = 1 / 255
"""Less than this is what splines leave of nothing."""
SPLINE_ORDER, LINEAR = 3, 1
"""Cubic splines keep the detail of an image; masks need none."""


class RandomCopies(StrictModel):
    """How random copies differ from their case; every number is the most that is drawn, to either side."""

    copies: int = Field(gt=0, le=1000, description="of each training case")
    rotation: float = Field(6.0, ge=0, le=45, description="degrees, within the slices")
    stretch: float = Field(0.06, ge=0, lt=0.5, description="along one axis of the slices, squeezed along the other")
    shift: float = Field(4.0, ge=0, le=50, description="mm, within the slices")
    shift_slices: int = Field(1, ge=0, le=10, description="whole slices, up or down")
    bias: float = Field(0.1, ge=0, le=1, description="coefficients of a smooth field of the coil's sensitivity")
    contrast: float = Field(0.2, ge=0, le=1, description="logarithm of gamma")
    noise: float = Field(0.01, ge=0, le=0.5, description="standard deviation, of a range of 1")
    seed: int = Field(0, ge=0, description="of all that is drawn")


def random_copy(
    volumes: Mapping[SequenceName, np.ndarray],
    masks: np.ndarray | None,
    settings: RandomCopies,
    spacing: tuple[float, float, float],
    rng: np.random.Generator,
) -> tuple[dict[SequenceName, np.ndarray], np.ndarray | None]:
    """A copy of a case; sequences and masks are moved alike.

    Args:
        volumes: (X, Y, Z) each, in 0 … 1; what is 0 was outside the scan or is air, and gets no noise.
        masks: (M, X, Y, Z) bool, or ``None``.
        settings: how much may be drawn.
        spacing: mm.
        rng: what is drawn follows from it.

    Returns:
        The same in the same form.
    """
    matrix, slices = _posture(settings, spacing, rng)
    found: dict[SequenceName, np.ndarray] = {}
    for name, volume in volumes.items():
        moved = _moved(volume[None], matrix, slices, SPLINE_ORDER)[0].clip(0, 1)
        moved[moved < EMPTY] = 0
        found[name] = _as_scanned(moved, name, settings, rng)
    moved_masks = None if masks is None else _moved(masks.astype(np.float32), matrix, slices, LINEAR) > 0.5
    return found, moved_masks


def _posture(
    settings: RandomCopies, spacing: tuple[float, float, float], rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """(3, 3) from a copy's voxel to the case's, about the middle of the slice; and the slices by which it is moved."""
    angle = np.deg2rad(rng.uniform(-settings.rotation, settings.rotation))
    stretch = np.exp(rng.uniform(-1, 1) * np.log1p(settings.stretch))
    in_mm = np.eye(3)
    in_mm[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]] @ np.diag([stretch, 1 / stretch])
    in_mm[:2, 2] = rng.uniform(-settings.shift, settings.shift, size=2)
    scale = np.diag([spacing[0], spacing[1], 1.0])
    slices = int(rng.integers(-settings.shift_slices, settings.shift_slices + 1))
    return np.linalg.inv(scale) @ in_mm @ scale, slices


def _moved(volumes: np.ndarray, matrix: np.ndarray, slices: int, order: int) -> np.ndarray:
    """(N, X, Y, Z) float32; beyond the edge the image goes on as in a mirror, and the last slice is repeated."""
    depth = volumes.shape[-1]
    taken = volumes[..., np.clip(np.arange(depth) - slices, 0, depth - 1)]
    flat = np.moveaxis(taken, -1, 1).reshape(-1, *volumes.shape[1:3])  # each slice a channel of a 2-D image
    move = Affine(affine=matrix, mode=order, padding_mode="reflect", image_only=True)
    moved = np.asarray(move(torch.from_numpy(np.ascontiguousarray(flat, np.float32))))
    return np.moveaxis(moved.reshape(len(volumes), depth, *volumes.shape[1:3]), 1, -1)


def _as_scanned(volume: np.ndarray, name: SequenceName, settings: RandomCopies, rng: np.random.Generator) -> np.ndarray:
    """With another coil's shading, another contrast and noise, in 0 … 1."""
    scanned = np.ascontiguousarray(volume)[None]
    if name not in QUANTITATIVE:
        field = RandBiasField(BIAS_DEGREE, (-settings.bias, settings.bias), prob=1.0)
        field.set_random_state(seed=int(rng.integers(2**31)))
        scanned = np.asarray(field(scanned)).clip(0, 1)
        gamma = float(np.exp(rng.uniform(-settings.contrast, settings.contrast)))
        if scanned.max() > scanned.min():
            scanned = np.asarray(AdjustContrast(gamma)(scanned))
    noise = rng.standard_normal(volume.shape, dtype=np.float32) * np.float32(settings.noise)
    noisy = scanned[0] + np.where(volume > 0, noise, 0)
    return noisy.clip(0, 1).astype(np.float32)
