"""Where the loss counts more: the gland, the lesion, and the places where a lesion might have been.

A lesion fills one latent voxel in three hundred, so that with equal weights the pelvis is learnt and the report hardly
heard. Weighing the lesion alone would teach to draw one everywhere; so the same place on the other side and, in a
patient without a lesion, the place of another patient's weigh as much: "here, not there" is what counts. Where it is
unknown whether there is a lesion, or where, nothing but the gland is weighed.

Weights that follow the truth have a price: of two guesses that are as likely, the one that weighs more is taken, so
that glands and lesions are drawn too large. A last part of a training without them mends it.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ccella_core.training.data.cached_cases import CachedCases

RegionWeighting = Literal["lesions", "candidates"]

GLAND_WEIGHT = 3.0
LESION_WEIGHT = 20.0
CANDIDATE_WEIGHT = 100.0
BLOCK = 64  # cases read at once while the average is taken


class RegionWeights:
    """How much each latent voxel counts, 1 on average over the training set.

    ``lesions``: 1 outside the gland, more inside, most in the lesion. ``candidates``: more in the gland, most wherever
    a lesion might have been taken to be: in the lesion, at the same place on the other side, and for a case without a
    lesion at the next case's.

    Args:
        cases: with masks of gland and lesion.
        weighting: one of the two.

    Raises:
        InputError: the cases have no masks.
    """

    def __init__(self, cases: CachedCases, weighting: RegionWeighting) -> None:
        self.cases, self.weighting = cases, weighting
        present = [number for number, row in enumerate(cases.rows) if row.has_lesion]
        self.lenders = [next((other for other in present if other >= row), present[0])
                        if present and entry.has_lesion is not None else row
                        for row, entry in enumerate(cases.rows)]  # fmt: skip
        self._mean = 1.0
        blocks = [range(start, min(start + BLOCK, len(cases))) for start in range(0, len(cases), BLOCK)]
        total = sum(float(self(list(block)).double().mean()) * len(block) for block in blocks)
        self._mean = total / len(cases)

    def __call__(self, rows: list[int]) -> Tensor:
        """(B, 1, x, y, z); the first spatial axis runs from left to right."""
        gland, lesion = self.cases.regions(rows)
        weight = torch.ones(gland.shape)
        weight[gland] = GLAND_WEIGHT
        if self.weighting == "lesions":
            weight[lesion] = LESION_WEIGHT
        else:
            _, lent = self.cases.regions([self.lenders[row] for row in rows])
            weight[lent | lent.flip(2)] = CANDIDATE_WEIGHT
        return weight / self._mean
