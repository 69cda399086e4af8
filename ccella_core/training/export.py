"""From a training to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from pydantic import Field

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.generation.sampling.schedulers import DEFAULT_NUM_INFERENCE_STEPS, DEFAULT_SCHEDULER, Scheduler
from ccella_core.models.model import ModelFolder, ModelIndex
from ccella_core.runs.folder import read_run_config, read_run_record
from ccella_core.training.data.wording import kept_profile
from ccella_core.training.frozen_networks import autoencoder_source, text_encoder_source
from ccella_core.training.lineage import stages_of
from ccella_core.training.start import load_denoiser
from ccella_core.training.train import DenoiserRecord
from ccella_core.training.train_config import TrainConfig

StorageName = Literal["float16", "int8"]


class About(StrictModel):
    """What only the maker of a model knows; shown wherever it is used."""

    name: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="by default the run's")
    version: str = "1.0.0"
    licence: str = Field(min_length=1)
    intended_use: str = Field(min_length=1)
    description: str = ""
    trained_on: str = Field(min_length=1)
    default_scheduler: str = DEFAULT_SCHEDULER
    default_num_inference_steps: int = Field(DEFAULT_NUM_INFERENCE_STEPS, gt=0)


def export_run(
    run: Path,
    out: Path,
    about: About,
    *,
    best: bool = False,
    autoencoder: str | None = None,
    storage: StorageName = "float16",
    overwrite: bool = False,
) -> ModelFolder:
    """Write a model of what a training left, whole or not at all.

    Args:
        run: its folder.
        out: the model's.
        about: what the model says of itself.
        best: the weights that did best on the validation cases, instead of the last.
        autoencoder: instead of the one that the latents were made with; only its decoder is used.
        storage: of the weights on the disk, see ``CCELLAPipeline.save_pretrained``.
        overwrite: replace a model that is there.

    Raises:
        InputError: ``run`` is no training, has saved nothing yet, or a part of it is gone.
        SaveError: ``out`` is taken, or the disk refuses.
    """
    config = read_run_config(run, TrainConfig)
    record = read_run_record(run, DenoiserRecord)
    # Refused here rather than at the first use.
    Scheduler(about.default_scheduler, config.denoiser.scheduler, about.default_num_inference_steps)  # type: ignore[arg-type]
    source = autoencoder_source(autoencoder or config.autoencoder)
    parts = len(config.sequences) + len(config.labels)
    if source.config.latent_channels * parts != config.denoiser.network.latent_channels:
        raise InputError(f"The autoencoder in {autoencoder} has other latents than the training.")
    encoder = None
    if config.text_encoder is not None:
        encoder = text_encoder_source(config.text_encoder).load(config.max_tokens)
    factors = record.latent_scale_factor
    index = ModelIndex(
        name=about.name or config.name,
        version=about.version,
        licence=about.licence,
        intended_use=about.intended_use,
        description=about.description,
        variant=config.denoiser.network.variant,
        sequences=list(config.sequences),
        **({"labels": list(config.labels)} if config.labels else {}),
        native_shape=record.native_shape,
        native_spacing_mm=record.native_spacing_mm,
        trained_spacing_mm=record.trained_spacing_mm,
        intensity_range=record.intensity_range or dict.fromkeys(config.sequences, (0.0, 1.0)),
        latent_scale_factor=factors[0] if len(factors) == 1 else factors,
        max_report_tokens=config.max_tokens,
        default_scheduler=about.default_scheduler,
        default_num_inference_steps=about.default_num_inference_steps,
        trained_on=about.trained_on,
        training={"positive_means": record.data.positive_means, "stages": stages_of(run, source)},
        components={},
    )
    pipeline = CCELLAPipeline(
        denoiser=load_denoiser(run, best=best),
        autoencoder=source.load(),
        autoencoder_config=source.config,
        scheduler_config=config.denoiser.scheduler,
        encoder=encoder,
        report_profile=None if encoder is None else kept_profile(run),
        index=index,
        device="cpu",
    )
    return pipeline.save_pretrained(out, overwrite=overwrite, storage_dtype=getattr(torch, storage))
