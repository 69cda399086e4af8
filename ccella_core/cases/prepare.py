"""Brings every case onto the grid: several at once, each as a whole or not at all, and none twice.

What became of a case is written beside it with a fingerprint of all that it depends on; a run that was stopped, or is
started again after a few cases were mended, does only what is left.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from PIL import Image
from pydantic import Field, ValidationError

from ccella_core.cases.case import SPLITS, Case, RejectedCase, SourceCases
from ccella_core.cases.grid import LEAST_OVERLAP, centroid, coverage, onto, target_grid
from ccella_core.cases.intensity import intensity_range, scaled
from ccella_core.cases.prepared import (
    GLAND,
    INDEX_NAME,
    LESION,
    STATE,
    WHITE,
    PreparedCase,
    PreparedIndex,
    PreparedSet,
    PrepareSettings,
    picture_path,
    regions_path,
    volume_path,
    write_cases,
    write_index,
)
from ccella_core.cases.splits import check_splits
from ccella_core.config import StrictModel
from ccella_core.errors import InputError, SaveError
from ccella_core.files import sha256_of, whole_file
from ccella_core.imaging.orientation import affine_of
from ccella_core.imaging.planes import middle_planes, side_by_side
from ccella_core.imaging.scans import read_scan, refuse_nan
from ccella_core.parallel import in_processes
from ccella_core.progress import OnProgress

log = logging.getLogger(__name__)

RULES = 1
"""Raised whenever the rules change by which a case is prepared, so that none is kept that followed the old ones."""
UNIT_RANGE = (0.0, 1.0)
SPACING_TOLERANCE = 0.02
"""Share by which the stated spacing may differ from the image's: tables round."""


class Outcome(StrictModel):
    """What became of one case's images."""

    fingerprint: str
    refused: str | None = None
    sha256: dict[str, str] = Field(default_factory=dict)
    source_spacing_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    source_shape: tuple[int, int, int] = (0, 0, 0)
    has_regions: bool = False


def prepare(
    listing: SourceCases, settings: PrepareSettings, out: Path, *, jobs: int = 1, progress: OnProgress | None = None
) -> tuple[PreparedSet, list[RejectedCase]]:
    """Prepare the cases of a listing in the folder ``out``.

    Args:
        listing: cases with splits; those that its source refused are passed on.
        settings: the grid and the sequences.
        out: the folder; prepared cases in it with the same settings are kept.
        jobs: processes at once; 0: as many as there are processor cores.
        progress: told of every case that is done.

    Returns:
        The prepared cases, and those that were refused with their reasons.

    Raises:
        InputError: no case can be used, a patient stands in two splits, or the folder holds other settings.
        SaveError: the disk refuses; what is finished stays.
    """
    check_splits(listing.cases)
    _refuse_other_settings(out, settings)
    write_index(out, settings)
    outcomes: dict[str, Outcome] = {}
    for done, (case, outcome) in enumerate(_outcomes(listing.cases, settings, out, jobs), start=1):
        outcomes[case.id] = outcome
        if progress is not None:
            progress(done, len(listing.cases))
    refused = list(listing.refused)
    finished = []
    for case in listing.cases:
        outcome = outcomes[case.id]
        if outcome.refused is not None:
            log.warning("%s is left out: %s", case.id, outcome.refused)
            refused.append(RejectedCase(id=case.id, reason=outcome.refused))
        else:
            finished.append(_prepared_case(case, outcome))
    if not finished:
        reasons = "; ".join(f"{each.id}: {each.reason}" for each in refused[:3])
        raise InputError(f"None of the {len(refused)} cases can be used ({reasons}).")
    write_cases(out, finished)
    return PreparedSet.open(out), refused


def _outcomes(
    cases: tuple[Case, ...], settings: PrepareSettings, out: Path, jobs: int
) -> Iterator[tuple[Case, Outcome]]:
    """Those that are known first, then the others as they are finished."""
    left = []
    for case in cases:
        known = _known_outcome(case, settings, out)
        if known is None:
            left.append(case)
        else:
            yield case, known
    yield from in_processes(partial(prepare_case, settings=settings, out=out), left, jobs)


def prepare_case(case: Case, settings: PrepareSettings, out: Path) -> Outcome:
    """Prepare one case and write what became of it. Raises SaveError where the disk refuses."""
    fingerprint = _fingerprint(case, settings)
    try:
        try:
            outcome = _prepared_images(case, settings, out, fingerprint)
        except InputError as error:
            outcome = Outcome(fingerprint=fingerprint, refused=str(error))
        state = _state_path(case, out)
        state.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(state) as unfinished:
            unfinished.write_text(outcome.model_dump_json(), encoding="utf-8")
    except OSError as error:
        raise SaveError(
            f"{case.id} could not be written into {out}: {error}. What is finished stays; free some disk space and "
            "start the same command again."
        ) from error
    return outcome


def _prepared_images(case: Case, settings: PrepareSettings, out: Path, fingerprint: str) -> Outcome:
    missing = [name for name in settings.sequences if name not in case.images]
    if missing:
        raise InputError(f"There is no {', '.join(missing)}.")
    reference = read_scan(case.images["t2w"])
    _compare_spacing(case, reference)
    masks = {name: read_scan(path) for name, path in (("gland", case.gland), ("lesion", case.lesion)) if path}
    centre = centroid(masks["gland"]) if settings.centre == "gland" and "gland" in masks else None
    grid = target_grid(reference, settings.shape, settings.spacing, centre)
    within = coverage(grid, reference)
    volumes = {}
    for name in settings.sequences:
        refuse_nan(case.images[name])
        scan = reference if name == "t2w" else read_scan(case.images[name])
        voxels = sitk.GetArrayViewFromImage(scan)
        limits = intensity_range(voxels, name) if settings.scaling == "published" else UNIT_RANGE
        if name != "t2w" and (covers := (coverage(grid, scan) & within).sum() / max(1, within.sum())) < LEAST_OVERLAP:
            raise InputError(f"The {name} covers {covers:.0%} of the T2-weighted scan: it shows something else.")
        volumes[name] = scaled(onto(grid, scan), limits) * coverage(grid, scan)
    written = {
        volume_path(case.id, name): np.round(voxels * WHITE).astype(np.uint16) for name, voxels in volumes.items()
    }
    if "gland" in masks:
        labels = (onto(grid, masks["gland"], labels=True) > 0).astype(np.uint8) * GLAND
        if "lesion" in masks:
            labels[onto(grid, masks["lesion"], labels=True) > 0] = LESION
        written[regions_path(case.id)] = labels
    affine = affine_of(grid)
    hashes = {name: _write(out / name, voxels, affine) for name, voxels in written.items()}
    _write_picture(out / picture_path(case.id), list(volumes.values()), settings)
    return Outcome(
        fingerprint=fingerprint,
        sha256=hashes,
        source_spacing_mm=reference.GetSpacing(),
        source_shape=reference.GetSize(),
        has_regions="gland" in masks,
    )


def _compare_spacing(case: Case, scan: sitk.Image) -> None:
    if case.spacing_mm is None:
        return
    if not np.allclose(case.spacing_mm, scan.GetSpacing(), rtol=SPACING_TOLERANCE):
        stated, found = (" x ".join(f"{length:g}" for length in each) for each in (case.spacing_mm, scan.GetSpacing()))
        raise InputError(f"Its spacing is stated as {stated} mm and the scan has {found} mm.")


def _write(path: Path, voxels: np.ndarray, affine: np.ndarray) -> str:
    image = nib.Nifti1Image(voxels, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units(xyz="mm")
    if voxels.dtype == np.uint16:
        image.header.set_slope_inter(1 / WHITE, 0)  # so that a viewer shows 0 … 1
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as unfinished:
        image.to_filename(unfinished)
    return sha256_of(path)


def _write_picture(path: Path, volumes: list[np.ndarray], settings: PrepareSettings) -> None:
    """The middle of each sequence in three planes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = [picture for volume in volumes for picture in middle_planes(volume, settings.spacing)]
    with whole_file(path) as unfinished:
        Image.fromarray(side_by_side(planes)).save(unfinished)


def _prepared_case(case: Case, outcome: Outcome) -> PreparedCase:
    assert case.split in SPLITS
    kept = case.model_dump(
        include={"id", "patient", "split", "pathology", "pirads", "reports", "report_source", "fields"}
    )
    return PreparedCase(
        **kept,
        source_spacing_mm=outcome.source_spacing_mm,
        source_shape=outcome.source_shape,
        has_regions=outcome.has_regions,
        sha256=outcome.sha256,
    )


def _state_path(case: Case, out: Path) -> Path:
    return out / STATE / f"{case.id}.json"


def _known_outcome(case: Case, settings: PrepareSettings, out: Path) -> Outcome | None:
    try:
        outcome = Outcome.model_validate_json(_state_path(case, out).read_bytes())
    except (OSError, ValidationError):
        return None
    if outcome.fingerprint != _fingerprint(case, settings):
        return None
    return outcome if all((out / name).is_file() for name in outcome.sha256) else None


def _fingerprint(case: Case, settings: PrepareSettings) -> str:
    """Changes with the rules, the settings, and the name, size or time of any file that the case is made from."""
    digest = hashlib.sha256(f"{RULES} {settings.model_dump_json()} {case.spacing_mm}".encode())
    sources: list[tuple[str, Path | None]] = [*case.images.items(), ("gland", case.gland), ("lesion", case.lesion)]
    for name, path in sources:
        if path is None:
            continue
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            stat = file.stat() if file.exists() else None
            digest.update(f"{name} {file} {stat and (stat.st_size, stat.st_mtime_ns)}".encode())
    return digest.hexdigest()[:16]


def _refuse_other_settings(out: Path, settings: PrepareSettings) -> None:
    path = out / INDEX_NAME
    if not path.exists():
        return
    try:
        found = PreparedIndex.model_validate_json(path.read_bytes()).settings
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} cannot be read; choose another folder.") from error
    different = [
        f"{name} {getattr(found, name)} there, {getattr(settings, name)} now"
        for name in PrepareSettings.model_fields
        if getattr(found, name) != getattr(settings, name)
    ]
    if different:
        raise InputError(f"{out} holds cases prepared in another way ({'; '.join(different)}); choose another folder.")
