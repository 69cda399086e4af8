"""Sets of volumes in memory, and an extractor whose features are known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ccella_core.evaluation.data.volume_set import VolumeRecord, VolumeSet

SHAPE, SPACING = (16, 16, 12), (1.0, 1.0, 3.0)
ROW, SLICE = 8, 6
"""Where `FirstVoxels` looks."""


def volume_set(
    volumes: Iterable[np.ndarray],
    name: str = "volumes",
    *,
    patients: Iterable[str] | None = None,
    spacing: tuple[float, float, float] = SPACING,
) -> VolumeSet:
    arrays = [np.asarray(volume, dtype=np.float32) for volume in volumes]
    owners = list(patients) if patients is not None else [f"patient {number}" for number in range(len(arrays))]
    members = [
        VolumeRecord(
            id=f"{name} {number}",
            case=f"{name} {number}",
            patient=owner,
            split=None,
            pathology=None,
            predicted=None,
            predicted_positive_probability=None,
            seed=None,
            read=lambda array=array: array,  # type: ignore[misc]
        )
        for number, (array, owner) in enumerate(zip(arrays, owners, strict=True))
    ]
    shape = arrays[0].shape if arrays else SHAPE
    return VolumeSet(name, members, shape, spacing)  # type: ignore[arg-type]


def smooth_volumes(count: int, *, seed: int = 0) -> list[np.ndarray]:
    """Different blobs in 0 … 1."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(0, 1, side) for side in SHAPE], indexing="ij")
    found = []
    for _ in range(count):
        centre, width = rng.uniform(0.2, 0.8, 3), rng.uniform(0.1, 0.4)
        apart = sum((axis - place) ** 2 for axis, place in zip(axes, centre, strict=True))
        found.append((0.1 + 0.8 * np.exp(-apart / width**2)).astype(np.float32))
    return found


class FirstVoxels:
    """A tiny extractor: the first ``dimension`` voxels along X, or those of ``slices`` slices."""

    name = "first voxels"
    fingerprint = "1"

    def __init__(self, dimension: int = 3, slices: int = 0) -> None:
        self.dimension, self.slices, self.calls = dimension, slices, 0

    def __call__(self, voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        self.calls += 1
        if self.slices:
            return voxels[: self.dimension, ROW, : self.slices].T.astype(np.float64)
        return voxels[: self.dimension, ROW, SLICE].astype(np.float64)


def with_features(rows: np.ndarray) -> list[np.ndarray]:
    """Volumes whose features by `FirstVoxels` are the rows (N, D), in 0 … 1."""
    volumes = [np.full(SHAPE, 0.5, dtype=np.float32) for _ in rows]
    for volume, row in zip(volumes, rows, strict=True):
        volume[: len(row), ROW, SLICE] = row
    return volumes
