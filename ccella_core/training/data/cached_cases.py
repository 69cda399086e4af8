"""Cached cases, as the denoiser is trained on them: latents and encoded reports, read from the disk as they are needed.

A cache is a folder with ``cache.json`` and shards of a few hundred cases each. A shard is safetensors: ``latents``
(n, C, x, y, z) and ``text`` (m, L, D) in half precision, ``regions`` (n, 1, x, y, z) where the cases have masks, and in
its header a line for each case. Shards are mapped into memory, which the processes of one computer share.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ccella_core.cases.case import Split
from ccella_core.config import StrictModel, read_json
from ccella_core.errors import InputError
from ccella_core.files import read_bytes, sha256_of
from ccella_core.phantom.fields import StructuredFields
from ccella_core.phantom.known_report import ScanKind
from ccella_core.provenance import LabelName, SequenceName

CACHE_NAME, NULL_NAME = "cache.json", "null-report.safetensors"
GLAND, LESION = 1, 2  # bits of a latent voxel's region

PartWeights = Mapping[SequenceName | LabelName, float]
"""How much parts of a latent count in the loss; 1 where nothing is said."""
EQUAL: PartWeights = MappingProxyType({})
"""Weights of the parts of a latent that all count the same."""


class CacheEntry(StrictModel):
    """One line of a shard: a case, its mirror image, or a random copy."""

    id: str
    mirrored: bool = False
    variation: int = 0
    """0: as it was prepared; above: the number of a random copy."""
    source: int = 0
    """Which of several folders of prepared cases it is from."""
    positive: bool | None
    """``None``: its class is unknown, and nothing is learnt of it."""
    present: tuple[bool, ...]
    """Which parts of the latent it has; those that it lacks are zeros, from which nothing is learnt."""
    reports: tuple[int, ...]
    """Rows of ``text``, each the case's report in other words; none: the case has no report."""
    scan_kinds: tuple[ScanKind | None, ...] = ()
    """What each report says of the kind of scan; none in caches that are older than it."""
    fields: StructuredFields | None = None
    spacing_mm: tuple[float, float, float] | None = None
    """Of its voxels, where each case has its own; ``None``: that of the cache."""
    has_lesion: bool | None = None
    """Whether the region of a lesion is marked; ``None``: there may be one that is not."""


class Shard(StrictModel):
    """A file of a cache."""

    file: str
    sha256: str
    rows: int


class CacheIndex(StrictModel):
    """What ``cache.json`` holds."""

    format: Literal["ccella-cache"] = "ccella-cache"
    format_version: Literal[2] = 2
    depends_on: dict[str, Any]
    """Everything that the cache was made from, by a name that a person understands."""
    parts: tuple[SequenceName | LabelName, ...]
    """What the latent is made of: sequences, then labels, each as wide as the autoencoder's latent."""
    scale_factors: tuple[float, ...]
    """One a part, or one a channel: it gives the training latents unit variance."""
    spacing_mm: tuple[float, float, float]
    has_regions: bool
    null_sha256: str | None
    shards: dict[Split, tuple[Shard, ...]]
    left_out: dict[str, str] = Field(default_factory=dict)
    """Cases that could not be read or encoded, each with the reason in a sentence."""


def read_index(folder: Path) -> CacheIndex | None:
    """The index of a finished cache; ``None`` where there is none. Raises InputError where it cannot be understood."""
    path = folder / CACHE_NAME
    if not path.exists():
        return None
    try:
        return CacheIndex.model_validate_json(read_bytes(path))
    except (OSError, ValidationError) as error:
        raise InputError(f"{path} is not a cache that this version reads; remove {folder} and start again.") from error


class CachedCases:
    """The cases of one split.

    Args:
        folder: of the cache.
        split: which cases.
        verify: compare every shard with its hash first, a second or two per GB.
        repeats: times that a case of each source is seen in an epoch; empty: once.

    Raises:
        InputError: there is no cache, or a shard is missing or damaged, named.
    """

    def __init__(self, folder: Path, split: Split, *, verify: bool = True, repeats: Sequence[int] = ()) -> None:
        index = read_index(folder)
        if index is None:
            raise InputError(f"There is no finished cache in {folder}.")
        self.folder, self.index = folder, index
        self.split = split
        self._files: list[Any] = []
        self._places: list[tuple[int, int]] = []
        self._first_reports: list[int] = []
        """Of each shard, in the count over all shards."""
        self.report_count = 0
        """Encoded reports of the split, the null report not counted."""
        self.rows: list[CacheEntry] = []
        for shard in index.shards.get(split, ()):
            file = _open(folder / shard.file, shard.sha256 if verify else None)
            rows = rows_of(file)
            self._places += [(len(self._files), place) for place in range(len(rows))]
            self.rows += rows
            self._files.append(file)
            self._first_reports.append(self.report_count)
            if "text" in file.keys():  # noqa: SIM118 - not a dict
                self.report_count += file.get_slice("text").get_shape()[0]
        self.repeats = tuple(repeats)
        self.epoch = [
            number
            for number, row in enumerate(self.rows)
            for _ in range(self.repeats[row.source] if self.repeats else 1)
        ]
        """The rows that are seen in an epoch, in no order."""
        self.knows_class = torch.tensor([row.positive is not None for row in self.rows], dtype=torch.bool)
        self.positive = torch.tensor([bool(row.positive) for row in self.rows], dtype=torch.bool)
        """``False`` as well where the class is unknown: see ``knows_class``."""
        self.present = torch.tensor([row.present for row in self.rows], dtype=torch.bool).view(len(self.rows), -1)
        """(N, P): which parts of the latent each row has."""
        self.spacings = torch.tensor([row.spacing_mm or index.spacing_mm for row in self.rows]).view(-1, 3)
        """(N, 3): of each row, mm."""
        self.has_report = torch.tensor([bool(row.reports) for row in self.rows], dtype=torch.bool)
        self.null_text = None
        if index.null_sha256 is not None:
            null = _open(folder / NULL_NAME, index.null_sha256 if verify else None)
            self.null_text = null.get_tensor("text").float()

    def __len__(self) -> int:
        return len(self.rows)

    def __reduce__(self) -> tuple[Any, ...]:
        # For workers that are started anew: they map the same files.
        return partial(CachedCases, verify=False, repeats=self.repeats), (self.folder, self.split)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(C, x, y, z)."""
        return tuple(self._files[0].get_slice("latents").get_shape()[1:])

    @property
    def scale(self) -> Tensor:
        """(C, 1, 1, 1): what gives the latents of the training set unit variance."""
        factors = torch.tensor(self.index.scale_factors)
        return factors.repeat_interleave(self.latent_shape[0] // len(factors)).view(-1, 1, 1, 1)

    @property
    def channels_a_part(self) -> int:
        """Of the latent."""
        return self.latent_shape[0] // len(self.index.parts)

    def channel_weight(self, rows: list[int], part_weights: PartWeights = EQUAL) -> Tensor | None:
        """(B, C) float32, the weight of the part that a channel is of where the case has it, and 0 elsewhere.

        ``None``: they have all, and all count the same. Parts without a weight count 1.
        """
        present = self.present[rows]
        if bool(present.all()) and not part_weights:
            return None
        weights = torch.tensor([part_weights.get(part, 1.0) for part in self.index.parts])
        return (present * weights).repeat_interleave(self.channels_a_part, dim=1)

    def stored_latents(self, rows: list[int]) -> Tensor:
        """(B, C, x, y, z) float16, not scaled."""
        return torch.cat([self._read("latents", row) for row in rows])

    def latents(self, rows: list[int]) -> Tensor:
        """(B, C, x, y, z) float32, of unit variance over the training set."""
        return self.stored_latents(rows).float() * self.scale

    def report_number(self, row: int, wording: int) -> int:
        """Which of the encoded reports is a case's; ``wording`` counts from 0, over all that there are and again."""
        reports = self.rows[row].reports
        return self._first_reports[self._places[row][0]] + reports[wording % len(reports)]

    def stored_report(self, number: int) -> Tensor:
        """An encoded report (L, D) float16 by its number; after the last comes the null report."""
        if number == self.report_count:
            assert self.null_text is not None
            return self.null_text.half()
        file = bisect_right(self._first_reports, number) - 1
        place = number - self._first_reports[file]
        text: Tensor = self._files[file].get_slice("text")[place : place + 1][0]
        return text

    def text(self, row: int, wording: int) -> Tensor:
        """One report of a case (L, D) float32; ``wording`` counts from 0, over all that there are and again."""
        return self.stored_report(self.report_number(row, wording)).float()

    def regions(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        """Gland and lesion, (B, 1, x, y, z) bool each. Raises InputError where the cases came without masks."""
        if not self.index.has_regions:
            raise InputError("Weighing the gland and the lesion needs masks of them for every case; these have none.")
        bits = torch.cat([self._read("regions", row) for row in rows])
        return (bits & GLAND).bool(), (bits & LESION).bool()

    def _read(self, tensor: str, row: int) -> Tensor:
        file, place = self._places[row]
        return self._files[file].get_slice(tensor)[place : place + 1]


def rows_of(file: Any) -> list[CacheEntry]:
    """The lines in the header of a shard. Raises InputError where they are no cases."""
    try:
        return [CacheEntry.model_validate(row) for row in read_json(file.metadata()["rows"])]
    except (LookupError, TypeError, ValueError) as error:
        raise InputError("A file of the cache does not say which cases it holds; remove the cache.") from error


def left_out_of(file: Any) -> dict[str, str]:
    """What the header of a shard says of the cases that are not in it."""
    found: dict[str, str] = read_json(file.metadata().get("left_out", "{}"))
    return found


def _open(path: Path, sha256: str | None) -> Any:
    try:
        if sha256 is not None and sha256_of(path) != sha256:
            raise InputError(f"{path} was damaged or altered since it was written; remove {path.parent}, start again.")
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{path} is missing or damaged ({error}); remove what is left of it and start again."
        ) from error
