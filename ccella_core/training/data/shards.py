"""What a shard of the cache holds: cases, their mirror images and random copies, through the frozen networks."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
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
from ccella_core.provenance import LabelName, SequenceName
from ccella_core.training.data.augmentation import RandomCopies, random_copy
from ccella_core.training.data.cached_cases import GLAND, LESION, CacheEntry
from ccella_core.training.data.mirror import mirrored_report
from ccella_core.training.data.sets import JoinedSet

TEXT_BATCH = 32  # reports that are encoded in one call
ENCODED_VOXELS = 2**22  # in one call: a volume of the published grid alone, a dozen of 128 x 128 x 20
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

    def write(self, path: Path, cases: list[PreparedCase], depends_on: dict[str, Any]) -> None:
        """Write the rows of these cases. One that cannot be read or encoded is left out, and the header says so.

        Raises:
            SaveError: the disk refuses.
        """
        rows: list[CacheEntry] = []
        reports: dict[str, int] = {}
        tensors: dict[str, list[Tensor]] = {"latents": [], "regions": [], "text": []}
        left_out: dict[str, str] = {}
        for case in cases:
            wanted = self._rows(case)
            texts = [self._texts(case, row) for row in wanted]
            new = [text for text in dict.fromkeys(chain(*texts)) if text not in reports]
            try:
                scans = [self._scan(case, row) for row in wanted]
                latents = self._latents(case, wanted, scans)
                encoded = self._encoded_reports(new, case)
            except (InputError, NonFiniteError) as error:
                left_out[case.id] = str(error)
                continue
            tensors["latents"].append(latents)
            tensors["text"] += encoded
            reports |= {text: len(reports) + number for number, text in enumerate(new)}
            for row, scan, own in zip(wanted, scans, texts, strict=True):
                regions = None if scan.masks is None else _regions(scan.masks, latents.shape[2:])
                if regions is not None:
                    tensors["regions"].append(regions)
                rows.append(self._entry(case, row, tuple(reports[text] for text in own), regions))
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
        if self.encoder is None or not case.reports or self._texts(case, _Row(True, 0)):
            return rows
        return [_Row(False, row.variation) for row in rows if not row.mirrored or row.variation > 0]

    def _texts(self, case: PreparedCase, row: _Row) -> tuple[str, ...]:
        """The wordings of a row's report: of a mirrored one those that can be mirrored with certainty."""
        if self.encoder is None:
            return ()
        if not row.mirrored:
            return tuple(case.reports)
        return tuple(text for text in map(mirrored_report, case.reports) if text is not None)

    def _encoded_reports(self, texts: Sequence[str], case: PreparedCase) -> list[Tensor]:
        """Parts of (m, L, D) in half precision on the CPU."""
        batches = [texts[start : start + TEXT_BATCH] for start in range(0, len(texts), TEXT_BATCH)]
        if self.encoder is None:
            return []
        return [in_half(self.encoder.encode(batch), f"the report of {case.id}") for batch in batches]

    def _entry(self, case: PreparedCase, row: _Row, reports: tuple[int, ...], regions: Tensor | None) -> CacheEntry:
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
            fields=case.fields.mirrored() if row.mirrored and case.fields is not None else case.fields,
            spacing_mm=case.spacing_mm,
            has_lesion=is_marked if is_marked or is_known else None,
        )

    def _scan(self, case: PreparedCase, row: _Row) -> _Scan:
        """What a row shows."""
        if row.variation == 0:
            volumes = {name: self.prepared.voxels(case, name) for name in self._sequences(case)}
            regions = self.prepared.regions(case)
            scan = _Scan(volumes, None if regions is None else np.stack(regions))
        else:
            assert isinstance(self.settings.augment, RandomCopies)
            # Seeded by the case, so that any number of processes draws the same.
            seed = [self.settings.augment.seed, zlib.crc32(case.id.encode()), row.variation]
            prepared = self._scan(case, _Row(False, 0))
            spacing = self.prepared.spacing_of(case)
            scan = _Scan(*random_copy(*prepared, self.settings.augment, spacing, np.random.default_rng(seed)))
        if not row.mirrored:
            return scan
        # The first axis of a volume runs from left to right.
        volumes = {name: volume[::-1] for name, volume in scan.volumes.items()}
        return _Scan(volumes, None if scan.masks is None else scan.masks[:, ::-1])

    def _sequences(self, case: PreparedCase) -> list[SequenceName]:
        return [part for part in self.parts if part not in MASKS and self.prepared.has(case, part)]  # type: ignore[misc]

    def _latents(self, case: PreparedCase, rows: Sequence[_Row], scans: Sequence[_Scan]) -> Tensor:
        """(R, C, x, y, z) in half precision: one part after the other, zeros for those that the case does not have."""
        wanted = [(row, part) for row in range(len(rows)) for part, name in enumerate(self.parts)
                  if self.prepared.has(case, name)]  # fmt: skip
        volumes = [scans[row].part(self.parts[part]) for row, part in wanted]
        size = max(1, ENCODED_VOXELS // volumes[0].size)
        found: Tensor | None = None
        for start in range(0, len(wanted), size):
            mean, sigma = self._encoded(volumes[start : start + size])
            for number, (row, part) in enumerate(wanted[start : start + size]):
                latent = mean[number]
                if self.settings.latents == "draw":
                    drawn = case.id if rows[row].variation == 0 else f"{case.id}/copy {rows[row].variation}"
                    seed = torch.Generator().manual_seed(zlib.crc32(f"{drawn}/{part}".encode()))
                    latent = latent + sigma[number] * torch.randn(latent[None].shape, generator=seed)[0]
                if found is None:
                    found = torch.zeros(len(rows), len(self.parts), *latent.shape)
                found[row, part] = latent
        assert found is not None
        return in_half(found.flatten(1, 2), f"the latent of {case.id}")

    @torch.inference_mode()
    def _encoded(self, volumes: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
        """Means and standard deviations, (B, C, x, y, z) float32 on the CPU."""
        voxels = torch.from_numpy(np.stack(volumes)[:, None]).to(self.accelerator.device)
        with self.accelerator.autocast():
            mean, sigma = self.autoencoder.encode(voxels)
        return mean.float().cpu(), sigma.float().cpu()


class _Scan(NamedTuple):
    """The volumes of a case, and its masks of gland and lesion (2, X, Y, Z) bool, if it has any."""

    volumes: dict[SequenceName, np.ndarray]
    masks: np.ndarray | None

    def part(self, part: SequenceName | LabelName) -> np.ndarray:
        """(X, Y, Z) float32: a volume, or a mask as 0 and 1."""
        if part in MASKS:
            assert self.masks is not None
            return self.masks[MASKS.index(part)].astype(np.float32)
        return np.ascontiguousarray(self.volumes[part])  # type: ignore[index]


def _regions(masks: np.ndarray, shape: Sequence[int]) -> Tensor:
    """(1, 1, x, y, z) bits: a latent voxel belongs to a region if any of the voxels does that it stands for."""
    stacked = torch.from_numpy(masks.astype(np.float32))[:, None]
    gland, lesion = (F.adaptive_max_pool3d(stacked, tuple(shape)) > 0).split(1)
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
