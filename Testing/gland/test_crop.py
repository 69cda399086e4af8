"""A volume is cropped around its gland, whoever knows where that is; and where nobody does, that is said."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from ccella_core.gland.crop import cropped_around_gland

KEPT_MM = (30.0, 30.0, 24.0)
PLACE = (12, 27, 8)


def middle_of_gland(volume) -> np.ndarray:
    return np.argwhere(volume.voxels > 0.5).mean(axis=0)


def where(volume, voxel) -> np.ndarray:
    return (volume.affine @ [*voxel, 1])[:3]


def test_around_the_label_that_the_model_drew_all_sequences_alike(without_taps, volume) -> None:
    t2w = volume(PLACE, 9.0, label=True)
    adc = replace(volume((30, 10, 15), 9.0, "adc"), labels=t2w.labels)
    cropped, other = cropped_around_gland([t2w, adc], KEPT_MM)
    assert cropped.voxels.shape == other.voxels.shape == (20, 20, 8)
    np.testing.assert_allclose(middle_of_gland(cropped), [9.5, 9.5, 3.5], atol=0.51)
    np.testing.assert_allclose(where(cropped, middle_of_gland(cropped)), where(t2w, PLACE), atol=1e-9)
    np.testing.assert_allclose(cropped.provenance.crop_center_mm, where(t2w, PLACE))
    assert (cropped.labels.mask("gland") == (cropped.voxels > 0.5)).all()
    assert (cropped.labels.affine == cropped.affine).all() and cropped.provenance.warnings == []


def test_at_the_border_as_much_is_kept(without_taps, volume) -> None:
    t2w = volume((2, 43, 19), 12.0, label=True)
    (cropped,) = cropped_around_gland([t2w], KEPT_MM)
    assert cropped.voxels.shape == (20, 20, 8)
    np.testing.assert_array_equal(cropped.voxels, t2w.voxels[:20, 24:, 12:])


def test_around_the_gland_that_taps_sees_where_the_model_draws_no_label(stand_in, volume) -> None:
    (cropped,) = cropped_around_gland([volume(PLACE, 14.0)], KEPT_MM)
    np.testing.assert_allclose(middle_of_gland(cropped)[:2], [9.5, 9.5], atol=0.51)
    assert cropped.provenance.crop_center_mm is not None and cropped.provenance.warnings == []


@pytest.mark.parametrize(
    ("sequence", "brightness", "installed", "why"),
    [
        ("adc", 1, True, "the model draws no gland label, and it is looked for in T2-weighted volumes alone"),
        ("t2w", 1 / 3, True, "none was found in it"),
        ("t2w", 1, False, "lavlab-taps, which finds the gland, is not installed"),
    ],
)
def test_where_nobody_knows_the_middle_is_kept_and_a_warning_says_so(
    stand_in, volume, sequence, brightness: float, installed: bool, why: str
) -> None:
    if not installed:
        stand_in.setitem(sys.modules, "taps", None)
    whole = volume(PLACE, 14.0, sequence)
    whole = replace(whole, voxels=whole.voxels * brightness)
    (cropped,) = cropped_around_gland([whole], KEPT_MM)
    np.testing.assert_array_equal(cropped.voxels, whole.voxels[10:30, 12:32, 6:14])
    assert cropped.provenance.crop_center_mm is None
    (warning,) = cropped.provenance.warnings
    assert "cropped around its middle, not around the gland" in warning and why in warning


def test_an_empty_label_is_no_gland(without_taps, volume) -> None:
    (cropped,) = cropped_around_gland([volume((-99, 0, 0), label=True)], KEPT_MM)
    assert "none was found" in cropped.provenance.warnings[0]
