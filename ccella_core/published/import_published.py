"""Import of published checkpoints: the authors' denoiser or NVIDIA's, and the MAISI autoencoder, pickles, into a model.

This is the one place that reads a pickle, with ``weights_only=True``: tensors and plain values come out of it, and
anything else is refused before it can run. The authors save scale factors as MONAI's ``MetaTensor``, which drags the
paths of training patients along: its numbers are taken and the rest is dropped. Variant and sizes follow from the names
and shapes of the tensors; every tensor must then fit.
"""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from monai.data.meta_tensor import MetaTensor
from monai.utils.enums import MetaKeys, SpaceKeys, TraceKeys
from pydantic import ValidationError
from torch import Tensor, nn

from ccella_core.config import sentence_of, shorten
from ccella_core.errors import InputError, ModelError, SaveError
from ccella_core.files import replace_folder, sha256_of
from ccella_core.generation.components import Components, check_components, save_components
from ccella_core.generation.sampling.schedulers import Scheduler
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.models.model import ModelFolder
from ccella_core.models.search import user_models_dir
from ccella_core.models.weights import save_component
from ccella_core.networks import AutoencoderConfig, ConditionalDenoiser, Variant, build_autoencoder
from ccella_core.networks.published import autoencoder_config_of, denoiser_config_of, published_name, variant_of
from ccella_core.published.releases import SaidOfImport, index_of, release_of

log = logging.getLogger(__name__)

WEIGHTS_KEY, SCALE_KEY = "unet_state_dict", "scale_factor"
WRAPPERS = (WEIGHTS_KEY, "state_dict", "autoencoder_state_dict", "autoencoder", "model")
"""Keys under which a release may keep its weights."""
METADATA_CLASSES = (MetaTensor, MetaKeys, SpaceKeys, TraceKeys)
"""What a ``MetaTensor`` is made of beside plain values; nothing else is let through."""
MAX_DEPTH = 16  # of containers in a checkpoint: a state dictionary in a wrapper or two
PARALLEL_PREFIX = "module."  # torch's DistributedDataParallel
ABOUT_NAME = "about.json"
"""Beside an autoencoder that was imported alone: where it comes from, and its licence."""


class PublishedCheckpoint(NamedTuple):
    """What a checkpoint of the authors holds."""

    denoiser: ConditionalDenoiser
    scale_factors: tuple[float, ...]
    """One, or in CCELLA++ three: those of t2w, hbv and adc, whose latents are stacked in this order."""


def import_model(
    out: Path | None,
    said: SaidOfImport,
    *,
    denoiser: Path,
    autoencoder: Path,
    encoder: ReportEncoder | None = None,
    variant: Variant | None = None,
    overwrite: bool = False,
) -> ModelFolder:
    """Write a model of published weights, whole or not at all.

    Args:
        out: the model's folder; by default one of its name among the user's own.
        said: what only a person knows, where the release does not say it.
        denoiser: the ``.pt`` of the authors, or of NVIDIA's NV-Generate-MR.
        autoencoder: MAISI's ``.pt``.
        encoder: ``None`` for variants without text.
        variant: what it should be; by default what its names say.
        overwrite: replace a model that is there.

    Raises:
        InputError: a file that is not what it should be, in a sentence that says what it looks like; or something is
            not said.
        ModelError: the parts do not fit each other.
        SaveError: ``out`` is taken, or the disk refuses.
    """
    published = read_denoiser(denoiser, variant)
    config = published.denoiser.config
    release = release_of(config)
    index = index_of(release, said, published.scale_factors, [denoiser.name, autoencoder.name])
    if config.uses_modality:
        log.warning(
            "%s has the form of NVIDIA's networks for MR. Those for CT and for the brain have the same form and cannot "
            "be told apart: be sure that it is NV-Generate-MR's.",
            denoiser.name,
        )
    # Refused here rather than at the first use.
    Scheduler(index.default_scheduler, release.scheduler_config, index.default_num_inference_steps)  # type: ignore[arg-type]
    vae, vae_config = read_autoencoder(autoencoder)
    try:
        check_components(config, vae_config, encoder, index)
    except ModelError as error:
        raise InputError(str(error)) from error
    parts: Components = {
        "report_profile": None,  # nobody knows the reports but the authors
        "denoiser": published.denoiser,
        "autoencoder": vae,
        "autoencoder_config": vae_config,
        "scheduler_config": release.scheduler_config,
        "encoder": encoder,
    }
    folder = out or user_models_dir() / index.name
    return save_components(folder, parts, index, overwrite=overwrite, storage_dtype=torch.float16)


def import_autoencoder(file: Path, out: Path, *, licence: str, overwrite: bool = False) -> Path:
    """Turn MAISI's ``.pt`` into a folder that a training takes as its autoencoder, whole or not at all; returns it.

    Args:
        file: the checkpoint.
        out: the folder; beside the weights it holds where they come from and their licence.
        licence: as their release states it.
        overwrite: replace a folder that is there.

    Raises:
        InputError: a file that is not what it should be.
        SaveError: ``out`` is taken, or the disk refuses.
    """
    if out.exists() and not (overwrite and (out / ABOUT_NAME).is_file()):
        raise SaveError(f"{out} exists already; choose another folder, or overwrite an autoencoder imported earlier.")
    model, config = read_autoencoder(file)
    about = {"imported_from": file.name, "sha256": sha256_of(file), "licence": licence}
    try:
        with replace_folder(out) as unfinished:
            save_component(model, config, unfinished)
            (unfinished / ABOUT_NAME).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SaveError(f"The autoencoder could not be written to {out}: {error}.") from error
    return out


def read_denoiser(path: Path, variant: Variant | None = None) -> PublishedCheckpoint:
    """The denoiser in one of the authors' checkpoints. Raises InputError."""
    content = read_pickle(path)
    if not isinstance(content, Mapping) or WEIGHTS_KEY not in content or SCALE_KEY not in content:
        raise InputError(f"{path} is no checkpoint of a denoiser: it has no {WEIGHTS_KEY} and {SCALE_KEY}.")
    if ignored := sorted(str(key) for key in content.keys() - {WEIGHTS_KEY, SCALE_KEY}):
        log.info("%s: not used: %s", path.name, ", ".join(ignored))
    tensors = tensors_by_name(content[WEIGHTS_KEY], path)
    try:
        found = variant_of(tensors)
    except ValueError as error:
        raise InputError(f"{path} is {error}; only networks that draw prostates are imported.") from error
    if variant is not None and variant != found:
        raise InputError(f"{path} holds the variant {found}, not {variant}.")
    try:
        config = denoiser_config_of(tensors, found)
        model = ConditionalDenoiser(config)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"{path} holds no network that is known ({_what(error)} is missing or odd).") from error
    fill(model, {name: tensors.get(published_name(name, found)) for name in model.state_dict()}, tensors, path,
          {published_name(name, found) for name in model.state_dict()})  # fmt: skip
    return PublishedCheckpoint(model.eval(), _scale_factors(content[SCALE_KEY], path))


def read_autoencoder(path: Path) -> tuple[Any, AutoencoderConfig]:
    """The MAISI autoencoder and its size. Raises InputError."""
    content = read_pickle(path)
    tensors = tensors_by_name(unwrapped(content), path)
    try:
        config = autoencoder_config_of(tensors)
        model = build_autoencoder(config)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"{path} does not hold the MAISI autoencoder ({_what(error)} is missing or odd).") from error
    names = set(model.state_dict())
    fill(model, {name: tensors.get(name) for name in names}, tensors, path, names)
    return model.eval(), config


def read_pickle(path: Path) -> Any:
    """What ``torch.save`` wrote, if it is tensors and plain values; nothing in it is run.

    Tensors with metadata come out as plain ones: the metadata is dropped.

    Raises:
        InputError: there is no such file, it is no checkpoint, or it holds anything else.
    """
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no file; give a checkpoint of torch.")
    try:
        with torch.serialization.safe_globals(list(METADATA_CLASSES)):
            return _plain(torch.load(path, map_location="cpu", weights_only=True), path)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {path}.") from error
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} cannot be read safely: it is no checkpoint of tensors alone, or not one of torch at all. "
            "Nothing in it was run."
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path} is no whole checkpoint of torch ({reason}).") from error


def _plain(value: Any, path: Path, inside: tuple[int, ...] = ()) -> Any:
    """The same without metadata of tensors. Raises InputError where a container holds itself."""
    if isinstance(value, Tensor):
        return value.as_tensor() if isinstance(value, MetaTensor) else value
    if not isinstance(value, (Mapping, list, tuple)):
        return value
    if id(value) in inside or len(inside) > MAX_DEPTH:
        raise InputError(f"{path} holds values inside themselves, as no checkpoint does; nothing in it was run.")
    inside = (*inside, id(value))
    if isinstance(value, Mapping):
        return {key: _plain(each, path, inside) for key, each in value.items()}
    return [_plain(each, path, inside) for each in value]


def unwrapped(content: Any) -> Any:
    """What lies under one of WRAPPERS, however deep."""
    # It ends: `read_pickle` refuses what holds itself.
    while isinstance(content, Mapping) and (key := next((key for key in WRAPPERS if key in content), None)):
        content = content[key]
    return content


def tensors_by_name(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights in what `read_pickle` read, without the prefix of parallel training. Raises InputError."""
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(f"{path} holds no tensors by name where the weights should be.")
    for name, tensor in content.items():
        # A tensor may announce any size over a few stored numbers, and would fill the memory when it is copied.
        if tensor.untyped_storage().nbytes() < tensor.nbytes:
            raise InputError(f"{path} does not hold all numbers of the tensor {name}, {tuple(tensor.shape)}.")
    return {str(name).removeprefix(PARALLEL_PREFIX): tensor for name, tensor in content.items()}


def fill(
    model: nn.Module, chosen: dict[str, Tensor | None], given: Mapping[str, Tensor], path: Path, known: set[str]
) -> None:
    """Load weights into a network; every tensor must be there, finite and of its shape, and no other.

    Args:
        model: the network.
        chosen: the tensors by our names; ``None`` where the file has none.
        given: what the file holds, by its own names.
        known: those of its names that are used.
        path: the file, named in the InputError that is raised otherwise.
    """
    expected = model.state_dict()
    mismatched = {
        "missing": sorted(name for name, tensor in chosen.items() if tensor is None),
        "unexpected": sorted(given.keys() - known),
        "of another shape": sorted(
            f"{name} {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
            for name, tensor in chosen.items()
            if tensor is not None and tensor.shape != expected[name].shape
        ),
        "NaN or infinite": sorted(n for n, t in chosen.items() if t is not None and not torch.isfinite(t).all()),
    }
    if problems := [f"{kind}: {shorten(names)}" for kind, names in mismatched.items() if names]:
        raise InputError(f"The tensors in {path} do not fit {type(model).__name__}; {'; '.join(problems)}.")
    model.load_state_dict({name: tensor.float() for name, tensor in chosen.items() if tensor is not None})


def _scale_factors(value: Any, path: Path) -> tuple[float, ...]:
    values = value if isinstance(value, (tuple, list)) else [value]
    try:
        factors = tuple(float(each) for each in values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"The scale factor in {path} is no number: {value!r}.") from error
    if not factors or not all(0 < factor < float("inf") for factor in factors):
        raise InputError(f"The scale factor in {path} is {value!r}; it must be above 0 and finite.")
    return factors


def _what(error: Exception) -> str:
    return sentence_of(error) if isinstance(error, ValidationError) else str(error)
