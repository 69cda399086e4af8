"""How unlike each other the volumes of a set are: multi-scale structural similarity (Wang et al. 2003) of random pairs.

A set whose pairs are more alike than pairs of real volumes shows less than there is (Kwon et al. 2019, arXiv
1908.02498).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.metrics.regression import compute_ms_ssim
from pydantic import Field

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.evaluation.data.volume_set import VolumeSet
from ccella_core.progress import OnProgress

PAIRS = 50
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the five scales, as published; of fewer, the finest, brought to a sum of 1."""
KERNEL_VOXELS = 11
"""Voxels along an axis, as published."""
SHORTEST_KERNEL = 3


class PairSimilarity(StrictModel):
    """MS-SSIM over pairs of one set: 1 where all are the same."""

    pairs: int
    mean: float
    standard_deviation: float = Field(ge=0)
    """Between pairs."""
    apart: bool = False
    """Whether no volume stands in two of them."""


class Diversity(StrictModel):
    """Of generated volumes, beside the real ones': a higher mean is less diversity."""

    generated: PairSimilarity
    real: PairSimilarity
    scales: int
    kernel: tuple[int, int, int]
    """Voxels along each axis."""


def diversity_of(
    generated: VolumeSet,
    real: VolumeSet,
    *,
    pairs: int = PAIRS,
    seed: int = 0,
    device: torch.device | None = None,
    progress: OnProgress | None = None,
) -> Diversity:
    """Similarity of random pairs within each set, whose volumes have the same shape.

    Args:
        generated: what a model made.
        real: what it is compared with.
        pairs: of each set, all different and of two patients (volumes of one report ought to be alike), and of
            different volumes as far as there are enough; all that there are where they are fewer.
        seed: of the pairs.
        device: by default the CPU.
        progress: called after every pair.

    Raises:
        InputError: fewer than two patients, fewer than one pair, a volume that cannot be read or is too thin.
    """
    if pairs < 1:
        raise InputError(f"Diversity is measured on at least one pair, not {pairs}.")
    scales, kernel = scales_for(real.shape)
    drawn = [random_pairs([member.patient for member in volumes], pairs, seed=seed) for volumes in (generated, real)]
    done = 0
    similarities = []
    for volumes, indices in zip((generated, real), drawn, strict=True):
        values = []
        for one, other in indices:
            values.append(_similarity(volumes.voxels(one), volumes.voxels(other), scales, kernel, device))
            done += 1
            if progress is not None:
                progress(done, sum(map(len, drawn)))
        similarities.append(
            PairSimilarity(
                pairs=len(values),
                mean=float(np.mean(values)),
                standard_deviation=float(np.std(values)),
                apart=len({place for pair in indices for place in pair}) == 2 * len(indices),
            )
        )
    return Diversity(generated=similarities[0], real=similarities[1], scales=scales, kernel=kernel)


def scales_for(shape: Sequence[int]) -> tuple[int, tuple[int, int, int]]:
    """Number of scales and the kernel for volumes of a shape (X, Y, Z).

    The kernel is the published one, shorter only where a volume is thinner than it; there are as many scales as leave
    room for it in the coarsest, five at most.

    Raises:
        InputError: an axis shorter than SHORTEST_KERNEL.
    """
    if min(shape) < SHORTEST_KERNEL:
        raise InputError(f"Structural similarity needs {SHORTEST_KERNEL} voxels along each axis, not {tuple(shape)}.")
    x, y, z = (min(KERNEL_VOXELS, side - (side + 1) % 2) for side in shape)
    kernel = (x, y, z)
    # MONAI asks for more than the square of the halvings; after one or two of them that is not yet enough.
    room = [scales for scales in range(1, len(WEIGHTS) + 1)
            if all(side // max(2 ** (scales - 1), (scales - 1) ** 2) >= needed
                   for side, needed in zip(shape, kernel, strict=True))]  # fmt: skip
    return max(room), kernel


def random_pairs(patients: Sequence[str], pairs: int, *, seed: int = 0) -> list[tuple[int, int]]:
    """Different pairs of places in ``patients`` that hold different ones; first those that share no place with another.

    Raises InputError where there are none.
    """
    one, other = np.triu_indices(len(patients), k=1)
    names = np.array(patients)
    one, other = np.stack([one, other])[:, names[one] != names[other]]
    if not len(one):
        raise InputError("Diversity is measured between volumes of at least two patients.")
    order = np.random.default_rng(seed).permutation(len(one))
    drawn = [(int(one[place]), int(other[place])) for place in order]
    taken: set[int] = set()
    apart: list[tuple[int, int]] = []
    sharing: list[tuple[int, int]] = []
    for pair in drawn:
        if taken.isdisjoint(pair):
            apart.append(pair)
            taken.update(pair)
        else:
            sharing.append(pair)
    return [*apart, *sharing][:pairs]


@torch.inference_mode()
def _similarity(
    one: np.ndarray, other: np.ndarray, scales: int, kernel: tuple[int, int, int], device: torch.device | None
) -> float:
    a, b = (torch.as_tensor(voxels, dtype=torch.float32, device=device)[None, None] for voxels in (one, other))
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    return float(compute_ms_ssim(a, b, spatial_dims=3, kernel_size=kernel, weights=weights.tolist()))
