"""What two volumes hold where they overlap: which voxels are looked at, and how many."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import slicer


@pytest.fixture
def geometry(slicer_bench: Any) -> ModuleType:
    """The module under test, imported once Slicer's stand-ins are there."""
    from CCELLAGeneratorLib.scene import geometry as volume_geometry

    return volume_geometry


def add_volume(name: str, voxels: np.ndarray, origin: tuple = (0.0, 0.0, 0.0), spacing: float = 1.0) -> Any:
    """``voxels`` (X, Y, Z) as a volume of the scene, with axes along RAS."""
    matrix = np.diag([spacing, spacing, spacing, 1.0])
    matrix[:3, 3] = origin
    return slicer.util.addVolumeFromArray(np.ascontiguousarray(voxels.T), matrix, name)


def test_only_the_overlap_is_counted(geometry: ModuleType) -> None:
    synthetic = np.zeros((8, 8, 8))
    synthetic[4:] = 1.0  # this half lies in the real scan
    real = np.full((8, 8, 8), 50.0)
    real[4:] = 900.0  # this half lies outside the synthetic one
    samples = geometry.sample_both(add_volume("SYNTHETIC", synthetic), add_volume("T2", real, origin=(4.0, 0.0, 0.0)))
    assert samples.overlap
    assert set(samples.synthetic) == {1.0} and set(samples.real) == {50.0}
    assert len(samples.synthetic) == len(samples.real) == 4 * 8 * 8


def test_apart_each_volume_is_counted_as_a_whole(geometry: ModuleType) -> None:
    synthetic, real = np.random.default_rng(2).random((2, 6, 6, 6))
    samples = geometry.sample_both(add_volume("SYNTHETIC", synthetic), add_volume("T2", real, origin=(500.0, 0.0, 0.0)))
    assert not samples.overlap
    assert np.sort(samples.real) == pytest.approx(np.sort(real.ravel()))


def test_samples_are_the_voxels_at_the_same_points_of_the_world(geometry: ModuleType) -> None:
    fine = np.arange(16.0)[:, None, None] * np.ones((16, 16, 16))  # its intensity is its x in mm
    coarse = np.arange(8.0)[:, None, None] * np.ones((8, 8, 8))  # and here half of it
    samples = geometry.sample_both(add_volume("SYNTHETIC", fine), add_volume("T2", coarse, spacing=2.0))
    assert np.abs(samples.synthetic - 2 * samples.real).max() <= 1.0


def test_a_transform_of_the_parent_counts(geometry: ModuleType) -> None:
    synthetic = add_volume("SYNTHETIC", np.zeros((6, 6, 6)))
    real = add_volume("T2", np.ones((6, 6, 6)))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[0, 3] = 100
    slicer.util.updateTransformMatrixFromArray(transform, matrix)
    real.SetAndObserveTransformNodeID(transform.GetID())
    assert not geometry.sample_both(synthetic, real).overlap


def test_large_volumes_are_sampled_alike_each_time(geometry: ModuleType) -> None:
    voxels = np.random.default_rng(3).random((128, 128, 64), dtype=np.float32)
    synthetic, real = add_volume("SYNTHETIC", voxels), add_volume("T2", voxels * 1000)
    first, second = geometry.sample_both(synthetic, real), geometry.sample_both(synthetic, real)
    assert len(first.synthetic) == geometry.MAX_SAMPLES < voxels.size
    assert (first.real == second.real).all()
    assert np.percentile(first.synthetic, (1, 99.5)) == pytest.approx(np.percentile(voxels, (1, 99.5)), abs=0.005)


def test_infinite_and_missing_values_are_left_out(geometry: ModuleType) -> None:
    real = np.ones((5, 5, 5))
    real[0, 0, 0], real[1, 0, 0] = np.nan, np.inf
    samples = geometry.sample_both(add_volume("SYNTHETIC", np.zeros((5, 5, 5))), add_volume("T2", real))
    assert len(samples.synthetic) == 125 and len(samples.real) == 123
