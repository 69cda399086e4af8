"""How well a denoiser does on cases that it does not learn from, and what it draws of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object, send_to_device
from monai.metrics import compute_roc_auc
from PIL import Image
from torch import nn

from ccella_core.generation.decoding import decode, seeds_of_part
from ccella_core.generation.sampling.loop import sample
from ccella_core.generation.sampling.schedulers import DEFAULT_SCHEDULER
from ccella_core.imaging.planes import middle_planes, side_by_side, stacked
from ccella_core.networks.autoencoder import Autoencoder
from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.training.data.batches import Draw, make_batch
from ccella_core.training.data.cached_cases import CachedCases
from ccella_core.training.data.device_cases import DeviceCases
from ccella_core.training.denoiser import DenoiserTraining, noised, predict
from ccella_core.training.losses import joint_loss

TIMESTEPS_A_CASE = 4
"""Each case is seen at as many, spread over the whole range and the same at every validation."""
VALIDATION_SEED = 20_250_610
"""Of the noise of validation; any number that is never changed."""
UNKNOWN_CLASS = 0.5
"""The probability of a positive class where it is unknown."""


@torch.no_grad()
def validate(
    model: nn.Module, cases: CachedCases, config: DenoiserTraining, accelerator: Accelerator
) -> dict[str, float]:
    """Losses, and accuracy and AUROC of the class head, each on the same noise as every time before.

    The probability of a case is the mean over its timesteps; cases of an unknown class are left out. ``nan`` where
    there is nothing to say: no class head, no reports, or one class alone. Processes share the cases.
    """
    rows = range(len(cases))[accelerator.process_index :: accelerator.num_processes]
    on_device = DeviceCases(cases, accelerator.device)
    found = [_seen(model, cases, on_device, row, config) for row in rows]
    everything = sorted(gather_object(found), key=lambda each: each["row"])
    denoising = float(np.mean([each["denoising"] for each in everything]))
    metrics = {
        "loss": denoising,
        "loss/denoising": denoising,
        "loss/focal": math.nan,
        "accuracy": math.nan,
        "auroc": math.nan,
    }
    read = [each for each in everything if each["positive"] is not None]
    if read:
        focal = float(np.mean([each["focal"] for each in read]))
        probability = torch.tensor([each["positive"] for each in read])
        truth = torch.tensor([float(cases.positive[each["row"]]) for each in read])
        metrics |= {
            "loss": denoising + config.focal_weight * focal,
            "loss/focal": focal,
            "accuracy": float(((probability > 0.5) == truth.bool()).float().mean()),
        }
        if 0 < truth.sum() < len(truth):
            metrics["auroc"] = float(np.asarray(compute_roc_auc(probability, truth)))
    return metrics


def _seen(
    model: nn.Module, cases: CachedCases, on_device: DeviceCases, row: int, config: DenoiserTraining
) -> dict[str, Any]:
    """One case at each of its timesteps, as one batch."""
    rng = np.random.default_rng([VALIDATION_SEED, row])
    timesteps = config.scheduler.num_train_timesteps
    draws = [
        Draw(
            row=row,
            wording=0,
            timestep=int((place + rng.random()) / TIMESTEPS_A_CASE * timesteps),
            shows_report=bool(cases.has_report[row]),
            noise_seed=int(rng.integers(2**62)),
        )
        for place in range(TIMESTEPS_A_CASE)
    ]
    micro_batch = send_to_device(make_batch(cases, draws, config.network), on_device.device)
    batch = noised(micro_batch, on_device, config.scheduler)
    prediction, logits = predict(model, batch, config.network)
    loss = joint_loss(
        prediction,
        batch.target,
        logits,
        batch.class_one_hot,
        batch.reads_class,
        channel_weight=micro_batch.channel_weight,
    )
    reads = logits is not None and bool(micro_batch.reads_class[0])
    return {
        "row": row,
        "denoising": float(loss.denoising),
        "focal": float(loss.focal),
        "positive": float(torch.softmax(logits, dim=1)[:, 1].mean()) if reads and logits is not None else None,
    }


def draw_samples(
    denoiser: ConditionalDenoiser,
    autoencoder: Autoencoder,
    cases: CachedCases,
    config: DenoiserTraining,
    *,
    rows: list[int],
    steps: int,
) -> Image.Image:
    """A picture of what the network makes of the reports of some cases: three planes each, seeds 0, 1, … every time.

    Sequences and labels that are stacked in the latent are drawn one below the other.
    """
    network = config.network
    columns = []
    for seed, row in enumerate(rows):
        text = null = None
        spacing = cases.rows[row].spacing_mm or cases.index.spacing_mm
        if network.uses_text:
            text = (cases.text(row, 0) if cases.has_report[row] else cases.null_text)[None]  # type: ignore[index]
        pathology = None
        if network.uses_class and not network.predicts_class:
            pathology = float(cases.positive[row]) if cases.knows_class[row] else UNKNOWN_CLASS
        latents, *_ = sample(
            denoiser,
            config.scheduler,
            text=text,
            null_text=null,
            pathology=pathology,
            shape=cases.latent_shape[1:],
            spacing=spacing,
            seeds=[seed],
            scheduler=DEFAULT_SCHEDULER,
            num_inference_steps=steps,
        )
        parts = (latents / cases.scale.to(latents.device)).chunk(len(cases.index.parts), dim=1)
        volumes = [
            decode(
                autoencoder,
                latent,
                scale_factor=1.0,
                seeds=seeds_of_part(part, cases.index.parts, [seed]),
            )[0, 0].numpy()
            for part, latent in zip(cases.index.parts, parts, strict=True)
        ]
        columns.append(stacked([plane for volume in volumes for plane in middle_planes(volume, spacing)]))
    return Image.fromarray(side_by_side(columns))
