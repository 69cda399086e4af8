"""Makes the cache: every case through the autoencoder and the report encoder, once.

What a cache depends on is written into it and into each of its shards; a cache that was made from anything else is
refused, with the difference named, and never silently used or replaced. A run that was stopped goes on with the shards
that are missing.
"""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi
from pydantic import Field
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from ccella_core.cases.case import Split
from ccella_core.cases.prepared import PreparedCase, PreparedSet
from ccella_core.config import StrictModel, read_json
from ccella_core.errors import InputError, NonFiniteError, SaveError
from ccella_core.files import LOCK_NAME, locked, prepare_folder, sha256_of, whole_file, write_json
from ccella_core.fingerprints import refuse_other
from ccella_core.generation.report_text import NULL_REPORT
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.progress import OnProgress
from ccella_core.provenance import SequenceName
from ccella_core.training.data.cached_cases import (
    CACHE_NAME,
    GLAND,
    LESION,
    NULL_NAME,
    CacheEntry,
    CacheIndex,
    Shard,
    read_index,
    rows_of,
)

log = logging.getLogger(__name__)

CACHED_SPLITS: tuple[Split, ...] = ("train", "validation")  # the test cases are for measuring alone
CACHE_OF_ANOTHER = "a cache that was made from something else"
TEXT_BATCH = 32  # reports that are encoded in one call
_SIDES = {"left": "right", "right": "left", "lt": "rt", "rt": "lt"}
_SIDE = re.compile(r"\b(left|right|lt|rt)\b", re.IGNORECASE)


class CacheSettings(StrictModel):
    """What is cached of each case."""

    latents: Literal["mean", "draw"] = Field("mean", description="the autoencoder's mean, or one draw around it")
    mirror: bool = Field(False, description="each case a second time, left and right exchanged, in its report too")
    shard_cases: int = Field(256, gt=0, le=2**16, description="cases a file")


def mirrored_report(report: str) -> str:
    """The report with left and right (also ``lt`` and ``rt``) exchanged, capitals kept."""

    def other(found: re.Match[str]) -> str:
        word = found[0]
        side = _SIDES[word.lower()]
        return side.upper() if word.isupper() else side.capitalize() if word[0].isupper() else side

    return _SIDE.sub(other, report)


def build_cache(
    prepared: PreparedSet,
    sequences: Sequence[SequenceName],
    autoencoder: AutoencoderKlMaisi,
    load_encoder: Callable[[], ReportEncoder] | None,
    settings: CacheSettings,
    folder: Path,
    *,
    depends_on: dict[str, Any],
    accelerator: Accelerator | None = None,
    progress: OnProgress | None = None,
) -> CacheIndex:
    """Encode the training and validation cases, or find that it was done; several processes share the work.

    Args:
        prepared: the cases.
        sequences: whose latents are stacked along the channels, in this order.
        autoencoder: frozen, in float32.
        load_encoder: loads the report encoder, where anything is left to do; ``None`` for variants without text.
        settings: what is kept.
        folder: of the cache.
        depends_on: names and fingerprints of prepared set, autoencoder and encoder.
        accelerator: processes and device; by default one process.
        progress: called with how many cases are done.

    Raises:
        InputError: the folder holds a cache of something else, or there are no training cases.
        NonFiniteError: a latent or an encoded report is not finite in half precision.
        SaveError: the disk refuses; finished shards stay.
    """
    accelerator = accelerator or Accelerator()
    depends_on = {**depends_on, "sequences": list(sequences), **settings.model_dump(mode="json")}
    if (index := _finished(folder, depends_on)) is not None:
        return index
    if not prepared.split("train"):
        raise InputError(f"There are no training cases in {prepared.folder}.")
    if accelerator.is_main_process:
        prepare_folder(folder)
    # Two trainings that share a cache and begin at once: the second waits for what the first makes.
    with locked(folder / LOCK_NAME, wait=True) if accelerator.is_main_process else nullcontext():
        accelerator.wait_for_everyone()
        if (index := _finished(folder, depends_on)) is not None:
            return index
        autoencoder = autoencoder.to(accelerator.device)
        encoder = load_encoder() if load_encoder is not None else None
        writer = _ShardWriter(prepared, sequences, autoencoder, encoder, settings, accelerator)
        plan = _plan(prepared, settings, folder)
        done, total = 0, sum(len(cases) for _, cases in plan)
        for number, (path, cases) in enumerate(plan):
            if number % accelerator.num_processes == accelerator.process_index and not _is_done(path, depends_on):
                writer.write(path, cases, depends_on)
            done += len(cases)
            if progress is not None:
                progress(done, total)
        if accelerator.is_main_process and encoder is not None:
            _save({"text": _half(encoder.encode([NULL_REPORT])[0], "the null report")}, {}, folder / NULL_NAME)
        accelerator.wait_for_everyone()
        autoencoder.to("cpu")
        if accelerator.is_main_process:
            _write_index(folder, prepared, sequences, plan, depends_on, has_text=encoder is not None)
        accelerator.wait_for_everyone()
        index = read_index(folder)
        assert index is not None
        return index


def _finished(folder: Path, depends_on: dict[str, Any]) -> CacheIndex | None:
    """The index of the cache in a folder where it is whole; InputError where it is one of something else."""
    index = read_index(folder)
    if index is not None:
        refuse_other(folder, index.depends_on, depends_on, what=CACHE_OF_ANOTHER)
    return index


def _plan(prepared: PreparedSet, settings: CacheSettings, folder: Path) -> list[tuple[Path, list[PreparedCase]]]:
    """Shards and their cases. A case and its mirror image stand in one shard."""
    plan = []
    size = max(1, settings.shard_cases // (2 if settings.mirror else 1))
    for split in CACHED_SPLITS:
        cases = prepared.split(split)
        for number, start in enumerate(range(0, len(cases), size)):
            plan.append((folder / f"{split}-{number:05d}.safetensors", cases[start : start + size]))
    return plan


def _is_done(path: Path, depends_on: dict[str, Any]) -> bool:
    try:
        with safe_open(path, framework="pt") as file:
            found = dict(read_json(file.metadata()["depends_on"]))
    except FileNotFoundError:
        return False
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return False  # it is written again
    refuse_other(path.parent, found, depends_on, what=CACHE_OF_ANOTHER)
    return True


class _ShardWriter:
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
        rows: list[CacheEntry] = []
        reports: dict[str, int] = {}
        tensors: dict[str, list[Tensor]] = {"latents": [], "regions": []}
        for case in cases:
            voxels = torch.from_numpy(np.stack([self.prepared.voxels(case, name) for name in self.sequences]))
            regions: Tensor | None = None
            for mirrored in (False, True) if self.settings.mirror else (False,):
                # The first axis of a volume runs from left to right.
                latent = self._latent(voxels.flip(1) if mirrored else voxels, case.id)
                tensors["latents"].append(latent)
                if regions is None:
                    regions = self._regions(case, latent.shape[2:])
                if regions is not None:
                    tensors["regions"].append(regions.flip(2) if mirrored else regions)
                rows.append(self._row(case, mirrored, reports, regions))
        stored = {name: torch.cat(parts).contiguous() for name, parts in tensors.items() if parts}
        if len(tensors["regions"]) not in (0, len(rows)):
            del stored["regions"]
        if self.encoder is not None and reports:
            texts = list(reports)
            encoded = [self.encoder.encode(texts[i : i + TEXT_BATCH]).cpu() for i in range(0, len(texts), TEXT_BATCH)]
            stored["text"] = _half(torch.cat(encoded), f"a report in {path.name}")
        header = {
            "depends_on": json.dumps(depends_on),
            "rows": json.dumps([row.model_dump(mode="json") for row in rows]),
        }
        _save(stored, header, path)

    def _row(self, case: PreparedCase, mirrored: bool, reports: dict[str, int], regions: Tensor | None) -> CacheEntry:
        texts = case.reports if self.encoder is not None else ()
        texts = tuple(mirrored_report(text) for text in texts) if mirrored else texts
        fields = case.fields.mirrored() if mirrored and case.fields is not None else case.fields
        return CacheEntry(
            id=case.id,
            mirrored=mirrored,
            positive=case.pathology == "positive",
            reports=tuple(reports.setdefault(text, len(reports)) for text in texts),
            fields=fields,
            has_lesion=regions is not None and bool((regions & LESION).any()),
        )

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
        return _half(torch.cat(parts, dim=1), f"the latent of {case}")

    def _regions(self, case: PreparedCase, shape: Sequence[int]) -> Tensor | None:
        """(1, 1, x, y, z) bits: a latent voxel belongs to a region if any of the voxels does that it stands for."""
        masks = self.prepared.regions(case)
        if masks is None:
            return None
        stacked = torch.from_numpy(np.stack(masks))[:, None].float()
        gland, lesion = (F.adaptive_max_pool3d(stacked, tuple(shape)) > 0).split(1)
        return gland.to(torch.uint8) * GLAND + lesion.to(torch.uint8) * LESION


def _half(values: Tensor, what: str) -> Tensor:
    half = values.half().cpu().contiguous()
    if not torch.isfinite(half).all():
        raise NonFiniteError(f"In half precision {what} is not finite; it cannot be cached.")
    return half


def _save(tensors: dict[str, Tensor], header: dict[str, str], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            save_file(tensors, unfinished, metadata=header)
    except (OSError, SafetensorError) as error:
        raise SaveError(
            f"The cache could not be written into {path.parent}: {error}. What is finished stays; free some disk space "
            "and start the same command again."
        ) from error


def _write_index(
    folder: Path,
    prepared: PreparedSet,
    sequences: Sequence[SequenceName],
    plan: list[tuple[Path, list[PreparedCase]]],
    depends_on: dict[str, Any],
    *,
    has_text: bool,
) -> None:
    shards: dict[str, list[Shard]] = {split: [] for split in CACHED_SPLITS}
    count, has_regions = 0, True
    sums = torch.zeros(2, len(sequences), dtype=torch.float64)  # of the training latents, and of their squares
    for path, _ in plan:
        split = path.name.partition("-")[0]
        with safe_open(path, framework="pt") as file:
            rows = len(rows_of(file))
            has_regions = has_regions and "regions" in file.keys()  # noqa: SIM118 - not a dict
            if split == "train":
                by_sequence = file.get_tensor("latents").double().unflatten(1, (len(sequences), -1))
                latents = by_sequence.transpose(0, 1).flatten(1)
                sums += torch.stack([latents.sum(1), latents.square().sum(1)])
                count += latents.shape[1]
        shards[split].append(Shard(file=path.name, sha256=sha256_of(path), rows=rows))
    mean, square = sums / count
    variance = square - mean.square()
    if not (variance > 0).all():
        raise InputError("The latents of all training cases are alike: is the autoencoder a trained one?")
    index = CacheIndex(
        depends_on=depends_on,
        scale_factors=tuple((1 / variance.sqrt()).tolist()),
        spacing_mm=prepared.settings.spacing,
        has_regions=has_regions,
        null_sha256=sha256_of(folder / NULL_NAME) if has_text else None,
        shards={split: tuple(each) for split, each in shards.items()},  # type: ignore[misc]
    )
    write_json(folder / CACHE_NAME, index)
