"""Training of one classifier, and what it says of volumes."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast, gather_object
from monai.losses import FocalLoss
from sklearn.metrics import average_precision_score, roc_auc_score
from torch import Tensor, nn

from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.config import ClassifierConfig, ClassifierTraining
from ccella_core.evaluation.classifier.data import (
    ClassifierImages,
    Labelled,
    fingerprint_of,
    open_sources,
    patients_of,
    refuse_leaks,
    refuse_one_class,
    take_real,
)
from ccella_core.evaluation.classifier.network import Augmenter, build_classifier
from ccella_core.evaluation.statistics.class_scores import THRESHOLD
from ccella_core.runs.batches import shuffled_rows
from ccella_core.runs.folder import CHECKPOINTS, RUN_NAME, open_log, read_run, refuse_other_run, write_run
from ccella_core.runs.logging import TrainLogger
from ccella_core.runs.summary import write_summary
from ccella_core.runs.trainer import Schedule, Trainer

NO_CLIPPING = math.inf
"""The authors trained without."""
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
    watcher: TrainLogger,
) -> Trainer:
    """Train, going on from the last checkpoint in ``folder`` where there is one; returns the finished run.

    What a step draws follows from the seed, the step and the place in the batch, so that a run that was stopped ends
    with the weights of one that never was. The best weights on ``held_out`` are kept aside. Batch normalisation sees
    each process's share of a batch by itself, so that several processes do not give the weights of one.

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
    run = Trainer(
        build_classifier(config.network),
        folder,
        plan,
        schedule=_polynomial(plan.steps, config.decay_power),
        gradient_clip=NO_CLIPPING,
        accelerator=accelerator,
        kept=config.keep_checkpoints,
    )
    focal, augment = _focal(config), Augmenter(config.augmentation)
    while run.unfinished:
        rate = run.learning_rate
        run.update(partial(_loss, run, cases, config, focal, augment))
        watcher.step(
            run.step,
            {"loss": run.loss, "loss/focal": run.loss, "learning_rate": rate, "gradient_norm": run.gradient_norm},
        )
        if run.step * config.validations // run.steps > (run.step - 1) * config.validations // run.steps:
            _validate(run, held_out, config, focal, watcher)
        run.save_if_due()
    run.finish()
    return run


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


def _loss(
    run: Trainer, cases: ClassifierImages, config: ClassifierTraining, focal: FocalLoss, augment: Augmenter
) -> Tensor:
    """Of this process's share of the batch."""
    accelerator = run.accelerator
    process, processes, device = accelerator.process_index, accelerator.num_processes, accelerator.device
    rows = shuffled_rows(len(cases), run.step, batch_size=config.batch_size, seed=run.seed)
    images = []
    for place in range(process, config.batch_size, processes):
        chance = np.random.default_rng([run.seed, AUGMENTATION, run.step, place])
        images.append(augment(cases[rows[place]].float().to(device), int(chance.integers(2**32))))
    torch.manual_seed(int(np.random.default_rng([run.seed, DROPOUT, run.step, process]).integers(2**62)))
    positive = torch.from_numpy(cases.positive[rows[process::processes]]).to(device)
    loss: Tensor = focal(run.model(torch.stack(images)).float(), positive[:, None])
    return loss


def _validate(
    run: Trainer, held_out: ClassifierImages, config: ClassifierTraining, focal: FocalLoss, watcher: TrainLogger
) -> None:
    # Each process has seen other cases since the statistics of batch normalisation were last made the same.
    broadcast(list(run.network.buffers()))
    with run.averaged():
        logits = predict(run.network, held_out, run.accelerator, config.batch_size)
    truth = held_out.positive
    probability = logits.softmax(dim=1)[:, 1].numpy()
    metrics = {
        "loss": float(focal(logits, torch.from_numpy(truth)[:, None])),
        "accuracy": float(((probability >= THRESHOLD) == truth).mean()),
        "auroc": float(roc_auc_score(truth, probability)),
        "average_precision": float(average_precision_score(truth, probability)),
    }
    watcher.validation(run.step, {**metrics, "loss/focal": metrics["loss"]})
    run.keep_if_best(metrics["loss"] if config.choose_by == "loss" else -metrics["average_precision"])
    run.accelerator.wait_for_everyone()


def _focal(config: ClassifierTraining) -> FocalLoss:
    return FocalLoss(to_onehot_y=True, use_softmax=True, gamma=config.focal_gamma)


def _polynomial(steps: int, power: float) -> Schedule:
    return lambda optimiser: torch.optim.lr_scheduler.PolynomialLR(optimiser, total_iters=steps, power=power)


MAY_CHANGE = ("name", "output", "seeds", "tensorboard", "classifier.checkpoint_every", "classifier.keep_checkpoints")
"""Keys that change nothing in the weights of a seed, so that a run may go on with others."""


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
    accelerator = Accelerator(mixed_precision=config.mixed_precision)
    refuse_other_run(config.output, config, may_change=MAY_CHANGE)
    refuse_leaks(config.train, config.validation)
    everyone, held_out = (open_sources(sources, config.sequence) for sources in (config.train, config.validation))
    chosen = {seed: _training_cases(everyone, config, seed) for seed in config.seeds}
    for cases in chosen.values():
        refuse_one_class(cases, "training")
    refuse_one_class(held_out, "validation")
    about_run = _about(config, everyone, held_out, accelerator)
    _refuse_other_data(config.output, about_run["data"])
    # 2. Train, one network after the other; they differ in their seeds alone.
    validation = ClassifierImages(held_out, config.classifier.preprocessing)
    if accelerator.is_main_process:
        write_run(config.output, config, _as_begun(config.output, about_run))
    for seed, cases in chosen.items():
        folder = seed_folder(config.output, seed)
        steps = config.classifier.steps_for(len(cases))
        if accelerator.is_main_process:
            about = _as_begun(folder, _about(config, cases, held_out, accelerator))
            write_run(folder, config, {**about, "name": f"{config.name}, seed {seed}", "seed": seed, "steps": steps})
        log = open_log(
            folder,
            folder / CHECKPOINTS,
            steps=steps,
            task=f"Classifier, seed {seed}",
            tensorboard=config.tensorboard,
            is_main=accelerator.is_main_process,
        )
        with log as watcher:
            train_network(
                ClassifierImages(cases, config.classifier.preprocessing),
                validation,
                config.classifier,
                seed,
                folder / CHECKPOINTS,
                accelerator=accelerator,
                watcher=watcher,
            )
        if accelerator.is_main_process:
            write_summary(folder)
        accelerator.free_memory()
    return config.output


def seed_folder(run: Path, seed: int) -> Path:
    """Where the network of a seed lies in the folder of a run."""
    return run / f"seed-{seed}"


def _training_cases(cases: list[Labelled], config: ClassifierConfig, seed: int) -> list[Labelled]:
    if config.real_count is None:
        return cases
    return take_real(cases, config.real_count, seed if config.real_seed is None else config.real_seed)


def _refuse_other_data(run: Path, now: dict[str, Any]) -> None:
    """Raises InputError where the cases are no longer those that the run in ``run`` was begun on.

    Its networks may be trained already: what run.json says of their patients must stay true, because the test goes by
    it. Runs that were begun before fingerprints were kept are compared by their patients, which is all that is known.
    """
    if not (run / RUN_NAME).exists():
        return
    before = read_run(run)["data"]
    if (known := before.get("fingerprints")) is None:
        changed = [now["folder"]] if before["patients"] != now["patients"] else []
    else:
        changed = [folder for folder, each in now["fingerprints"].items() if known.get(folder) != each]
    if changed:
        raise InputError(
            f"The cases in {', '.join(changed)} have changed since the training in {run} was begun; bring them back as "
            "they were, or name another output."
        )


def _as_begun(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """``about`` with the data that a run in ``folder`` was begun on, where there is one: that is never overwritten."""
    return {**about, "data": read_run(folder)["data"]} if (folder / RUN_NAME).exists() else about


def _about(
    config: ClassifierConfig, train: list[Labelled], validation: list[Labelled], accelerator: Accelerator
) -> dict[str, Any]:
    """What is trained on what."""
    return {
        "name": config.name,
        "data": {
            "folder": ", ".join(dict.fromkeys(str(source.folder) for source in config.train)),
            "cases": {
                "real train": sum(case.kind == "real" for case in train),
                "synthetic train": sum(case.kind == "synthetic" for case in train),
                "validation": len(validation),
            },
            "positive": {
                "train": sum(case.positive for case in train),
                "validation": sum(case.positive for case in validation),
            },
            "fingerprints": {
                str(source.folder): fingerprint_of(source.folder) for source in (*config.train, *config.validation)
            },
            "patients": {"train": sorted(patients_of(train)), "validation": sorted(patients_of(validation))},
        },
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
    }
