"""Which way is left: the one place where RAS and LPS, affines and directions, and planes on a screen are converted.

NIfTI, Slicer's scene and this library count to the patient's right, front and head (RAS+, in mm); ITK, DICOM, NRRD and
MetaImage count to the left, back and head (LPS+). NumPy only, so that Slicer's own Python can read it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0])
"""Turns a point or a direction from one to the other; its own inverse."""


class ItkGeometry(NamedTuple):
    """Where an image lies, as ITK has it: LPS mm."""

    origin: tuple[float, ...]
    """(3,) mm: the middle of the first voxel."""
    spacing: tuple[float, ...]
    """(3,) mm."""
    direction: tuple[float, ...]
    """(9,) row by row; the columns are the array axes' unit vectors."""


def ras_affine(origin: Sequence[float], spacing: Sequence[float], direction: Sequence[float]) -> np.ndarray:
    """The affine from voxel index to RAS+ mm of an image that ITK describes.

    Args:
        origin: (3,) LPS mm.
        spacing: (3,) mm.
        direction: (9,) row by row, or (3, 3).

    Returns:
        (4, 4) float64.
    """
    affine = np.eye(4)
    affine[:3, :3] = RAS_FROM_LPS @ np.reshape(direction, (3, 3)) * spacing
    affine[:3, 3] = RAS_FROM_LPS @ origin
    return affine


def itk_geometry(affine: np.ndarray) -> ItkGeometry:
    """Origin, spacing and direction in ITK's LPS of an affine (4, 4) to RAS+ mm; the inverse of ``ras_affine``."""
    spacing = spacing_of(affine)
    direction = RAS_FROM_LPS @ affine[:3, :3] / spacing
    origin = RAS_FROM_LPS @ affine[:3, 3]
    return ItkGeometry(tuple(origin.tolist()), tuple(spacing.tolist()), tuple(direction.ravel().tolist()))


def affine_of(image: Any) -> np.ndarray:
    """(4, 4) from voxel index to RAS+ mm of a 3-D SimpleITK image."""
    return ras_affine(image.GetOrigin(), image.GetSpacing(), image.GetDirection())


def set_affine(image: Any, affine: np.ndarray) -> None:
    """Lay a 3-D SimpleITK image where ``affine`` (4, 4), to RAS+ mm, says."""
    geometry = itk_geometry(affine)
    image.SetSpacing(geometry.spacing)
    image.SetDirection(geometry.direction)
    image.SetOrigin(geometry.origin)


def spacing_of(affine: np.ndarray) -> np.ndarray:
    """(3,) mm between neighbouring voxels along each array axis."""
    return np.linalg.norm(affine[:3, :3], axis=0)


def directions_of(affine: np.ndarray) -> np.ndarray:
    """(3, 3): the unit vector of each array axis, as columns."""
    return affine[:3, :3] / spacing_of(affine)


def centre_of(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """(3,) mm: the middle of a volume of ``shape`` voxels, in the affine's own coordinates."""
    return affine[:3, :3] @ ((np.array(shape) - 1) / 2) + affine[:3, 3]


def centred_affine(directions: np.ndarray, spacing: Sequence[float] | np.ndarray, shape: Sequence[int],
                   centre: np.ndarray) -> np.ndarray:  # fmt: skip
    """The affine (4, 4) of a volume whose middle lies at ``centre``.

    Args:
        directions: (3, 3), the unit vectors of the array axes as columns.
        spacing: (3,) mm.
        shape: voxels along each axis.
        centre: (3,) mm.
    """
    affine = np.eye(4)
    affine[:3, :3] = directions * np.asarray(spacing)
    affine[:3, 3] = centre - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return affine


def nearest_directions(own: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Another image's axes in the order and sense of one's own: left stays left and up stays up.

    Args:
        own: (3, 3), unit vectors as columns.
        theirs: (3, 3), unit vectors as columns.

    Returns:
        (3, 3): the columns of ``theirs``, each put and turned to where the nearest column of ``own`` is; those that
        are closest are matched first, and none twice.
    """
    likeness = own.T @ theirs
    matched = np.empty((3, 3))
    for column in np.argsort(-np.abs(likeness).max(axis=0), kind="stable"):
        row = np.abs(likeness[:, column]).argmax()
        matched[:, row] = np.sign(likeness[row, column]) * theirs[:, column]
        likeness[row] = 0
    return matched


def is_upright(affine: np.ndarray, *, tolerance: float) -> bool:
    """Whether the array axes run to the right, front and head, each direction's components within ``tolerance``."""
    return bool(np.allclose(directions_of(affine), np.eye(3), rtol=0, atol=tolerance))


def slice_plane(affine: np.ndarray, thicker: float = 1.5) -> str | None:
    """In which plane a scan was acquired: axial, coronal or sagittal, by the axis of its longest voxel side.

    Args:
        affine: (4, 4).
        thicker: how many times longer than the next that side must be; else there is no plane, and ``None`` is given.
    """
    spacing = spacing_of(affine)
    through = int(spacing.argmax())
    if spacing[through] < thicker * np.sort(spacing)[1]:
        return None
    return ("sagittal", "coronal", "axial")[int(np.abs(directions_of(affine)[:, through]).argmax())]


def radiological(plane: np.ndarray) -> np.ndarray:
    """A plane the way a radiologist looks at it: the patient's right at the left of the picture, front or head up.

    Args:
        plane: (A, B) indexed by two of right, front and head, in that order.

    Returns:
        (B, A): rows from the top, columns from the left; a view, nothing is copied. Of a sagittal plane the front is
        at the left.
    """
    return plane.T[::-1, ::-1]


def crop_around(
    voxels: np.ndarray, affine: np.ndarray, size_mm: Sequence[float], center_mm: Sequence[float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """A part of an image, where it lies: voxels (X, Y, Z) and their affine.

    Args:
        voxels: (X, Y, Z).
        affine: (4, 4), in mm.
        size_mm: what is kept along each axis, to the nearest voxel: one at least, and at most all of them.
        center_mm: around which point, in the affine's space; as near to it as the border lets. By default the middle.
    """
    kept = [
        min(count, max(1, round(length / step)))
        for count, length, step in zip(voxels.shape, size_mm, spacing_of(affine), strict=True)
    ]
    spare = np.subtract(voxels.shape, kept)
    first = spare // 2
    if center_mm is not None:
        center = np.linalg.solve(affine, [*center_mm, 1.0])[:3]
        first = np.clip(np.rint(center - (np.array(kept) - 1) / 2).astype(int), 0, spare)
    within = tuple(slice(start, start + count) for start, count in zip(first, kept, strict=True))
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ first
    return np.ascontiguousarray(voxels[within]), moved
