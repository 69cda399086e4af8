"""What a rectified flow would be if latents were Gaussian fields, each channel with a spectrum of its own.

Of Gaussian latents the best guess is linear, frequency by frequency (Wiener 1949), and is known without training. A
small network had not got as far after 1,000 steps; with this beside it, it begins there, and all that it learns is what
makes an image more than a cloud.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

ROUND_BINS, LINE_BINS = 24, 11
"""Bands of frequencies within a plane, by their distance from 0, and through the planes."""
HIGHEST_ROUND, HIGHEST_LINE = 0.5**0.5, 0.5
"""In cycles a latent element: along the diagonal of a plane, and along the line through the planes."""
LEAST_POWER = 1e-6
SPECTRUM_CASES = 512
"""Are enough to know the spectra of a training set by."""


class GaussianFlow(nn.Module):
    """Predicts noise less clean latent.

    Args:
        channels: of the latent.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_power = nn.Parameter(torch.zeros(channels, ROUND_BINS, LINE_BINS))
        """The natural logarithm of the mean power in each band; 0 until ``set_spectrum``: unit variance, no texture."""

    def forward(self, x: Tensor, noise: Tensor, mean: Tensor | None = None) -> Tensor:
        """The flow, shaped as the latent.

        Args:
            x: noisy latent, (B, C, X, Y, Z).
            noise: the share of noise in each, (B,) in 0 … 1.
            mean: what is expected of the clean latents, shaped as they are; by default 0.
        """
        size = x.shape[2:]
        share = noise.to(x.dtype).view(-1, 1, 1, 1, 1)
        if mean is not None:
            return self(x - (1 - share) * mean, noise) - mean  # type: ignore[no-any-return]
        spectrum = torch.fft.rfftn(x.float(), dim=(2, 3, 4), norm="ortho")
        around, along = _bands(size, x.device)
        power = self.log_power.float().exp()[:, around, along]
        share = noise.float().view(-1, 1, 1, 1, 1)
        gain = (share - (1 - share) * power) / ((1 - share).square() * power + share.square())
        return torch.fft.irfftn(gain * spectrum, s=size, dim=(2, 3, 4), norm="ortho").to(x.dtype)  # type: ignore[no-any-return]

    @torch.no_grad()
    def set_spectrum(self, latents: Tensor, present: Tensor) -> None:
        """Take the mean power of each channel in each band.

        Args:
            latents: clean and scaled, (N, C, X, Y, Z).
            present: which channels each has, (N, C) bool; of each, one has it at least.
        """
        power = torch.fft.rfftn(latents.float(), dim=(2, 3, 4), norm="ortho").abs().square()
        there = present.to(power.dtype)[..., None, None, None]
        mean = (power * there).sum(0) / there.sum(0)
        around, along = _bands(latents.shape[2:], latents.device)
        bands = (around * LINE_BINS + along).flatten()
        sums = mean.new_zeros(len(mean), ROUND_BINS * LINE_BINS).index_add_(1, bands, mean.flatten(1))
        counts = torch.bincount(bands, minlength=ROUND_BINS * LINE_BINS)
        known = (sums / counts.clamp(min=1)).clamp(min=LEAST_POWER).log()
        self.log_power.copy_(_filled(known.view_as(self.log_power), (counts > 0).view(ROUND_BINS, LINE_BINS)))


def _bands(size: torch.Size, device: torch.device) -> tuple[Tensor, Tensor]:
    """Of each frequency of a real transform of (X, Y, Z), its band within the plane and its band through the planes."""
    x, y = (torch.fft.fftfreq(length, device=device) for length in size[:2])
    z = torch.fft.rfftfreq(size[2], device=device)
    distance = (x[:, None].square() + y[None].square()).sqrt()[..., None]
    around = (distance / HIGHEST_ROUND * (ROUND_BINS - 1)).round().long()
    along = (z / HIGHEST_LINE * (LINE_BINS - 1)).round().long()
    return around, along


def _filled(values: Tensor, known: Tensor) -> Tensor:
    """Bands (C, R, L) that this size of latent has none of take the nearest one's value, for latents of other sizes."""
    places = torch.cartesian_prod(*(torch.arange(size) for size in known.shape)).to(values.device)
    there = places[known.flatten()]
    nearest = there[torch.cdist(places.float(), there.float()).argmin(1)]
    return values[:, nearest[:, 0], nearest[:, 1]].view_as(values)
