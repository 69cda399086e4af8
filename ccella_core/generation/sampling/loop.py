"""From reports and seeds to clean latents: one loop for all variants and schedulers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ccella_core.devices import autocast
from ccella_core.errors import Cancelled, NonFiniteError
from ccella_core.generation.sampling.checks import (
    check_shape,
    check_text,
    checked_generators,
    checked_pathology,
    checked_spacing,
    class_inputs,
    modality_labels,
)
from ccella_core.generation.sampling.expected_lesion import ExpectedLesion
from ccella_core.generation.sampling.known_latent import KeptLatent, KnownLatent
from ccella_core.generation.sampling.ready_schedulers import ReadyScheduler, prepare_scheduler
from ccella_core.generation.sampling.schedulers import DEFAULT_SCHEDULER, SchedulerConfig
from ccella_core.limits import SchedulerName
from ccella_core.networks import ConditionalDenoiser

CONDITION_BATCH = 16
"""(report, timestep) pairs that the adapter sees at once: with the published text encoder (512 x 4096) some 130 MB."""


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
    modality: int | None = None,
    shape: Sequence[int],
    spacing: Sequence[float] | Tensor,
    seeds: Sequence[int],
    scheduler: SchedulerName | ReadyScheduler = DEFAULT_SCHEDULER,
    num_inference_steps: int | None = None,
    guidance_scale: float = 1.0,
    dtype: torch.dtype = torch.float32,
    known: KnownLatent | None = None,
    lesion_channel: int | None = None,
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
        modality: the label to draw; for the variant with one.
        shape: latent shape (x, y, z), multiples of the U-Net's ``shape_multiples``.
        spacing: voxel spacing in mm, (3,) or one a sample (B, 3).
        seeds: B whole numbers, 0 … 2**63 - 1.
        scheduler: see ``Scheduler`` and ``ReadyScheduler``; an object is copied.
        num_inference_steps: network evaluations; ``None``: those that an object has laid out, else 30.
        guidance_scale: 1: off. Else classifier-free guidance against the null report, or no modality, at twice the
            cost. Experimental for reports: the published model is sampled without.
        dtype: precision of the network's arithmetic, see ``devices.choose_dtype``.
        known: a latent that is given, and what of it is drawn anew; by default all is drawn.
        lesion_channel: of the latent, the label of the lesion, where there is one: see ``expected_lesion``. It is left
            alone where ``pathology`` asks for a negative volume.
        callback: called after every step.

    Raises:
        InputError: an argument that does not fit, or not this variant.
        NonFiniteError: the network gave NaN or infinity.
        Cancelled: ``callback`` returned ``False``.
    """
    stepper = prepare_scheduler(scheduler, scheduler_config, num_inference_steps, latent_shape=shape)
    timesteps = scheduler_config.known_timesteps(stepper.timesteps)
    steps = len(timesteps)
    generators = checked_generators(seeds)
    B = len(generators)
    device = next(denoiser.parameters()).device
    spacings = checked_spacing(spacing, B).to(device)
    requested = checked_pathology(denoiser, pathology, B)
    check_shape(denoiser, shape)
    check_text(denoiser, text, null_text, B, guidance_scale)
    labels = modality_labels(denoiser, modality, guided=guidance_scale != 1)

    with autocast(device, dtype):
        given = [null_text, text] if guidance_scale != 1 else [text]
        # The conditions of each branch that the network runs: the null report's first, where there is guidance.
        branches = [precompute_conditions(denoiser, t.to(device), timesteps) for t in given if t is not None]
        mean = denoiser.expected(branches[-1].tokens[0], shape) if branches and lesion_channel is not None else None
    expected = None
    if mean is not None and lesion_channel is not None:
        mean = mean.float().cpu().repeat(B // len(mean), 1, 1, 1, 1)
        # Whoever asks for a negative volume of a positive report wants no lesion kept.
        mean[[value is not None and value < 0.5 for value in requested], lesion_channel] = 0
        expected = ExpectedLesion(mean, lesion_channel, scheduler_config)
    predicted = branches[-1].class_probability if branches else None
    classes = class_inputs(predicted, requested, steps).to(device) if denoiser.config.uses_class else None

    def predict(x: Tensor, i: int) -> Tensor:
        copies = max(1, len(branches), len(labels))
        with autocast(device, dtype):
            prediction = denoiser.denoise(
                torch.cat([x.to(device)] * copies),
                timesteps[i].to(device).expand(copies * B),
                tokens=torch.cat([b.tokens[i].expand(B, -1, -1) for b in branches]) if branches else None,
                class_probability=torch.cat([classes[i]] * copies) if classes is not None else None,
                modality=torch.tensor(labels, device=device).repeat_interleave(B) if labels else None,
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
        if expected is not None:
            prediction = expected.keep(x, prediction, int(timestep))
        noisy, x = x, stepper.step(prediction, timestep, x, generators)
        if kept is not None:
            x = kept.keep(x, i + 1)
        if callback is not None:
            estimate = partial(scheduler_config.clean_estimate, noisy, prediction, int(timestep))
            if callback(StepInfo(i + 1 - first, steps - first, int(timestep), x, estimate)) is False:
                raise Cancelled(f"Sampling was stopped after step {i + 1} of {steps}.")

    positive = None if predicted is None else predicted[-1, :, 1].cpu().expand(B).clone()
    return SampleResult(x, positive, timesteps)
