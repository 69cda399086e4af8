"""What a shard of the cache holds: cases, their mirror images and random copies, through the frozen networks."""

from __future__ import annotations

import json
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from accelerate import Accelerator
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ccella_core.cases.prepared import PreparedCase
from ccella_core.config import StrictModel
from ccella_core.errors import InputError, NonFiniteError, SaveError
from ccella_core.files import whole_file
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.networks.autoencoder import Autoencoder
from ccella_core.phantom.known_report import kind_of_scan
from ccella_core.provenance import LabelName, SequenceName
from ccella_core.training.data.augmentation import RandomCopies, random_copy
from ccella_core.training.data.cached_cases import GLAND, LESION, CacheEntry
from ccella_core.training.data.mirror import mirrored_report
from ccella_core.training.data.sets import JoinedSet

TEXT_BATCH = 32  # reports that are encoded in one call
ENCODED_VOXELS = 2**22  # in one call: a volume of the published grid alone, a dozen of 128 x 128 x 20
READ_AHEAD = 4  # cases that are read while another is encoded, each by a thread; a published one takes 100 MB
MASKS: tuple[LabelName, ...] = get_args(LabelName)  # as prepared cases have them


class CacheSettings(StrictModel):
    """What is cached of each case."""

    latents: Literal["mean", "draw"] = Field("mean", description="the autoencoder's mean, or one draw around it")
    mirror: bool = Field(
        False,
        description="each case a second time, left and right exchanged, in its report too; without those whose report "
        "cannot be exchanged with certainty",
    )
    augment: Literal["none"] | RandomCopies = Field("none", description="random copies of each training case")
    scale: Literal["sequence", "channel"] = Field("sequence", description="unit variance of each sequence or channel")
    shard_cases: int = Field(256, gt=0, le=2**16, description="cases a file, with their mirror images and copies")


class _Row(NamedTuple):
    """One of the rows that a case gives."""

    mirrored: bool
    variation: int
    """0: as it was prepared; above: which random copy."""


def rows_of_case(prepared: JoinedSet, case: PreparedCase, settings: CacheSettings) -> list[_Row]:
    """The case, its mirror image and, for training, its random copies: every other one of them is mirrored."""
    rows = [_Row(mirrored, 0) for mirrored in ((False, True) if settings.mirror else (False,))]
    if settings.augment != "none" and case.split == "train" and prepared.shares[prepared.source(case)].augment:
        rows += [_Row(settings.mirror and number % 2 == 0, number) for number in range(1, settings.augment.copies + 1)]
    return rows


class ShardWriter:
    """Writes shards.

    Args:
        prepared: the cases.
        parts: of the latent, in their order.
        autoencoder: frozen, on the device.
        encoder: of reports; ``None``: they are left out.
        settings: what is kept.
        accelerator: device and precision.
    """

    def __init__(
        self,
        prepared: JoinedSet,
        parts: Sequence[SequenceName | LabelName],
        autoencoder: Autoencoder,
        encoder: ReportEncoder | None,
        settings: CacheSettings,
        accelerator: Accelerator,
    ) -> None:
        self.prepared, self.parts, self.autoencoder = prepared, parts, autoencoder
        self.encoder, self.settings, self.accelerator = encoder, settings, accelerator
        # Not known to sample with cubic splines and mirrored edges on Apple's graphics.
        self.copied_on = torch.device("cpu") if accelerator.device.type == "mps" else accelerator.device

    def write(self, path: Path, cases: list[PreparedCase], depends_on: dict[str, Any]) -> None:
        """Write the rows of these cases. One that cannot be read or encoded is left out, and the header says so.

        Raises:
            SaveError: the disk refuses.
        """
        rows: list[CacheEntry] = []
        reports: dict[str, int] = {}
        tensors: dict[str, list[Tensor]] = {"latents": [], "regions": [], "text": []}
        left_out: dict[str, str] = {}
        for case, reading in _read_ahead(self._read, cases):
            wanted = self._rows(case)
            by_side = {mirrored: self._texts(case, mirrored) for mirrored in {row.mirrored for row in wanted}}
            texts = [by_side[row.mirrored] for row in wanted]
            new = [text for text in dict.fromkeys(chain(*texts)) if text not in reports]
            try:
                encoded = list(self._encoded_rows(case, wanted, reading.result()))
                encoded_reports = self._encoded_reports(new, case)
            except (InputError, NonFiniteError) as error:
                left_out[case.id] = str(error)
                continue
            tensors["text"] += encoded_reports
            reports |= {text: len(reports) + number for number, text in enumerate(new)}
            for row, own, (latent, regions) in zip(wanted, texts, encoded, strict=True):
                tensors["latents"].append(latent)
                if regions is not None:
                    tensors["regions"].append(regions)
                rows.append(self._entry(case, row, own, tuple(reports[text] for text in own), regions))
        if len(tensors["regions"]) != len(rows):
            tensors["regions"] = []
        header = {
            "depends_on": json.dumps(depends_on),
            "rows": json.dumps([row.model_dump(mode="json") for row in rows]),
            "left_out": json.dumps(left_out),
        }
        stored = {name: torch.cat(parts).contiguous() for name, parts in tensors.items() if parts}
        save_tensors(stored, header, path)

    def _rows(self, case: PreparedCase) -> list[_Row]:
        """Without mirror images that the case's report cannot follow; a copy of it is then one as the case stands."""
        rows = rows_of_case(self.prepared, case, self.settings)
        if self.encoder is None or not case.reports or self._texts(case, mirrored=True):
            return rows
        return [_Row(False, row.variation) for row in rows if not row.mirrored or row.variation > 0]

    def _texts(self, case: PreparedCase, mirrored: bool) -> tuple[str, ...]:
        """The wordings of a case's report: of a mirrored one those that can be mirrored with certainty."""
        if self.encoder is None:
            return ()
        if not mirrored:
            return tuple(case.reports)
        return tuple(text for text in map(mirrored_report, case.reports) if text is not None)

    def _encoded_reports(self, texts: Sequence[str], case: PreparedCase) -> list[Tensor]:
        """Parts of (m, L, D) in half precision on the CPU."""
        batches = [texts[start : start + TEXT_BATCH] for start in range(0, len(texts), TEXT_BATCH)]
        if self.encoder is None:
            return []
        return [in_half(self.encoder.encode(batch), f"the report of {case.id}") for batch in batches]

    def _entry(
        self, case: PreparedCase, row: _Row, texts: Sequence[str], reports: tuple[int, ...], regions: Tensor | None
    ) -> CacheEntry:
        is_marked = regions is not None and bool((regions & LESION).any())
        is_known = self.prepared.has(case, "lesion") or case.positive is False
        return CacheEntry(
            id=case.id,
            mirrored=row.mirrored,
            variation=row.variation,
            source=self.prepared.source(case),
            positive=case.positive,
            present=tuple(self.prepared.has(case, part) for part in self.parts),
            reports=reports,
            scan_kinds=tuple(map(kind_of_scan, texts)),
            fields=case.fields.mirrored() if row.mirrored and case.fields is not None else case.fields,
            spacing_mm=case.spacing_mm,
            has_lesion=is_marked if is_marked or is_known else None,
        )

    def _read(self, case: PreparedCase) -> _Scan:
        """A case as it was prepared. Raises InputError."""
        names = [part for part in self.parts if part not in MASKS and self.prepared.has(case, part)]
        volumes = [self.prepared.voxels(case, name) for name in names]  # type: ignore[arg-type]
        regions = self.prepared.regions(case)
        stacked = np.array(volumes, np.float32).reshape(-1, *self.prepared.settings.shape)  # there may be none
        masks = None if regions is None else torch.from_numpy(np.stack(regions))
        return _Scan(names, torch.from_numpy(stacked), masks)  # type: ignore[arg-type]

    def _encoded_rows(
        self, case: PreparedCase, rows: Sequence[_Row], scan: _Scan
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Latents (1, C, x, y, z) in half precision and regions (1, 1, x, y, z), on the CPU."""
        scan = scan.on(self.copied_on)  # once for all copies
        for row in rows:
            shown = self._shown(case, row, scan)
            latent = self._latent(case, row, shown)
            yield latent, None if shown.masks is None else _regions(shown.masks, latent.shape[2:]).cpu()

    def _shown(self, case: PreparedCase, row: _Row, scan: _Scan) -> _Scan:
        """What a row shows."""
        names, volumes, masks = scan
        if row.variation > 0:
            assert isinstance(self.settings.augment, RandomCopies)
            # Seeded by the case, so that any number of processes draws the same.
            rng = np.random.default_rng([self.settings.augment.seed, zlib.crc32(case.id.encode()), row.variation])
            spacing = self.prepared.spacing_of(case)
            volumes, masks = random_copy(volumes, names, masks, self.settings.augment, spacing, rng)
        if row.mirrored:  # the first axis of a volume runs from left to right
            volumes, masks = volumes.flip(1), None if masks is None else masks.flip(1)
        return _Scan(names, volumes, masks)

    def _latent(self, case: PreparedCase, row: _Row, scan: _Scan) -> Tensor:
        """(1, C, x, y, z) in half precision: one part after the other, zeros for those that the case does not have."""
        wanted = [number for number, name in enumerate(self.parts) if self.prepared.has(case, name)]
        volumes = [scan.part(self.parts[number]) for number in wanted]
        size = max(1, ENCODED_VOXELS // volumes[0].numel())
        found: Tensor | None = None
        for start in range(0, len(wanted), size):
            mean, sigma = self._encoded(torch.stack(volumes[start : start + size])[:, None])
            for number, latent, deviation in zip(wanted[start : start + size], mean, sigma, strict=True):
                if found is None:
                    found = latent.new_zeros(len(self.parts), *latent.shape)
                found[number] = latent
                if self.settings.latents == "draw":
                    drawn = case.id if row.variation == 0 else f"{case.id}/copy {row.variation}"
                    seed = torch.Generator().manual_seed(zlib.crc32(f"{drawn}/{self.parts[number]}".encode()))
                    found[number] += deviation * torch.randn(latent[None].shape, generator=seed)[0].to(latent.device)
        assert found is not None
        return in_half(found.flatten(0, 1)[None], f"the latent of {case.id}")

    @torch.inference_mode()
    def _encoded(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        """Means and standard deviations, (B, C, x, y, z) float32 on the device, of (B, 1, X, Y, Z)."""
        with self.accelerator.autocast():
            mean, sigma = self.autoencoder.encode(voxels.to(self.accelerator.device))
        return mean.float(), sigma.float()


class _Scan(NamedTuple):
    """The volumes of a case, (P, X, Y, Z) float32, and its masks of gland and lesion (2, X, Y, Z) bool, if any."""

    names: Sequence[SequenceName]
    volumes: Tensor
    masks: Tensor | None

    def on(self, device: torch.device) -> _Scan:
        """The same on a device."""
        return _Scan(self.names, self.volumes.to(device), None if self.masks is None else self.masks.to(device))

    def part(self, part: SequenceName | LabelName) -> Tensor:
        """(X, Y, Z) float32: a volume, or a mask as 0 and 1."""
        if part in MASKS:
            assert self.masks is not None
            return self.masks[MASKS.index(part)].float()
        return self.volumes[self.names.index(part)]  # type: ignore[arg-type]


def _read_ahead(
    read: Callable[[PreparedCase], _Scan], cases: Iterable[PreparedCase]
) -> Iterator[tuple[PreparedCase, Future[_Scan]]]:
    """The cases in their order with what is read of them, the next ones being read meanwhile."""
    with ThreadPoolExecutor(READ_AHEAD) as readers:
        begun: deque[tuple[PreparedCase, Future[_Scan]]] = deque()
        for case in cases:
            begun.append((case, readers.submit(read, case)))
            if len(begun) > READ_AHEAD:
                yield begun.popleft()
        while begun:
            yield begun.popleft()


def _regions(masks: Tensor, shape: Sequence[int]) -> Tensor:
    """(1, 1, x, y, z) bits: a latent voxel belongs to a region if any of the voxels does that it stands for."""
    gland, lesion = (F.adaptive_max_pool3d(masks[:, None].float(), tuple(shape)) > 0).split(1)
    return gland.to(torch.uint8) * GLAND + lesion.to(torch.uint8) * LESION


def in_half(values: Tensor, what: str) -> Tensor:
    """Contiguous on the CPU. Raises NonFiniteError where a value is not finite, with ``what`` it is."""
    half = values.half().cpu().contiguous()
    if not torch.isfinite(half).all():
        raise NonFiniteError(f"In half precision {what} is not finite; it cannot be cached.")
    return half


def save_tensors(tensors: dict[str, Tensor], header: dict[str, str], path: Path) -> None:
    """Write a file of tensors, whole or not at all. Raises SaveError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, private=True) as unfinished:  # encoded reports, and what is known of the patients
            save_file(tensors, unfinished, metadata=header)
    except (OSError, SafetensorError) as error:
        raise SaveError(
            f"The cache could not be written into {path.parent}: {error}. What is finished stays; free some disk space "
            "and start the same command again."
        ) from error
