"""Left and right, front and back: each conversion against what ITK and nibabel themselves do."""

from __future__ import annotations

import itertools
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813

from ccella_core.imaging.orientation import (
    affine_of,
    centre_of,
    centred_affine,
    crop_around,
    directions_of,
    is_upright,
    itk_geometry,
    nearest_directions,
    radiological,
    ras_affine,
    set_affine,
    spacing_of,
)

SHAPE = (5, 4, 3)
SPACING = (0.5, 0.75, 3.0)


def rotation(seed: int, degrees: float = 180.0) -> np.ndarray:
    """A proper rotation by at most ``degrees`` about a random axis."""
    rng = np.random.default_rng(seed)
    axis = rng.normal(size=3)
    x, y, z = axis / np.linalg.norm(axis) * np.deg2rad(rng.uniform(0.2, 1) * degrees)
    turn = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.sqrt(x * x + y * y + z * z)
    return np.eye(3) + np.sin(angle) / angle * turn + (1 - np.cos(angle)) / angle**2 * turn @ turn


ORDERS, SIGNS = itertools.permutations(range(3)), list(itertools.product((1.0, -1.0), repeat=3))
AXES = [np.array(signs) * np.eye(3)[:, order] for order in ORDERS for signs in SIGNS]
OBLIQUE = [rotation(seed) for seed in range(6)] + [rotation(seed) @ np.diag([1.0, 1.0, -1.0]) for seed in range(6)]


def affine_with(directions: np.ndarray) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = directions * SPACING
    affine[:3, 3] = (-11.0, 7.0, 30.0)
    return affine


@pytest.mark.parametrize("directions", [*AXES, *OBLIQUE], ids=str)
def test_itk_and_nibabel_put_every_voxel_at_the_same_place(directions, tmp_path):
    """All 48 turned and mirrored axes, and oblique ones, half of them left-handed (a negative determinant)."""
    affine = affine_with(directions)
    image = sitk.Image(list(SHAPE), sitk.sitkInt16)
    set_affine(image, affine)
    np.testing.assert_allclose(affine_of(image), affine, atol=1e-9)
    for index in ((0, 0, 0), (4, 0, 0), (0, 3, 0), (0, 0, 2), (4, 3, 2)):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose(affine @ (*index, 1), (-x, -y, z, 1), atol=1e-9)
    if np.linalg.det(directions) > 0:  # ITK writes both into a NIfTI's qform, which knows rotations
        sitk.WriteImage(image, str(tmp_path / "image.nii"))
        np.testing.assert_allclose(nib.load(tmp_path / "image.nii").affine, affine, atol=1e-4)


@pytest.mark.parametrize("directions", [*AXES, *OBLIQUE], ids=str)
def test_there_and_back(directions):
    geometry = itk_geometry(affine_with(directions))
    assert geometry.spacing == pytest.approx(SPACING) and geometry.origin == pytest.approx((11.0, -7.0, 30.0))
    np.testing.assert_allclose(ras_affine(*geometry), affine_with(directions), atol=1e-9)
    np.testing.assert_allclose(directions_of(affine_with(directions)), directions, atol=1e-9)


def test_what_itk_calls_identity_runs_to_the_left_and_back():
    """ITK's own axes: the first to the patient's left, the second to the back."""
    affine = affine_of(sitk.Image(list(SHAPE), sitk.sitkInt16))
    assert affine.tolist() == np.diag([-1.0, -1.0, 1.0, 1.0]).tolist()
    assert not is_upright(affine, tolerance=1e-3)
    assert is_upright(affine_with(np.eye(3)), tolerance=1e-3)
    assert not is_upright(affine_with(rotation(0, 5.0)), tolerance=1e-3)
    assert not is_upright(affine_with(np.diag([1.0, 1.0, -1.0])), tolerance=1e-3), "head and feet exchanged"


def test_the_centre_stays_where_it_is():
    directions = rotation(3)
    affine = centred_affine(directions, SPACING, SHAPE, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(centre_of(affine, SHAPE), [1, 2, 3])
    np.testing.assert_allclose(affine @ (2, 1.5, 1, 1), [1, 2, 3, 1])
    np.testing.assert_allclose(spacing_of(affine), SPACING)


@pytest.mark.parametrize("axes", AXES, ids=str)
@pytest.mark.parametrize("tilt", [0.0, 20.0])
def test_axes_in_any_order_and_sense_are_matched(axes, tilt):
    """However another image's axes are ordered and turned, what comes out is its tilt alone."""
    turned = rotation(1, tilt) if tilt else np.eye(3)
    np.testing.assert_allclose(nearest_directions(np.eye(3), turned @ axes), turned, atol=1e-12)
    np.testing.assert_allclose(nearest_directions(axes, turned), turned @ axes, atol=1e-12)


@pytest.mark.parametrize("directions", OBLIQUE, ids=str)
def test_of_any_directions_each_is_used_once(directions):
    matched = nearest_directions(np.eye(3), directions)
    np.testing.assert_allclose(np.abs(matched.T @ directions).sum(axis=0), 1, atol=1e-9)
    np.testing.assert_allclose(matched.T @ matched, np.eye(3), atol=1e-9)
    orientation = nib.io_orientation(affine_with(directions))
    for axis, (anatomical, sign) in enumerate(orientation):
        np.testing.assert_allclose(matched[:, int(anatomical)], sign * directions[:, axis], atol=1e-9)


def test_a_radiologist_sees_the_right_at_the_left_and_the_front_and_the_head_up():
    """A volume whose eight corners differ."""
    volume = np.zeros((5, 4, 3))
    volume[-1, -1, -1], volume[0, -1, -1], volume[-1, 0, -1], volume[-1, -1, 0] = 1, 2, 3, 4
    axial = radiological(volume[:, :, -1])
    assert axial.shape == (4, 5)
    assert (axial[0, 0], axial[0, -1], axial[-1, 0]) == (1, 2, 3), "right front, left front, right back"
    coronal = radiological(volume[:, -1, :])
    assert coronal.shape == (3, 5) and (coronal[0, 0], coronal[0, -1], coronal[-1, 0]) == (1, 2, 4)
    sagittal = radiological(volume[-1, :, :])
    assert sagittal.shape == (3, 4) and (sagittal[0, 0], sagittal[0, -1], sagittal[-1, 0]) == (1, 3, 4)


def test_slicer_can_read_it_with_numpy_alone():
    code = (
        "import sys, ccella_core.imaging.orientation; "
        "print(sorted({'SimpleITK', 'nibabel', 'torch'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("center", "first"),
    [(None, (2, 1, 1)), ((0, 0, 0), (0, 0, 0)), ((3.2, 2.4, 0.7), (3, 2, 0)), ((99, -99, 99), (4, 0, 2))],
)
def test_a_part_is_cropped_where_it_lies(center, first):
    """Around a point, within the image; without one around the middle."""
    voxels = np.arange(6 * 4 * 4).reshape(6, 4, 4)
    affine = affine_with(OBLIQUE[0])
    size_mm = spacing_of(affine) * (2, 2, 2)
    wanted = None if center is None else (affine @ [*center, 1])[:3]
    kept, moved = crop_around(voxels, affine, size_mm, wanted)
    x, y, z = first
    np.testing.assert_array_equal(kept, voxels[x : x + 2, y : y + 2, z : z + 2])
    np.testing.assert_allclose(moved @ [0, 0, 0, 1], affine @ [*first, 1])
