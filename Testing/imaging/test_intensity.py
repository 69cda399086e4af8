"""Intensities: the published rules in numbers, and scans that cannot be scaled."""

from __future__ import annotations

import numpy as np
import pytest

from ccella_core.errors import InputError
from ccella_core.imaging.intensity import intensity_range, scaled


@pytest.mark.parametrize("sequence", ["t2w", "hbv"])
def test_percentiles_of_the_whole_scan(sequence):
    voxels = np.arange(1001, dtype=np.float32).reshape(7, 11, 13)
    assert intensity_range(voxels, sequence) == pytest.approx((0, 995))
    unit = scaled(np.array([0, 497.5, 995, 1000]), (0, 995))
    assert unit.tolist() == pytest.approx([0, 0.5, 1, 1]) and unit.dtype == np.float32


def test_diffusion_coefficients_have_units():
    assert intensity_range(np.array([500.0, 900.0]), "adc") == (0, 3000)
    assert scaled(np.array([-5, 1500, 4000]), (0, 3000)).tolist() == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize(
    ("voxels", "said"),
    [([1, np.nan], "NaN or infinite"), ([1, np.inf], "NaN or infinite"), ([7, 7, 7], r"the same everywhere \(7\)")],
)
@pytest.mark.parametrize("sequence", ["t2w", "adc"])
def test_what_cannot_be_scaled_is_refused(voxels, said, sequence):
    with pytest.raises(InputError, match=said):
        intensity_range(np.array(voxels, float), sequence)
