"""``train autoencoder``: from prepared cases to a frozen autoencoder that ``train`` and ``export`` take."""

from __future__ import annotations

from pathlib import Path

import torch
from accelerate import Accelerator
from pydantic import Field

from ccella_core.config import MixedPrecision, Steps, StrictModel
from ccella_core.devices import check_trainable
from ccella_core.errors import InputError
from ccella_core.models.model import save_component
from ccella_core.networks.autoencoder import Autoencoder, build_autoencoder
from ccella_core.provenance import LabelName, SequenceName
from ccella_core.runs.batches import DataLoading
from ccella_core.runs.folder import CHECKPOINTS, alone_in_output, log_left_out, open_log, refuse_other_run, write_run
from ccella_core.runs.launch import new_accelerator
from ccella_core.runs.logging import TrackerName, TrainLogger
from ccella_core.runs.summary import write_summary
from ccella_core.runs.trainer import Trainer
from ccella_core.training.autoencoder import (
    AutoencoderTraining,
    reconstruction_scores,
    train_autoencoder,
)
from ccella_core.training.data.sets import JoinedSet, PreparedVolumes, TrainingData
from ccella_core.training.frozen_networks import autoencoder_source

COMPONENT = "autoencoder"
MAY_CHANGE = ("output", "validate_every", "log_with", "loading", "autoencoder.checkpoint_every")


class AutoencoderConfigFile(StrictModel):
    """One training of an autoencoder."""

    name: str = Field("autoencoder", description="of the run")
    data: TrainingData = Field(description="the folder that `ccella prepare` made, or several on one grid")
    output: Path = Field(description="folder of the run; a run that was stopped goes on there")
    sequences: tuple[SequenceName, ...] = Field(("t2w",), min_length=1, description="one network learns all of them")
    labels: tuple[LabelName, ...] = Field((), description="masks that it learns as images of 0 and 1")
    autoencoder: AutoencoderTraining
    refine: str | None = Field(None, description="an autoencoder whose decoder alone learns on; its latents stay")
    mixed_precision: MixedPrecision = Field(
        "no", description="half precision where it is safe; auto: bf16 where the device computes in it"
    )
    validate_every: Steps = Field(500, description="steps")
    log_with: tuple[TrackerName, ...] = Field(("tensorboard",), description="trackers that get the same numbers")
    loading: DataLoading = DataLoading()


@alone_in_output
def train(config: AutoencoderConfigFile) -> Path:
    """Train, or go on with a training that was stopped; returns the folder, in which ``autoencoder`` is the result.

    Raises:
        InputError: something in the configuration or the data cannot be used, or ``output`` holds another run.
        NonFiniteError: loss or gradient became NaN or infinite; the last checkpoint is whole.
        SaveError: the disk refuses; the last checkpoint is whole.
    """
    accelerator = new_accelerator(config.mixed_precision)
    refuse_other_run(config.output, config, may_change=MAY_CHANGE)
    with torch.device("meta"):
        check_trainable(build_autoencoder(config.autoencoder.network), accelerator.device)
    prepared = JoinedSet.of(config.data)
    volumes, held_out = (
        PreparedVolumes(prepared, split, (*config.sequences, *config.labels)) for split in ("train", "validation")
    )
    left_out = volumes.left_out | held_out.left_out
    if not len(volumes):
        why = f" that can be used ({next(iter(left_out.values()))})" if left_out else ""
        raise InputError(f"There are no training cases in {prepared.folders}{why}.")
    log_left_out(left_out)
    if any(side > size for side, size in zip(config.autoencoder.crop, prepared.settings.shape, strict=True)):
        raise InputError(
            f"autoencoder.crop: {config.autoencoder.crop} is larger than the volumes in {prepared.folders}, "
            f"{prepared.settings.shape}; choose a smaller one."
        )
    refine = None if config.refine is None else _to_refine(config)
    settings = config.autoencoder
    checkpoints = config.output / CHECKPOINTS
    if accelerator.is_main_process:
        write_run(config.output, config, _about(config, prepared, volumes, held_out, accelerator))
    with open_log(
        config.output,
        checkpoints,
        steps=settings.steps,
        log_with=config.log_with,
        is_main=accelerator.is_main_process,
    ) as logger:
        model = train_autoencoder(
            volumes,
            settings,
            checkpoints,
            refine=refine,
            loading=config.loading,
            accelerator=accelerator,
            logger=logger,
            after_step=lambda trainer, model: _validate(trainer, model, held_out, config, logger),
        )
    if accelerator.is_main_process:
        save_component(model, settings.network, config.output / COMPONENT)
        write_summary(config.output)
    accelerator.wait_for_everyone()
    return config.output


def _to_refine(config: AutoencoderConfigFile) -> Autoencoder:
    source = autoencoder_source(str(config.refine))
    wanted = config.autoencoder.network
    if source.config not in (wanted, wanted.model_copy(update={"detail": None})):
        raise InputError(f"The autoencoder in {config.refine} is another network than the one configured.")
    return source.load()


def _validate(
    trainer: Trainer,
    model: Autoencoder,
    held_out: PreparedVolumes,
    config: AutoencoderConfigFile,
    logger: TrainLogger,
) -> None:
    due = trainer.step % config.validate_every == 0 or not trainer.unfinished
    if not len(held_out) or not due:
        return
    with trainer.averaged():
        if trainer.accelerator.is_main_process:
            logger.validation(trainer.step, reconstruction_scores(model, held_out, config.autoencoder.crop))


def _about(
    config: AutoencoderConfigFile,
    prepared: JoinedSet,
    train: PreparedVolumes,
    validation: PreparedVolumes,
    accelerator: Accelerator,
) -> dict[str, object]:
    return {
        "name": config.name,
        "data": {
            "folder": prepared.folders,
            "fingerprint": prepared.fingerprint,
            "cases": {"train": len(train), "validation": len(validation)},
            "left_out": train.left_out | validation.left_out,
        },
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
    }
