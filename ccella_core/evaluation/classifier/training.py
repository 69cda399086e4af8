"""Training of one classifier, and what it says of volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from monai.losses import FocalLoss
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn

from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.config import ClassifierConfig, ClassifierTraining, seed_folder
from ccella_core.evaluation.classifier.data import (
    ClassifierImages,
    Labelled,
    open_sources,
    patients_of,
    refuse_leaks,
    refuse_one_class,
    refuse_shared,
    take_real,
)
from ccella_core.evaluation.classifier.network import Augmenter, build_classifier
from ccella_core.evaluation.classifier.record import about_training, as_begun, refuse_other_data
from ccella_core.evaluation.classifier.start import LEARNT, load_start, patients_before
from ccella_core.evaluation.statistics.class_scores import THRESHOLD
from ccella_core.runs.batches import Batches, DataLoading, shuffled_rows
from ccella_core.runs.folder import (
    CHECKPOINTS,
    alone_in_output,
    open_log,
    refuse_other_run,
    write_run,
)
from ccella_core.runs.launch import new_accelerator
from ccella_core.runs.logging import TrainLogger
from ccella_core.runs.schedules import polynomial
from ccella_core.runs.summary import write_summary
from ccella_core.runs.trainer import Trainer

NO_CLIPPING = math.inf
"""The authors trained without."""
FEWEST_REAL = 2
"""One of each class."""
AUGMENTATION, DROPOUT = 2, 3
"""Streams of chance; the order of the cases has the first."""


class _Plan(NamedTuple):
    """What the configuration, the number of cases and the seed tell a run."""

    steps: int
    learning_rate: float
    checkpoint_every: int
    seed: int


def train_network(
    cases: ClassifierImages,
    held_out: ClassifierImages,
    config: ClassifierTraining,
    seed: int,
    folder: Path,
    *,
    accelerator: Accelerator,
    logger: TrainLogger,
    loading: DataLoading | None = None,
    begin: Callable[[nn.Module], None] | None = None,
) -> Trainer:
    """Train, going on from the last checkpoint in ``folder`` where there is one; returns the trainer, which is done.

    What a step draws follows from the seed, the step and the place in the batch, so that a run that was stopped ends
    with the weights of one that never was. The best weights on ``held_out`` are kept too. Batch normalisation sees
    each process's share of a batch by itself, so that several processes do not give the weights of one. ``begin`` fills
    the network with what is started from; by default its weights are random.

    Raises:
        InputError: a batch cannot be shared by the processes, or a volume cannot be used.
        NonFiniteError: loss or gradient became NaN or infinite; the last checkpoint is whole.
        SaveError: a checkpoint could not be written.
    """
    if config.batch_size % accelerator.num_processes:
        raise InputError(
            f"A batch of {config.batch_size} cannot be shared evenly by {accelerator.num_processes} processes."
        )
    plan = _Plan(config.steps_for(len(cases)), config.learning_rate, config.checkpoint_every, seed)
    torch.manual_seed(seed)
    network = build_classifier(config.network, cases.channels)
    if begin is not None:
        begin(network)
    trainer = Trainer(
        network,
        folder,
        plan,
        schedule=polynomial(plan, power=config.decay_power),
        gradient_clip=NO_CLIPPING,
        accelerator=accelerator,
        kept=config.keep_checkpoints,
    )
    focal, augment = _focal(config), Augmenter(config.augmentation)
    batches = Batches(partial(_batch, cases, config.batch_size, seed), config.batch_size, loading or DataLoading())

    def validate_if_due(trainer: Trainer) -> None:
        step, steps, looks = trainer.step, trainer.steps, config.validations
        if step * looks // steps > (step - 1) * looks // steps:
            _validate(trainer, held_out, config, focal, logger)

    trainer.fit(partial(_loss, trainer, focal, augment), batches, logger, validate_if_due)
    return trainer


def predict(model: nn.Module, images: ClassifierImages, accelerator: Accelerator, batch_size: int) -> Tensor:
    """Logits (N, 2) of every volume, the processes sharing them.

    ``model`` is in evaluation mode and not wrapped for several processes, which may have different numbers of batches.
    """
    own = range(len(images))[accelerator.process_index :: accelerator.num_processes]
    found: list[tuple[int, list[float]]] = []
    with torch.inference_mode():
        for start in range(0, len(own), batch_size):
            rows = own[start : start + batch_size]
            batch = torch.stack([images[row] for row in rows]).float().to(accelerator.device)
            found += zip(rows, model(batch).float().tolist(), strict=True)
    return torch.tensor([logits for _, logits in sorted(gather_object(found))])


class ImageBatch(NamedTuple):
    """Volumes before they are augmented, as they are sent to the device."""

    images: Tensor
    """(B, C, X, Y, Z) float16."""
    positive: Tensor
    """(B, 1) bool."""
    seeds: list[int]
    """Of what each is augmented by."""


def _batch(cases: ClassifierImages, batch_size: int, seed: int, step: int, places: Sequence[int]) -> list[ImageBatch]:
    rows = shuffled_rows(len(cases), step, batch_size=batch_size, seed=seed)
    own = [rows[place] for place in places]
    chances = [np.random.default_rng([seed, AUGMENTATION, step, place]) for place in places]
    return [
        ImageBatch(
            images=torch.stack([cases[row] for row in own]),
            positive=torch.from_numpy(cases.positive[own])[:, None],
            seeds=[int(chance.integers(2**32)) for chance in chances],
        )
    ]


def _loss(
    trainer: Trainer, focal: FocalLoss, augment: Augmenter, batch: ImageBatch
) -> tuple[Tensor, dict[str, Tensor]]:
    """Of this process's share of the batch, augmented on the device, where that takes a hundredth of the time."""
    images = [augment(image.float(), seed) for image, seed in zip(batch.images, batch.seeds, strict=True)]
    chance = np.random.default_rng([trainer.seed, DROPOUT, trainer.step, trainer.accelerator.process_index])
    torch.manual_seed(int(chance.integers(2**62)))
    loss: Tensor = focal(trainer.model(torch.stack(images)).float(), batch.positive)
    return loss, {"loss/focal": loss}


def _validate(
    trainer: Trainer, held_out: ClassifierImages, config: ClassifierTraining, focal: FocalLoss, logger: TrainLogger
) -> None:
    # Each process has seen other cases since the statistics of batch normalisation were last made the same.
    broadcast(list(trainer.network.buffers()))
    with trainer.averaged():
        logits = predict(trainer.network, held_out, trainer.accelerator, config.batch_size)
    truth = held_out.positive
    probability = logits.softmax(dim=1)[:, 1].numpy()
    metrics = {
        "loss": float(focal(logits, torch.from_numpy(truth)[:, None])),
        "accuracy": float(((probability >= THRESHOLD) == truth).mean()),
        "auroc": float(roc_auc_score(truth, probability)),
        "average_precision": float(average_precision_score(truth, probability)),
    }
    logger.validation(trainer.step, {**metrics, "loss/focal": metrics["loss"]})
    if config.choose_by != "last":
        trainer.keep_if_best(metrics["loss"] if config.choose_by == "loss" else -metrics["average_precision"])
    trainer.accelerator.wait_for_everyone()


def _focal(config: ClassifierTraining) -> FocalLoss:
    return FocalLoss(to_onehot_y=True, use_softmax=True, gamma=config.focal_gamma)


MAY_CHANGE = ("name", "output", "seeds", "log_with", "loading", "classifier.checkpoint_every",
              "classifier.keep_checkpoints")  # fmt: skip
"""Keys that change nothing in the weights of a seed, so that a run may go on with others."""


@alone_in_output
def train_classifier(config: ClassifierConfig) -> Path:
    """Train a network for each seed, or go on where a training was stopped; every process of a launch calls it.

    Returns:
        The folder of the run; ``seed_folder`` names those of its networks.

    Raises:
        InputError: something in the configuration or the data cannot be used, a patient of the test would be learnt
            from, or ``output`` holds another run, or one of cases that have changed since.
        NonFiniteError: loss or gradient became NaN or infinite; the last checkpoint is whole.
        SaveError: the disk refuses; the last checkpoint is whole.
    """
    # 1. Check everything before anything slow begins.
    accelerator = new_accelerator(config.mixed_precision)
    refuse_other_run(config.output, config, may_change=MAY_CHANGE)
    refuse_leaks(config.train, config.validation)
    everyone, held_out = (open_sources(sources, config.sequences) for sources in (config.train, config.validation))
    chosen = {seed: _training_cases(everyone, config, seed) for seed in config.seeds}
    for cases in chosen.values():
        refuse_one_class(cases, "training")
    refuse_one_class(held_out, "validation")
    before = patients_before(config)
    refuse_shared(
        patients_of(held_out),
        before.get(LEARNT, set()),
        "The validation cases hold",
        f"whom {config.start_from} learnt from",
    )
    for seed in config.seeds:
        load_start(config, seed, build_classifier(config.classifier.network, len(config.sequences)))
    about_run = about_training(config, everyone, held_out, accelerator)
    refuse_other_data(config.output, about_run["data"])
    # 2. Train, one network after the other; they differ in their seeds alone.
    validation = ClassifierImages(held_out, config.classifier.preprocessing)
    if accelerator.is_main_process:
        write_run(config.output, config, as_begun(config.output, about_run))
    for seed, cases in chosen.items():
        folder = seed_folder(config.output, seed)
        steps = config.classifier.steps_for(len(cases))
        if accelerator.is_main_process:
            about = as_begun(folder, about_training(config, cases, held_out, accelerator))
            write_run(folder, config, {**about, "name": f"{config.name}, seed {seed}", "seed": seed, "steps": steps})
        log = open_log(
            folder,
            folder / CHECKPOINTS,
            steps=steps,
            task=f"Classifier, seed {seed}",
            log_with=config.log_with,
            is_main=accelerator.is_main_process,
        )
        with log as logger:
            train_network(
                ClassifierImages(cases, config.classifier.preprocessing),
                validation,
                config.classifier,
                seed,
                folder / CHECKPOINTS,
                accelerator=accelerator,
                logger=logger,
                loading=config.loading,
                begin=partial(load_start, config, seed),
            )
        if accelerator.is_main_process:
            write_summary(folder)
        accelerator.free_memory()
    return config.output


def _training_cases(cases: list[Labelled], config: ClassifierConfig, seed: int) -> list[Labelled]:
    count = config.real_count
    if config.real_fraction is not None:
        count = max(FEWEST_REAL, round(config.real_fraction * sum(case.kind == "real" for case in cases)))
    if count is None:
        return cases
    return take_real(cases, count, seed if config.real_seed is None else config.real_seed)
