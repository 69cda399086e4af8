"""What of a study can be known to fail before anything slow begins, though its turn comes hours later."""

from __future__ import annotations

from pathlib import Path

from ccella_core.cases.prepared import PreparedSet
from ccella_core.errors import InputError, ModelError
from ccella_core.evaluation.adherence.phantom_reader import PhantomReader, check_readable
from ccella_core.evaluation.features.features import check_kind, load_extractors
from ccella_core.generation.sampling.schedulers import Scheduler
from ccella_core.study.classifiers import trainings
from ccella_core.study.config import StudyConfig, trainings_of


def check_study(config: StudyConfig) -> None:
    """Build every configuration, load every network that measures but those still to be trained, compare the grids.

    Raises:
        InputError: something would fail when its turn comes.
    """
    for variant in config.variants:
        scheduler = trainings_of(config, variant)[-1].denoiser.scheduler
        Scheduler(config.synthesis.scheduler, scheduler, config.synthesis.num_inference_steps)
    trainings(config)
    _check_grid(config)
    _check_weights(config)


def _check_grid(config: StudyConfig) -> None:
    data = config.data
    settings = data.grid if data.source is not None else PreparedSet.open(data.prepared).settings
    if settings.grid == "whole":
        raise InputError(
            "A study measures cases of one spacing; prepare them with `--grid crop`, or set data.grid.grid to crop."
        )
    if data.sequence not in settings.sequences:
        if data.source is not None:
            raise InputError(f"data.sequence is {data.sequence}, which is not among data.grid.sequences; add it there.")
        raise InputError(
            f"The cases in {data.prepared} were prepared without {data.sequence}; prepare them again with it."
        )
    for kind in config.images.extractors:
        check_kind(kind, settings.shape, settings.spacing, data.sequence)
    if config.adherence is not None:
        if data.sequence != "t2w":
            raise InputError(f"Adherence is read from t2w volumes, and data.sequence is {data.sequence}; leave it out.")
        try:
            check_readable(settings.shape, settings.spacing)
        except InputError as error:
            raise InputError(f"Adherence cannot be read from these cases: {error}") from error


def _check_weights(config: StudyConfig) -> None:
    for kind, weights in config.images.extractors.items():
        if kind == "phantom":
            _check_phantom_reader(weights, "images.extractors.phantom")
            continue
        try:
            load_extractors(kind, weights)
        except ModelError as error:
            raise InputError(f"images.extractors.{kind} cannot be used: {error}") from error
    if config.adherence is not None:
        _check_phantom_reader(config.adherence.phantom_reader, "adherence.phantom_reader")


def _check_phantom_reader(folder: Path | None, key: str) -> None:
    """Nothing where none is named: the first use trains it."""
    if folder is None:
        return
    try:
        PhantomReader.load(folder)
    except ModelError as error:
        raise InputError(f"{key} cannot be used: {error}") from error
