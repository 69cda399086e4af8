"""The prepared cases that a training learns from: one folder, or several on one grid, each seen as often as wanted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, Field

from ccella_core.cases.prepared import PreparedCase, PreparedSet
from ccella_core.cases.splits import check_splits
from ccella_core.config import StrictModel
from ccella_core.errors import InputError

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
