"""What a report lets one expect: the mean of the latents of examinations with such reports, coarse and without noise.

Between noise and latent hardly a step shows where a lesion is to lie: at the noisiest the words alone say it, which the
denoising loss teaches very slowly, and from then on the noisy latent itself. So the mean is learnt by itself, without
noise, where a few minutes of training are enough; around it the network draws what a report does not say, beginning as
the best guess for Gaussian fields about that mean (``gaussian``).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRID = (16, 16, 10)
"""Points along X, Y and Z at which a mean is drawn; between them it is interpolated."""
HIDDEN = 384


class ExpectedLatent(nn.Module):
    """Draws the mean latent for the adapter's tokens.

    Args:
        channels: of the latent.
        tokens: how many there are.
        width: of each.
    """

    def __init__(self, channels: int, tokens: int, width: int) -> None:
        super().__init__()
        self.channels = channels
        self.norm = nn.LayerNorm(width)
        self.read = nn.Linear(tokens * width, HIDDEN)
        self.combine = nn.Linear(HIDDEN, HIDDEN)
        self.draw = nn.Linear(HIDDEN, channels * math.prod(GRID))
        nn.init.zeros_(self.draw.weight)
        nn.init.zeros_(self.draw.bias)

    def forward(self, tokens: Tensor, size: tuple[int, ...] | torch.Size, dropout: float = 0.0) -> Tensor:
        """The mean (B, C, X, Y, Z) of latents of a size (X, Y, Z), for tokens (B, N, W).

        ``dropout`` is for its own training alone: in the joint training it stays as it is.
        """
        read = F.dropout(F.silu(self.read(self.norm(tokens).flatten(1))), dropout)
        combined = read + F.dropout(F.silu(self.combine(read)), dropout)
        coarse = self.draw(combined).view(-1, self.channels, *GRID)
        return F.interpolate(coarse, size=tuple(size), mode="trilinear", align_corners=False)
