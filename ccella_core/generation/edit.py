"""A scan to be edited: read and checked before a model is loaded, brought onto the model's grid, and laid back.

The model draws on its own grid, in 0 … 1; the result has the grid, the intensities and the type of the scan. Voxels
outside the model's field of view, and outside the mask, are the scan's own. Torch is not needed here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from scipy import ndimage

from ccella_core.errors import InputError
from ccella_core.imaging.grid import coverage, onto, target_grid
from ccella_core.imaging.intensity import adc_in_units, intensity_range, scaled, without_padding
from ccella_core.imaging.orientation import affine_of, set_affine
from ccella_core.imaging.raw_files import OnWarning
from ccella_core.imaging.scans import as_mask, as_scan
from ccella_core.limits import EDITED_FROM_DIGITS
from ccella_core.provenance import SequenceName

RIM_MM = 4.0
"""Over which what was drawn passes into the scan, inside the mask: a voxel of the usual latents."""
GEOMETRY_TOLERANCE = 0.01
"""In voxels: what a rounded header leaves between a scan and a mask of it."""


class Sphere(NamedTuple):
    """A mask around a point."""

    centre: tuple[float, float, float]
    """RAS+ mm, as the scan has them."""
    radius_mm: float


Source = sitk.Image | Path | str
"""A scan or a mask: an image, an image file, or a folder of one DICOM series."""


@dataclass(frozen=True)
class ScanToEdit:
    """Scans of one examination, and where they may be changed; ``scan_to_edit`` makes it."""

    scans: Mapping[SequenceName, sitk.Image]
    """In the model's order."""
    ranges: Mapping[SequenceName, tuple[float, float]]
    """What the network's 0 and 1 stand for, in each scan's own intensities."""
    mask: sitk.Image | None
    """On the grid of the first scan, uint8; ``None``: all of it may be changed."""

    def grid(self, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> sitk.Image:
        """The model's field of view: around the middle of the scan, moved as far as the mask needs.

        Args:
            shape: voxels along X, Y, Z that the model draws.
            spacing: mm.

        Raises:
            InputError: the mask is larger than it.
        """
        first = next(iter(self.scans.values()))
        grid = target_grid(first, shape, spacing)
        if self.mask is None:
            return grid
        places = _places_in(grid, self.mask)
        low, high = places.min(axis=0), places.max(axis=0)
        last = np.array(shape) - 1
        if (high - low > last).any():
            needed, there = (_lengths(voxels * spacing) for voxels in (high - low + 1, last + 1))
            raise InputError(
                f"The mask is {needed} mm large and the model draws {there} mm: make it smaller, or leave it out."
            )
        affine = affine_of(grid)
        affine[:3, 3] += affine[:3, :3] @ (np.minimum(low, 0) + np.maximum(high - last, 0))
        set_affine(grid, affine)
        return grid

    def on(self, grid: sitk.Image, sequence: SequenceName) -> np.ndarray:
        """A scan on the model's grid, (X, Y, Z) float32 in 0 … 1; beyond its edges the nearest voxel goes on."""
        scan = self.scans[sequence]
        padded = sitk.GetImageFromArray(without_padding(sitk.GetArrayViewFromImage(scan), _unheard)[0])
        padded.CopyInformation(scan)
        return scaled(onto(grid, padded, beyond_edges=True), self.ranges[sequence])

    def drawn(self, grid: sitk.Image) -> np.ndarray:
        """Which voxels of the model's grid are drawn anew, (X, Y, Z) bool: in the mask, and where there is no scan."""
        if self.mask is None:
            return np.ones(grid.GetSize(), bool)
        return (onto(grid, self.mask, labels=True) > 0) | ~coverage(grid, self.mask)

    def laid_back(self, grid: sitk.Image, sequence: SequenceName, decoded: np.ndarray) -> np.ndarray:
        """What the model drew, in the scan.

        Args:
            grid: the model's.
            sequence: of the scan.
            decoded: (X, Y, Z) in 0 … 1 on ``grid``.

        Returns:
            (X, Y, Z) on the scan's grid, in its intensities and of its type. Where nothing may change, the voxels are
            the scan's own; from the edge of that region inwards, what was drawn fades in over ``RIM_MM``.
        """
        scan = self.scans[sequence]
        own = sitk.GetArrayFromImage(scan).transpose(2, 1, 0)
        drawn = sitk.GetImageFromArray(np.ascontiguousarray(decoded.transpose(2, 1, 0)))
        drawn.CopyInformation(grid)
        region = coverage(scan, grid)
        if self.mask is not None:
            region &= onto(scan, self.mask, labels=True) > 0
        weight = _weights(region, scan.GetSpacing())
        low, high = self.ranges[sequence]
        new = low + (high - low) * onto(scan, drawn, beyond_edges=True)
        mixed = own + weight * (new - own)
        if own.dtype.kind in "iu":
            limits = np.iinfo(own.dtype)
            mixed = np.rint(mixed).clip(limits.min, limits.max)
        return np.where(weight > 0, mixed.astype(own.dtype), own)

    @property
    def name(self) -> str:
        """For files of what is edited from it: a few digits of the first scan's hash, and nobody's name."""
        return f"EDITED_FROM_{self._examination_sha256[:EDITED_FROM_DIGITS]}"

    def hashes(self, sequence: SequenceName) -> dict[str, str | None]:
        """``Provenance``'s hashes of scan, examination and mask, which name them without naming a patient."""
        return {
            "source_sha256": voxel_sha256(self.scans[sequence]),
            "examination_sha256": self._examination_sha256,
            "mask_sha256": None if self.mask is None else voxel_sha256(self.mask),
        }

    @property
    def _examination_sha256(self) -> str:
        return voxel_sha256(next(iter(self.scans.values())))


def scan_to_edit(
    image: Source | Mapping[SequenceName, Source],
    mask: Source | Sphere | None = None,
    *,
    sequences: Sequence[SequenceName],
    on_warning: OnWarning | None = None,
) -> ScanToEdit:
    """Read and check what is to be edited.

    Args:
        image: one scan, of the first of ``sequences``; or several of one examination by their sequence.
        mask: where they may be changed: a mask on the grid of the first scan, or a sphere; by default everywhere.
        sequences: those of the model.
        on_warning: hears what is odd and usable; by default the log.

    Raises:
        InputError: a scan or mask that cannot be read, a sequence that the model does not draw, a mask that is empty or
            on another grid, a sphere outside the scan.
    """
    given = image if isinstance(image, Mapping) else {sequences[0]: image}
    _check_sequences(given, sequences)
    scans = {name: as_scan(given[name], on_warning) for name in sequences if name in given}
    first = next(iter(scans.values()))
    mask_image: sitk.Image | None = None
    if isinstance(mask, Sphere):
        mask_image = _ball(first, mask)
    elif mask is not None:
        mask_image = _on_the_grid_of(first, as_mask(mask, on_warning))
    ranges = {name: _own_range(scan, name, on_warning or _unheard) for name, scan in scans.items()}
    return ScanToEdit(scans, ranges, mask_image)


def edit_of(
    image: ScanToEdit | Source | Mapping[SequenceName, Source] | None,
    mask: Source | Sphere | None,
    sequences: Sequence[SequenceName],
) -> ScanToEdit | None:
    """What a pipeline that draws ``sequences`` is asked to edit; ``None``: nothing. Raises InputError."""
    if image is None and mask is not None:
        raise InputError("A mask says where a scan may change: give the scan as well.")
    if not isinstance(image, ScanToEdit):
        return None if image is None else scan_to_edit(image, mask, sequences=sequences)
    if mask is not None:
        raise InputError("The mask of a scan that was read already was to be given with it.")
    _check_sequences(image.scans, sequences)
    return image


def _check_sequences(given: Mapping[SequenceName, object], sequences: Sequence[SequenceName]) -> None:
    others = [str(name) for name in given if name not in sequences]
    if others or not given:
        raise InputError(
            f"The model draws {', '.join(sequences)}, not {', '.join(others) or 'nothing'}: give a scan of a sequence "
            "that it draws, or take another model."
        )


def _own_range(scan: sitk.Image, sequence: SequenceName, on_warning: OnWarning) -> tuple[float, float]:
    """What becomes 0 and 1, as in training, in the scan's own intensities."""
    voxels, real = without_padding(sitk.GetArrayViewFromImage(scan), on_warning, sequence)
    in_units = adc_in_units(voxels, on_warning) if sequence == "adc" else voxels
    low, high = intensity_range(in_units[real], sequence)
    unit = float(in_units.max()) / float(voxels.max()) if in_units is not voxels else 1.0
    return low / unit, high / unit


def _ball(scan: sitk.Image, sphere: Sphere) -> sitk.Image:
    values = np.array([*sphere.centre, sphere.radius_mm], dtype=np.float64)
    if len(values) != 4 or not np.isfinite(values).all() or sphere.radius_mm <= 0:
        raise InputError("A sphere is a point of three numbers in mm (RAS) and a radius above 0 mm.")
    affine = affine_of(scan)
    size = np.array(scan.GetSize())
    place = np.linalg.inv(affine) @ [*sphere.centre, 1]
    if ((place[:3] < -0.5) | (place[:3] > size - 0.5)).any():
        middle = affine @ [*((size - 1) / 2), 1]
        raise InputError(
            f"The point {_lengths(values[:3], ', ')} (RAS, mm) lies outside the scan, whose middle is at "
            f"{_lengths(middle[:3], ', ')}."
        )
    x, y, z = (
        ((np.arange(count) - middle) * length) ** 2
        for count, middle, length in zip(size, place[:3], scan.GetSpacing(), strict=True)
    )
    inside = x[:, None, None] + y[:, None] + z <= sphere.radius_mm**2
    if not inside.any():
        raise InputError(f"A sphere of {sphere.radius_mm:g} mm holds no voxel of this scan: make it larger.")
    mask = sitk.GetImageFromArray(inside.transpose(2, 1, 0).astype(np.uint8))
    mask.CopyInformation(scan)
    return mask


def _on_the_grid_of(scan: sitk.Image, mask: sitk.Image) -> sitk.Image:
    if mask.GetSize() != scan.GetSize():
        sizes = (" x ".join(map(str, image.GetSize())) for image in (mask, scan))
        raise InputError(f"The mask has {next(sizes)} voxels and the scan {next(sizes)}: save it on the scan's grid.")
    if not sitk.GetArrayViewFromImage(mask).any():
        raise InputError("The mask is empty: nothing would be changed.")
    corners = np.stack(np.meshgrid(*([0, size - 1] for size in scan.GetSize()), [1], indexing="ij"), -1).reshape(-1, 4)
    apart = np.linalg.inv(affine_of(scan)) @ affine_of(mask) @ corners.T - corners.T
    if abs(apart).max() > GEOMETRY_TOLERANCE:
        raise InputError(
            f"The mask lies elsewhere than the scan (up to {abs(apart).max():.3g} voxels apart): save it on the scan's "
            "grid."
        )
    return mask


def _places_in(grid: sitk.Image, mask: sitk.Image) -> np.ndarray:
    """(N, 3): where in ``grid``, in its voxels, those of the mask lie."""
    indices = np.argwhere(sitk.GetArrayViewFromImage(mask) > 0)[:, ::-1]
    matrix = np.linalg.inv(affine_of(grid)) @ affine_of(mask)
    return indices @ matrix[:3, :3].T + matrix[:3, 3]


def _weights(region: np.ndarray, spacing: Sequence[float]) -> np.ndarray:
    """What was drawn counts from 0 outside a region, (X, Y, Z) bool, to 1 at ``RIM_MM`` and more inside, float32."""
    weight = np.zeros(region.shape, np.float32)
    if not region.any():
        return weight
    # Only around the region, because distances take long; one voxel more on each side, so that its edge is seen.
    box = tuple(slice(max(0, int(places.min()) - 1), int(places.max()) + 2) for places in np.nonzero(region))
    if region[box].all():
        weight[box] = 1
        return weight
    depth = ndimage.distance_transform_edt(region[box], sampling=spacing)
    weight[box] = np.minimum(depth / min(RIM_MM, depth.max()), 1)
    return weight


def voxel_sha256(image: sitk.Image) -> str:
    """Of shape and voxels as float64, X first: any file format and type that holds the same numbers gives the same."""
    voxels = sitk.GetArrayViewFromImage(image)
    digest = hashlib.sha256(" ".join(map(str, image.GetSize())).encode())
    for plane in voxels:
        digest.update(np.ascontiguousarray(plane, dtype="<f8").tobytes())
    return digest.hexdigest()


def _lengths(values: np.ndarray, between: str = " x ") -> str:
    return between.join(f"{value:.0f}" for value in values)


def _unheard(_warning: str) -> None:
    """It was said when the scan was read."""
