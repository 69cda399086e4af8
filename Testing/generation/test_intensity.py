"""Grey values of what was decoded: the range that was asked for, and a model's calibration."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from ccella_core.generation.intensity import calibrated
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.models.calibration import Calibration

REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex."
SHAPE, SPACING = (48, 40, 3), (0.75, 0.75, 3.0)
SAME = ((0.0, 0.0), (1.0, 1.0))
FINEST = 0.5 / 0.75


def wave(per_voxel: float) -> np.ndarray:
    """Along X, between 0.3 and 0.7, whole or half periods so that its mirror goes on smoothly."""
    x = np.cos(2 * np.pi * per_voxel * (np.arange(SHAPE[0]) + 0.5))
    return np.broadcast_to((0.5 + 0.2 * x)[:, None, None], SHAPE).astype(np.float32)


def test_nothing_changes_where_nothing_is_to_change() -> None:
    voxels = np.random.default_rng(0).random(SHAPE).astype(np.float32)
    found = calibrated(voxels, SPACING, Calibration(tone=SAME, gain=(1, 1, 1), finest_per_mm=FINEST))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, voxels, atol=1e-6)


def test_a_tone_curve_is_followed_between_its_points() -> None:
    voxels = np.full(SHAPE, 0.25, np.float32)
    tone = ((0.0, 0.0), (0.5, 0.3), (1.0, 0.9))
    found = calibrated(voxels, SPACING, Calibration(tone=tone, gain=(2, 2), finest_per_mm=FINEST))
    np.testing.assert_allclose(found, 0.15, atol=1e-6)  # and no gain moves the mean


@pytest.mark.parametrize(("per_voxel", "gain"), [(0.125, 1.0), (0.375, 1.5)])
def test_a_wave_has_the_gain_of_its_band(per_voxel: float, gain: float) -> None:
    calibration = Calibration(tone=SAME, gain=(1.0, 1.5), finest_per_mm=FINEST)
    found = calibrated(wave(per_voxel), SPACING, calibration)
    np.testing.assert_allclose(found - 0.5, gain * (wave(per_voxel) - 0.5), atol=1e-5)


def test_gains_are_of_lengths_and_not_of_voxels() -> None:
    calibration = Calibration(tone=SAME, gain=(1.0, 1.5), finest_per_mm=FINEST)
    twice = (1.5, 1.5, 3.0)
    coarse = calibrated(wave(0.375), twice, calibration)  # twice as long as with voxels of 0.75 mm: 0.25 per mm
    fine = calibrated(wave(0.1875), SPACING, calibration)
    assert np.std(coarse) == pytest.approx(np.std(fine), rel=0.01)
    assert np.std(coarse) < np.std(calibrated(wave(0.375), SPACING, calibration)) * 0.9


def test_it_stays_in_range() -> None:
    voxels = (np.random.default_rng(0).random(SHAPE) > 0.5).astype(np.float32)
    found = calibrated(voxels, SPACING, Calibration(tone=SAME, gain=(2, 2), finest_per_mm=FINEST))
    assert found.min() == 0 and found.max() == 1


@pytest.mark.medium
def test_a_calibrated_model_changes_its_sequence_and_nothing_else(labelled_pipeline: CCELLAPipeline) -> None:
    calibration = Calibration(tone=((0, 0.1), (1, 0.8)), gain=(0.9, 1.2), finest_per_mm=0.5)
    index = labelled_pipeline.index
    plain = labelled_pipeline(REPORT, seed=3, output_range="0-1")
    native = labelled_pipeline(REPORT, seed=3)
    own = copy.copy(labelled_pipeline)
    own.index = index.model_copy(update={"calibration": {"hbv": calibration}})
    found, found_native = own(REPORT, seed=3, output_range="0-1"), own(REPORT, seed=3)
    for one, other in zip(plain, found, strict=True):
        expected = one.voxels
        if one.sequence == "hbv":
            expected = calibrated(one.voxels, one.provenance.spacing, calibration)
            assert np.abs(expected - one.voxels).max() > 0.05
        np.testing.assert_allclose(other.voxels, expected, atol=1e-6)
        assert one.labels is not None and other.labels is not None
        np.testing.assert_array_equal(one.labels.voxels, other.labels.voxels)
    low, high = index.intensity_range["hbv"]
    scaled = low + (high - low) * found[1].voxels
    np.testing.assert_allclose(found_native[1].voxels, scaled, rtol=1e-5)
    np.testing.assert_array_equal(found_native[0].voxels, native[0].voxels)
