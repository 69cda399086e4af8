"""Scans and masks of a case before they come onto the grid: their values, and whether they lie where they should."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.cases.case import Case
from ccella_core.cases.prepared import GLAND, LESION, PrepareSettings
from ccella_core.errors import InputError
from ccella_core.imaging.grid import onto, share_inside
from ccella_core.imaging.intensity import adc_in_units, intensity_range, without_padding
from ccella_core.imaging.orientation import affine_of, slice_plane
from ccella_core.imaging.raw_files import OnWarning
from ccella_core.imaging.scans import read_mask
from ccella_core.provenance import SequenceName

UNIT_RANGE = (0.0, 1.0)
LEAST_INSIDE, NEARLY_ALL = 0.5, 0.98
"""Shares of a mask that must lie, and are expected to lie, within the scan."""
GLAND_ML = (5.0, 400.0)
"""Beyond which a mask may not be the gland's."""


def with_limits(
    scan: sitk.Image, name: SequenceName, settings: PrepareSettings, on_warning: OnWarning
) -> tuple[sitk.Image, tuple[float, float]]:
    """The scan without padding and in its unit, and the values that become 0 and 1."""
    if settings.scaling != "published":
        return scan, UNIT_RANGE
    stored = sitk.GetArrayViewFromImage(scan)
    voxels, real = without_padding(stored, on_warning, name)
    if name == "adc":
        voxels = adc_in_units(voxels, on_warning)
    limits = intensity_range(voxels[real], name)
    if voxels is stored:
        return scan, limits
    mended = sitk.GetImageFromArray(voxels)
    mended.CopyInformation(scan)
    return mended, limits


def check_plane(scan: sitk.Image, name: SequenceName, on_warning: OnWarning) -> None:
    """Warns of a scan in other slices than axial ones, whose planes are blurred by its slice thickness."""
    plane = slice_plane(affine_of(scan))
    if plane not in (None, "axial"):
        on_warning(f"The {name} was acquired in {plane} slices, not in axial ones.")


def read_masks(case: Case, scan: sitk.Image, on_warning: OnWarning) -> dict[str, sitk.Image]:
    """Those that lie within the scan. Raises InputError for one that is empty or lies elsewhere."""
    masks = {}
    for name, path in (("gland", case.gland), ("lesion", case.lesion)):
        if path is None:
            continue
        mask = read_mask(path, on_warning)
        if not sitk.GetArrayViewFromImage(mask).any():
            if name == "gland":
                raise InputError("The mask of the gland is empty.")
            if case.pathology != "negative":
                on_warning(f"The mask of the {name} is empty.")
            continue
        inside = share_inside(mask, scan)
        if inside < LEAST_INSIDE:
            where = "outside the scan" if inside == 0 else f"{1 - inside:.0%} outside the scan"
            raise InputError(f"The mask of the {name} lies {where}; was it drawn on another image ({path.name})?")
        if inside < NEARLY_ALL:
            on_warning(f"{1 - inside:.0%} of the mask of the {name} lies outside the scan.")
        masks[name] = mask
    if "lesion" in masks and "gland" not in masks:
        on_warning("Its mask of the lesion is not used, as there is none of the gland.")
    if "gland" in masks:
        mask = masks["gland"]
        millilitres = int(sitk.GetArrayViewFromImage(mask).sum()) * float(np.prod(mask.GetSpacing())) / 1000
        if not GLAND_ML[0] <= millilitres <= GLAND_ML[1]:
            on_warning(f"The mask of the gland holds {millilitres:.3g} mL.")
    return masks


def regions_on(grid: sitk.Image, masks: dict[str, sitk.Image], on_warning: OnWarning) -> np.ndarray:
    """The masks on the grid: GLAND and LESION, (X, Y, Z) uint8."""
    labels = (onto(grid, masks["gland"], labels=True) > 0).astype(np.uint8) * GLAND
    if "lesion" in masks:
        lesion = onto(grid, masks["lesion"], labels=True) > 0
        if not lesion.any():
            on_warning("The mask of the lesion has no voxel within the crop.")
        elif not (lesion & (labels > 0)).any():
            on_warning("The mask of the lesion lies outside that of the gland.")
        labels[lesion] = LESION
    return labels
