"""Features of a set of volumes, and whose each volume is.

Slices of a volume are alike, and so are volumes of a patient. What takes them for independent finds a distance where
there is none, or too little chance; so patients are drawn whole, and pairs of one patient are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ccella_core.errors import InputError
from ccella_core.evaluation.features.features import mean_per_volume

DIVISIONS = 10
"""Into halves: enough for a mean and a spread."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Features of N volumes, S rows (slices) of each, in order."""

    rows: np.ndarray
    """(N * S, D) float64."""
    patients: np.ndarray
    """(N,) of whom each volume is, or from whose report it was made."""

    @classmethod
    def of(cls, rows: np.ndarray, patients: Sequence[str] | None = None) -> Sample:
        """Rows (N * S, D) of volumes of N patients; by default each row is a patient's own.

        Raises:
            InputError: not as many rows of each volume.
        """
        owners = np.arange(len(rows)) if patients is None else np.asarray(patients)
        if len(owners) == 0 or len(rows) % len(owners):
            raise InputError(f"{len(rows)} rows of features cannot belong to {len(owners)} volumes.")
        return cls(np.asarray(rows, dtype=np.float64), owners)

    def __len__(self) -> int:
        """Of rows."""
        return len(self.rows)

    @property
    def slices(self) -> int:
        """S."""
        return len(self.rows) // len(self.patients)

    @property
    def owners(self) -> np.ndarray:
        """(N * S,) the patient of each row."""
        return np.repeat(self.patients, self.slices)

    @property
    def volumes(self) -> np.ndarray:
        """(N, D): the mean over the slices of each volume."""
        return mean_per_volume(self.rows, len(self.patients))

    @property
    def patient_count(self) -> int:
        """Of different patients."""
        return len(np.unique(self.patients))

    def draw(self, patients: int, rng: np.random.Generator) -> tuple[Sample, Sample]:
        """All volumes of so many random patients, and those of the others."""
        drawn = np.isin(self.patients, rng.permutation(np.unique(self.patients))[:patients])
        return self._where(drawn), self._where(~drawn)

    def halves(self, rng: np.random.Generator) -> tuple[Sample, Sample]:
        """Each patient in one of them; of an odd number the first has one fewer."""
        return self.draw(self.patient_count // 2, rng)

    def _where(self, chosen: np.ndarray) -> Sample:
        return Sample(self.rows[np.repeat(chosen, self.slices)], self.patients[chosen])


def random_halves(sample: Sample, *, seed: int = 0) -> Iterator[tuple[Sample, Sample]]:
    """DIVISIONS times two halves."""
    rng = np.random.default_rng(seed)
    return (sample.halves(rng) for _ in range(DIVISIONS))


HALVES = 50
"""A standard deviation from as many is off by a tenth."""
FEWEST_OF_A_HALF = 2
"""Patients of a half."""

Statistics = Callable[[Sample, Sample], Mapping[str, float]]
"""Named values of two sets."""


def standard_errors(
    statistics: Statistics, a: Sample, b: Sample, *, halves: int = HALVES, seed: int = 0
) -> dict[str, float]:
    """Of every statistic of two sets; volumes of a patient stay together.

    Raises:
        InputError: fewer than four patients in a set; or what ``statistics`` raises of a half.
    """
    if min(a.patient_count, b.patient_count) < 2 * FEWEST_OF_A_HALF:
        raise InputError(
            f"A standard error needs {2 * FEWEST_OF_A_HALF} patients in each set, not {a.patient_count}, "
            f"{b.patient_count}."
        )
    rng = np.random.default_rng(seed)
    rows = [statistics(a.halves(rng)[0], b.halves(rng)[0]) for _ in range(halves)]
    return {name: float(np.std([row[name] for row in rows], ddof=1)) for name in rows[0]}
