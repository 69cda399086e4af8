"""From latents to voxels in little memory, with the same numbers as MONAI's decoder on the whole volume.

That decoder holds several activations of the full volume at once: many GB at 256x256x128. Overlapping tiles would
need less, but group normalisation takes its statistics over the volume, so tiles differ from the whole and meet in
seams. Here each layer runs in slabs along X, from one stored activation to the next: a convolution sees the neighbour
slices, a normalisation the statistics of the whole volume, gathered while the layer before wrote its output. No voxel
is computed twice, and nothing but a layer's input and output is ever held whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from monai.apps.generation.maisi.networks.autoencoderkl_maisi import (
    AutoencoderKlMaisi,
    MaisiConvolution,
    MaisiResBlock,
    MaisiUpsample,
)
from torch import Tensor, nn
from torch.nn import functional as F

from ccella_core.errors import Cancelled, InputError, NonFiniteError
from ccella_core.limits import GIB
from ccella_core.networks.autoencoder import Autoencoder
from ccella_core.networks.lapped import LappedTransform
from ccella_core.provenance import LABEL_VALUES

SLAB_BYTES = 64 * 2**20
"""Float32 bytes of one slab of an activation: enough work for all cores, little beside the activations."""
SLABS_ALIVE = 9
"""Slab-sized tensors that exist at once (input, normalised copy, the convolution's own copies, output), measured."""
WHOLE_BLOCK_COPIES = 6
"""Copies of its float32 input that a block without a slab-wise form (attention) takes at once; an upper guess."""

PLANES_BYTES = 4 * 2**20
"""Of a few planes of a lapped transform: what fits a processor's cache."""

Seeds = Sequence[int]
"""Whole numbers that together seed one volume's noise."""
DecodeCallback = Callable[[int, int], bool | None]
"""``callback(done, total)`` after each layer of each volume; ``False`` stops with ``Cancelled``."""


class _Activation(NamedTuple):
    values: Tensor
    """(X, Y, Z, C): a slab along X is one piece of memory, and is what ``channels_last_3d`` calls its layout."""
    moments: Tensor
    """Each channel's mean and mean square over the volume, float64 (2, C)."""


_Prepare = Callable[[Tensor], Tensor]


@torch.inference_mode()
def decode(
    autoencoder: Autoencoder,
    latents: Tensor,
    *,
    scale_factor: float | Sequence[float],
    seeds: Sequence[Seeds] | None = None,
    memory_limit_gib: float | None = None,
    callback: DecodeCallback | None = None,
) -> Tensor:
    """Voxels of latents, one volume after the other.

    Activations are stored in float32, which gives MONAI's numbers to 1e-5 of the range, or, where that would pass the
    limit, in float16 (arithmetic stays float32): measured, 1e-3 of the range.

    Args:
        autoencoder: in evaluation mode; it computes where its weights are.
        latents: (B, C, x, y, z), as sampled.
        scale_factor: the latents' scale, by which they are divided, or that of each channel.
        seeds: one a volume, of the noise from which an autoencoder that draws detail draws it; ``None``: what is to be
            expected instead. Of no effect on other autoencoders.
        memory_limit_gib: for activations, beyond the weights and the program itself; ``None``: no limit.
        callback: called after each layer of each volume.

    Returns:
        (B, 1, X, Y, Z), float32 on the CPU, in the intensities that the autoencoder was trained on.

    Raises:
        InputError: not even float16 fits the limit.
        NonFiniteError: NaN or infinity in the latents or voxels.
        Cancelled: ``callback`` returned ``False``.
    """
    check_finite(latents, "The latent")
    device = next(autoencoder.parameters()).device
    scale = torch.tensor(scale_factor, device=device).view(-1, 1, 1, 1)
    if isinstance(autoencoder, LappedTransform):
        return _decode_lapped(autoencoder, latents / scale.to(latents.device), seeds, memory_limit_gib, callback)
    dtype = torch.float32
    shape = tuple(latents.shape[2:])
    if memory_limit_gib is not None and estimate_decode_gib(autoencoder, shape) > memory_limit_gib:
        dtype = torch.float16
        needed = estimate_decode_gib(autoencoder, shape, dtype)
        if needed > memory_limit_gib:
            raise _too_little_memory(needed, memory_limit_gib)
    blocks = _blocks(autoencoder)
    volumes = []
    for index, latent in enumerate(latents.to(device).split(1)):
        z = autoencoder.post_quant_conv(latent.float() / scale)
        activation = _stored(z, dtype)
        norm: nn.GroupNorm | None = None
        for number, block in enumerate(blocks, start=1):
            last = number == len(blocks)
            if isinstance(block, nn.GroupNorm):
                norm = block  # applied by the convolution that follows
            else:
                activation = _run(block, activation, norm, torch.float32 if last else dtype)
                norm = None
            if callback is not None and callback(index * len(blocks) + number, len(latents) * len(blocks)) is False:
                raise Cancelled("Decoding was stopped.")
        volumes.append(activation.values.movedim(-1, 0).float().cpu())
        del activation
    voxels = torch.stack(volumes)
    check_finite(voxels, "The decoded volume")
    return voxels


def _decode_lapped(
    autoencoder: LappedTransform,
    latents: Tensor,
    seeds: Sequence[Seeds] | None,
    memory_limit_gib: float | None,
    callback: DecodeCallback | None,
) -> Tensor:
    """Slices know nothing of each other: a few at a time give the numbers of the whole."""
    needed = estimate_decode_gib(autoencoder, latents.shape[2:])
    if memory_limit_gib is not None and needed > memory_limit_gib:
        raise _too_little_memory(needed, memory_limit_gib)
    device, depth = next(autoencoder.parameters()).device, latents.shape[-1]
    slices = max(1, PLANES_BYTES // autoencoder.most_bytes((*latents.shape[2:4], 1)))
    parts = [slice(start, start + slices) for start in range(0, depth, slices)]
    x, y = (side * autoencoder.block for side in latents.shape[2:4])
    voxels = torch.empty(len(latents), 1, x, y, depth)
    for number, latent in enumerate(latents.float().split(1)):
        noise = None
        if seeds is not None and autoencoder.detail is not None:
            # On the CPU, so that a seed draws the same on every device.
            noise = torch.from_numpy(np.random.default_rng(seeds[number]).standard_normal((1, 1, x, y, depth), "f4"))
        for done, part in enumerate(parts, start=1):
            seen = None if noise is None else noise[..., part].to(device)
            voxels[number, ..., part] = autoencoder.decode(latent[..., part].to(device), seen)[0].cpu()
            if callback is not None and callback(number * len(parts) + done, len(latents) * len(parts)) is False:
                raise Cancelled("Decoding was stopped.")
    check_finite(voxels, "The decoded volume")
    return voxels


def seeds_of_part(part: str, parts: Sequence[str], seeds: Sequence[int]) -> list[Seeds] | None:
    """Of the noise from which volumes of a sequence are decoded, another for each; labels have no texture, and none."""
    return None if part in LABEL_VALUES else [(seed, parts.index(part)) for seed in seeds]


def _too_little_memory(needed: float, allowed: float) -> InputError:
    return InputError(
        f"Decoding this volume takes {needed:.1f} GiB of memory and {allowed:.1f} GiB are allowed; "
        "ask for a smaller volume."
    )


def estimate_decode_gib(
    autoencoder: Autoencoder, latent_shape: Sequence[int], dtype: torch.dtype = torch.float32
) -> float:
    """Memory that ``decode`` takes for one volume beyond weights and program, in GiB; activations stored in ``dtype``.

    Args:
        autoencoder: the one that will decode.
        latent_shape: (x, y, z).
        dtype: float32 or float16.
    """
    voxels = math.prod(latent_shape)
    voxels = math.prod(latent_shape)
    if isinstance(autoencoder, LappedTransform):  # the volume, its parts before they are joined, some slices on the way
        volume = voxels * autoencoder.values_of_block * torch.float32.itemsize
        whole, one = (autoencoder.most_bytes((*latent_shape[:2], z)) for z in (latent_shape[2], 1))
        return (2 * volume + SLABS_ALIVE * min(max(PLANES_BYTES, one), whole)) / GIB
    held = peak = 0
    for block in _blocks(autoencoder):
        if isinstance(block, MaisiResBlock):
            extra = voxels * block.out_channels * dtype.itemsize
            peak = max(peak, held + extra)
        elif isinstance(block, (MaisiConvolution, MaisiUpsample)):
            voxels *= 8 if isinstance(block, MaisiUpsample) else 1
            written = voxels * _convolution(block).out_channels * dtype.itemsize
            peak, held = max(peak, held + written), written
        elif not isinstance(block, nn.GroupNorm):
            peak = max(peak, held * WHOLE_BLOCK_COPIES)
    # A small volume fits one slab.
    widest = voxels * max(block.out_channels for block in autoencoder.decoder.modules() if isinstance(block, nn.Conv3d))
    return (peak + SLABS_ALIVE * min(SLAB_BYTES, widest * torch.float32.itemsize)) / GIB


def check_finite(values: Tensor, what: str) -> None:
    """Raises NonFiniteError where ``values`` hold NaN or infinity; ``what`` begins the sentence."""
    if not torch.isfinite(values).all():
        raise NonFiniteError(f"{what} holds NaN or infinity; the model may be damaged, or need more precision.")


def _run(block: nn.Module, source: _Activation, norm: nn.GroupNorm | None, dtype: torch.dtype) -> _Activation:
    if isinstance(block, MaisiResBlock):
        middle = _convolve(source.values, _convolution(block.conv1), _normalise(source, block.norm1, silu=True), dtype)
        prepare = _normalise(middle, block.norm2, silu=True)
        shortcut = block.nin_shortcut.conv if isinstance(block.nin_shortcut, MaisiConvolution) else nn.Identity()
        return _convolve(
            middle.values, _convolution(block.conv2), prepare, dtype, shortcut=shortcut, shortcut_source=source.values
        )
    prepare = _normalise(source, norm, silu=False) if norm is not None else nn.Identity()
    if isinstance(block, MaisiConvolution):
        return _convolve(source.values, _convolution(block), prepare, dtype)
    if isinstance(block, MaisiUpsample) and not block.use_convtranspose:
        return _convolve(source.values, _convolution(block), prepare, dtype, upsample=True)
    return _stored(block(prepare(_slab(source.values, 0, len(source.values)))), dtype)


def _convolve(
    source: Tensor,
    conv: nn.Conv3d,
    prepare: _Prepare,
    dtype: torch.dtype,
    *,
    upsample: bool = False,
    shortcut: _Prepare | None = None,
    shortcut_source: Tensor | None = None,
) -> _Activation:
    """``conv`` with stride 1 and "same" padding over (X, Y, Z, C), after ``prepare`` and maybe doubling each axis.

    With a shortcut, its value is added and the sum overwrites the shortcut's source, whose slabs are not needed again.
    """
    factor = 2 if upsample else 1
    X, Y, Z = (factor * size for size in source.shape[:3])
    halo = conv.kernel_size[0] // 2
    if shortcut_source is not None and shortcut_source.shape[-1] >= conv.out_channels:
        target = shortcut_source[..., : conv.out_channels]
    else:
        target = torch.empty((X, Y, Z, conv.out_channels), dtype=dtype, device=source.device)
    sums = torch.zeros((2, conv.out_channels), dtype=torch.float64)
    for start, stop in _slabs(X, Y * Z * max(conv.in_channels, conv.out_channels), factor):
        # Rows of the source under the slab and its halo, as far as the volume reaches.
        low, high = max(0, start // factor - halo), min(len(source), stop // factor + halo)
        x = prepare(_slab(source, low, high))
        if upsample:
            x = F.interpolate(x, scale_factor=2.0, mode="trilinear")
        first = start - halo - low * factor
        x = x[:, :, max(0, first) : stop + halo - low * factor]
        if first < 0 or stop + halo > X:
            x = F.pad(x, (0, 0, 0, 0, max(0, -first), max(0, stop + halo - X)))
        x = F.conv3d(x, conv.weight, conv.bias, padding=(0, halo, halo)).float()
        if shortcut is not None and shortcut_source is not None:
            x += shortcut(_slab(shortcut_source, start, stop))
        rows = x[0].movedim(0, -1)
        target[start:stop] = rows
        rows = rows.flatten(0, 2)
        sums += torch.stack([rows.sum(dim=0), rows.square().sum(dim=0)]).double().cpu()
    return _Activation(target, sums / (X * Y * Z))


def _normalise(source: _Activation, norm: nn.GroupNorm, *, silu: bool) -> _Prepare:
    """Group normalisation by the whole volume's statistics, as one scale and shift a channel."""
    mean, square = source.moments.unflatten(1, (norm.num_groups, -1)).mean(dim=2)
    inverse_std = (square - mean.square()).clamp(min=0).add(norm.eps).rsqrt()
    members = norm.num_channels // norm.num_groups
    scale = norm.weight.double().cpu() * inverse_std.repeat_interleave(members)
    shift = norm.bias.double().cpu() - scale * mean.repeat_interleave(members)
    scale, shift = (v.float().to(source.values.device).view(1, -1, 1, 1, 1) for v in (scale, shift))

    def prepare(x: Tensor) -> Tensor:
        x = torch.addcmul(shift, x, scale)
        return F.silu(x, inplace=True) if silu else x

    return prepare


def _stored(x: Tensor, dtype: torch.dtype) -> _Activation:
    """A tensor (1, C, X, Y, Z) as an activation."""
    flat = x[0].double().flatten(1)
    moments = torch.stack([flat.mean(dim=1), flat.square().mean(dim=1)]).cpu()
    return _Activation(x[0].movedim(0, -1).to(dtype).contiguous(), moments)


def _slab(values: Tensor, start: int, stop: int) -> Tensor:
    # The new axis comes first: with its stride as the outermost, the view counts as channels_last_3d and is not copied.
    return values[start:stop][None].movedim(-1, 1).float()


def _slabs(length: int, row: int, step: int) -> Iterator[tuple[int, int]]:
    """Pieces of an axis: multiples of ``step`` rows of ``row`` float32 numbers, of some SLAB_BYTES together."""
    size = max(1, SLAB_BYTES // (torch.float32.itemsize * row * step)) * step
    for start in range(0, length, size):
        yield start, min(length, start + size)


def _blocks(autoencoder: AutoencoderKlMaisi) -> list[Any]:
    return list(autoencoder.decoder.get_submodule("blocks").children())


def _convolution(block: MaisiConvolution | MaisiUpsample) -> nn.Conv3d:
    """The convolution inside; MONAI's wrapper splits the volume, and loses slices where the split does not divide."""
    convolution = (block.conv if isinstance(block, MaisiUpsample) else block).get_submodule("conv.conv")
    assert isinstance(convolution, nn.Conv3d)
    return convolution
