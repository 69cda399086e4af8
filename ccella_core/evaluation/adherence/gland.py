"""Who says where the gland is: the model, with the label that it draws, or an outside judge, in the T2 volume."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol

import numpy as np

from ccella_core.errors import InputError
from ccella_core.gland.taps import Taps
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.index import ModelIndex
from ccella_core.provenance import Provenance, SequenceName

GlandReaderName = Literal["labels", "taps"]


class GeneratedExamination(NamedTuple):
    """The volumes (X, Y, Z) of one seed in 0 … 1, in RAS+, and the gland label (X, Y, Z) bool where one was drawn."""

    volumes: Mapping[SequenceName, np.ndarray]
    affine: np.ndarray
    gland_label: np.ndarray | None
    provenance: Provenance

    @classmethod
    def of(cls, volumes: list[SyntheticVolume]) -> GeneratedExamination:
        """Of what a pipeline gives for one seed."""
        first = volumes[0]
        label = None if first.labels is None or "gland" not in first.labels.values else first.labels.mask("gland")
        return cls({each.sequence: each.voxels for each in volumes}, first.affine, label, first.provenance)


class FindsGland(Protocol):
    """Finds the gland in an examination."""

    @property
    def name(self) -> str:
        """With its version: readings of two are not mixed."""

    def check_model(self, index: ModelIndex) -> None:
        """Raises InputError where it cannot find the gland in what a model makes; before anything is generated."""

    def find(self, examination: GeneratedExamination) -> np.ndarray:
        """(X, Y, Z) bool; empty where there is no gland. Raises InputError where this cannot be said."""


class DrawnLabels:
    """Takes the model's own gland label for the gland."""

    name = "labels"

    def check_model(self, index: ModelIndex) -> None:
        """See `FindsGland`."""
        if "gland" not in index.labels:
            raise InputError(f"{index.name} draws no gland label; let `--reader taps` find the gland.")

    def find(self, examination: GeneratedExamination) -> np.ndarray:
        """See `FindsGland`."""
        assert examination.gland_label is not None, "see check_model"
        return examination.gland_label


class TapsJudge:
    """Has TAPS find the gland, in the T2-weighted volume. Raises InputError where it is not installed."""

    def __init__(self) -> None:
        self._taps = Taps()
        self.name = self._taps.name

    def check_model(self, index: ModelIndex) -> None:
        """See `FindsGland`: any T2-weighted volume will do."""

    def find(self, examination: GeneratedExamination) -> np.ndarray:
        """See `FindsGland`."""
        return self._taps.find(examination.volumes["t2w"], examination.affine)


def dice(a: np.ndarray, b: np.ndarray) -> float | None:
    """Twice the voxels that two masks share among those of both, 0 … 1; ``None`` where both are empty."""
    both = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / both if both else None
