"""What a classifier learns from and is chosen by: real and synthetic cases with a class, and nobody from the test."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from torch import Tensor
from torch.utils.data import get_worker_info

from ccella_core.cases.case import Split
from ccella_core.cases.prepared import CASES_NAME, PreparedSet
from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.network import Preprocessing, preprocess
from ccella_core.evaluation.data.channels import open_channels
from ccella_core.evaluation.data.synthetic_set import CSV_NAME, is_synthetic_set, read_table
from ccella_core.evaluation.data.volume_set import VolumeRecord, VolumeSet
from ccella_core.files import sha256_of
from ccella_core.provenance import SequenceName

Origin = Literal["real", "synthetic"]
Labels = Literal["clinical", "predicted"]
KEPT_BYTES = 4 << 30
"""Of volumes in memory, over all workers: reading and preparing one again costs a tenth of a second."""


class Source(StrictModel):
    """A split of a folder of cases. Paths are taken from the current folder."""

    folder: Path = Field(description="of `ccella prepare` (real) or `ccella synthesize` (synthetic)")
    kind: Origin
    split: Split
    labels: Labels = Field("clinical", description="of synthetic cases: the case's own class, or what the model read")


@dataclass(frozen=True)
class Labelled:
    """A volume with the class that a classifier is told."""

    volumes: VolumeSet
    index: int
    kind: Origin
    positive: bool

    @property
    def member(self) -> VolumeRecord:
        """What is known of the volume."""
        return self.volumes.members[self.index]


class ClassifierImages:
    """Volumes as a classifier sees them, (C, X, Y, Z) float16 each, by number; the last ones are kept in memory."""

    def __init__(self, cases: Sequence[Labelled], settings: Preprocessing) -> None:
        self.cases, self._settings = cases, settings
        self._most = max(1, KEPT_BYTES // (2 * self.channels * int(np.prod(settings.shape))))
        self._kept: OrderedDict[int, Tensor] = OrderedDict()

    def __len__(self) -> int:
        return len(self.cases)

    def __getitem__(self, index: int, /) -> Tensor:
        if index not in self._kept:
            self._kept[index] = self._prepare(index)
            worker = get_worker_info()
            if len(self._kept) > max(1, self._most // (1 if worker is None else worker.num_workers)):
                self._kept.popitem(last=False)
        self._kept.move_to_end(index)
        return self._kept[index]

    @property
    def positive(self) -> np.ndarray:
        """(N,) bool."""
        return np.array([case.positive for case in self.cases], bool)

    @property
    def channels(self) -> int:
        """C: sequences of a case."""
        return max((case.volumes.channels for case in self.cases), default=1)

    def _prepare(self, index: int) -> Tensor:
        case = self.cases[index]
        try:
            return preprocess(case.volumes.voxels(case.index), case.volumes.spacing, self._settings)
        except InputError as error:
            raise InputError(f"{case.member.id} of {case.volumes.name}: {error}") from error


def open_sources(sources: Sequence[Source], sequences: Sequence[SequenceName]) -> list[Labelled]:
    """Every volume of ``sources`` that has all sequences and can be used, with its class; each is read once.

    Those that are left out: see ``left_out_of``.

    Raises:
        InputError: a folder is not of the kind it is said to be, has none of that split, or none that can be used; or
            its cases have no class.
    """
    cases = []
    for source in sources:
        if is_synthetic_set(source.folder) != (source.kind == "synthetic") or not _has_cases(source.folder):
            maker = "ccella prepare" if source.kind == "real" else "ccella synthesize"
            raise InputError(f"{source.folder} holds no {source.kind} cases, as `{maker}` makes them.")
        if source.kind == "real" and source.labels == "predicted":
            raise InputError(f"Real cases have no predicted class: remove `labels` from the source {source.folder}.")
        volumes = open_channels(source.folder, sequences, split=source.split)
        labelled(volumes, source.kind, source.labels)  # before all are read
        cases += labelled(volumes.checked(), source.kind, source.labels)
    return cases


def left_out_of(cases: Iterable[Labelled]) -> dict[str, str]:
    """Why volumes of the sets that ``cases`` are of cannot be used, by name."""
    sets = {id(case.volumes): case.volumes for case in cases}
    return {f"{each.id} of {volumes.name}": each.reason for volumes in sets.values() for each in volumes.left_out}


def fingerprints_of(sources: Iterable[Source]) -> dict[str, str]:
    """By folder, hexadecimal digits that change with any of its volumes, classes or splits. Raises InputError."""
    return {str(source.folder): _fingerprint_of(source.folder) for source in sources}


def labelled(volumes: VolumeSet, kind: Origin, labels: Labels = "clinical") -> list[Labelled]:
    """Every volume of a set, with its class. Raises InputError where one has none."""
    cases = []
    for index, member in enumerate(volumes):
        pathology = member.pathology if labels == "clinical" else member.predicted
        if pathology is None:
            raise InputError(
                f"{member.id} of {volumes.name} has no {'class' if labels == 'clinical' else 'predicted class'}; "
                "a classifier needs one."
            )
        cases.append(Labelled(volumes, index, kind, pathology == "positive"))
    return cases


def take_real(cases: Sequence[Labelled], count: int, seed: int) -> list[Labelled]:
    """``cases`` with ``count`` of the real ones, as many of each class as their share asks for, and all others.

    Where so many are not left because volumes cannot be used, all of them are taken.

    With the same seed a smaller count takes a part of what a larger one takes.

    Raises:
        InputError: there are fewer.
    """
    real = [number for number, case in enumerate(cases) if case.kind == "real"]
    sets = {id(case.volumes): case.volumes for case in cases if case.kind == "real"}
    if count > len(real) + sum(len(volumes.left_out) for volumes in sets.values()):
        raise InputError(f"real_count asks for {count} real training cases, and there are {len(real)}.")
    count = min(count, len(real))  # what cannot be used is said elsewhere, and ends no training
    order = np.random.default_rng(seed).permutation(real)
    positive = [number for number in order if cases[number].positive]
    negative = [number for number in order if not cases[number].positive]
    positives = round(count * len(positive) / len(real))
    if positive and negative:
        positives = min(max(positives, 1), count - 1)
    taken = {*positive[:positives], *negative[: count - positives]}
    return [case for number, case in enumerate(cases) if case.kind == "synthetic" or number in taken]


def refuse_one_class(cases: Sequence[Labelled], what: str) -> None:
    """Raises InputError where ``cases`` are not of both classes."""
    if len({case.positive for case in cases}) < 2:
        raise InputError(f"The {what} cases need both classes; all {len(cases)} are of one.")


def patients_of(cases: Iterable[Labelled]) -> set[str]:
    """Whose they are; for synthetic ones from whose report they were made."""
    return {case.member.patient for case in cases}


def refuse_leaks(train: Sequence[Source], validation: Sequence[Source]) -> None:
    """Raises InputError where a patient of the test, or a report of theirs, would be learnt from or chosen by.

    What counts is everything that the named folders keep for the test, whichever of their splits are used here.
    """
    for source in (*train, *validation):
        if source.split == "test":
            raise InputError(
                f"The split test of {source.folder} is kept for `ccella evaluate classifier`; name another."
            )
    tested = set[str]().union(*(_patients(source.folder, "test") for source in (*train, *validation)))
    learnt, chosen_by = (
        set[str]().union(*(_patients(source.folder, source.split) for source in sources))
        for sources in (train, validation)
    )
    refuse_shared(learnt, tested, "The training cases hold", "of the test split")
    refuse_shared(chosen_by, tested, "The validation cases hold", "of the test split")
    refuse_shared(learnt, chosen_by, "The training cases hold", "of the validation cases")


def refuse_shared(a: set[str], b: set[str], who: str, whose: str) -> None:
    """Raises InputError where a patient stands in both, naming one."""
    if shared := sorted(a & b):
        more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
        raise InputError(
            f"{who} the patient {shared[0]}{more} {whose}, or volumes made from their reports; "
            "what is measured on them would mean nothing."
        )


def _patients(folder: Path, split: Split) -> set[str]:
    rows = read_table(folder) if is_synthetic_set(folder) else PreparedSet.open(folder).cases
    return {row.patient for row in rows if row.split == split}


def _fingerprint_of(folder: Path) -> str:
    return sha256_of(folder / CSV_NAME) if is_synthetic_set(folder) else PreparedSet.open(folder).fingerprint


def _has_cases(folder: Path) -> bool:
    return is_synthetic_set(folder) or (folder / CASES_NAME).is_file()
