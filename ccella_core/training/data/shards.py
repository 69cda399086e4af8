"""Writes the shards of a cache: cases through the autoencoder and the report encoder, some hundred a file."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ccella_core.cases.prepared import PreparedCase, PreparedSet
from ccella_core.config import StrictModel
from ccella_core.errors import InputError, NonFiniteError, SaveError
from ccella_core.files import whole_file
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.provenance import SequenceName
from ccella_core.training.data.cached_cases import GLAND, LESION, CacheEntry
from ccella_core.training.data.mirror import mirrored_report

TEXT_BATCH = 32  # reports that are encoded in one call


class CacheSettings(StrictModel):
    """What is cached of each case."""

    latents: Literal["mean", "draw"] = Field("mean", description="the autoencoder's mean, or one draw around it")
    mirror: bool = Field(
        False,
        description="each case a second time, left and right exchanged, in its report too; without those whose report "
        "cannot be exchanged with certainty",
    )
    shard_cases: int = Field(256, gt=0, description="cases a file")


class ShardWriter:
    """Brings cases through the frozen networks; the parameters are those of ``build_cache``."""

    def __init__(
        self,
        prepared: PreparedSet,
        sequences: Sequence[SequenceName],
        autoencoder: AutoencoderKlMaisi,
        encoder: ReportEncoder | None,
        settings: CacheSettings,
        accelerator: Accelerator,
    ) -> None:
        self.prepared, self.sequences, self.autoencoder = prepared, sequences, autoencoder
        self.encoder, self.settings, self.accelerator = encoder, settings, accelerator

    def write(self, path: Path, cases: list[PreparedCase], depends_on: dict[str, Any]) -> None:
        """Write the shard of some cases. One that cannot be read or encoded is left out, and its header says so.

        Raises:
            SaveError: the disk refuses.
        """
        rows: list[CacheEntry] = []
        reports: dict[str, int] = {}
        encoded: list[Tensor] = []
        latents: list[Tensor] = []
        all_regions: list[Tensor] = []
        left_out: dict[str, str] = {}
        for case in cases:
            try:
                examinations = self._examinations(case)
                new = [text for each in examinations for text in each.texts if text not in reports]
                found = self._encoded(list(dict.fromkeys(new)), case.id)
            except (InputError, NonFiniteError) as error:
                left_out[case.id] = str(error)
                continue
            encoded += found
            for each in examinations:
                latents.append(each.latent)
                if each.regions is not None:
                    all_regions.append(each.regions)
                rows.append(_row(case, each, tuple(reports.setdefault(text, len(reports)) for text in each.texts)))
        stored = {"latents": torch.cat(latents).contiguous()} if latents else {}
        if rows and len(all_regions) == len(rows):
            stored["regions"] = torch.cat(all_regions).contiguous()
        if encoded:
            stored["text"] = torch.cat(encoded)
        header = {
            "depends_on": json.dumps(depends_on),
            "rows": json.dumps([row.model_dump(mode="json") for row in rows]),
            "left_out": json.dumps(left_out),
        }
        save_tensors(stored, header, path)

    def _examinations(self, case: PreparedCase) -> list[_Examination]:
        """The case's own, and its mirror image where that is wanted and its report can follow."""
        voxels = torch.from_numpy(np.stack([self.prepared.voxels(case, name) for name in self.sequences]))
        texts = tuple(case.reports) if self.encoder is not None else ()
        latent = self._latent(voxels, case.id)
        regions = self._regions(case, latent.shape[2:])
        found = [_Examination(False, latent, regions, texts)]
        if self.settings.mirror:
            others = tuple(text for text in map(mirrored_report, texts) if text is not None)
            if others or not texts:
                # The first axis of a volume runs from left to right.
                latent = self._latent(voxels.flip(1), case.id)
                found.append(_Examination(True, latent, None if regions is None else regions.flip(2), others))
        return found

    def _encoded(self, texts: list[str], case: str) -> list[Tensor]:
        """Parts of (m, L, D) in half precision."""
        if self.encoder is None or not texts:
            return []
        batches = [texts[start : start + TEXT_BATCH] for start in range(0, len(texts), TEXT_BATCH)]
        return [in_half(self.encoder.encode(batch), f"the report of {case}") for batch in batches]

    @torch.inference_mode()
    def _latent(self, voxels: Tensor, case: str) -> Tensor:
        """(1, C, x, y, z) in half precision of (S, X, Y, Z) voxels: one sequence after the other."""
        parts = []
        for number, volume in enumerate(voxels):
            with self.accelerator.autocast():
                mean, sigma = self.autoencoder.encode(volume[None, None].to(self.accelerator.device))
            latent = mean.float().cpu()
            if self.settings.latents == "draw":
                # Seeded by the case, so that any number of processes draws the same.
                seed = torch.Generator().manual_seed(zlib.crc32(f"{case}/{number}".encode()))
                latent = latent + sigma.float().cpu() * torch.randn(latent.shape, generator=seed)
            parts.append(latent)
        return in_half(torch.cat(parts, dim=1), f"the latent of {case}")

    def _regions(self, case: PreparedCase, shape: Sequence[int]) -> Tensor | None:
        """(1, 1, x, y, z) bits: a latent voxel belongs to a region if any of the voxels does that it stands for."""
        masks = self.prepared.regions(case)
        if masks is None:
            return None
        stacked = torch.from_numpy(np.stack(masks))[:, None].float()
        gland, lesion = (F.adaptive_max_pool3d(stacked, tuple(shape)) > 0).split(1)
        return gland.to(torch.uint8) * GLAND + lesion.to(torch.uint8) * LESION


class _Examination(NamedTuple):
    """A case, or its mirror image, as it is cached."""

    mirrored: bool
    latent: Tensor
    regions: Tensor | None
    texts: tuple[str, ...]


def _row(case: PreparedCase, examination: _Examination, reports: tuple[int, ...]) -> CacheEntry:
    mirrored, regions = examination.mirrored, examination.regions
    return CacheEntry(
        id=case.id,
        mirrored=mirrored,
        positive=case.pathology == "positive",
        reports=reports,
        fields=case.fields.mirrored() if mirrored and case.fields is not None else case.fields,
        has_lesion=regions is not None and bool((regions & LESION).any()),
    )


def in_half(values: Tensor, what: str) -> Tensor:
    """In half precision on the CPU. Raises NonFiniteError where that is not finite."""
    half = values.half().cpu().contiguous()
    if not torch.isfinite(half).all():
        raise NonFiniteError(f"In half precision {what} is not finite; it cannot be cached.")
    return half


def save_tensors(tensors: dict[str, Tensor], header: dict[str, str], path: Path) -> None:
    """Write a file of a cache, whole or not at all. Raises SaveError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path, private=True) as unfinished:  # encoded reports, and what is known of the patients
            save_file(tensors, unfinished, metadata=header)
    except (OSError, SafetensorError) as error:
        raise SaveError(
            f"The cache could not be written into {path.parent}: {error}. What is finished stays; free some disk space "
            "and start the same command again."
        ) from error
