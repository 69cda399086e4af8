"""Sets of volumes of several sequences, one a channel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ccella_core.cases.case import RejectedCase, Split
from ccella_core.errors import InputError
from ccella_core.evaluation.data.volume_set import VolumeRecord, VolumeSet, of_split, open_volume_set
from ccella_core.imaging.scans import SPACING_TOLERANCE
from ccella_core.provenance import SequenceName


def open_channels(folder: Path, sequences: Sequence[SequenceName], *, split: Split | None = None) -> VolumeSet:
    """As ``open_volume_set``, with each sequence as a channel; cases that lack one are left out.

    Raises:
        InputError: as there; or no case has all of them, or they differ in shape or spacing.
    """
    sets = [open_volume_set(folder, sequence=sequence, split=split) for sequence in sequences]
    first = sets[0]
    if len(sets) == 1:
        return first
    if any(each.shape != first.shape or not np.allclose(each.spacing, first.spacing, rtol=SPACING_TOLERANCE)
           for each in sets):  # fmt: skip
        raise InputError(f"The sequences in {folder} differ in shape or spacing, so they cannot be channels of one.")
    by_id = [{member.id: member for member in each} for each in sets]
    members, left_out = [], []
    for name in dict.fromkeys(name for each in by_id for name in each):
        parts = [each.get(name) for each in by_id]
        found = [part for part in parts if part is not None]
        if len(found) == len(parts):
            members.append(replace(found[0], read=partial(_stacked, found)))
        else:
            lacking = ", ".join(sequence for sequence, part in zip(sequences, parts, strict=True) if part is None)
            left_out.append(RejectedCase(name, f"There is no {lacking} of it."))
    if not members:
        raise InputError(f"No case{of_split(split)} in {folder} has all of {', '.join(sequences)}.")
    return VolumeSet(first.name, members, first.shape, first.spacing, left_out, len(sequences))


def _stacked(parts: Sequence[VolumeRecord]) -> np.ndarray:
    return np.stack([part.read() for part in parts])
