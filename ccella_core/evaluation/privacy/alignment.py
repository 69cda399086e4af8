"""How alike volumes are as images, whatever small shift, mirroring, blur, brightness and contrast lie between them.

Volumes are compared on a coarse grid, smoothed, so that blur and noise hardly matter; as ranks, which no increasing
change of intensity alters; and under every small shift, by their correlation. On ranks that is Spearman's.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata
from torch.nn.functional import adaptive_avg_pool3d

from ccella_core.evaluation.data.volume_set import VolumeSet
from ccella_core.progress import OnProgress

COARSE_MM = 3.0
"""Of the grid: finer than the organs by which one pelvis is known from another."""
SMOOTH_MM = 4.5
"""Standard deviation of a Gaussian, well above that of a blur that leaves an image worth looking at. Chosen on
phantoms: without it, blurred copies lie hardly nearer to their originals than other volumes do."""
REACH_MM = 9.0
"""The largest shift along each axis: three slices of a usual scan, and more than gland-centred crops are apart."""
MOST_OF_AN_AXIS = 0.25
"""A shift takes no more than this of an axis from either end, so that at least half of it is compared."""
VOLUMES_AT_ONCE = 256
"""Volumes that are correlated at once with all references: bounds the memory."""


def coarse_volumes(volumes: VolumeSet, *, progress: OnProgress | None = None) -> np.ndarray:
    """(N, x, y, z) float32: the ranks of the voxels of every volume, smoothed and on the coarse grid.

    A volume that is coarser already stays as coarse as it is.
    """
    shape = coarse_shape(volumes)
    sigma = SMOOTH_MM / _spacing(volumes, shape)
    coarse = np.empty((len(volumes), *shape), np.float32)
    for number in range(len(volumes)):
        pooled = adaptive_avg_pool3d(torch.from_numpy(volumes.voxels(number))[None], shape)[0].numpy()
        coarse[number] = rankdata(gaussian_filter(pooled, sigma)).reshape(shape)
        if progress is not None:
            progress(number + 1, len(volumes))
    return coarse


def coarse_shape(volumes: VolumeSet) -> tuple[int, int, int]:
    """Voxels of the coarse grid along each axis."""
    x, y, z = (
        max(1, min(size, round(size * mm / COARSE_MM))) for size, mm in zip(volumes.shape, volumes.spacing, strict=True)
    )
    return x, y, z


def reach_of(volumes: VolumeSet) -> tuple[int, ...]:
    """The largest shift along each axis, in voxels of the coarse grid."""
    shape = coarse_shape(volumes)
    return tuple(
        min(round(REACH_MM / mm), int(MOST_OF_AN_AXIS * size))
        for size, mm in zip(shape, _spacing(volumes, shape), strict=True)
    )


def aligned_distances(
    queries: np.ndarray, references: np.ndarray, reach: tuple[int, ...], *, progress: OnProgress | None = None
) -> np.ndarray:
    """(M, N) float64 in 0 … 2: 1 less the largest correlation over all shifts, as it is and mirrored left to right.

    The inner part of a reference is compared with all parts of the query that are as large. Every shift is one product
    of matrices, which is faster than a Fourier transform of every pair.

    Args:
        queries: (M, x, y, z), x from left to right.
        references: (N, x, y, z).
        reach: the largest shift along each axis, in voxels.
        progress: called with the queries that are done.
    """
    sizes = [size - 2 * most for size, most in zip(references.shape[1:], reach, strict=True)]
    inner = _normalised(_part(references, reach, sizes))
    shifts = list(itertools.product(*(range(2 * most + 1) for most in reach)))
    best = np.full((len(queries), len(references)), -1.0, np.float32)
    for start in range(0, len(queries), VOLUMES_AT_ONCE):
        rows = slice(start, start + VOLUMES_AT_ONCE)
        for block in (queries[rows], queries[rows, ::-1]):
            for shift in shifts:
                np.maximum(best[rows], _normalised(_part(block, shift, sizes)) @ inner.T, out=best[rows])
        if progress is not None:
            progress(min(start + VOLUMES_AT_ONCE, len(queries)), len(queries))
    return (1 - best.astype(np.float64)).clip(0)


def _spacing(volumes: VolumeSet, shape: tuple[int, ...]) -> np.ndarray:
    return np.multiply(volumes.shape, volumes.spacing) / shape


def _part(volumes: np.ndarray, start: tuple[int, ...], sizes: list[int]) -> np.ndarray:
    return volumes[(slice(None), *(slice(first, first + size) for first, size in zip(start, sizes, strict=True)))]


def _normalised(volumes: np.ndarray) -> np.ndarray:
    """(N, V) float32 with mean 0 and length 1; zeros where all is the same, which resembles nothing."""
    flat = volumes.reshape(len(volumes), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.where(length > 0, length, 1))
