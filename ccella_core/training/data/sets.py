"""The prepared cases that a training learns from: one folder, or several on one grid, each seen as often as wanted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field
from torch.utils.data import get_worker_info

from ccella_core.cases.case import Split
from ccella_core.cases.prepared import PreparedCase, PreparedSet
from ccella_core.cases.splits import check_splits
from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.provenance import LabelName, SequenceName

ON_ONE_GRID = ("grid", "shape", "spacing", "scaling")
"""Settings that volumes of one network have in common."""


class DataShare(StrictModel):
    """One of several folders of prepared cases."""

    folder: Path = Field(description="that `ccella prepare` made")
    repeat: int = Field(1, gt=0, description="times that each of its training cases is seen in an epoch")
    augment: bool = Field(True, description="whether random copies of its cases are cached, where there are any")


def _shares(value: Any) -> Any:
    """A folder's name alone stands for a share with nothing else said."""
    if isinstance(value, (list, tuple)):
        return tuple({"folder": each} if isinstance(each, (str, Path)) else each for each in value)
    return value


TrainingData = Annotated[Path | Annotated[tuple[DataShare, ...], Field(min_length=1)], BeforeValidator(_shares)]
"""A folder that `ccella prepare` made, or several, each with what is said of it."""


class JoinedSet(PreparedSet):
    """Several folders of prepared cases, read as one.

    Args:
        shares: the folders, and how often each is seen.

    Raises:
        InputError: a folder cannot be read, they are on different grids, or a case stands in two of them, or a patient
            in two splits.
    """

    def __init__(self, shares: Sequence[DataShare]) -> None:
        self.shares = tuple(shares)
        self.sets = tuple(PreparedSet.open(share.folder) for share in self.shares)
        first = self.sets[0]
        super().__init__(first.folder, first.settings, tuple(case for each in self.sets for case in each.cases))
        self._source: dict[str, int] = {}
        for number, each in enumerate(self.sets):
            for name in ON_ONE_GRID:
                own, other = getattr(first.settings, name), getattr(each.settings, name)
                if own != other:
                    raise InputError(
                        f"The cases in {each.folder} have the {name} {_shown(other)}, and those in {first.folder} "
                        f"{_shown(own)}; prepare them alike."
                    )
            for case in each.cases:
                if self._source.setdefault(case.id, number) != number:
                    where = self.sets[self._source[case.id]].folder
                    raise InputError(f"The case {case.id} stands in {where} and in {each.folder}; rename one of them.")
        check_splits(self.cases)

    @classmethod
    def of(cls, data: TrainingData) -> JoinedSet:
        """As a configuration says. Raises InputError as the class does."""
        return cls((DataShare(folder=data),) if isinstance(data, Path) else data)

    def source(self, case: PreparedCase) -> int:
        """The number of the folder that a case is from."""
        return self._source[case.id]

    @property
    def repeats(self) -> tuple[int, ...]:
        """How often a training case of each folder is seen in an epoch."""
        return tuple(share.repeat for share in self.shares)

    @property
    def folders(self) -> str:
        """In words."""
        return ", ".join(str(share.folder) for share in self.shares)

    @cached_property
    def fingerprint(self) -> str:
        """That of the only folder, or those of all."""
        return "+".join(each.fingerprint for each in self.sets)

    def _read(self, name: str, case: PreparedCase) -> np.ndarray:
        return self.sets[self.source(case)]._read(name, case)


def _shown(value: Any) -> str:
    return " x ".join(f"{each:g}" for each in value) if isinstance(value, tuple) else str(value)


KEPT_BYTES = 2 << 30
"""Of volumes in memory, over all workers: reading one again costs a tenth of a second."""


class PreparedVolumes:
    """All volumes of a split, of sequences and labels, each (X, Y, Z) float16 in 0 … 1; the last ones are kept.

    Training cases of a folder that is repeated stand there as often, in the same memory. Each volume is read once
    before all else: a case of which one cannot be read is ``left_out``, with the reason.
    """

    def __init__(self, prepared: JoinedSet, split: Split, parts: tuple[SequenceName | LabelName, ...]) -> None:
        self.prepared = prepared
        self._items: list[tuple[PreparedCase, SequenceName | LabelName]] = []
        self.left_out: dict[str, str] = {}
        for case in prepared.split(split):
            own = [part for part in parts if prepared.has(case, part)]
            try:
                for part in own:
                    prepared.part(case, part)
            except InputError as error:
                self.left_out[case.id] = str(error)
            else:
                self._items += [(case, part) for part in own]
        self._order = [
            number
            for number, (case, _) in enumerate(self._items)
            for _ in range(prepared.repeats[prepared.source(case)] if split == "train" else 1)
        ]
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int, /) -> np.ndarray:
        index = self._order[index]
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        volume = self.prepared.part(*self._items[index]).astype(np.float16)
        self._kept[index] = volume
        self._bytes += volume.nbytes
        worker = get_worker_info()
        most = KEPT_BYTES // (1 if worker is None else worker.num_workers)
        while self._bytes > most and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return volume
