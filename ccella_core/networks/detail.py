"""What a coarse latent leaves out of a plane, drawn: a rectified flow from noise to detail, given the latent.

One number for a block of voxels says nothing of the texture inside. A network that is asked for the likeliest texture
answers with its mean, a blur; one that a discriminator drives makes specks. This one learns the distribution: it begins
with noise, as the model of the latents does, and a few steps lead to one of the textures that such places have
(a conditional diffusion decoder: Preechakul et al. 2022, arXiv 2111.15640; rectified flow: Liu et al. 2023,
arXiv 2209.03003; preconditioned as in Karras et al. 2022, arXiv 2206.00364, table 1).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from torch import Tensor, nn
from torch.nn import functional as F

from ccella_core.networks.config import AutoencoderConfig

WAVES = 16
"""Sines and cosines that tell the network how much noise there is."""
KNOWN_WIDTH = 64
"""Of what it makes of them."""
MIDDLE, SPREAD = -0.8, 1.4
"""Of the logit of the noise's share, normally distributed, at which it learns: most where detail appears."""
NOISE_ALONE = 0.1
"""Share of the planes of which it sees nothing but noise: what it says of those is the expected plane."""
LEAST_SHARE = 0.01
"""Of noise, below which the loss weighs no more."""
MOST_NOISE, LEAST_NOISE = 0.93, 0.05
"""Shares of noise after the first and before the last step; those between lie evenly in their logit. Edges appear where
there is much noise, the finest texture where there is little: eight such steps draw 0.64 of the fine detail of held-out
patients, eight even ones 0.46, forty 0.79 (one network's, measured)."""
BEGINNING = 0.996
"""Share of noise at which the solver begins: at 1 there is no signal that its steps could be reckoned from."""


class DetailFlow(nn.Module):
    """The clean detail of planes, estimated from noisy detail, the latent and the share of noise.

    Planes know nothing of each other: slices of 3 mm share no texture.

    Args:
        config: with ``detail``.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        assert config.detail is not None
        self.steps = config.detail.steps
        levels = config.block.bit_length() - 1
        widths = [config.detail.width >> level for level in range(levels, -1, -1)]
        self.spread: Tensor
        self.register_buffer("spread", torch.ones(()))
        self.known = nn.Sequential(nn.Linear(2 * WAVES, KNOWN_WIDTH), nn.SiLU())
        self.first = nn.Conv2d(1, widths[0], 3, padding=1)
        self.before = nn.ModuleList(_Block(width) for width in widths[:-1])
        self.coarser = nn.ModuleList(
            nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * fine, coarse, 3, padding=1))
            for fine, coarse in pairwise(widths)
        )
        self.latent = nn.Conv2d(config.latent_channels, widths[-1], 3, padding=1)
        self.middle = nn.ModuleList(_Block(widths[-1]) for _ in range(config.detail.blocks))
        self.finer = nn.ModuleList(
            nn.Sequential(nn.Conv2d(coarse, 4 * fine, 3, padding=1), nn.PixelShuffle(2))
            for fine, coarse in reversed(list(pairwise(widths)))
        )
        self.after = nn.ModuleList(_Block(width) for width in reversed(widths[:-1]))
        self.last = nn.Conv2d(widths[0], 1, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # a sixth less time on processors

    def forward(self, noisy: Tensor, latents: Tensor, share: Tensor) -> Tensor:
        """The best guess of the clean detail, in units of ``spread``; shapes (N, 1, X, Y), (N, C, x, y) and (N,)."""
        noise = share.view(-1, 1, 1, 1)
        size = torch.hypot(1 - noise, noise)
        learnt = self._learnt(noisy / size, latents, share)
        return (1 - noise) / size**2 * noisy + noise / size * learnt

    def _learnt(self, noisy: Tensor, latents: Tensor, share: Tensor) -> Tensor:
        ratio = torch.log(share / (1 - share + 1e-3) + 1e-3) / 8  # within -1 and 1
        waves = torch.arange(1, WAVES + 1, device=share.device) * (math.pi / 2) * ratio[:, None]
        known = self.known(torch.cat([waves.sin(), waves.cos()], dim=1))
        x, skipped = self.first(noisy), []
        for block, coarser in zip(self.before, self.coarser, strict=True):
            x = block(x, known)
            skipped.append(x)
            x = coarser(x)
        x = x + self.latent(latents)
        for block in self.middle:
            x = block(x, known)
        for finer, block in zip(self.finer, self.after, strict=True):
            x = block(finer(x) + skipped.pop(), known)
        drawn: Tensor = self.last(F.silu(x))
        return drawn

    def loss(self, detail: Tensor, latents: Tensor) -> Tensor:
        """Mean squared error of the guess, weighed so that all shares of noise count alike.

        Args:
            detail: (N, 1, X, Y), what the linear decoder leaves out.
            latents: (N, C, x, y), with as much noise as those of a denoiser have.
        """
        share = torch.sigmoid(MIDDLE + SPREAD * torch.randn(len(detail), device=detail.device))
        share = torch.where(torch.rand_like(share) < NOISE_ALONE, torch.ones_like(share), share)
        noise, clean = share.view(-1, 1, 1, 1), detail / self.spread
        guess = self((1 - noise) * clean + noise * torch.randn_like(clean), latents, share)
        weight = ((1 - noise).square() + noise.square()) / noise.clamp(min=LEAST_SHARE).square()
        return (weight * (guess - clean).square()).mean()

    def expected(self, latents: Tensor) -> Tensor:
        """The mean of all details that such latents may have, (N, 1, X, Y) of (N, C, x, y): what noise alone tells."""
        shape = (len(latents), 1, *(side * 2 ** len(self.coarser) for side in latents.shape[2:]))
        return self.spread * self(latents.new_zeros(shape), latents, latents.new_ones(len(latents)))

    def draw(self, latents: Tensor, noise: Tensor) -> Tensor:
        """One of those details, which follows from the noise (N, 1, X, Y): DPM-Solver++ (Lu et al. 2022)."""
        ends = torch.logit(torch.tensor([MOST_NOISE, LEAST_NOISE]))
        between = torch.sigmoid(torch.linspace(float(ends[0]), float(ends[1]), self.steps - 1))
        solver = DPMSolverMultistepScheduler(prediction_type="sample", use_flow_sigmas=True)
        solver.set_timesteps(self.steps)
        solver.sigmas = torch.cat([torch.tensor([BEGINNING]), between, torch.zeros(1)])
        x = noise
        for timestep, share in zip(solver.timesteps, solver.sigmas, strict=False):
            guess = self(x, latents, share.to(x.device).expand(len(x)))
            x = solver.step(guess, timestep, x, return_dict=False)[0]
        return self.spread * x


class _Block(nn.Module):
    """A residual block whose middle is scaled and shifted by what is known of the noise.

    It has no norms, which would tie the brightness of a place to that of the rest.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.known = nn.Linear(KNOWN_WIDTH, 2 * width)
        self.one, self.two = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        nn.init.zeros_(self.known.weight)
        nn.init.zeros_(self.known.bias)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        scale, shift = self.known(known)[..., None, None].chunk(2, dim=1)
        changed: Tensor = self.two(F.silu(self.one(F.silu(x)) * (1 + scale) + shift))
        return x + changed
