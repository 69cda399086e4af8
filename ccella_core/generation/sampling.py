"""From reports and seeds to clean latents: one loop for all variants and schedulers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ccella_core.devices import autocast
from ccella_core.errors import Cancelled, InputError, NonFiniteError
from ccella_core.generation.known_latent import KeptLatent, KnownLatent
from ccella_core.generation.options import NUM_SEEDS
from ccella_core.generation.ready_schedulers import ReadyScheduler, prepare_scheduler
from ccella_core.generation.schedulers import DEFAULT_SCHEDULER, SchedulerConfig
from ccella_core.limits import SchedulerName
from ccella_core.networks import ConditionalDenoiser

CONDITION_BATCH = 16
"""(report, timestep) pairs that the adapter sees at once: with the published text encoder (512 x 4096) some 130 MB."""
_PATHOLOGY_WORDS = {"negative": 0.0, "positive": 1.0}


class Conditions(NamedTuple):
    """What a denoiser is given of R reports at T timesteps."""

    tokens: Tensor
    """(T, R, N, W)."""
    class_probability: Tensor | None
    """(T, R, K) in 0 … 1, float32; ``None`` where the variant predicts no class."""


class SampleResult(NamedTuple):
    """Latents, and what was read in the reports on the way."""

    latents: Tensor
    """(B, C, x, y, z), float32, on the CPU."""
    positive_probability: Tensor | None
    """(B,) in 0 … 1: what the class head says of each report at the last, cleanest timestep, whatever pathology was
    requested; ``None`` where the variant predicts no class."""
    timesteps: Tensor
    """(T,), those of the scheduler."""


@dataclass(frozen=True)
class StepInfo:
    """Where the scheduler is, after each step."""

    step: int
    """Steps that are done, 1 … ``steps``."""
    steps: int
    timestep: int
    latents: Tensor
    """(B, C, x, y, z), after this step."""
    _clean_estimate: Callable[[], Tensor] = field(repr=False)

    def preview(self) -> np.ndarray:
        """The middle axial slice of the first sample's clean latent as estimated now, uint8 (x, y), over its range.

        Computed when called; it shows the mean over channels, which resembles the image but is not one.
        """
        clean = self._clean_estimate()[0].mean(dim=0)
        middle = clean[..., clean.shape[-1] // 2].numpy()
        low, high = float(middle.min()), float(middle.max())
        return ((middle - low) / max(high - low, 1e-6) * 255).astype(np.uint8)


StepCallback = Callable[[StepInfo], bool | None]
"""Called after each step; ``False`` stops the scheduler with ``Cancelled``."""


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


@torch.inference_mode()
def precompute_conditions(
    denoiser: ConditionalDenoiser, text: Tensor, timesteps: Tensor, *, batch: int = CONDITION_BATCH
) -> Conditions:
    """The adapter's output for every report at every timestep; it does not depend on the latent.

    The tokens take 0.8 MB a report and timestep at the published size in float32.

    Args:
        denoiser: a variant that reads the report.
        text: the report encoder's output, (R, L, D).
        timesteps: (T,).
        batch: (report, timestep) pairs at once.
    """
    R, T = len(text), len(timesteps)
    tokens, probabilities = [], []
    for pairs in torch.arange(T * R, device=text.device).split(batch):
        token, logits = denoiser.condition(text[pairs % R], timesteps.to(text.device)[pairs // R])
        tokens.append(token)
        if logits is not None:
            probabilities.append(logits.float().softmax(dim=1))
    return Conditions(
        torch.cat(tokens).unflatten(0, (T, R)), torch.cat(probabilities).unflatten(0, (T, R)) if probabilities else None
    )


@torch.inference_mode()
def sample(
    denoiser: ConditionalDenoiser,
    scheduler_config: SchedulerConfig,
    *,
    text: Tensor | None = None,
    null_text: Tensor | None = None,
    pathology: str | float | Sequence[str | float | None] | None = None,
    shape: Sequence[int],
    spacing: Sequence[float] | Tensor,
    seeds: Sequence[int],
    scheduler: SchedulerName | ReadyScheduler = DEFAULT_SCHEDULER,
    num_inference_steps: int | None = None,
    guidance_scale: float = 1.0,
    dtype: torch.dtype = torch.float32,
    known: KnownLatent | None = None,
    callback: StepCallback | None = None,
) -> SampleResult:
    """Draw one latent a seed.

    A seed gives the same latent alone or in a batch, and on any device up to the network's rounding: all noise is
    drawn, and the scheduler computes, on the CPU in float32; the network runs where ``denoiser`` is.

    Args:
        denoiser: in evaluation mode.
        scheduler_config: the noise schedule it was trained with.
        text: the report encoder's output, (B, L, D), or (1, L, D) for one report under all seeds.
        null_text: that of the null report, (1, L, D); needed for guidance.
        pathology: see ``parse_pathology``; one for all samples or one a sample. It replaces, as the U-Net's input at
            all timesteps, the class that is predicted from the report at each.
        shape: latent shape (x, y, z), multiples of the U-Net's ``shape_multiples``.
        spacing: voxel spacing in mm, (3,) or one a sample (B, 3).
        seeds: B whole numbers, 0 … 2**63 - 1.
        scheduler: see ``Scheduler`` and ``ReadyScheduler``; an object is copied.
        num_inference_steps: network evaluations; ``None``: those that an object has laid out, else 30.
        guidance_scale: 1: off. Else classifier-free guidance against the null report, at twice the cost. Experimental:
            the published model is sampled without.
        dtype: precision of the network's arithmetic, see ``devices.choose_dtype``.
        known: a latent that is given, and what of it is drawn anew; by default all is drawn.
        callback: called after every step.

    Raises:
        InputError: an argument that does not fit, or not this variant.
        NonFiniteError: the network gave NaN or infinity.
        Cancelled: ``callback`` returned ``False``.
    """
    stepper = prepare_scheduler(scheduler, scheduler_config, num_inference_steps)
    timesteps = stepper.timesteps.long()
    steps = len(timesteps)
    generators = _checked_generators(seeds)
    B = len(generators)
    device = next(denoiser.parameters()).device
    spacings = _checked_spacing(spacing, B).to(device)
    requested = _checked_pathology(denoiser, pathology, B)
    _check_shape(denoiser, shape)
    _check_text(denoiser, text, null_text, B, guidance_scale)

    with autocast(device, dtype):
        given = [null_text, text] if guidance_scale != 1 else [text]
        # The conditions of each branch that the network runs: the null report's first, where there is guidance.
        branches = [precompute_conditions(denoiser, t.to(device), timesteps) for t in given if t is not None]
    predicted = branches[-1].class_probability if branches else None
    classes = _class_inputs(predicted, requested, steps).to(device) if denoiser.config.uses_class else None

    def predict(x: Tensor, i: int) -> Tensor:
        copies = max(1, len(branches))
        with autocast(device, dtype):
            prediction = denoiser.denoise(
                torch.cat([x.to(device)] * copies),
                timesteps[i].to(device).expand(copies * B),
                tokens=torch.cat([b.tokens[i].expand(B, -1, -1) for b in branches]) if branches else None,
                class_probability=torch.cat([classes[i]] * copies) if classes is not None else None,
                spacing=torch.cat([spacings] * copies),
            )
        prediction = prediction.float().cpu()
        if copies == 1:
            return prediction
        unconditional, conditional = prediction.chunk(2)
        return unconditional + guidance_scale * (conditional - unconditional)

    x = torch.cat([torch.randn((1, denoiser.config.latent_channels, *shape), generator=g) for g in generators])
    kept = None if known is None else KeptLatent(known, scheduler_config, stepper, timesteps, noise=x)
    first = 0
    if kept is not None:
        first = kept.first
        x = kept.keep(x, first)
    for i, timestep in enumerate(stepper.timesteps[first:], start=first):
        prediction = predict(x, i)
        if not torch.isfinite(prediction).all():
            raise NonFiniteError(
                f"The denoiser gave NaN or infinity at step {i + 1} of {steps}; try float32, or check the model."
            )
        noisy, x = x, stepper.step(prediction, timestep, x, generators)
        if kept is not None:
            x = kept.keep(x, i + 1)
        if callback is not None:
            estimate = partial(scheduler_config.clean_estimate, noisy, prediction, int(timestep))
            if callback(StepInfo(i + 1 - first, steps - first, int(timestep), x, estimate)) is False:
                raise Cancelled(f"Sampling was stopped after step {i + 1} of {steps}.")

    positive = None if predicted is None else predicted[-1, :, 1].cpu().expand(B).clone()
    return SampleResult(x, positive, timesteps)


def _checked_generators(seeds: Sequence[int]) -> list[torch.Generator]:
    if not seeds:
        raise InputError("There is no seed; give one for each latent to draw.")
    for seed in seeds:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < NUM_SEEDS:
            raise InputError(f"A seed is a whole number from 0 to 2**63 - 1, not {seed!r}.")
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def _checked_pathology(denoiser: ConditionalDenoiser, value: Any, count: int) -> list[float | None]:
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


def _class_inputs(predicted: Tensor | None, requested: list[float | None], num_inference_steps: int) -> Tensor:
    """The U-Net's input of the class, (T, B, 2): the requested pathology, or what the report predicts there."""
    rows = []
    for b, positive in enumerate(requested):
        if positive is not None:
            rows.append(torch.tensor([1 - positive, positive]).expand(num_inference_steps, 2))
        else:
            assert predicted is not None
            rows.append(predicted[:, b % predicted.shape[1]].cpu())
    return torch.stack(rows, dim=1)


def _checked_spacing(spacing: Sequence[float] | Tensor, count: int) -> Tensor:
    value = torch.as_tensor(spacing, dtype=torch.float32)
    if value.shape not in ((3,), (count, 3)) or not ((value > 0) & value.isfinite()).all():
        raise InputError(f"The spacing is three positive numbers in mm, or three a sample, not {spacing!r}.")
    return value.expand(count, 3)


def _check_shape(denoiser: ConditionalDenoiser, shape: Sequence[int]) -> None:
    multiples = denoiser.config.unet.shape_multiples
    if len(shape) != 3 or any(size <= 0 or size % step for size, step in zip(shape, multiples, strict=True)):
        raise InputError(f"The latent shape {tuple(shape)} must be three positive multiples of {multiples}.")


def _check_text(
    denoiser: ConditionalDenoiser, text: Tensor | None, null_text: Tensor | None, count: int, guidance_scale: float
) -> None:
    config = denoiser.config
    if not (math.isfinite(guidance_scale) and guidance_scale >= 0):
        raise InputError(f"The guidance scale is a number from 0 up, not {guidance_scale!r}.")
    if not config.uses_text:
        if text is not None or guidance_scale != 1:
            raise InputError(f"This model ({config.variant}) reads no report; leave report and guidance out.")
        return
    if text is None:
        raise InputError(f"This model ({config.variant}) needs a report.")
    if len(text) not in (1, count):
        raise InputError(f"There are {len(text)} reports for {count} seeds; give one, or one a seed.")
    if guidance_scale != 1 and null_text is None:
        raise InputError("Guidance compares with the null report; give null_text.")
