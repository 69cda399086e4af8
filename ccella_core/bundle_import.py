"""Import of published checkpoints: the authors' denoiser and the MAISI autoencoder, pickles both, into a bundle.

This is the one place that reads a pickle, with ``weights_only=True``: tensors and plain values come out of it, and
anything else is refused before it can run. Variant and sizes are told by the names and shapes of the tensors; every
tensor must then fit.
"""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ccella_core.bundle import Bundle, BundleIndex
from ccella_core.bundle_weights import shorten
from ccella_core.components import Components, check_components, save_components
from ccella_core.errors import BundleError, InputError
from ccella_core.networks import (
    AdapterConfig,
    AutoencoderConfig,
    ConditionalDenoiser,
    DenoiserConfig,
    UNetConfig,
    build_autoencoder,
)
from ccella_core.networks.config import VARIANTS, Variant
from ccella_core.networks.published_names import published_name
from ccella_core.solvers import SchedulerConfig
from ccella_core.text import ReportEncoder

log = logging.getLogger(__name__)

WEIGHTS_KEY, SCALE_KEY = "unet_state_dict", "scale_factor"
WRAPPERS = (WEIGHTS_KEY, "state_dict", "autoencoder_state_dict", "autoencoder", "model")
"""Keys under which a release may keep its weights."""
PARALLEL_PREFIX = "module."  # torch's DistributedDataParallel
HEAD_CHANNELS = UNetConfig().num_head_channels[-1]
"""Neither it, nor the groups of the norms, nor the adapter's heads leave a trace in the weights: they are the
published ones."""


class Published(NamedTuple):
    """What a checkpoint of the authors holds."""

    denoiser: ConditionalDenoiser
    scale_factors: tuple[float, ...]
    """One, or in CCELLA++ three: those of t2w, adc and hbv, whose latents are stacked."""


def import_bundle(
    out: Path,
    index: BundleIndex,
    *,
    denoiser: Path,
    autoencoder: Path,
    encoder: ReportEncoder | None,
    variant: Variant | None = None,
    overwrite: bool = False,
) -> Bundle:
    """Write a bundle of published weights, whole or not at all.

    Args:
        out: the bundle's folder.
        index: what only a person knows; variant and scale factors are filled in.
        denoiser: the authors' ``.pt``.
        autoencoder: MAISI's ``.pt``.
        encoder: ``None`` for variants without text.
        variant: what it should be; by default what its names say.
        overwrite: replace a bundle that is there.

    Raises:
        InputError: a file that is not what it should be, in a sentence that says what it looks like.
        BundleError: the parts do not fit each other.
        SaveError: ``out`` is taken, or the disk refuses.
    """
    published = read_denoiser(denoiser, variant)
    vae, vae_config = read_autoencoder(autoencoder)
    factors = published.scale_factors
    if len(factors) != len(index.sequences):
        raise InputError(
            f"{denoiser} has {len(factors)} scale factors and {len(index.sequences)} sequences were named; "
            "name as many, in the order in which they were trained."
        )
    filled = index.model_copy(update={"latent_scale_factor": factors[0] if len(factors) == 1 else factors})
    try:
        check_components(published.denoiser.config, vae_config, encoder, filled)
    except BundleError as error:
        raise InputError(str(error)) from error
    parts: Components = {
        "denoiser": published.denoiser,
        "autoencoder": vae,
        "autoencoder_config": vae_config,
        "scheduler_config": SchedulerConfig(),
        "encoder": encoder,
    }
    return save_components(out, parts, filled, overwrite=overwrite, storage_dtype=torch.float16)


def read_denoiser(path: Path, variant: Variant | None = None) -> Published:
    """The denoiser in one of the authors' checkpoints. Raises InputError."""
    content = read_pickle(path)
    if not isinstance(content, Mapping) or WEIGHTS_KEY not in content or SCALE_KEY not in content:
        raise InputError(f"{path} is no checkpoint of the authors: it has no {WEIGHTS_KEY} and {SCALE_KEY}.")
    if ignored := sorted(str(key) for key in content.keys() - {WEIGHTS_KEY, SCALE_KEY}):
        log.info("%s: not used: %s", path.name, ", ".join(ignored))
    tensors = tensors_by_name(content[WEIGHTS_KEY], path)
    found = variant_of(tensors)
    if variant is not None and variant != found:
        raise InputError(f"{path} holds the variant {found}, not {variant}.")
    config = _denoiser_config(tensors, found, path)
    model = ConditionalDenoiser(config)
    fill(model, {name: tensors.get(published_name(name, found)) for name in model.state_dict()}, tensors, path,
          {published_name(name, found) for name in model.state_dict()})  # fmt: skip
    return Published(model.eval(), _scale_factors(content[SCALE_KEY], path))


def read_autoencoder(path: Path) -> tuple[Any, AutoencoderConfig]:
    """The MAISI autoencoder and its size. Raises InputError."""
    content = read_pickle(path)
    tensors = tensors_by_name(unwrapped(content), path)
    config = _autoencoder_config(tensors, path)
    model = build_autoencoder(config)
    names = set(model.state_dict())
    fill(model, {name: tensors.get(name) for name in names}, tensors, path, names)
    return model.eval(), config


def read_pickle(path: Path) -> Any:
    """What ``torch.save`` wrote, if it is tensors and plain values; nothing in it is run. Raises InputError."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
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


def unwrapped(content: Any) -> Any:
    """What lies under one of WRAPPERS, however deep."""
    while isinstance(content, Mapping) and (key := next((key for key in WRAPPERS if key in content), None)):
        content = content[key]
    return content


def variant_of(names: Mapping[str, Tensor]) -> Variant:
    """Which of the eight variants has tensors of these names."""

    def has(beginning: str) -> bool:
        return any(name.startswith(beginning) for name in names)

    if not has("ella."):
        return "radmaisi" if has("pirads_layer.") else "maisi"
    if has("ella.connector.cascade_blocks."):
        return "ccella"
    if has("ella.connector.classifier."):
        return "shared" if has("classifier.") else "first"
    if has("classifier."):
        return "last"
    return "decoupled" if has("unet.pirads_layer.") else "ellamaisi"


def _denoiser_config(tensors: Mapping[str, Tensor], variant: Variant, path: Path) -> DenoiserConfig:
    uses_text = VARIANTS[variant].uses_text
    prefix = "unet." if uses_text else ""
    try:
        levels = _count(tensors, rf"{prefix}down_blocks\.(\d+)\.")
        channels = [
            tensors[f"{prefix}down_blocks.{level}.resnets.0.conv1.conv.weight"].shape[0] for level in range(levels)
        ]
        attention = [
            any(f"{prefix}down_blocks.{level}.attentions." in name for name in tensors) for level in range(levels)
        ]
        unet = UNetConfig(
            latent_channels=tensors[f"{prefix}conv_in.conv.weight"].shape[1],
            num_channels=tuple(channels),
            attention_levels=tuple(attention),
            num_head_channels=tuple(HEAD_CHANNELS if attends else 0 for attends in attention),
            num_res_blocks=_count(tensors, rf"{prefix}down_blocks\.0\.resnets\.(\d+)\."),
        )
        adapter = _adapter_config(tensors) if uses_text else None
        return DenoiserConfig(variant=variant, unet=unet, adapter=adapter)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"{path} does not hold the network of the authors ({error} is missing or odd).") from error


def _adapter_config(tensors: Mapping[str, Tensor]) -> AdapterConfig:
    latents, text = tensors["ella.connector.latents"], tensors["ella.connector.proj_in.weight"]
    hidden = [tensor.shape[0] for name, tensor in tensors.items() if name.endswith("fc1.weight")]
    return AdapterConfig(
        text_width=text.shape[1],
        width=latents.shape[1],
        num_latents=latents.shape[0],
        layers=_count(tensors, r"ella\.connector\.perceiver_blocks\.(\d+)\."),
        time_channels=tensors["ella.time_embedding.linear_1.weight"].shape[1],
        **({"class_hidden": hidden[0]} if hidden else {}),
    )


def _autoencoder_config(tensors: Mapping[str, Tensor], path: Path) -> AutoencoderConfig:
    try:
        # Blocks in a row: a convolution, then a level's residual blocks and the convolution that halves the size.
        kinds: list[tuple[bool, int]] = []
        for number in range(1, _count(tensors, r"encoder\.blocks\.(\d+)\.")):
            residual = f"encoder.blocks.{number}.conv1.conv.conv.weight"
            kinds.append((residual in tensors, tensors[residual].shape[0] if residual in tensors else 0))
        channels: list[int] = []
        blocks: list[int] = []
        new_level = True
        for is_residual, width in kinds:
            if is_residual and new_level:
                channels.append(width)
                blocks.append(0)
            if is_residual:
                blocks[-1] += 1
            new_level = not is_residual
        if not channels:
            raise KeyError("encoder.blocks.1.conv1")
        return AutoencoderConfig(
            latent_channels=tensors["quant_conv_mu.conv.weight"].shape[0],
            num_channels=tuple(channels),
            num_res_blocks=tuple(blocks),
        )
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"{path} does not hold the MAISI autoencoder ({error} is missing or odd).") from error


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max(int(found[1]) for name in tensors if (found := re.match(pattern, name)))


def tensors_by_name(content: Any, path: Path) -> dict[str, Tensor]:
    """The weights in what `read_pickle` read, without the prefix of parallel training. Raises InputError."""
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise InputError(f"{path} holds no tensors by name where the weights should be.")
    return {str(name).removeprefix(PARALLEL_PREFIX): tensor for name, tensor in content.items()}


def fill(
    model: nn.Module, chosen: dict[str, Tensor | None], given: Mapping[str, Tensor], path: Path, known: set[str]
) -> None:
    """Load ``chosen`` (by our names); every tensor must be there, finite and of its shape, and no other.

    Args:
        given: what the file holds, by its own names.
        known: those of its names that are used.
        path: the file, named in the InputError that is raised otherwise.
    """
    expected = model.state_dict()
    misfits = {
        "missing": sorted(name for name, tensor in chosen.items() if tensor is None),
        "unexpected": sorted(given.keys() - known),
        "of another shape": sorted(
            f"{name} {tuple(tensor.shape)} instead of {tuple(expected[name].shape)}"
            for name, tensor in chosen.items()
            if tensor is not None and tensor.shape != expected[name].shape
        ),
        "NaN or infinite": sorted(n for n, t in chosen.items() if t is not None and not torch.isfinite(t).all()),
    }
    if problems := [f"{kind}: {shorten(names)}" for kind, names in misfits.items() if names]:
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
