"""A U-Net for latents whose planes are coarse and whose slices are not, as those of ``lapped`` autoencoders.

It halves planes alone, and its residual blocks see first a plane and then the line through it ("(2+1)D" convolutions,
Tran et al. 2018, arXiv 1711.11248): at an equal width they compute a fifth of what 3 x 3 x 3 convolutions do. Within,
the channels of an element lie side by side, (B, Z, X, Y, C): planes and lines are then images with channels last,
and nothing is copied from one to the other. Norms are of each element's channels, as in
ConvNeXt (Liu et al. 2022, arXiv 2201.03545). Every block begins as the identity, and the network as zero or, with
``gaussian``, as the best guess for Gaussian latents.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TypeVar

import torch
from diffusers.models.embeddings import TimestepEmbedding, Timesteps
from torch import Tensor, nn
from torch.nn import functional as F

from ccella_core.networks.config import FLOW_TIMESTEPS, UNetConfig
from ccella_core.networks.expected import ExpectedLatent
from ccella_core.networks.gaussian import GaussianFlow

WAVES = (128.0, 64.0, 32.0, 16.0, 8.0)
"""Lengths of the waves that tell a latent element where it lies, in steps of the latent times mm of a voxel."""
WIDENING = 2
"""The timestep's embedding is as many times as wide as the first level."""
HALF = 2
"""A plane of the next level is as many times smaller along each side."""


Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


class PlanarUNet(nn.Module):
    """Predicts what is to be learnt of a noisy latent.

    Args:
        config: of the kind ``planar``.
        num_classes: width of the class input, or ``None`` for no class input.
        cross_attention_dim: width of the tokens, or ``None`` for no text.
        num_tokens: how many there are; for ``config.expected`` alone.
    """

    def __init__(
        self,
        config: UNetConfig,
        *,
        num_classes: int | None,
        cross_attention_dim: int | None,
        num_tokens: int | None = None,
    ) -> None:
        super().__init__()
        widths, tokens = config.num_channels, cross_attention_dim
        first, embedding = widths[0], WIDENING * widths[0]
        self.waves = Timesteps(first, flip_sin_to_cos=True, downscale_freq_shift=0)
        self.time = TimestepEmbedding(first, embedding)
        self.spacing = nn.Linear(3, embedding)
        self.pathology = nn.Linear(num_classes, embedding) if num_classes is not None else None
        self.report = nn.Linear(tokens, embedding) if tokens is not None else None
        self.inward = nn.Linear(config.latent_channels, first)
        self.place = nn.Linear(2 * 3 * len(WAVES), first)

        def level(number: int, blocks: int) -> nn.ModuleList:
            heads = widths[number] // config.num_head_channels[number] if config.attention_levels[number] else None
            coarsest = number == len(widths) - 1
            return nn.ModuleList(
                _Block(widths[number], embedding, heads, tokens, sees_itself=coarsest) for _ in range(blocks)
            )

        levels, repeated = range(len(widths) - 1), config.num_res_blocks
        self.down = nn.ModuleList(level(number, repeated) for number in levels)
        self.middle = level(len(widths) - 1, repeated + 1)
        self.up = nn.ModuleList(level(number, repeated) for number in levels)
        self.shrink = nn.ModuleList(nn.Linear(HALF**2 * fine, coarse) for fine, coarse in pairwise(widths))
        self.enlarge = nn.ModuleList(nn.Linear(coarse, HALF**2 * fine) for fine, coarse in pairwise(widths))
        self.norm = nn.LayerNorm(first)
        self.outward = _zeroed(nn.Linear(first, config.latent_channels))
        self.gaussian = GaussianFlow(config.latent_channels) if config.gaussian else None
        self.expected = self.about = None
        if config.expected:
            assert tokens is not None and num_tokens is not None, "see DenoiserConfig"
            self.expected = ExpectedLatent(config.latent_channels, num_tokens, tokens)
            self.about = _zeroed(nn.Linear(config.latent_channels, first))
        self.share = None if config.gaussian else _zeroed(nn.Linear(embedding, config.latent_channels))

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        *,
        tokens: Tensor | None = None,
        class_probability: Tensor | None = None,
        spacing: Tensor,
    ) -> Tensor:
        """The prediction, shaped as the latent.

        Args:
            x: noisy latent, (B, C, X, Y, Z).
            timesteps: (B,).
            tokens: (B, N, W), where there is text.
            class_probability: (B, K) in 0 … 1, where there is a class.
            spacing: voxel spacing in mm, (B, 3).
        """
        embedding = self.time(self.waves(timesteps).to(x.dtype)) + self.spacing(spacing.log())
        if self.pathology is not None:
            embedding = embedding + self.pathology(class_probability)
        if self.report is not None and tokens is not None:
            embedding = embedding + self.report(tokens.mean(1))
        embedding = F.silu(embedding)
        h = self.inward(x.permute(0, 4, 2, 3, 1)) + self.place(_places(x, spacing))
        mean = None
        if self.expected is not None and self.about is not None and tokens is not None:
            mean = self.expected(tokens, x.shape[2:])
            h = h + self.about(mean.permute(0, 4, 2, 3, 1))
        passed = []
        for blocks, shrink in zip(self.down, self.shrink, strict=True):
            h = _through(blocks, h, embedding, tokens)
            passed.append(h)
            h = shrink(_gathered(h))
        h = _through(self.middle, h, embedding, tokens)
        for blocks, enlarge in zip(
            reversed(list(self.up.children())), reversed(list(self.enlarge.children())), strict=True
        ):
            h = _through(blocks, _spread(enlarge(h)) + passed.pop(), embedding, tokens)
        learnt: Tensor = self.outward(F.silu(self.norm(h))).permute(0, 4, 2, 3, 1)
        if self.gaussian is not None:
            return learnt + self.gaussian(x, timesteps / FLOW_TIMESTEPS, mean)
        # What is predicted holds the noise itself, which may have more channels than fit through the levels.
        assert self.share is not None
        return learnt + self.share(embedding)[..., None, None, None] * x  # type: ignore[no-any-return]


class _Block(nn.Module):
    """A residual block and, where the level attends, attention to the report and, on the coarsest level, to itself."""

    def __init__(self, width: int, embedding: int, heads: int | None, tokens: int | None, *, sees_itself: bool) -> None:
        super().__init__()
        self.norm_plane, self.norm_line = nn.LayerNorm(width), nn.LayerNorm(width)
        self.plane = nn.Conv2d(width, width, 3, padding=1)
        self.line = _zeroed(nn.Conv2d(width, width, (3, 1), padding=(1, 0)))
        self.scale_shift = _zeroed(nn.Linear(embedding, 2 * width))
        # A finer level has so many elements that attention to all of them would cost as much as everything else.
        self.itself = _Attention(width, heads) if heads is not None and sees_itself else None
        self.report = _Attention(width, heads, tokens) if heads is not None and tokens is not None else None

    def forward(self, x: Tensor, embedding: Tensor, tokens: Tensor | None) -> Tensor:
        """(B, Z, X, Y, C) in and out."""
        scale, shift = self.scale_shift(embedding)[:, None, None, None].chunk(2, dim=-1)
        h = _convolved(self.plane, F.silu(self.norm_plane(x)).flatten(0, 1)).view(x.shape)  # each plane an image
        h = F.silu(self.norm_line(h) * (1 + scale) + shift)
        x = x + _convolved(self.line, h.flatten(2, 3)).view(x.shape)  # an image of one line a column
        if self.itself is not None:
            x = self.itself(x, None)
        if self.report is not None:
            x = self.report(x, tokens)
        return x


class _Attention(nn.Module):
    """Of every element of a latent (B, Z, X, Y, W) to all of them, or to tokens of another width."""

    def __init__(self, width: int, heads: int, tokens: int | None = None) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width if tokens is None else tokens, 2 * width)
        # Attention to the report must move from the start, or no word would ever be heard.
        self.out = _zeroed(nn.Linear(width, width)) if tokens is None else nn.Linear(width, width)

    def forward(self, x: Tensor, tokens: Tensor | None) -> Tensor:
        flat = x.flatten(1, 3)
        normed = self.norm(flat)
        key, value = self.key_value(normed if tokens is None else tokens).chunk(2, dim=-1)
        by_head = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query(normed), key, value)]
        seen = F.scaled_dot_product_attention(*by_head).transpose(1, 2).flatten(2)
        return (flat + self.out(seen)).view(x.shape)


def _through(blocks: nn.Module, x: Tensor, embedding: Tensor, tokens: Tensor | None) -> Tensor:
    for block in blocks.children():
        x = block(x, embedding, tokens)
    return x


def _convolved(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """Images whose channels come last, (N, H, W, C), in and out."""
    return layer(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).contiguous()  # type: ignore[no-any-return]


def _gathered(x: Tensor) -> Tensor:
    """(B, Z, X, Y, C) as (B, Z, X / 2, Y / 2, 4 C): four elements of a plane become one."""
    return x.unflatten(3, (-1, HALF)).unflatten(2, (-1, HALF)).transpose(3, 4).flatten(4)


def _spread(x: Tensor) -> Tensor:
    """The inverse of ``_gathered``."""
    return x.unflatten(4, (HALF, HALF, -1)).transpose(3, 4).flatten(4, 5).flatten(2, 3)


def _places(x: Tensor, spacing: Tensor) -> Tensor:
    """Where each element lies from the middle, as waves of some lengths, (B, Z, X, Y, 2 · 3 · waves)."""
    rates = 2 * math.pi / x.new_tensor(WAVES)
    parts = []
    for axis, place in enumerate((2, 3, 1)):  # of X, Y and Z in (B, Z, X, Y, …)
        size = x.shape[2 + axis]
        steps = torch.arange(size, device=x.device, dtype=x.dtype) - (size - 1) / 2
        angles = steps[None, :, None] * spacing[:, None, axis, None].to(x.dtype) * rates
        shape = [len(x), 1, 1, 1, 2 * len(WAVES)]
        shape[place] = size
        waves = torch.cat([angles.sin(), angles.cos()], dim=-1).view(shape)
        parts.append(waves.expand(-1, x.shape[4], x.shape[2], x.shape[3], -1))
    return torch.cat(parts, dim=-1)


def _zeroed(layer: Layer) -> Layer:
    nn.init.zeros_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
