"""Published networks written a second time, plainly, from their tensors: what the extractors are compared with."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

TINY: dict[str, Any] = {"layers": (1, 2, 1, 1), "width": 4}


def shapes(
    spatial_dims: int, layers: tuple[int, ...] = (3, 4, 6, 3), width: int = 64, *, bias: bool = False
) -> dict[str, tuple[int, ...]]:
    """Of the tensors of a bottleneck ResNet, by torchvision's names; ``bias``: of the convolutions, as Keras has."""
    found: dict[str, tuple[int, ...]] = {}

    def convolution(name: str, inputs: int, outputs: int, side: int) -> None:
        found[f"{name}.weight"] = (outputs, inputs, *[side] * spatial_dims)
        if bias:
            found[f"{name}.bias"] = (outputs,)

    def normalisation(name: str, channels: int) -> None:
        found.update({f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")})

    convolution("conv1", 1 if spatial_dims == 3 else 3, width, 7)
    normalisation("bn1", width)
    channels = width
    for level, blocks in enumerate(layers):
        inner = width * 2**level
        for block in range(blocks):
            name = f"layer{level + 1}.{block}"
            for number, (inputs, outputs, side) in enumerate(
                [(channels, inner, 1), (inner, inner, 3), (inner, 4 * inner, 1)], start=1
            ):
                convolution(f"{name}.conv{number}", inputs, outputs, side)
                normalisation(f"{name}.bn{number}", outputs)
            if block == 0:
                convolution(f"{name}.downsample.0", channels, 4 * inner, 1)
                normalisation(f"{name}.downsample.1", 4 * inner)
            channels = 4 * inner
    return found


def checkpoint(spatial_dims: int, *, bias: bool = False, seed: int = 0) -> dict[str, Tensor]:
    """Random weights of the size TINY."""
    generator = torch.Generator().manual_seed(seed)

    def draw(name: str, shape: tuple[int, ...]) -> Tensor:
        noise = torch.randn(shape, generator=generator)
        if name.endswith("running_var"):
            return 1 + noise.abs()
        if len(shape) > 1:
            return noise * (2 / noise[0].numel()) ** 0.5
        return 0.2 * noise + (1.0 if name.endswith("weight") else 0.0)

    return {name: draw(name, shape) for name, shape in shapes(spatial_dims, **TINY, bias=bias).items()}


def forward(
    tensors: dict[str, Tensor],
    x: Tensor,
    *,
    strides: tuple[int, ...] = (1, 2, 2, 2),
    dilations: tuple[int, ...] = (1, 1, 1, 1),
    stride_on: int = 2,
    epsilon: float = 1e-5,
) -> Tensor:
    """Mean over space (B, D) of the last layer's activations, step by step; ``stride_on``: the convolution of a block
    that halves the image."""
    conv: Any = F.conv3d if x.ndim == 5 else F.conv2d
    pool: Any = F.max_pool3d if x.ndim == 5 else F.max_pool2d

    def step(x: Tensor, name: str, norm: str, **options: int) -> Tensor:
        y = conv(x, tensors[f"{name}.weight"], tensors.get(f"{name}.bias"), **options)
        mean, var, gain, shift = (
            tensors[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        shape = (1, -1, *[1] * (x.ndim - 2))
        return (y - mean.view(shape)) / (var.view(shape) + epsilon).sqrt() * gain.view(shape) + shift.view(shape)

    x = pool(step(x, "conv1", "bn1", stride=2, padding=3).relu(), 3, stride=2, padding=1)
    names = sorted({found[0] for name in tensors if (found := re.match(r"layer\d\.\d+", name))})
    for name in names:
        level, block = int(name[5]) - 1, int(name[7:])
        stride, dilation = strides[level] if block == 0 else 1, dilations[level]
        on = [stride if number == stride_on else 1 for number in (1, 2)]
        y = step(x, f"{name}.conv1", f"{name}.bn1", stride=on[0]).relu()
        y = step(y, f"{name}.conv2", f"{name}.bn2", stride=on[1], dilation=dilation, padding=dilation).relu()
        y = step(y, f"{name}.conv3", f"{name}.bn3")
        if block == 0:
            x = step(x, f"{name}.downsample.0", f"{name}.downsample.1", stride=stride)
        x = (x + y).relu()
    return x.flatten(2).mean(2)
