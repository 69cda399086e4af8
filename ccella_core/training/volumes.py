"""The voxels of prepared cases, read as an autoencoder is trained on them."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from ccella_core.cases.case import Split
from ccella_core.cases.prepared import PreparedSet
from ccella_core.provenance import Sequence

KEPT_BYTES = 2 << 30
"""Of volumes in memory: reading one again costs a tenth of a second."""


class PreparedVolumes:
    """All volumes of a split, of one or several sequences, each (X, Y, Z) float16 in 0 … 1; the last ones are kept."""

    def __init__(self, prepared: PreparedSet, split: Split, sequences: tuple[Sequence, ...]) -> None:
        self.prepared = prepared
        self._items = [(case, sequence) for case in prepared.split(split) for sequence in sequences]
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int, /) -> np.ndarray:
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        volume = self.prepared.voxels(*self._items[index]).astype(np.float16)
        self._kept[index] = volume
        self._bytes += volume.nbytes
        while self._bytes > KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return volume
