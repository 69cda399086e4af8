"""Makes the cache: every case through the autoencoder and the report encoder, once.

What a cache depends on is written into it and into each of its shards; a cache that was made from anything else is
refused, with the difference named, and never silently used or replaced. A run that was stopped goes on with the shards
that are missing.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from monai.apps.generation.maisi.networks.autoencoderkl_maisi import AutoencoderKlMaisi
from safetensors import SafetensorError, safe_open

from ccella_core.cases.case import Split
from ccella_core.cases.prepared import PreparedCase, PreparedSet
from ccella_core.config import shorten
from ccella_core.errors import InputError
from ccella_core.files import sha256_of, write_json
from ccella_core.fingerprints import refuse_other
from ccella_core.generation.report_text import NULL_REPORT
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.progress import OnProgress
from ccella_core.provenance import SequenceName
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
from ccella_core.training.data.shards import CacheSettings, ShardWriter, in_half, save_tensors

log = logging.getLogger(__name__)

CACHED_SPLITS: tuple[Split, ...] = ("train", "validation")  # the test cases are for measuring alone
CACHE_OF_ANOTHER = "a cache that was made from something else"
MIRRORING = 2
"""Raised whenever the rules change by which reports are mirrored."""


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

    A case that cannot be read or encoded is left out by name, see ``CacheIndex.left_out``.

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
        InputError: the folder holds a cache of something else, or no training case can be used.
        NonFiniteError: the encoded null report is not finite in half precision.
        SaveError: the disk refuses; finished shards stay.
    """
    accelerator = accelerator or Accelerator()
    depends_on = {**depends_on, "sequences": list(sequences), **settings.model_dump(mode="json")}
    if settings.mirror:
        depends_on["mirroring of reports"] = MIRRORING
    if (index := read_index(folder)) is not None:
        refuse_other(folder, index.depends_on, depends_on, what=CACHE_OF_ANOTHER)
        _tell(index.left_out)
        return index
    if not prepared.split("train"):
        raise InputError(f"There are no training cases in {prepared.folder}.")
    autoencoder = autoencoder.to(accelerator.device)
    encoder = load_encoder() if load_encoder is not None else None
    writer = ShardWriter(prepared, sequences, autoencoder, encoder, settings, accelerator)
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
        _write_index(folder, prepared, sequences, plan, depends_on, has_text=encoder is not None)
    accelerator.wait_for_everyone()
    index = read_index(folder)
    assert index is not None
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
            found = json.loads(file.metadata()["depends_on"])
    except FileNotFoundError:
        return False
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return False  # it is written again
    refuse_other(path.parent, found, depends_on, what=CACHE_OF_ANOTHER)
    return True


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
    left_out: dict[str, str] = {}
    entries: list[CacheEntry] = []
    sums = torch.zeros(2, len(sequences), dtype=torch.float64)  # of the training latents, and of their squares
    for path, _ in plan:
        split = path.name.partition("-")[0]
        with safe_open(path, framework="pt") as file:
            rows = rows_of(file)
            entries += rows
            left_out |= left_out_of(file)
            has_regions = has_regions and (not rows or "regions" in file.keys())  # noqa: SIM118 - not a dict
            if split == "train" and rows:
                by_sequence = file.get_tensor("latents").double().unflatten(1, (len(sequences), -1))
                latents = by_sequence.transpose(0, 1).flatten(1)
                sums += torch.stack([latents.sum(1), latents.square().sum(1)])
                count += latents.shape[1]
        if rows:
            shards[split].append(Shard(file=path.name, sha256=sha256_of(path), rows=len(rows)))
    _tell(left_out)
    if not count:
        raise InputError(f"None of the training cases can be used ({'; '.join(list(left_out.values())[:3])}).")
    if depends_on["mirror"]:
        _tell_of_mirrors(entries)
    mean, square = sums / count
    variance = square - mean.square()
    index = CacheIndex(
        depends_on=depends_on,
        scale_factors=tuple((1 / variance.sqrt()).tolist()),
        spacing_mm=prepared.settings.spacing,
        has_regions=has_regions,
        null_sha256=sha256_of(folder / NULL_NAME) if has_text else None,
        left_out=left_out,
        shards={split: tuple(each) for split, each in shards.items()},  # type: ignore[misc]
    )
    write_json(folder / CACHE_NAME, index)


def _tell(left_out: dict[str, str]) -> None:
    for case, reason in left_out.items():
        log.warning("%s is left out: %s", case, reason)


def _tell_of_mirrors(rows: Sequence[CacheEntry]) -> None:
    alone = sorted({row.id for row in rows} - {row.id for row in rows if row.mirrored})
    if alone:
        log.warning(
            "%d of %d cases have no mirror image, as the sides in their reports cannot be exchanged with certainty: %s",
            len(alone),
            len({row.id for row in rows}),
            shorten(alone),
        )
