"""What a model needs: sizes from its files' headers, operations counted once, both scaled to the shape wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from ccella_core.generation.decoding import estimate_decode_gib
from ccella_core.generation.streamed_encoder import MOST_OF_FREE_MEMORY, largest_layer
from ccella_core.limits import GIB
from ccella_core.models.model import ModelFolder, load_config
from ccella_core.models.weights import stored_shapes
from ccella_core.networks import AutoencoderConfig, ConditionalDenoiser, DenoiserConfig, build_autoencoder
from ccella_core.networks.config import UNetConfig, check_volume_shape, latent_shape, volume_multiples

FLOAT32_BYTES = torch.float32.itemsize
COPIES_A_BLOCK = 8
"""Tensors of the U-Net's finest level that exist at once, for each of its residual blocks and one more; measured."""
COPIES_OF_SCORES = 2
"""Matrices of attention scores that exist at once: before and after the softmax."""


@dataclass(frozen=True)
class Operations:
    """Floating-point operations at the model's own shape, two a multiply-add."""

    by_voxel: int
    """Those that grow with the number of voxels."""
    by_pair: int
    """Those of attention, which grow with its square."""

    def at(self, scale: float) -> float:
        """For ``scale`` times as many voxels."""
        return scale * self.by_voxel + scale**2 * self.by_pair


@dataclass(frozen=True)
class Need:
    """Of a model at any shape. Activations are counted in float32: half precision takes less.

    Those of the text encoder are left out: they are small beside its weights, and gone before the U-Net's come.
    """

    network_values: int
    """Numbers in the weights of denoiser and autoencoder, which are float32."""
    encoder_values: int
    """Numbers in those of the text encoder, whose precision depends on the device."""
    encoder_layer_values: int
    """In the largest layer of a text encoder that can be read from the disk a layer at a time; 0: it cannot."""
    step: Operations
    """The U-Net once, for one volume."""
    decode: Operations
    """Of one sequence or label."""
    native_shape: tuple[int, int, int]
    unet: UNetConfig
    autoencoder: AutoencoderConfig

    def check_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int]:
        """``shape`` (X, Y, Z) if the networks can make it. Raises InputError."""
        return check_volume_shape(shape, multiples=volume_multiples(self.autoencoder, self.unet))

    def scale(self, shape: tuple[int, int, int]) -> float:
        """How many times the voxels of the model's own shape ``shape`` has."""
        return math.prod(shape) / math.prod(self.native_shape)

    def weights_gib(self, device_kind: str, *, streamed: bool = False) -> float:
        """On a ``cuda`` device the text encoder is in bfloat16, see ``ReportEncoder.from_pretrained``.

        ``streamed``: it is read from the disk a layer at a time; a layer is there as it is stored and as it computes.
        """
        encoder_bytes = _encoder_bytes(device_kind)
        encoder = encoder_bytes * self.encoder_values
        if streamed:
            encoder = (encoder_bytes + FLOAT32_BYTES) * self.encoder_layer_values
        return (FLOAT32_BYTES * self.network_values + encoder) / GIB

    def streams(self, device_kind: str, free_gib: float) -> bool:
        """Whether the text encoder will be read a layer at a time, as ``streamed_encoder.is_too_large`` decides."""
        left = max(0.0, free_gib - FLOAT32_BYTES * self.network_values / GIB)
        whole = _encoder_bytes(device_kind) * self.encoder_values / GIB
        return self.encoder_layer_values > 0 and whole > MOST_OF_FREE_MEMORY * left

    def activations_gib(self, shape: tuple[int, int, int], *, guided: bool) -> float:
        """An upper guess; with guidance the U-Net works on two volumes at once."""
        latent = latent_shape(self.autoencoder, shape)
        with torch.device("meta"):
            decode = estimate_decode_gib(build_autoencoder(self.autoencoder), latent)
        voxels = math.prod(latent)
        values = COPIES_A_BLOCK * (self.unet.num_res_blocks + 1) * voxels * self.unet.num_channels[0]
        if True in self.unet.attention_levels:
            level = self.unet.attention_levels.index(True)
            heads = self.unet.num_channels[level] / self.unet.num_head_channels[level]
            values += COPIES_OF_SCORES * heads * (voxels / math.prod(self.unet.halved) ** level) ** 2
        return max((2 if guided else 1) * values * FLOAT32_BYTES / GIB, decode)


def need_of(model: ModelFolder) -> Need:
    """Build the networks without weights and count what one run of each does.

    Raises:
        ModelError: a configuration that cannot be read.
    """
    denoiser_config = load_config(DenoiserConfig, model.component_path("denoiser"))
    autoencoder_config = load_config(AutoencoderConfig, model.component_path("autoencoder"))
    latent = latent_shape(autoencoder_config, model.index.native_shape)
    with torch.device("meta"), torch.no_grad():
        denoiser = ConditionalDenoiser(denoiser_config).eval()
        autoencoder = build_autoencoder(autoencoder_config).eval()
        adapter = denoiser_config.adapter
        with FlopCounterMode(display=False) as of_step:
            denoiser.denoise(
                torch.empty(1, denoiser_config.latent_channels, *latent),
                torch.empty(1),
                tokens=torch.empty(1, adapter.num_latents, adapter.width) if adapter is not None else None,
                class_probability=torch.empty(1, denoiser_config.num_classes) if denoiser_config.uses_class else None,
                modality=torch.zeros(1, dtype=torch.long) if denoiser_config.uses_modality else None,
                spacing=torch.empty(1, 3),
            )
        with FlopCounterMode(display=False) as of_decoding:
            autoencoder.decoder(torch.empty(1, autoencoder_config.latent_channels, *latent))
    values = {
        name: stored_values(model.component_path(name))
        for name in ("denoiser", "autoencoder", "text_encoder")
        if name in model.index.components
    }
    return Need(
        network_values=values["denoiser"] + values["autoencoder"],
        encoder_values=values.get("text_encoder", 0),
        encoder_layer_values=largest_layer(model.component_path("text_encoder")) if "text_encoder" in values else 0,
        step=_counted(of_step),
        decode=_counted(of_decoding),
        native_shape=model.index.native_shape,
        unet=denoiser_config.unet,
        autoencoder=autoencoder_config,
    )


def _encoder_bytes(device_kind: str) -> int:
    return FLOAT32_BYTES // 2 if device_kind == "cuda" else FLOAT32_BYTES


def stored_values(folder: Path) -> int:
    """How many numbers the safetensors files in ``folder`` hold; only their headers are read."""
    count = 0
    for path in folder.glob("*.safetensors"):
        count += sum(map(math.prod, stored_shapes(path).values()))
    return count


def _counted(counter: FlopCounterMode) -> Operations:
    by_operator = counter.get_flop_counts().get("Global", {})
    by_pair = sum(count for operator, count in by_operator.items() if _is_attention(str(operator)))
    return Operations(by_voxel=sum(by_operator.values()) - by_pair, by_pair=by_pair)


def _is_attention(operator: str) -> bool:
    return "bmm" in operator or "dot_product_attention" in operator
