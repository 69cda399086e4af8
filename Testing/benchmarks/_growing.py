"""Features of many volumes on the disk, which grow batch by batch, so that a run that was stopped goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.phantom_reader import PhantomReader
from ccella_core.files import whole_file

MakeVolumes = Callable[[Sequence[int]], Iterable[np.ndarray]]
"""Volumes (X, Y, Z) in 0 … 1, one for each patient's seed."""


@dataclass(frozen=True)
class Features:
    values: np.ndarray
    """(N, D)."""
    seconds: np.ndarray
    """(N,): what making each volume took, reading its features excluded; the same within a batch."""

    @property
    def seconds_each(self) -> float:
        return float(self.seconds.mean())

    def followed_by(self, more: Features) -> Features:
        return Features(np.concatenate([self.values, more.values]), np.concatenate([self.seconds, more.seconds]))


def stored(path: Path) -> Features | None:
    """What ``path`` holds, or ``None`` where it does not exist. Raises InputError where it cannot be read."""
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            return Features(file["values"], file["seconds"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{path} holds no features; remove it, and they are made again.") from error


def missing(path: Path, seeds: Sequence[int]) -> int:
    """How many of ``seeds`` are still to do."""
    found = stored(path)
    return max(0, len(seeds) - (0 if found is None else len(found.values)))


def grow(
    path: Path,
    seeds: Sequence[int],
    make: MakeVolumes,
    phantom_reader: PhantomReader,
    *,
    batch: int,
    after_batch: Callable[[int], None] = lambda done: None,
) -> Features:
    """The features of the volumes of ``seeds``, in their order: those stored in ``path``, and new ones added to it.

    Args:
        path: an .npz file, of this and no other way to make volumes, whose rows are those of the first seeds.
        seeds: patients.
        make: makes the volumes of some seeds.
        phantom reader: gives their features.
        batch: volumes that are made at once.
        after_batch: told how many volumes there are now.
    """
    found = stored(path)
    done = 0 if found is None else len(found.values)
    for start in range(done, len(seeds), batch):
        some = seeds[start : start + batch]
        started = time.perf_counter()
        volumes = list(make(some))
        seconds = np.full(len(some), (time.perf_counter() - started) / len(some))
        new = Features(phantom_reader.features(volumes), seconds)
        found = new if found is None else found.followed_by(new)
        with whole_file(path) as temporary:
            np.savez(temporary, values=found.values, seconds=found.seconds)
        after_batch(len(found.values))
    assert found is not None, "there is at least one seed"
    return Features(found.values[: len(seeds)], found.seconds[: len(seeds)])
