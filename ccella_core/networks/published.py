"""The names of the authors' checkpoints, beside ours: one explicit map, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from ccella_core.networks.config import (
    VARIANTS,
    AdapterConfig,
    AutoencoderConfig,
    DenoiserConfig,
    UNetConfig,
    Variant,
)

# (ours, theirs), first match wins.
_ADAPTER = (
    ("adapter.time_embedding.", "ella.time_embedding."),
    ("adapter.time_to_latents.", "ella.connector.time_aware_linear."),
    ("adapter.text_projection.", "ella.connector.proj_in."),
    ("adapter.latents", "ella.connector.latents"),
    ("adapter.blocks.", "ella.connector.perceiver_blocks."),
    ("adapter.class_vote.", "classifier."),
)
_HEADS = {
    "per_block": ("adapter.class_heads.", "ella.connector.cascade_blocks."),
    "first": ("adapter.class_heads.0.", "ella.connector.classifier."),
    "shared": ("adapter.class_heads.0.", "ella.connector.classifier."),
    "last": ("adapter.class_heads.0.", "classifier."),
}


def _prefixes(variant: Variant) -> list[tuple[str, str]]:
    traits = VARIANTS[variant]
    # Without text the authors save the U-Net alone.
    rules = [("unet.", "unet." if traits.uses_text else "")]
    if traits.class_heads is not None:
        rules.append(_HEADS[traits.class_heads])
    return [*rules, *_ADAPTER]


def published_name(name: str, variant: Variant) -> str:
    """The name in the authors' checkpoint of one of our parameters.

    Raises:
        KeyError: the name belongs to none of our parameters.
    """
    for ours, theirs in _prefixes(variant):
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise KeyError(name)


OTHER_NETWORKS = {
    "controlnet_": "a ControlNet, which steers another network by a segmentation and makes nothing by itself",
    "top_region_index_layer.": "MAISI's network for CT, which is given the body's regions (DDPM-CT)",
    "bottom_region_index_layer.": "MAISI's network for CT, which is given the body's regions (DDPM-CT)",
}
"""Beginnings of names that none of the variants has, and whose they are."""
HEAD_CHANNELS = UNetConfig().num_head_channels[-1]


def variant_of(names: Mapping[str, Tensor]) -> Variant:
    """Which of the nine variants has tensors of these names.

    Raises:
        ValueError: a network of the same family that is none of them; the message says which.
    """

    def has(beginning: str) -> bool:
        return any(name.startswith(beginning) for name in names)

    for beginning, what in OTHER_NETWORKS.items():
        if has(beginning) or has(f"unet.{beginning}"):
            raise ValueError(what)
    if has("class_embedding."):
        return "modality"
    if not has("ella."):
        return "radmaisi" if has("pirads_layer.") else "maisi"
    if has("ella.connector.cascade_blocks."):
        return "ccella"
    if has("ella.connector.classifier."):
        return "shared" if has("classifier.") else "first"
    if has("classifier."):
        return "last"
    return "decoupled" if has("unet.pirads_layer.") else "ellamaisi"


def denoiser_config_of(tensors: Mapping[str, Tensor], variant: Variant) -> DenoiserConfig:
    """The size of a denoiser with these tensors. Raises KeyError, IndexError or ValueError where one is missing."""
    uses_text = VARIANTS[variant].uses_text
    prefix = "unet." if uses_text else ""
    levels = _count(tensors, rf"{prefix}down_blocks\.(\d+)\.")
    channels = [tensors[f"{prefix}down_blocks.{level}.resnets.0.conv1.conv.weight"].shape[0] for level in range(levels)]
    attention = [any(f"{prefix}down_blocks.{level}.attentions." in name for name in tensors) for level in range(levels)]
    unet = UNetConfig(
        latent_channels=tensors[f"{prefix}conv_in.conv.weight"].shape[1],
        num_channels=tuple(channels),
        attention_levels=tuple(attention),
        num_head_channels=tuple(HEAD_CHANNELS if attends else 0 for attends in attention),
        num_res_blocks=_count(tensors, rf"{prefix}down_blocks\.0\.resnets\.(\d+)\."),
        modality_labels=tensors["class_embedding.weight"].shape[0] if variant == "modality" else None,
        residual_resampling=f"{prefix}down_blocks.0.downsampler.conv1.conv.weight" in tensors,
        attention_projection=any(re.search(r"attentions\.\d+\.attn\.out_proj\.", name) for name in tensors),
    )
    adapter = _adapter_config(tensors) if uses_text else None
    return DenoiserConfig(variant=variant, unet=unet, adapter=adapter)


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


def autoencoder_config_of(tensors: Mapping[str, Tensor]) -> AutoencoderConfig:
    """The size of an autoencoder with these tensors. Raises KeyError, IndexError or ValueError where one is missing."""
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


def _count(tensors: Mapping[str, Tensor], pattern: str) -> int:
    return 1 + max(int(found[1]) for name in tensors if (found := re.match(pattern, name)))
