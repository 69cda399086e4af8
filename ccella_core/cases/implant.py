"""Known lesions in patients' glands: training cases whose reports name what was put into their scans.

Of most patients of public archives nobody knows whether they have a lesion; a model that learns from them alone learns
texture and no words. Here a lesion is drawn into the gland and the report says where. Of the rest of the gland nothing
is said that was not known before, least of all that there is nothing else.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import get_args

import nibabel as nib
import numpy as np
from pydantic import Field
from scipy.ndimage import find_objects

from ccella_core.cases.case import RejectedCase, StructuredFields, pathology_of, safe_id
from ccella_core.cases.implant_lesion import LEVELS, GlandMap, Mask, Volume, draw_lesion, painted
from ccella_core.cases.prepare import refuse_other_settings, write_picture, write_volume
from ccella_core.cases.prepared import (
    CASES_NAME,
    GLAND,
    LESION,
    WHITE,
    PreparedCase,
    PreparedSet,
    picture_path,
    regions_path,
    volume_path,
    write_cases,
    write_index,
)
from ccella_core.config import StrictModel
from ccella_core.errors import InputError, SaveError
from ccella_core.files import alone_in
from ccella_core.parallel import in_processes
from ccella_core.phantom.fields import LesionFields
from ccella_core.phantom.findings import Lesion, Level, Side
from ccella_core.phantom.known_report import technique_in, write_known_report
from ccella_core.progress import OnProgress
from ccella_core.provenance import SequenceName

log = logging.getLogger(__name__)

SECOND_LESION = 0.2
"""Chance of two lesions."""


class ImplantSettings(StrictModel):
    """How many cases are made of each, and of how many wordings their reports are."""

    copies: int = Field(4, ge=1, le=1000, description="new cases for each training case with a gland mask")
    wordings: int = Field(4, ge=1, le=100, description="reports of each new case")
    seed: int = Field(0, ge=0, description="of all that is drawn")


def implant(
    prepared: PreparedSet, settings: ImplantSettings, out: Path, *, jobs: int = 1, progress: OnProgress | None = None
) -> tuple[PreparedSet, list[RejectedCase]]:
    """Make another folder of prepared cases, of the same patients with lesions that their reports name.

    The lesions that were known before stay in the report, and new ones lie on another side or level. Where the former
    have no outline, the label map holds the new ones alone and is not said to be complete.

    Args:
        prepared: cases; those for training with a mask of the gland are used.
        settings: how many.
        out: the folder; what the same command left there is made again, the same for the same settings.
        jobs: processes at once; 0: as many as there are processor cores.
        progress: called with every new case.

    Returns:
        The new cases, and those that a missing or damaged file left out. One in whose gland no lesion found a place is
        named in the log.

    Raises:
        InputError: there is no training case with a gland mask, no lesion fits anywhere, no case can be used, or
            ``out`` holds other cases.
        SaveError: the disk refuses.
    """
    if not prepared.split("train"):
        raise InputError(f"{prepared.folder} holds no training cases; lesions are implanted in these alone.")
    sources = [case for case in prepared.split("train") if case.has_regions]
    if not sources:
        raise InputError(
            f"No training case in {prepared.folder} has a mask of the gland, and a lesion lies within one."
        )
    names = {safe_id(f"{case.id}-implanted{copy}"): (case, copy) for case in sources
             for copy in range(1, settings.copies + 1)}  # fmt: skip
    _refuse_other_cases(prepared, out, names)
    made: dict[str, PreparedCase] = {}
    refused: list[RejectedCase] = []
    with alone_in(out):
        work = partial(_attempted, prepared=prepared, settings=settings, out=out)
        items = [(case, copy, name) for name, (case, copy) in names.items()]
        with closing(in_processes(work, items, jobs)) as results:
            for done, ((_, _, name), case) in enumerate(results, start=1):
                if isinstance(case, PreparedCase):
                    made[name] = case
                elif case is not None:
                    refused.append(case)
                else:
                    log.warning("%s is left out: no lesion fits into its gland.", name)
                if progress is not None:
                    progress(done, len(items))
        if not made and refused:
            raise InputError(f"None of the cases in {prepared.folder} can be used ({refused[0].reason})")
        if not made:
            raise InputError(f"No lesion fits into a gland of the cases in {prepared.folder}.")
        write_index(out, prepared.settings)
        write_cases(out, [made[name] for name in names if name in made])
    return PreparedSet.open(out), refused


def _attempted(
    item: tuple[PreparedCase, int, str], *, prepared: PreparedSet, settings: ImplantSettings, out: Path
) -> PreparedCase | RejectedCase | None:
    try:
        return implant_case(item, prepared=prepared, settings=settings, out=out)
    except InputError as error:
        return RejectedCase(item[2], str(error))


def _refuse_other_cases(prepared: PreparedSet, out: Path, names: Iterable[str]) -> None:
    refuse_other_settings(out, prepared.settings)
    if (out / CASES_NAME).exists() and (others := {case.id for case in PreparedSet.open(out).cases} - set(names)):
        raise InputError(f"{out} holds other cases ({min(others)}); choose another folder.")


def implant_case(
    item: tuple[PreparedCase, int, str], *, prepared: PreparedSet, settings: ImplantSettings, out: Path
) -> PreparedCase | None:
    """Make and write one new case, ``None`` where no lesion fits.

    Args:
        item: the case, the number of the copy, and the new case's id.
        prepared: where the case is from.
        settings: of the whole.
        out: the folder.

    Raises:
        InputError: a file of the case is missing or damaged.
        SaveError: the disk refuses.
    """
    case, copy, name = item
    rng = np.random.default_rng([settings.seed, zlib.crc32(case.id.encode()), copy])
    masks = prepared.regions(case)
    assert masks is not None  # only cases with masks are asked for
    gland, marked = masks
    if not gland.any():
        return None
    volumes: dict[SequenceName, Volume] = {
        sequence: prepared.voxels(case, sequence)
        for sequence in prepared.settings.sequences
        if prepared.has(case, sequence)
    }
    # All that is done is done within the gland.
    box = find_objects(gland.astype(np.uint8))[0]
    zones = GlandMap(gland[box], prepared.spacing_of(case))
    t2w = volumes["t2w"][box] if "t2w" in volumes else None
    found = _draw(case, zones, t2w, marked[box], rng)
    if not found:
        return None
    for lesion, mask in found:
        for sequence, volume in volumes.items():
            volume[box] = painted(volume[box], sequence, mask, lesion.pirads, zones, rng)
        marked[box] |= mask
    written = {
        volume_path(name, sequence): np.round(volume * WHITE).astype(np.uint16) for sequence, volume in volumes.items()
    }
    written[regions_path(name)] = np.where(marked, LESION, gland * GLAND).astype(np.uint8)
    affine = nib.Nifti1Image.from_filename(prepared.folder / regions_path(case.id)).affine
    try:
        hashes = {path: write_volume(out / path, voxels, affine) for path, voxels in written.items()}
        write_picture(out / picture_path(name), list(volumes.values()), zones.spacing)
    except OSError as error:
        raise SaveError(
            f"{name} could not be written into {out}: {error.strerror or error}; free disk space."
        ) from error
    return _described(case, name, [lesion for lesion, _ in found], tuple(volumes), settings, hashes)


def _draw(
    case: PreparedCase, zones: GlandMap, t2w: Volume | None, marked: Mask, rng: np.random.Generator
) -> list[tuple[Lesion, Mask]]:
    taken = _taken(case.fields)
    found: list[tuple[Lesion, Mask]] = []
    for _ in range(2 if rng.random() < SECOND_LESION else 1):
        drawn = draw_lesion(zones, t2w, marked, taken, rng)
        if drawn is not None:
            found.append(drawn)
            marked = marked | drawn[1]
    return sorted(found, key=lambda each: (each[0].pirads, each[0].size_mm), reverse=True)


def _taken(fields: StructuredFields | None) -> frozenset[tuple[Side, Level]]:
    """Where the patient's own lesions may lie; a side or level that nobody knows may be any."""
    own = (fields.lesions if fields is not None else None) or ()
    return frozenset(
        (side, level)
        for lesion in own if lesion.side or lesion.level
        for side in get_args(Side) for level in LEVELS
        if lesion.side in (None, side) and lesion.level in (None, level)
    )  # fmt: skip


def _described(
    case: PreparedCase,
    name: str,
    lesions: list[Lesion],
    shows: tuple[SequenceName, ...],
    settings: ImplantSettings,
    hashes: dict[str, str],
) -> PreparedCase:
    """The line of a new case."""
    known = case.fields or StructuredFields()
    own = known.lesions or ()
    new = tuple(
        LesionFields(side=each.side, zone=each.zone, level=each.level, size_mm=each.size_mm, pirads=each.pirads)
        for each in lesions
    )
    scores = [lesion.pirads for lesion in (*new, *own)]
    # Unknown where a lesion of the patient has no score: it may be the highest.
    pirads = None if None in scores else max(score for score in scores if score is not None)
    # A biopsy of the patient says nothing about lesions that were not there.
    fields = known.model_copy(update={"lesions": (*new, *own), "pirads": pirads, "isup": None})
    reports = []
    for number in range(settings.wordings):
        source = case.reports[number % len(case.reports)] if case.reports else ""
        seed = zlib.crc32(f"{settings.seed}/{name}/{number}".encode())
        reports.append(write_known_report(fields, seed=seed, technique=technique_in(source), shows=shows))
    return case.model_copy(update={
        "id": name, "fields": fields, "pirads": pirads,
        "pathology": pathology_of(max(lesion.pirads for lesion in lesions)), "positive_means": "pirads",
        "reports": tuple(dict.fromkeys(report for report in reports if report)), "report_source": "written",
        "knows_lesion": not own or case.knows_lesion, "sha256": hashes,
        "warnings": (*case.warnings, f"{len(new)} of its lesions were implanted into the scans of {case.id}."),
    })  # fmt: skip
