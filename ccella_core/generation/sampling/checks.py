"""What a sampling loop is asked for: checked, and as the loop needs it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ccella_core.errors import InputError
from ccella_core.generation.options import NUM_SEEDS
from ccella_core.networks import ConditionalDenoiser
from ccella_core.networks.denoiser import NO_MODALITY

_PATHOLOGY_WORDS = {"negative": 0.0, "positive": 1.0}


def parse_pathology(value: str | float | None) -> float | None:
    """The probability of *positive* that is meant by ``negative``, ``positive``, a number in 0 … 1, or ``None``.

    ``None`` stays ``None``: the class is predicted from the report.

    Raises:
        InputError: anything else.
    """
    if value is None:
        return None
    if isinstance(value, str) and value in _PATHOLOGY_WORDS:
        return _PATHOLOGY_WORDS[value]
    # A bool is an int to Python, but True is no probability; NaN fails the comparison.
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise InputError(f"The pathology is 'negative', 'positive' or a probability from 0 to 1, not {value!r}.")


def checked_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """A source of noise a seed; InputError unless each is a whole number, 0 … 2**63 - 1."""
    if not seeds:
        raise InputError("There is no seed; give one for each latent to draw.")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < NUM_SEEDS:
            raise InputError(f"A seed is a whole number from 0 to 2**63 - 1, not {seed!r}.")
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def checked_pathology(denoiser: ConditionalDenoiser, value: Any, count: int) -> list[float | None]:
    """What is requested of each sample, see ``parse_pathology``; InputError where the variant does not take it."""
    values = (
        [value] * count if value is None or isinstance(value, str) or not isinstance(value, Sequence) else list(value)
    )
    if len(values) != count:
        raise InputError(f"There are {len(values)} pathologies for {count} samples; give one, or one a sample.")
    requested = [parse_pathology(v) for v in values]
    config = denoiser.config
    if not config.uses_class and any(v is not None for v in requested):
        raise InputError(f"This model ({config.variant}) takes no pathology; leave it out.")
    if config.uses_class and not config.predicts_class and any(v is None for v in requested):
        raise InputError(f"This model ({config.variant}) does not predict the pathology; say 'negative' or 'positive'.")
    return requested


def modality_labels(denoiser: ConditionalDenoiser, modality: int | None, *, guided: bool) -> list[int]:
    """One a branch that the network runs, that of no modality first, where there is guidance; empty without labels."""
    config = denoiser.config
    if not config.uses_modality:
        if modality is not None:
            raise InputError(f"This model ({config.variant}) takes no modality; leave it out.")
        return []
    count = config.unet.modality_labels or 0
    if modality is None or not 0 <= modality < count:
        raise InputError(f"This model ({config.variant}) takes a modality from 0 to {count - 1}, not {modality!r}.")
    return [NO_MODALITY, modality] if guided else [modality]


def class_inputs(predicted: Tensor | None, requested: list[float | None], num_inference_steps: int) -> Tensor:
    """The U-Net's input of the class, (T, B, 2): the requested pathology, or what the report predicts there."""
    rows = []
    for b, positive in enumerate(requested):
        if positive is not None:
            rows.append(torch.tensor([1 - positive, positive]).expand(num_inference_steps, 2))
        else:
            assert predicted is not None
            rows.append(predicted[:, b % predicted.shape[1]].cpu())
    return torch.stack(rows, dim=1)


def checked_spacing(spacing: Sequence[float] | Tensor, count: int) -> Tensor:
    """The spacing of each sample, (count, 3), in mm; InputError unless it is three positive numbers."""
    value = torch.as_tensor(spacing, dtype=torch.float32)
    if value.shape not in ((3,), (count, 3)) or not ((value > 0) & value.isfinite()).all():
        raise InputError(f"The spacing is three positive numbers in mm, or three a sample, not {spacing!r}.")
    return value.expand(count, 3)


def check_shape(denoiser: ConditionalDenoiser, shape: Sequence[int]) -> None:
    """Raises InputError unless the U-Net can halve a latent of this shape as often as it does."""
    multiples = denoiser.config.unet.shape_multiples
    if len(shape) != 3 or any(size <= 0 or size % step for size, step in zip(shape, multiples, strict=True)):
        raise InputError(f"The latent shape {tuple(shape)} must be three positive multiples of {multiples}.")


def check_text(
    denoiser: ConditionalDenoiser, text: Tensor | None, null_text: Tensor | None, count: int, guidance_scale: float
) -> None:
    """Raises InputError unless reports, their number and the guidance fit the variant."""
    config = denoiser.config
    if not (math.isfinite(guidance_scale) and guidance_scale >= 0):
        raise InputError(f"The guidance scale is a number from 0 up, not {guidance_scale!r}.")
    if not config.uses_text:
        if text is not None or (guidance_scale != 1 and not config.uses_modality):
            raise InputError(f"This model ({config.variant}) reads no report; leave report and guidance out.")
        return
    if text is None:
        raise InputError(f"This model ({config.variant}) needs a report.")
    if len(text) not in (1, count):
        raise InputError(f"There are {len(text)} reports for {count} seeds; give one, or one a seed.")
    if guidance_scale != 1 and null_text is None:
        raise InputError("Guidance compares with the null report; give null_text.")
