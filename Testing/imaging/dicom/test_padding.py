"""DICOM padding is background, however it is written."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from dicom_writing import write_slice

from ccella_core.imaging.scans import read_scan


def stack(folder, padding: int, **more):
    for index in range(3):
        voxels = np.arange(100, 130, dtype=np.int32).reshape(6, 5) + index
        voxels[:2] = padding
        write_slice(folder / f"{index}.dcm", 3.0 * index, voxels.astype(np.int16).view(np.uint16), **more)
    return folder


@pytest.mark.parametrize(("slope", "intercept"), [(None, 0.0), (2.0, -50.0)])
def test_padding_is_as_dark_as_the_darkest_of_the_rest(tmp_path, slope, intercept):
    warnings: list[str] = []
    folder = stack(tmp_path / "t2", -32768, PixelRepresentation=1, PixelPaddingValue=-32768, slope=slope,
                   **({"RescaleIntercept": intercept} if slope else {}))  # fmt: skip
    voxels = sitk.GetArrayFromImage(read_scan(folder, warnings.append))
    lowest = 110 if slope is None else 2 * 110 - 50
    assert voxels.min() == lowest and (voxels[:, :2] == lowest).all()
    assert voxels.max() == (131 if slope is None else 2 * 131 - 50)
    assert warnings == ["t2: 33% of its voxels are padding and were taken as background."]


def test_a_range_of_padding_and_one_that_is_not_worth_a_word(tmp_path):
    warnings: list[str] = []
    folder = stack(tmp_path / "range", 20, PixelPaddingValue=0, PixelPaddingRangeLimit=20)
    assert sitk.GetArrayFromImage(read_scan(folder, warnings.append)).min() == 110 and len(warnings) == 1
    warnings.clear()
    folder = stack(tmp_path / "near", 109, PixelPaddingValue=109)
    assert sitk.GetArrayFromImage(read_scan(folder, warnings.append)).min() == 110 and warnings == []
    folder = stack(tmp_path / "none", 5, PixelPaddingValue=7)
    assert sitk.GetArrayFromImage(read_scan(folder, warnings.append)).min() == 5
