"""What a model tells of its making: of every stage the recipe, the software and machine, and the time it took."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ccella_core.config import read_json
from ccella_core.errors import InputError
from ccella_core.files import read_text
from ccella_core.models.model import INDEX_NAME, ModelFolder
from ccella_core.published.import_published import ABOUT_NAME
from ccella_core.runs.folder import RUN_NAME, read_recipe, read_run, read_run_config
from ccella_core.runs.logging import read_log, seconds_of
from ccella_core.training.frozen_networks import (
    AutoencoderSource,
    TextEncoderSource,
    autoencoder_source,
    text_encoder_source,
)
from ccella_core.training.start import model_of_start
from ccella_core.training.train import EXPECT_FIRST, READ_FIRST
from ccella_core.training.train_config import TrainConfig

log = logging.getLogger(__name__)

TOLD_OF_A_RUN = ("software", "data", "processes", "device")


def stages_of(run: Path, decoder: AutoencoderSource) -> list[dict[str, Any]]:
    """The stages that led to a denoiser, in order, as plain values for JSON.

    ``seconds`` is ``None`` where the stage kept no log.

    Args:
        run: the folder of the denoiser's training.
        decoder: the autoencoder that decodes; a stage of its own where the latents were made with another.

    Raises:
        InputError: ``run`` is no training, or its autoencoder or text encoder is gone.
    """
    config = read_run_config(run, TrainConfig)
    encoder = autoencoder_source(config.autoencoder)
    stages = [_part("autoencoder", encoder)]
    if config.text_encoder is not None:
        stages.append(_part("text_encoder", text_encoder_source(config.text_encoder)))
    stages += _trainings(run, config)
    if decoder.folder != encoder.folder:
        stages.append(_part("decoder", decoder))
    return stages


def _trainings(run: Path, config: TrainConfig) -> list[dict[str, Any]]:
    """Of the denoiser: of the run that it started from first."""
    stages: list[dict[str, Any]] = []
    if config.start_from is not None and not (config.start_from / RUN_NAME).is_file() and (model := _model(config)):
        stages.append({"stage": "start", "model": f"{model.index.name} {model.index.version}", "sha256": model.sha256})
    elif config.start_from is not None:
        try:
            stages += _trainings(config.start_from, read_run_config(config.start_from, TrainConfig))
        except InputError:
            log.warning("The run %s, from which %s started, is gone: the model will not tell of it.",
                        config.start_from, run)  # fmt: skip
    first = (("read_first", config.read_first, READ_FIRST), ("expect_first", config.expect_first, EXPECT_FIRST))
    for stage, settings, folder in first:
        if settings is not None and (run / folder).is_dir():
            recipe = settings.model_dump(mode="json")
            stages.append({"stage": stage, "seconds": _seconds(run / folder), "recipe": recipe})
    return [*stages, {"stage": "denoiser", **_training(run)}]


def _model(config: TrainConfig) -> ModelFolder | None:
    """The model that was started from, if it is still there."""
    try:
        return model_of_start(config.start_from) if config.start_from is not None else None
    except InputError:
        return None


def _part(stage: str, source: AutoencoderSource | TextEncoderSource) -> dict[str, Any]:
    """Of a run of ours, of a model, or of something that we know no more of than its fingerprint."""
    holder = source.folder.parent
    if (holder / RUN_NAME).is_file():
        return {"stage": stage, **_training(holder)}
    if (holder / INDEX_NAME).is_file():
        model = ModelFolder.open(holder)
        return {"stage": stage, "model": f"{model.index.name} {model.index.version}", "sha256": model.sha256}
    return {"stage": stage, "fingerprint": source.fingerprint, **_imported(source.folder)}


def _imported(component: Path) -> dict[str, Any]:
    """Where it comes from and its licence, if ``ccella models import-autoencoder`` made it."""
    try:
        return dict(read_json(read_text(component / ABOUT_NAME)))
    except (OSError, TypeError, ValueError):
        return {}


def _training(run: Path) -> dict[str, Any]:
    record = read_run(run)
    return {
        "run": run.name,
        "seconds": _seconds(run),
        "recipe": read_recipe(run),
        **{key: record[key] for key in TOLD_OF_A_RUN if key in record},
    }


def _seconds(run: Path) -> float | None:
    return seconds_of(read_log(run))
