"""A lesion that the report lets expect does not get lost on the way from noise.

Along an exact path from noise, what the network takes for the clean latent holds as much lesion in the mean, at every
step, as the report lets expect (it is a martingale). A small network keeps less of a lesion that fills one latent voxel
in a hundred: at each step a little of it is taken for noise, and by the end it may be gone. Where the mean latent
(``networks.expected``) lies above its background, the label of the lesion is therefore raised by the factor that it
lacks, before the scheduler goes on. It is never lowered, and where no lesion is expected nothing is done.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.models.index import ModelIndex
from ccella_core.networks.config import AutoencoderConfig

# In units of scaled latents, in which a voxel within a lesion has 3 to 4.
LEAST_EXPECTED = 0.05  # what is below it in the mean is its own error
HAZE = 0.25  # what is below it does not count as drawn: else a haze over the whole place would do
MOST_AT_ONCE = 2.0  # times that a step may raise it


def lesion_channel(index: ModelIndex, autoencoder: AutoencoderConfig) -> int | None:
    """Which channel of a model's latents is the label of the lesion; ``None`` where none is, or several are."""
    return index.parts.index("lesion") if "lesion" in index.labels and autoencoder.latent_channels == 1 else None


class ExpectedLesion:
    """The label of the lesion that is expected in each of a batch of latents.

    Args:
        mean: of the latents, (B, C, x, y, z), or (1, C, x, y, z) where all have one report.
        channel: that label's.
        config: the noise schedule, of a rectified flow.
    """

    def __init__(self, mean: Tensor, channel: int, config: SchedulerConfig) -> None:
        self._channel, self._config = channel, config
        mean = mean[:, channel]
        self._background = _per_sample(mean.flatten(1).median(dim=1).values)
        rise = mean - self._background
        # An autoencoder may as well draw labels darker than their background.
        strongest = rise.flatten(1).gather(1, rise.flatten(1).abs().argmax(dim=1, keepdim=True))
        self._sign = _per_sample(strongest.sign()[:, 0])
        self._there = rise * self._sign > LEAST_EXPECTED
        self._amount = _sum(rise * self._sign * self._there)

    def keep(self, x: Tensor, prediction: Tensor, timestep: int) -> Tensor:
        """The prediction with as much lesion as is expected.

        Args:
            x: noisy latents, (B, C, x, y, z).
            prediction: the network's, shaped as they are.
            timestep: theirs.
        """
        noisy = x[:, self._channel]
        rise = self._config.clean_estimate(x, prediction, timestep)[:, self._channel] - self._background
        drawn = _sum(((rise * self._sign - HAZE) * self._there).clamp(min=0))
        factor = (self._amount / drawn.clamp(min=torch.finfo(drawn.dtype).tiny)).clamp(1, MOST_AT_ONCE)
        raised = torch.where(self._there & (rise * self._sign > 0), rise * factor, rise) + self._background
        kept = prediction.clone()
        _, noise = self._config.shares(torch.tensor([timestep], device=x.device))
        kept[:, self._channel] = (noisy - raised) / noise[0]
        return kept


def _per_sample(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _sum(volumes: Tensor) -> Tensor:
    return _per_sample(volumes.sum(dim=(1, 2, 3)))
