"""A lapped block transform: an autoencoder whose latents are linear, trained in minutes, and shrinks planes alone.

Prostate MRI has slices of 3 mm or more: neighbours share little, and an autoencoder that halves that axis loses what
it cannot get back. Here each plane is cut into blocks, and a latent element describes one block by the strongest of
its components; encoder and decoder see the neighbouring blocks too, so that blocks overlap ("lapped", Malvar 1989) and
leave no edges. Where a block keeps few components, what is left out may be drawn instead (``detail``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ccella_core.networks.config import AutoencoderConfig
from ccella_core.networks.detail import DetailFlow

LAP = 3  # blocks of a row that each side sees
VARIANCE_FLOOR = 1e-8


class BlockSplit(nn.Module):
    """(B, 1, X, Y, Z) voxels as (B, block², X / block, Y / block, Z)."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, voxels: Tensor) -> Tensor:
        """Raises RuntimeError where X or Y is no multiple of the block."""
        return F.pixel_unshuffle(voxels.permute(0, 4, 1, 2, 3).flatten(0, 1), self.block).unflatten(
            0, (len(voxels), voxels.shape[-1])
        ).permute(0, 2, 3, 4, 1)  # fmt: skip


class BlockJoin(nn.Module):
    """The inverse of ``BlockSplit``."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, blocks: Tensor) -> Tensor:
        """(B, block², x, y, Z) as (B, 1, X, Y, Z)."""
        return F.pixel_shuffle(blocks.permute(0, 4, 1, 2, 3).flatten(0, 1), self.block).unflatten(
            0, (len(blocks), blocks.shape[-1])
        ).permute(0, 2, 3, 4, 1)  # fmt: skip


class LappedTransform(nn.Module):
    """Voxels (B, 1, X, Y, Z) to latents (B, C, X / block, Y / block, Z) and back.

    It has the parts of MONAI's autoencoder that are used here: ``encode`` gives a mean and a width, which is 0.

    Args:
        config: of the kind ``lapped``.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        values = config.block**2
        self.block, self.values_of_block = config.block, values
        self._widest = values if config.detail is None else config.detail.width * config.block
        padding = (LAP // 2, LAP // 2, 0)
        self.encoder = nn.Sequential(
            BlockSplit(config.block), nn.Conv3d(values, config.latent_channels, (LAP, LAP, 1), padding=padding)
        )
        self.decoder = nn.Sequential(
            nn.Conv3d(config.latent_channels, values, (LAP, LAP, 1), padding=padding), BlockJoin(config.block)
        )
        self.detail = None if config.detail is None else DetailFlow(config)

    def most_bytes(self, latent_shape: Sequence[int]) -> int:
        """Of the largest tensor, in float32, while latents of this shape (x, y, z) are decoded."""
        return torch.float32.itemsize * math.prod(latent_shape) * self._widest

    def encode(self, voxels: Tensor) -> tuple[Tensor, Tensor]:
        """The latent and its width."""
        mean = self.encoder(voxels)
        return mean, torch.zeros_like(mean)

    def decode(self, latents: Tensor, noise: Tensor | None = None) -> Tensor:
        """Voxels of latents.

        Args:
            latents: (B, C, x, y, Z).
            noise: (B, 1, X, Y, Z), from which detail is drawn; without it, detail is what is to be expected. Of no
                effect on a transform without ``detail``.
        """
        voxels: Tensor = self.decoder(latents)
        if self.detail is None:
            return voxels
        planes = _planes(latents)
        detail = self.detail.expected(planes) if noise is None else self.detail.draw(planes, _planes(noise))
        return voxels + detail.unflatten(0, (len(latents), -1)).permute(0, 2, 3, 4, 1)

    def detail_loss(self, voxels: Tensor, latents: Tensor) -> Tensor:
        """What the network for detail is to make small, see ``DetailFlow.loss``.

        Args:
            voxels: (B, 1, X, Y, Z).
            latents: theirs, with as much noise as those of a denoiser have.
        """
        assert self.detail is not None
        left_out = voxels - self.decoder(self.encoder(voxels))
        return self.detail.loss(_planes(left_out.detach()), _planes(latents))

    def forward(self, voxels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, latent and its width."""
        mean, sigma = self.encode(voxels)
        return self.decode(mean), mean, sigma

    @torch.no_grad()
    def set_spread(self, voxels: Tensor) -> None:
        """Measure on ``voxels`` (B, 1, X, Y, Z) how strong the detail is that the linear part leaves out."""
        assert self.detail is not None
        left_out = voxels - self.decoder(self.encoder(voxels))
        self.detail.spread.copy_(left_out.square().mean().clamp(min=VARIANCE_FLOOR).sqrt())

    @torch.no_grad()
    def set_principal_components(self, voxels: Tensor, balance: float) -> None:
        """Begin as the principal components of the blocks of ``voxels`` (B, 1, X, Y, Z), without overlap.

        That is the best linear transform of blocks that see nothing of their neighbours (Karhunen, Loève); training
        adds what the neighbours tell.

        Args:
            voxels: as many as a covariance of blocks needs.
            balance: how unlike the components' strengths are in the latent. 0: all have unit variance, so that a
                diffusion model learns noise and organs at once. 1: they are as strong as in the image, the mean of a
                block forty times as the finest texture, so that organs come first.
        """
        split, encode = self.encoder
        decode, _ = self.decoder
        assert isinstance(encode, nn.Conv3d) and isinstance(decode, nn.Conv3d)
        assert encode.bias is not None and decode.bias is not None
        blocks = split(voxels).movedim(1, -1).flatten(0, -2).double()
        mean = blocks.mean(0)
        covariance = (blocks - mean).T @ (blocks - mean) / len(blocks)
        variances, components = torch.linalg.eigh(covariance)
        strongest = components.flip(1)[:, : encode.out_channels]
        widths = variances.flip(0)[: encode.out_channels].clamp(min=VARIANCE_FLOOR).sqrt()
        middle = LAP // 2
        strengths = widths ** (1 - balance)
        for convolution in (encode, decode):
            convolution.weight.zero_()
        encode.weight[:, :, middle, middle, 0] = (strongest / strengths).T.float()
        encode.bias.copy_(-(mean @ (strongest / strengths)))
        decode.weight[:, :, middle, middle, 0] = (strongest * strengths).float()
        decode.bias.copy_(mean)


def _planes(volumes: Tensor) -> Tensor:
    """(B, C, X, Y, Z) as (B · Z, C, X, Y)."""
    return volumes.permute(0, 4, 1, 2, 3).flatten(0, 1)
