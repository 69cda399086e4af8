"""What a model needs at one size: memory and operations, found without loading its weights."""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from ccella_core.generation.decoding import check_volume_shape, estimate_decode_gib
from ccella_core.models.model import ModelFolder, load_config
from ccella_core.models.weights import LENGTH_BYTES, check_safetensors
from ccella_core.networks import AutoencoderConfig, ConditionalDenoiser, DenoiserConfig, build_autoencoder
from ccella_core.worker.tasks import GIB

FLOAT32_BYTES = torch.float32.itemsize


@dataclass(frozen=True)
class Need:
    """Of one volume, or of one of each sequence where the model draws several.

    Activations are counted in float32, so that half precision takes less. Those of the text encoder are left out: they
    are small beside its weights, and gone before the U-Net's come.
    """

    network_bytes: int
    """Weights of denoiser and autoencoder, in float32."""
    encoder_values: int
    """Weights of the text encoder, whose precision depends on the device."""
    shape: tuple[int, int, int]
    latent_shape: tuple[int, int, int]
    step: Cost
    """The U-Net once; with guidance, for two volumes at once."""
    decode_operations: int
    """Of all sequences, which are decoded one after the other."""
    decode_gib: float
    channels: int
    """Of the U-Net at the latent's own size, where most of its work is done."""

    def weights_gib(self, device_kind: str) -> float:
        """On a ``cuda`` device the text encoder is in bfloat16, see ``ReportEncoder.from_pretrained``."""
        encoder_bytes = self.encoder_values * (FLOAT32_BYTES // 2 if device_kind == "cuda" else FLOAT32_BYTES)
        return (self.network_bytes + encoder_bytes) / GIB

    @property
    def activations_gib(self) -> float:
        return max(self.step.peak_bytes / GIB, self.decode_gib)


def need_of(model: ModelFolder, shape: tuple[int, ...], *, guided: bool) -> Need:
    """What ``model`` needs for a volume of ``shape`` (X, Y, Z).

    Raises:
        ModelError: a configuration that cannot be read.
        InputError: a shape that the networks cannot make.
    """
    denoiser_config = load_config(DenoiserConfig, model.component_path("denoiser"))
    autoencoder_config = load_config(AutoencoderConfig, model.component_path("autoencoder"))
    factor = autoencoder_config.factor
    X, Y, Z = check_volume_shape(shape, multiple=factor * denoiser_config.unet.shape_multiple)
    latent_shape = (X // factor, Y // factor, Z // factor)

    with torch.device("meta"):
        denoiser = ConditionalDenoiser(denoiser_config).eval()
        autoencoder = build_autoencoder(autoencoder_config).eval()
        B = 2 if guided else 1
        adapter = denoiser_config.adapter
        noisy = torch.empty(B, denoiser_config.latent_channels, *latent_shape)
        timesteps, spacing = torch.empty(B), torch.empty(B, 3)
        tokens = torch.empty(B, adapter.num_latents, adapter.width) if adapter is not None else None
        pathology = torch.empty(B, denoiser_config.num_classes) if denoiser_config.uses_class else None
        latent = torch.empty(1, autoencoder_config.latent_channels, *latent_shape)
        parameters = [*denoiser.parameters(), *autoencoder.parameters()]
        step = cost_of(
            lambda: denoiser.denoise(noisy, timesteps, tokens=tokens, class_probability=pathology, spacing=spacing),
            parameters,
        )
        decode = cost_of(lambda: autoencoder.decoder(latent), parameters)

    has_encoder = "text_encoder" in model.index.components
    return Need(
        network_bytes=sum(parameter.nbytes for parameter in parameters),
        encoder_values=stored_values(model.component_path("text_encoder")) if has_encoder else 0,
        shape=(X, Y, Z),
        latent_shape=latent_shape,
        step=step,
        decode_operations=len(model.index.sequences) * decode.operations,
        decode_gib=estimate_decode_gib(autoencoder, latent_shape),
        channels=denoiser_config.unet.num_channels[0],
    )


def stored_values(folder: Path) -> int:
    """How many numbers the safetensors files in ``folder`` hold; only their headers are read."""
    count = 0
    for path in folder.glob("*.safetensors"):
        check_safetensors(path)
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(LENGTH_BYTES), "little")))
        count += sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")
    return count


class Cost(NamedTuple):
    """Of one run, in float32."""

    operations: int
    """Floating-point operations of matrix products, convolutions and attention, two a multiply-add."""
    peak_bytes: int
    """Most memory that activations take at once, without the parameters."""


def cost_of(run: Callable[[], Tensor], parameters: Iterable[Tensor]) -> Cost:
    """The cost of ``run``, which calls a network that was built and is fed on the ``meta`` device.

    Args:
        run: what is counted.
        parameters: of the network; views of them are no activations.
    """
    # Gradients off, yet not inference_mode, in which torch hides from us what a compound operation is made of.
    with torch.no_grad(), _Counter(parameters) as counter:
        run()
    return Cost(counter.operations, counter.peak_bytes)


class _Counter(TorchDispatchMode):
    """Sees every operation of its thread."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__()
        self.operations = self.peak_bytes = self._held = 0
        self._parameters = {parameter.untyped_storage()._cdata for parameter in parameters}
        self._alive: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        count = flop_registry.get(func.overloadpacket)
        if count is not None:
            self.operations += int(count(*args, **kwargs, out_val=output))
        for leaf in tree_leaves(output):
            if isinstance(leaf, Tensor):
                self._hold(leaf.untyped_storage())
        # While it convolves, oneDNN or cuDNN holds copies of input and output in a layout of its own.
        copies = func.overloadpacket == torch.ops.aten.convolution
        workspace = args[0].nbytes + output.nbytes if copies else 0
        self.peak_bytes = max(self.peak_bytes, self._held + workspace)
        return output

    def _hold(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive or key in self._parameters:
            return
        self._alive.add(key)
        self._held += size
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self._held -= size
