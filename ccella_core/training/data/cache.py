"""Makes the cache: every case through the autoencoder and the report encoder, once.

What a cache depends on is written into it and into each of its shards; a cache that was made from anything else is
refused, with the difference named, and never silently used or replaced. A run that was stopped goes on with the shards
that are missing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ccella_core.cases.case import Split
from ccella_core.cases.prepared import PreparedCase
from ccella_core.config import read_json, shorten
from ccella_core.errors import InputError
from ccella_core.files import LOCK_NAME, locked, prepare_folder, sha256_of, write_json
from ccella_core.fingerprints import refuse_other
from ccella_core.generation.report_text import NULL_REPORT
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.networks.autoencoder import Autoencoder
from ccella_core.progress import OnProgress
from ccella_core.provenance import LabelName, SequenceName
from ccella_core.runs.folder import log_left_out
from ccella_core.training.data.cached_cases import (
    CACHE_NAME,
    NULL_NAME,
    CacheEntry,
    CacheIndex,
    Shard,
    left_out_of,
    read_index,
    rows_of,
)
from ccella_core.training.data.sets import JoinedSet
from ccella_core.training.data.shards import MASKS, CacheSettings, ShardWriter, in_half, rows_of_case, save_tensors

log = logging.getLogger(__name__)

CACHED_SPLITS: tuple[Split, ...] = ("train", "validation")  # the test cases are for measuring alone
CACHE_OF_ANOTHER = "a cache that was made from something else"
MIRRORING = 2
"""Raised whenever the rules change by which reports are mirrored."""
COPYING = 2
"""Raised whenever the rules change by which random copies are made."""


def build_cache(
    prepared: JoinedSet,
    sequences: Sequence[SequenceName],
    autoencoder: Autoencoder,
    load_encoder: Callable[[], ReportEncoder] | None,
    settings: CacheSettings,
    folder: Path,
    *,
    labels: Sequence[LabelName] = (),
    depends_on: dict[str, Any],
    scale_factors: tuple[float, ...] | None = None,
    accelerator: Accelerator | None = None,
    progress: OnProgress | None = None,
) -> CacheIndex:
    """Encode the training and validation cases, or find that it was done; several processes share the work.

    A case that cannot be read or encoded is left out by name, see ``CacheIndex.left_out``.

    Args:
        prepared: the cases.
        sequences: whose latents are stacked along the channels, in this order. Cases may lack some.
        autoencoder: frozen, in float32.
        load_encoder: loads the report encoder, where anything is left to do; ``None`` for variants without text.
        settings: what is kept.
        folder: of the cache.
        labels: masks that are encoded like images with the values 0 and 1, and stacked after the sequences.
        depends_on: names and fingerprints of prepared set, autoencoder and encoder.
        scale_factors: one a sequence, which weights to start from expect; by default those that give the training
            latents unit variance.
        accelerator: processes and device; by default one process.
        progress: called with how many cases are done.

    Raises:
        InputError: the folder holds a cache of something else, or there are no training cases, or none with one of the
            sequences or labels, or none that can be used.
        NonFiniteError: the encoded null report is not finite in half precision.
        SaveError: the disk refuses; finished shards stay.
    """
    accelerator = accelerator or Accelerator()
    parts = (*sequences, *labels)
    depends_on = {**depends_on, "sequences": list(sequences), "labels": list(labels),
                  "augmented folders": [share.augment for share in prepared.shares],
                  **settings.model_dump(mode="json")}  # fmt: skip
    if settings.mirror:
        depends_on["mirroring of reports"] = MIRRORING
    if settings.augment != "none":
        depends_on["making of copies"] = COPYING
    there = read_index(folder)
    if scale_factors is not None and (there is None or not _same(there.scale_factors, scale_factors)):
        depends_on["scale_factor"] = list(scale_factors)
    elif scale_factors is not None and there is not None and "scale_factor" in there.depends_on:
        depends_on["scale_factor"] = there.depends_on["scale_factor"]
    if (index := _finished(folder, depends_on)) is not None:
        return index
    if not prepared.split("train"):
        raise InputError(f"There are no training cases in {prepared.folders}.")
    for part in parts:
        if not any(prepared.has(case, part) for case in prepared.split("train")):
            raise InputError(f"No training case in {prepared.folders} has the {part}.")
    if accelerator.is_main_process:
        prepare_folder(folder)
    # Two trainings that share a cache and begin at once: the second waits for what the first makes.
    with locked(folder / LOCK_NAME, wait=True) if accelerator.is_main_process else nullcontext():
        accelerator.wait_for_everyone()
        if (index := _finished(folder, depends_on)) is not None:
            return index
        autoencoder = autoencoder.to(accelerator.device)
        encoder = load_encoder() if load_encoder is not None else None
        writer = ShardWriter(prepared, parts, autoencoder, encoder, settings, accelerator)
        plan = _plan(prepared, settings, folder)
        done, total = 0, sum(len(cases) for _, cases in plan)
        for number, (path, cases) in enumerate(plan):
            if number % accelerator.num_processes == accelerator.process_index and not _is_done(path, depends_on):
                writer.write(path, cases, depends_on)
            done += len(cases)
            if progress is not None:
                progress(done, total)
        if accelerator.is_main_process and encoder is not None:
            save_tensors({"text": in_half(encoder.encode([NULL_REPORT])[0], "the null report")}, {}, folder / NULL_NAME)
        accelerator.wait_for_everyone()
        autoencoder.to("cpu")
        if accelerator.is_main_process:
            _write_index(folder, prepared, parts, plan, depends_on, settings.scale, has_text=encoder is not None,
                         given=scale_factors)  # fmt: skip
        accelerator.wait_for_everyone()
        index = read_index(folder)
        assert index is not None
        return index


def _finished(folder: Path, depends_on: dict[str, Any]) -> CacheIndex | None:
    """The index of the cache in a folder where it is whole; InputError where it is one of something else."""
    index = read_index(folder)
    if index is not None:
        refuse_other(folder, index.depends_on, depends_on, what=CACHE_OF_ANOTHER)
        log_left_out(index.left_out)
    return index


def _plan(prepared: JoinedSet, settings: CacheSettings, folder: Path) -> list[tuple[Path, list[PreparedCase]]]:
    """Shards and their cases. All rows of a case stand in one shard."""
    plan: list[tuple[Path, list[PreparedCase]]] = []
    for split in CACHED_SPLITS:
        number, rows = -1, settings.shard_cases
        for case in prepared.split(split):
            more = len(rows_of_case(prepared, case, settings))
            if rows + more > settings.shard_cases:
                number, rows = number + 1, 0
                plan.append((folder / f"{split}-{number:05d}.safetensors", []))
            plan[-1][1].append(case)
            rows += more
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


def _same(found: Sequence[float], expected: Sequence[float]) -> bool:
    return len(found) == len(expected) and all(map(partial(math.isclose, rel_tol=1e-6), found, expected))


def _write_index(
    folder: Path,
    prepared: JoinedSet,
    parts: Sequence[SequenceName | LabelName],
    plan: list[tuple[Path, list[PreparedCase]]],
    depends_on: dict[str, Any],
    scale: Literal["sequence", "channel"],
    *,
    has_text: bool,
    given: tuple[float, ...] | None,
) -> None:
    shards: dict[str, list[Shard]] = {split: [] for split in CACHED_SPLITS}
    has_regions, moments = True, _Moments(len(parts))
    left_out: dict[str, str] = {}
    entries: list[CacheEntry] = []
    for path, _ in plan:
        split = path.name.partition("-")[0]
        with safe_open(path, framework="pt") as file:
            rows = rows_of(file)
            entries += rows
            left_out |= left_out_of(file)
            has_regions = has_regions and (not rows or "regions" in file.keys())  # noqa: SIM118 - not a dict
            if split == "train" and rows:
                moments.add(file.get_tensor("latents"), torch.tensor([row.present for row in rows]))
        if rows:
            shards[split].append(Shard(file=path.name, sha256=sha256_of(path), rows=len(rows)))
    log_left_out(left_out)
    if not shards["train"]:
        raise InputError(f"None of the training cases can be used ({'; '.join(list(left_out.values())[:3])}).")
    if depends_on["mirror"]:
        _tell_of_mirrors(entries)
    index = CacheIndex(
        depends_on=depends_on,
        parts=tuple(parts),
        scale_factors=given or _alike(moments.scale_factors(scale), parts),
        spacing_mm=prepared.spacing,
        has_regions=has_regions,
        null_sha256=sha256_of(folder / NULL_NAME) if has_text else None,
        left_out=left_out,
        shards={split: tuple(each) for split, each in shards.items()},  # type: ignore[misc]
    )
    write_json(folder / CACHE_NAME, index)


def _tell_of_mirrors(rows: Sequence[CacheEntry]) -> None:
    alone = sorted({row.id for row in rows} - {row.id for row in rows if row.mirrored})
    if alone:
        log.warning(
            "%d of %d cases have no mirror image, as the sides in their reports cannot be exchanged with certainty: %s",
            len(alone), len({row.id for row in rows}), shorten(alone),
        )  # fmt: skip


def _alike(factors: tuple[float, ...], parts: Sequence[SequenceName | LabelName]) -> tuple[float, ...]:
    """Masks are all 0 or 1, so one scale, the gland's, is right for all of them.

    A lesion is rare: at unit variance it would be many times as strong as anything else, and the loss hardly be of the
    image.
    """
    each = len(factors) // len(parts)
    masks = [number for number, part in enumerate(parts) if part in MASKS]
    common = min(masks, key=lambda number: factors[number * each], default=0)
    kept = [common if number in masks else number for number in range(len(parts))]
    return tuple(factor for number in kept for factor in factors[number * each : (number + 1) * each])


class _Moments:
    """Of the training latents where they are: sums of the values and of their squares, by part and channel."""

    def __init__(self, parts: int) -> None:
        self.parts, self.values = parts, torch.zeros(parts, 1, dtype=torch.float64)
        self.sums = torch.zeros(2, parts, 1, dtype=torch.float64)

    def add(self, latents: Tensor, present: Tensor) -> None:
        """Latents (N, C, x, y, z) and which parts are in them, (N, P) bool."""
        by_part = latents.double().unflatten(1, (self.parts, -1)).flatten(3)
        there = present.double()[..., None]
        self.values = self.values + there.sum(0) * by_part.shape[-1]
        sums = torch.stack([by_part.sum(-1), by_part.square().sum(-1)])
        self.sums = self.sums + (sums * there).sum(1)

    def scale_factors(self, scale: Literal["sequence", "channel"]) -> tuple[float, ...]:
        """What gives unit variance, for each part or for each channel. Raises InputError where nothing varies."""
        values, sums = self.values.expand(self.sums.shape[1:]), self.sums
        if scale == "sequence":
            values, sums = values.sum(1, keepdim=True), sums.sum(2, keepdim=True)
        mean, square = sums / values
        deviation = (square - mean.square()).clamp(min=0).sqrt().flatten()
        if not bool((deviation > 0).all()):
            raise InputError("A part of the training latents is the same everywhere; it cannot be scaled.")
        return tuple((1 / deviation).tolist())
