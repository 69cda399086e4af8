"""The grid: landmarks lie where they should, however the scan was acquired."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from ccella_core.errors import InputError
from ccella_core.imaging.grid import centroid, coverage, onto, target_grid, whole_grid
from ccella_core.imaging.orientation import RAS_FROM_LPS, affine_of

LANDMARK = np.array([12.0, -7.0, 20.0])  # in RAS mm
CENTRE = np.array([5.0, 3.0, 10.0])


def scan(directions: np.ndarray, *, size=(40, 40, 24), spacing=(2.0, 2.0, 3.0)) -> sitk.Image:
    """A smooth ball at the landmark, on a grid with these directions (columns, RAS) and its middle at the centre."""
    image = sitk.Image(size, sitk.sitkFloat32)
    image.SetSpacing(spacing)
    image.SetDirection((RAS_FROM_LPS @ directions).ravel().tolist())
    origin = CENTRE - directions @ (np.array(spacing) * (np.array(size) - 1) / 2)
    image.SetOrigin((RAS_FROM_LPS @ origin).tolist())
    indices = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1)
    places = indices @ affine_of(image)[:3, :3].T + affine_of(image)[:3, 3]
    voxels = np.exp(-((places - LANDMARK) ** 2).sum(-1) / (2 * 5.0**2)).astype(np.float32)
    filled = sitk.GetImageFromArray(voxels.transpose(2, 1, 0))
    filled.CopyInformation(image)
    return filled


def brightest(voxels: np.ndarray, grid: sitk.Image) -> np.ndarray:
    """The middle of the ball in RAS mm."""
    weight = np.where(voxels > 0.2, voxels, 0)
    index = np.array(
        [(weight.sum(axis=tuple({0, 1, 2} - {axis})) * np.arange(voxels.shape[axis])).sum() for axis in range(3)]
    )
    return affine_of(grid)[:3, :3] @ (index / weight.sum()) + affine_of(grid)[:3, 3]


def orientations() -> list[np.ndarray]:
    """Axial, coronal and sagittal acquisitions in both senses of each axis."""
    turns = [np.eye(3)[:, list(order)] for order in itertools.permutations(range(3))]
    return [turn * np.array(signs) for turn in turns for signs in ((1, 1, 1), (-1, 1, -1), (-1, -1, -1))]


@pytest.mark.parametrize("directions", orientations(), ids=lambda d: str(d.astype(int).tolist()))
def test_a_landmark_lies_at_its_place_from_every_side(directions):
    image = scan(directions)
    grid = target_grid(image, (40, 36, 20), (2.0, 2.0, 3.0))
    np.testing.assert_allclose(affine_of(grid)[:3, :3], np.diag([2.0, 2.0, 3.0]), atol=1e-9)
    np.testing.assert_allclose(affine_of(grid)[:3, :3] @ [19.5, 17.5, 9.5] + affine_of(grid)[:3, 3], CENTRE, atol=1e-9)
    np.testing.assert_allclose(brightest(onto(grid, image), grid), LANDMARK, atol=0.3)


def test_an_oblique_scan_stays_oblique_and_its_landmark_in_place():
    angle = np.deg2rad(20)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    image = scan(turn @ np.diag([-1.0, 1.0, -1.0]))
    grid = target_grid(image, (40, 36, 24), (2.0, 2.0, 3.0))
    np.testing.assert_allclose(affine_of(grid)[:3, :3] / (2, 2, 3), turn, atol=1e-9)
    np.testing.assert_allclose(brightest(onto(grid, image), grid), LANDMARK, atol=0.3)


def test_another_sequence_comes_to_lie_on_the_first():
    grid = target_grid(scan(np.eye(3)), (40, 36, 20), (2.0, 2.0, 3.0))
    adc = scan(np.diag([-1.0, -1.0, 1.0]), size=(26, 26, 20), spacing=(3.0, 3.0, 3.6))
    np.testing.assert_allclose(brightest(onto(grid, adc), grid), LANDMARK, atol=0.4)


def middle_of(grid: sitk.Image) -> np.ndarray:
    return affine_of(grid)[:3, :3] @ ((np.array(grid.GetSize()) - 1) / 2) + affine_of(grid)[:3, 3]


@pytest.mark.parametrize("directions", orientations()[:6], ids=lambda d: str(d.astype(int).tolist()))
def test_around_a_centre_as_far_as_the_scan_reaches(directions):
    image = scan(directions, size=(40, 40, 40), spacing=(2.0, 2.0, 2.0))
    # The landmark lies 7 mm to the right of the scan's middle, 10 mm behind and 10 mm above it.
    grid = target_grid(image, (50, 40, 55), (1.3, 1.6, 1.2), centre=LANDMARK)
    np.testing.assert_allclose(middle_of(grid), CENTRE + np.array([7, -8, 7]), atol=1e-6)
    assert coverage(grid, image).all()


def test_a_grid_that_is_larger_than_the_scan_holds_all_of_it():
    image = scan(np.eye(3))
    grid = target_grid(image, (50, 40, 30), (2.1, 2.1, 3.1), centre=LANDMARK)
    np.testing.assert_allclose(middle_of(grid), CENTRE + np.array([7, -2, 10]), atol=1e-6)
    covered = coverage(grid, image)
    assert covered.mean() == pytest.approx(80 * 80 * 72 / (105 * 84 * 93), abs=0.04)
    assert (onto(grid, image + 1)[~covered] == 0).all()


@pytest.mark.parametrize("slices", [20, 21, 40])
def test_slices_of_the_same_thickness_are_taken_as_they_are(slices):
    image = scan(np.diag([-1.0, -1.0, 1.0]))
    grid = target_grid(image, (40, 40, slices), (1.5, 1.5, 3.0), centre=LANDMARK + np.array([0, 0, 0.8]))
    first = np.linalg.inv(affine_of(image)) @ affine_of(grid)[:, 3]
    assert first[2] == pytest.approx(round(first[2]), abs=1e-6)
    assert abs(middle_of(grid)[2] - CENTRE[2]) <= abs(24 - slices) * 1.5 + 1e-6


def test_the_middle_of_a_mask():
    mask = sitk.Cast(scan(np.diag([-1.0, -1.0, 1.0])) > 0.5, sitk.sitkUInt8)
    np.testing.assert_allclose(centroid(mask), LANDMARK, atol=0.5)
    with pytest.raises(InputError, match="mask of the gland is empty"):
        centroid(mask * 0)


def test_labels_stay_whole_numbers():
    mask = sitk.Cast(scan(np.eye(3)) > 0.5, sitk.sitkUInt8) * 2
    grid = target_grid(mask, (33, 33, 33), (1.1, 1.3, 1.7))
    assert set(np.unique(onto(grid, mask, labels=True))) == {0.0, 2.0}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_whole_grid_has_the_scans_field_of_view_however_it_lies(order: tuple[int, ...]) -> None:
    image = scan(np.eye(3)[:, order])  # the scan's axes run along these of RAS
    grid = whole_grid(image, (32, 20, 48))
    along = np.argsort(order)
    field = (np.array([40, 40, 24]) * [2.0, 2.0, 3.0])[along]
    np.testing.assert_allclose(np.multiply(grid.GetSize(), grid.GetSpacing()), field)
    assert coverage(grid, image).all(), "nothing lies outside of the scan"
    np.testing.assert_allclose(brightest(onto(grid, image), grid), LANDMARK, atol=0.5)
