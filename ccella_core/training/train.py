"""``train``: from prepared cases to a trained denoiser, whole, in one call that is read from top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from pydantic import BaseModel, Field, FiniteFloat, PositiveFloat, PositiveInt

from ccella_core.devices import check_trainable
from ccella_core.networks.autoencoder import Autoencoder
from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.progress import OnProgress
from ccella_core.provenance import SequenceName
from ccella_core.runs.folder import CHECKPOINTS, alone_in_output, open_log, refuse_other_run, write_run
from ccella_core.runs.launch import new_accelerator
from ccella_core.runs.logging import TrainLogger
from ccella_core.runs.summary import write_summary
from ccella_core.runs.trainer import Trainer
from ccella_core.training.data.cache import build_cache
from ccella_core.training.data.cached_cases import CachedCases
from ccella_core.training.data.sets import JoinedSet
from ccella_core.training.data.wording import keep_profile
from ccella_core.training.denoiser import train_denoiser
from ccella_core.training.frozen_networks import autoencoder_source, text_encoder_source
from ccella_core.training.reading.adapter import train_adapter
from ccella_core.training.reading.expected import train_expected
from ccella_core.training.start import Start, adds_expected, load_start
from ccella_core.training.train_config import TrainConfig
from ccella_core.training.validation import draw_samples, validate

READ_FIRST, EXPECT_FIRST = "read-first", "expect-first"
MAY_CHANGE = ("output", "logging", "loading", "cache_folder", "denoiser.checkpoint_every", "denoiser.keep_checkpoints",
              "denoiser.micro_batch_size")  # fmt: skip
"""Keys that change nothing in the weights, so that a run may go on with others."""


@alone_in_output
def train(config: TrainConfig, *, progress: OnProgress | None = None) -> Path:
    """Train, or go on with a training that was stopped; every process of a launch calls it.

    Args:
        config: everything.
        progress: called with how many cases are cached.

    Returns:
        The folder of the run.

    Raises:
        InputError: something in the configuration or the data cannot be used, or ``output`` holds another run.
        NonFiniteError: loss or gradient became NaN or infinite; the last checkpoint is whole.
        SaveError: the disk refuses; the last checkpoint is whole.
    """
    # 1. Check everything before anything slow begins.
    accelerator = new_accelerator(config.mixed_precision)
    refuse_other_run(config.output, config, may_change=MAY_CHANGE)
    with torch.device("meta"):
        network = ConditionalDenoiser(config.denoiser.network)
    check_trainable(network, accelerator.device)
    prepared = JoinedSet.of(config.data)
    start = None if config.start_from is None else load_start(config.start_from, config)
    # 2. Every case through the frozen networks, once.
    frozen = _Frozen(config, prepared, accelerator)
    folder = frozen.cache(progress, start.scale_factors if start and config.latent_scale == "start" else None)
    verify = accelerator.is_local_main_process
    cases = CachedCases(folder, "train", verify=verify, repeats=prepared.repeats)
    held_out = CachedCases(folder, "validation", verify=verify)
    if accelerator.is_main_process:
        write_run(config.output, config, _about(config, network, prepared, cases, held_out, accelerator))
        if config.text_encoder is not None:
            keep_profile(config.output, prepared, mirror=config.cache.mirror)
    # 3. Teach the adapter to read and the U-Net to expect, where that is asked for and has not been done.
    open_own_log = partial(open_log, log_with=config.logging.log_with, is_main=accelerator.is_main_process)
    begin_with = None if start is None else start.denoiser
    if start is None or adds_expected(start.denoiser.config, network.config):
        begin_with = _prepared_for(config, cases, start, accelerator, open_own_log)
    # 4. Train the denoiser, and look at it now and then.
    steps = config.denoiser.for_cases(len(cases.epoch)).steps
    with open_own_log(config.output, config.output / CHECKPOINTS, steps=steps) as logger:
        observer = _Observer(config, held_out, frozen.autoencoder, logger)
        train_denoiser(
            cases,
            config.denoiser,
            config.output / CHECKPOINTS,
            start=begin_with,
            loading=config.loading,
            accelerator=accelerator,
            logger=logger,
            after_step=observer,
        )
    # 5. Say how it went.
    if accelerator.is_main_process:
        write_summary(config.output)
    return config.output


def _prepared_for(
    config: TrainConfig,
    cases: CachedCases,
    start: Start | None,
    accelerator: Accelerator,
    open_own_log: Callable[..., AbstractContextManager[TrainLogger]],
) -> ConditionalDenoiser | None:
    """The network that the joint training begins with; ``None``: at random weights."""
    if config.read_first is None and config.expect_first is None:
        return None
    torch.manual_seed((config.read_first or config.expect_first).seed)  # type: ignore[union-attr]
    denoiser = ConditionalDenoiser(config.denoiser.network)
    if start is not None:
        denoiser.load_state_dict(start.denoiser.state_dict(), strict=False)
    if config.read_first is not None:
        folder = config.output / READ_FIRST
        with open_own_log(folder, folder, steps=config.read_first.steps, task="Reading") as logger:
            train_adapter(
                denoiser,
                cases,
                config.read_first,
                folder,
                scheduler=config.denoiser.scheduler,
                loading=config.loading,
                accelerator=accelerator,
                logger=logger,
            )
    if config.expect_first is not None:
        folder = config.output / EXPECT_FIRST
        with open_own_log(folder, folder, steps=config.expect_first.steps, task="Expecting") as logger:
            train_expected(
                denoiser,
                cases,
                config.expect_first,
                folder,
                timesteps=config.denoiser.scheduler.num_train_timesteps,
                report_dropout=config.denoiser.report_dropout,
                accelerator=accelerator,
                logger=logger,
            )
    return denoiser


@dataclass
class _Frozen:
    """The networks that make the cache and the pictures; the text encoder is loaded only where a case is not cached."""

    config: TrainConfig
    prepared: JoinedSet
    accelerator: Accelerator

    def __post_init__(self) -> None:
        self._autoencoder_source = autoencoder_source(self.config.autoencoder)
        self._text_source = None if self.config.text_encoder is None else text_encoder_source(self.config.text_encoder)
        self.autoencoder: Autoencoder = self._autoencoder_source.load()

    def cache(self, progress: OnProgress | None, scale_factors: tuple[float, ...] | None) -> Path:
        config, text = self.config, self._text_source
        depends_on: dict[str, Any] = {
            "prepared cases": self.prepared.fingerprint,
            "autoencoder": self._autoencoder_source.fingerprint,
            "text encoder": None if text is None else text.fingerprint,
            "max_tokens": None if text is None else config.max_tokens,
            "mixed_precision": self.accelerator.mixed_precision,
        }
        folder = config.cache_folder or self.prepared.folder / "cache" / "-".join((*config.sequences, *config.labels))
        build_cache(
            self.prepared,
            config.sequences,
            self.autoencoder,
            None if text is None else lambda: text.load(config.max_tokens, self.accelerator.device),
            config.cache,
            folder,
            labels=config.labels,
            depends_on=depends_on,
            scale_factors=scale_factors,
            accelerator=self.accelerator,
            progress=progress,
        )
        return folder


class _Observer:
    """Validates and pictures pictures, every so many steps and after the last."""

    def __init__(
        self, config: TrainConfig, held_out: CachedCases, autoencoder: Autoencoder, logger: TrainLogger
    ) -> None:
        self.config, self.held_out, self.autoencoder, self.logger = config, held_out, autoencoder, logger

    def __call__(self, trainer: Trainer) -> None:
        logging, last = self.config.logging, not trainer.unfinished
        validates = bool(len(self.held_out)) and (last or trainer.step % logging.validate_every == 0)
        pictures = bool(logging.picture_every and len(self.held_out)) and (
            last or trainer.step % logging.picture_every == 0
        )
        if not validates and not pictures:
            return
        with trainer.averaged():
            if validates:
                scores = validate(trainer.model, self.held_out, self.config.denoiser, trainer.accelerator)
                self.logger.validation(trainer.step, scores)
            if pictures and trainer.accelerator.is_main_process:
                rows = list(range(min(logging.picture_cases, len(self.held_out))))
                picture = draw_samples(
                    trainer.network,  # type: ignore[arg-type]
                    self.autoencoder.to(trainer.accelerator.device),
                    self.held_out,
                    self.config.denoiser,
                    rows=rows,
                    steps=logging.picture_steps,
                )
                self.autoencoder.to("cpu")  # the memory is the training's again
                self.logger.picture(trainer.step, picture)
        if validates:
            trainer.keep_if_best(scores["loss"])
        trainer.accelerator.wait_for_everyone()


class DenoiserData(BaseModel):
    """What it says of the cases."""

    positive_means: list[str] | None = None
    """``None`` in runs that are older than it."""


class DenoiserRecord(BaseModel):
    """What ``run.json`` must say of a training of a denoiser, for a model to be made of it."""

    latent_scale_factor: tuple[PositiveFloat, ...] = Field(min_length=1)
    native_shape: tuple[PositiveInt, PositiveInt, PositiveInt]
    native_spacing_mm: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    trained_spacing_mm: tuple[tuple[float, float], tuple[float, float], tuple[float, float]] | None = None
    """The smallest and largest along each axis, where each case has its own."""
    intensity_range: dict[SequenceName, tuple[FiniteFloat, FiniteFloat]] = {}
    """Empty in runs of t2w alone that are older than it."""
    parameters: PositiveInt
    data: DenoiserData = DenoiserData()


def _about(
    config: TrainConfig,
    network: ConditionalDenoiser,
    prepared: JoinedSet,
    cases: CachedCases,
    held_out: CachedCases,
    accelerator: Accelerator,
) -> dict[str, Any]:
    """What was trained on what."""
    return {
        "name": config.name,
        "data": {
            "folder": prepared.folders,
            "fingerprint": prepared.fingerprint,
            "positive_means": list(prepared.positive_means),
            "cases": {"train": len(cases), "validation": len(held_out)},
            "left_out": cases.index.left_out,
        },
        "cache": {
            "folder": str(cases.folder),
            "depends_on": cases.index.depends_on,
        },
        "latent_scale_factor": list(cases.index.scale_factors),
        "native_shape": list(prepared.settings.shape),
        "native_spacing_mm": list(prepared.spacing),
        "trained_spacing_mm": _spacings(prepared, cases),
        "intensity_range": {name: list(prepared.settings.intensity_range(name)) for name in config.sequences},
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
    }


def _spacings(prepared: JoinedSet, cases: CachedCases) -> list[list[float]] | None:
    if prepared.settings.grid == "crop":
        return None
    return torch.stack([cases.spacings.amin(0), cases.spacings.amax(0)], dim=1).tolist()
