"""The rectified flow of NV-Generate-MR: its timesteps, its steps and what its network learns, as MONAI has them.

It differs from this library's own ``flow`` in three ways: the network predicts the way from noise to the clean latent
(the other way round, see ``SchedulerConfig``), the timesteps are moved towards noise for large latents and rounded as
half precision rounds them, and a step ends at the whole number below the next timestep, so that the steps sum to a
little more than 1. Trained weights expect all of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

BASE_LATENT_SHAPE = (32, 32, 32)
"""Of a latent whose timesteps are not moved."""


class RectifiedFlowSteps:
    """Timesteps of one latent size laid out, and the step from one to the next. It is for one batch, once.

    Args:
        num_inference_steps: at least 1.
        latent_shape: (X, Y, Z) of the latent.
        num_train_timesteps: of the training.
    """

    def __init__(
        self, num_inference_steps: int, latent_shape: Sequence[int], *, num_train_timesteps: int = 1000
    ) -> None:
        even = num_train_timesteps * (1 - np.arange(num_inference_steps) / num_inference_steps)
        moved = transformed_timesteps(torch.from_numpy(even), latent_shape, num_train_timesteps=num_train_timesteps)
        self.timesteps: Tensor = moved.half().float()
        """(num_inference_steps,), falling from ``num_train_timesteps``; no whole numbers."""
        ends = [math.floor(timestep) for timestep in self.timesteps[1:].tolist()] + [0]
        self.step_sizes: list[float] = [
            (start - end) / num_train_timesteps for start, end in zip(self.timesteps.tolist(), ends, strict=True)
        ]
        """(num_inference_steps,); how far each step goes, as a share of the way from noise to the clean latent."""
        self._done = 0

    def step(self, prediction: Tensor, timestep: Tensor, x: Tensor) -> Tensor:
        """The next, less noisy latent.

        Args:
            prediction: the network's output at ``timestep``, (B, C, X, Y, Z).
            timestep: the entry of ``timesteps`` whose turn it is; the first ones may be left out.
            x: the latent that the network saw, as ``prediction``.
        """
        # Rounded, two that lie close together may be the same: so the next one of this value is meant.
        number = self._done + int((self.timesteps[self._done :] == timestep).nonzero()[0])
        self._done = number + 1
        return x + prediction * self.step_sizes[number]


def transformed_timesteps(timesteps: Tensor, latent_shape: Sequence[int], *, num_train_timesteps: int = 1000) -> Tensor:
    """Timesteps (T,) moved towards noise by as much as a latent is larger than 32 x 32 x 32 voxels.

    A large latent keeps more of its structure at the same share of noise (Esser et al. 2024, arXiv 2403.03206,
    section 5.3.2).
    """
    ratio = (math.prod(latent_shape) / math.prod(BASE_LATENT_SHAPE)) ** (1 / 3)
    share = timesteps.double() / num_train_timesteps
    return num_train_timesteps * ratio * share / (1 + (ratio - 1) * share)
