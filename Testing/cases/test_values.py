"""Scans before they come onto the grid."""

from __future__ import annotations

import pytest
import SimpleITK as sitk  # noqa: N813

from ccella_core.cases.values import check_plane

DIRECTIONS = {
    "axial": (1, 0, 0, 0, 1, 0, 0, 0, 1),
    "coronal": (1, 0, 0, 0, 0, 1, 0, 1, 0),
    "sagittal": (0, 0, 1, 1, 0, 0, 0, 1, 0),
}


@pytest.mark.parametrize("plane", DIRECTIONS)
@pytest.mark.parametrize("thickness", [0.6, 3.0])
def test_slices_that_are_not_axial_are_said(plane: str, thickness: float) -> None:
    """The third of the scan's own axes is the one through its slices."""
    image = sitk.Image(4, 4, 4, sitk.sitkUInt8)
    image.SetSpacing((0.5, 0.5, thickness))
    image.SetDirection(DIRECTIONS[plane])
    told: list[str] = []
    check_plane(image, "t2w", told.append)
    thick = thickness > 1 and plane != "axial"
    assert told == ([f"The t2w was acquired in {plane} slices, not in axial ones."] if thick else [])
