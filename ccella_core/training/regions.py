"""Where the loss counts more: the gland, the lesion, and the places where a lesion might have been.

A lesion fills one latent voxel in three hundred, so that with equal weights the pelvis is learnt and the report hardly
heard. Weighing the lesion alone would teach to draw one everywhere; so the same place on the other side and, in a
patient without a lesion, the place of another patient's weigh as much: "here, not there" is what counts.
"""

from __future__ import annotations

import torch
from torch import Tensor

GLAND_WEIGHT = 3.0
LESION_WEIGHT = 20.0
CANDIDATE_WEIGHT = 100.0


def lesion_weights(gland: Tensor, lesion: Tensor) -> Tensor:
    """Weights of latent voxels: 1 outside the gland, more inside, most in the lesion.

    Args:
        gland, lesion: where they are, bool, (N, 1, x, y, z); the first spatial axis runs from left to right.
    """
    weight = torch.ones(gland.shape)
    weight[gland] = GLAND_WEIGHT
    weight[lesion] = LESION_WEIGHT
    return weight


def candidate_weights(gland: Tensor, lesion: Tensor) -> Tensor:
    """As ``lesion_weights``, but high wherever a lesion might have been taken to be; see ``lesion_candidates``."""
    weight = torch.ones(gland.shape)
    weight[gland] = GLAND_WEIGHT
    weight[lesion_candidates(lesion)] = CANDIDATE_WEIGHT
    return weight


def lesion_candidates(lesion: Tensor) -> Tensor:
    """The lesion and the same place on the other side, (N, 1, x, y, z) bool.

    A case without a lesion borrows that of the next case which has one.
    """
    present = lesion.flatten(1).any(dim=1)
    if not present.any():
        return torch.zeros_like(lesion)
    rows = torch.nonzero(present)[:, 0]
    lender = rows[torch.searchsorted(rows, torch.arange(len(lesion))) % len(rows)]
    return lesion[lender] | lesion[lender].flip(2)
