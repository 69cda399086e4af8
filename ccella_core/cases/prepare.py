"""Brings every case onto the grid: several at once, each as a whole or not at all, and none twice.

What became of a case is written beside it with a fingerprint of all that it depends on; a run that was stopped, or is
started again after a few cases were mended, does only what is left.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from PIL import Image
from pydantic import ValidationError

from ccella_core.cases.case import SPLITS, Case, RejectedCase, SourceCases
from ccella_core.cases.outcome import Outcome, fingerprint_of, known_outcome, state_path
from ccella_core.cases.prepared import (
    INDEX_NAME,
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
from ccella_core.cases.reports import with_languages_noticed
from ccella_core.cases.splits import check_splits
from ccella_core.cases.values import check_plane, read_masks, regions_on, with_limits
from ccella_core.errors import InputError, SaveError
from ccella_core.files import alone_in, read_bytes, sha256_of, whole_file, write_text
from ccella_core.fingerprints import refuse_other
from ccella_core.generation.report_text import check_report
from ccella_core.imaging.grid import LEAST_OVERLAP, centroid, coverage, onto, target_grid, whole_grid
from ccella_core.imaging.intensity import scaled
from ccella_core.imaging.orientation import affine_of
from ccella_core.imaging.planes import middle_planes, side_by_side
from ccella_core.imaging.scans import SPACING_TOLERANCE, read_scan
from ccella_core.parallel import in_processes, processes
from ccella_core.progress import OnProgress

log = logging.getLogger(__name__)


def prepare(
    listing: SourceCases, settings: PrepareSettings, out: Path, *, jobs: int = 1, progress: OnProgress | None = None
) -> tuple[PreparedSet, list[RejectedCase]]:
    """Prepare the cases of a listing in the folder ``out``.

    Args:
        listing: cases with splits; those that its source refused are passed on.
        settings: the grid and the sequences.
        out: the folder; prepared cases in it with the same settings are kept.
        jobs: processes at once; 0: as many as there are processor cores.
        progress: called with every case that is done.

    Returns:
        The prepared cases, and those that were left out with their reasons.

    Raises:
        InputError: no case can be used, a patient stands in two splits, the folder holds other settings, or another
            process prepares cases in it. Nothing is left that would stop the corrected command.
        SaveError: the disk refuses; what is finished stays.
    """
    check_splits(listing.cases)
    refuse_other_settings(out, settings)
    cases, refused = _with_usable_reports(listing)
    with alone_in(out):
        outcomes: dict[str, Outcome] = {}
        with closing(_outcomes(cases, settings, out, jobs)) as found:
            for done, (case, outcome) in enumerate(found, start=1):
                outcomes[case.id] = outcome
                if progress is not None:
                    progress(done, len(cases))
        finished = []
        for case in cases:
            outcome = outcomes[case.id]
            if outcome.refused is not None:
                refused.append(RejectedCase(case.id, outcome.refused))
            else:
                finished.append(_prepared_case(case, outcome))
        _log(refused[len(listing.refused) :], finished)
        if not finished and not refused:
            raise InputError("No case is listed; give a line for each.")
        if not finished:
            reasons = "; ".join(f"{each.id}: {each.reason}" for each in refused[:3])
            raise InputError(f"None of the {len(refused)} cases can be used ({reasons}).")
        write_index(out, settings)
        write_cases(out, finished)
    return PreparedSet.open(out), refused


def _with_usable_reports(listing: SourceCases) -> tuple[tuple[Case, ...], list[RejectedCase]]:
    """The cases whose reports training and generation take, and all that are left out."""
    usable, refused = [], list(listing.refused)
    for case in listing.cases:
        try:
            for report in case.reports:
                check_report(report)
            usable.append(case)
        except InputError as error:
            refused.append(RejectedCase(case.id, str(error)))
    return tuple(with_languages_noticed(usable)), refused


def _log(refused: Sequence[RejectedCase], finished: Sequence[PreparedCase]) -> None:
    for each in refused:
        log.warning("%s is left out: %s", each.id, each.reason)
    for case in finished:
        for warning in case.warnings:
            log.warning("%s: %s", case.id, warning)


def _outcomes(
    cases: tuple[Case, ...], settings: PrepareSettings, out: Path, jobs: int
) -> Generator[tuple[Case, Outcome], None, None]:
    """Those that are known first, then the others as they are finished.

    Where the system ends a process, the cases that were in hand are tried again, each in a process of its own; one that
    ends that as well is left out.
    """
    left = []
    for case in cases:
        known = known_outcome(case, settings, out)
        if known is None:
            left.append(case)
        else:
            yield case, known
    work = partial(prepare_case, settings=settings, out=out)
    in_hand = min(jobs or os.cpu_count() or 1, len(left))
    while left:
        try:
            with closing(in_processes(work, tuple(left), jobs)) as results:
                for case, outcome in results:
                    left.remove(case)
                    yield case, outcome
        except BrokenProcessPool:
            # Cases are begun in their order, so that those in hand are the first that are not finished.
            suspects, left = left[:in_hand], left[in_hand:]
            for case in suspects:
                yield case, _tried_alone(case, settings, out)


def _tried_alone(case: Case, settings: PrepareSettings, out: Path) -> Outcome:
    try:
        with processes(1) as pool:
            return pool.submit(prepare_case, case, settings, out).result()
    except BrokenProcessPool:
        return Outcome(
            fingerprint=fingerprint_of(case, settings),
            refused="The system ended the process that prepared it: there may be too little memory; try it with "
            "fewer jobs.",
        )


def prepare_case(case: Case, settings: PrepareSettings, out: Path) -> Outcome:
    """Prepare one case and write what became of it. Raises SaveError where the disk refuses."""
    fingerprint = fingerprint_of(case, settings)
    try:
        try:
            outcome = _prepared_images(case, settings, out, fingerprint)
        except InputError as error:
            outcome = Outcome(fingerprint=fingerprint, refused=str(error))
        except MemoryError:
            return Outcome(fingerprint=fingerprint, refused="It needs more memory than there is; try fewer jobs.")
        except OSError:
            raise
        except Exception as error:  # one odd case must not end the run of all others
            log.debug("%s", case.id, exc_info=True)
            last = (str(error).strip().splitlines() or [""])[-1][:200]
            outcome = Outcome(
                fingerprint=fingerprint, refused=f"It could not be prepared ({type(error).__name__}: {last})."
            )
        write_text(state_path(case, out), outcome.model_dump_json(), private=True)
    except OSError as error:
        cause = getattr(error.__cause__, "strerror", None) or error.strerror or error
        raise SaveError(
            f"{case.id} could not be written into {out}: {cause}. What is finished stays; free some disk space and "
            "start the same command again."
        ) from error
    return outcome


def _prepared_images(case: Case, settings: PrepareSettings, out: Path, fingerprint: str) -> Outcome:
    present = [name for name in settings.sequences if name in case.images]
    if not present:
        raise InputError(f"There is no {' and no '.join(settings.sequences)}; it needs one of the sequences at least.")
    warnings: list[str] = []
    reference = read_scan(case.images["t2w"], warnings.append)
    _compare_spacing(case, reference)
    masks = read_masks(case, reference, warnings.append)
    centre = centroid(masks["gland"]) if settings.centre == "gland" and "gland" in masks else None
    if settings.grid == "whole":
        grid = whole_grid(reference, settings.shape)
    else:
        grid = target_grid(reference, settings.shape, settings.spacing, centre)
    within = coverage(grid, reference)
    volumes = {}
    for name in present:
        scan = reference if name == "t2w" else read_scan(case.images[name], warnings.append)
        check_plane(scan, name, warnings.append)
        scan, limits = with_limits(scan, name, settings, warnings.append)
        covered = coverage(grid, scan)
        if name != "t2w" and (covers := (covered & within).sum() / max(1, within.sum())) < LEAST_OVERLAP:
            raise InputError(f"The {name} covers {covers:.0%} of the T2-weighted scan: it shows something else.")
        volumes[name] = scaled(onto(grid, scan), limits) * covered
        if volumes[name].min() == volumes[name].max():
            raise InputError(f"The {name} shows nothing within the crop: the grid lies beside it.")
    written = {
        volume_path(case.id, name): np.round(voxels * WHITE).astype(np.uint16) for name, voxels in volumes.items()
    }
    if "gland" in masks:
        written[regions_path(case.id)] = regions_on(grid, masks, warnings.append)
    affine = affine_of(grid)
    hashes = {name: write_volume(out / name, voxels, affine) for name, voxels in written.items()}
    write_picture(out / picture_path(case.id), list(volumes.values()), grid.GetSpacing())
    return Outcome(
        fingerprint=fingerprint,
        warnings=tuple(dict.fromkeys(warnings)),
        sha256=hashes,
        source_spacing_mm=reference.GetSpacing(),
        source_shape=reference.GetSize(),
        spacing_mm=grid.GetSpacing() if settings.grid == "whole" else None,
        has_regions="gland" in masks,
    )


def _compare_spacing(case: Case, scan: sitk.Image) -> None:
    if case.spacing_mm is None:
        return
    if not np.allclose(case.spacing_mm, scan.GetSpacing(), rtol=SPACING_TOLERANCE):
        stated, found = (" x ".join(f"{length:g}" for length in each) for each in (case.spacing_mm, scan.GetSpacing()))
        raise InputError(f"Its spacing is stated as {stated} mm and the scan has {found} mm.")


def write_volume(path: Path, voxels: np.ndarray, affine: np.ndarray) -> str:
    """Write stored numbers (X, Y, Z), uint16 of a sequence or uint8 of regions; gives the file's SHA-256."""
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


def write_picture(path: Path, volumes: list[np.ndarray], spacing: tuple[float, float, float]) -> None:
    """Write the middle of each sequence in three planes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    planes = [picture for volume in volumes for picture in middle_planes(volume, spacing)]
    with whole_file(path) as unfinished:
        Image.fromarray(side_by_side(planes)).save(unfinished)


def _prepared_case(case: Case, outcome: Outcome) -> PreparedCase:
    assert case.split in SPLITS
    same = ("id", "patient", "split", "pathology", "pirads", "reports", "report_source", "fields", "positive_means")
    kept = case.model_dump(include=set(same))
    return PreparedCase(
        **kept,
        source_spacing_mm=outcome.source_spacing_mm,
        source_shape=outcome.source_shape,
        spacing_mm=outcome.spacing_mm,
        has_regions=outcome.has_regions,
        knows_lesion=outcome.has_regions and case.lesion is not None,
        sha256=outcome.sha256,
        warnings=case.warnings + outcome.warnings,
    )


def refuse_other_settings(out: Path, settings: PrepareSettings) -> None:
    """Raises InputError where a folder holds cases that were prepared in another way."""
    path = out / INDEX_NAME
    if not path.exists():
        return
    try:
        found = PreparedIndex.model_validate_json(read_bytes(path)).settings
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} cannot be read; choose another folder.") from error
    refuse_other(
        out, found.model_dump(mode="json"), settings.model_dump(mode="json"), what="cases prepared in another way"
    )
