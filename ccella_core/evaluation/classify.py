"""``ccella classify train``: a classifier for each seed, from prepared and synthetic cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ccella_core.evaluation.classifier_config import ClassifierConfig
from ccella_core.evaluation.classifier_data import (
    Images,
    Labelled,
    open_sources,
    patients_of,
    refuse_leaks,
    refuse_one_class,
    take_real,
)
from ccella_core.evaluation.classifier_training import train_network
from ccella_core.training.run_folder import CHECKPOINTS, open_log, refuse_other_run, write_run
from ccella_core.training.summary import write_summary

MAY_CHANGE = ("name", "output", "seeds", "tensorboard", "classifier.checkpoint_every", "classifier.keep_checkpoints")
"""Keys that change nothing in the weights of a seed, so that a run may go on with others."""


def train_classifier(config: ClassifierConfig) -> Path:
    """Train a network for each seed, or go on where a training was stopped; every process of a launch calls it.

    Returns:
        The folder of the run; ``seed_folder`` names those of its networks.

    Raises:
        InputError: something in the configuration or the data cannot be used, a patient of the test would be learnt
            from, or ``output`` holds another run.
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
    # 2. Train, one network after the other; they differ in their seeds alone.
    validation = Images(held_out, config.classifier.preprocessing)
    if accelerator.is_main_process:
        write_run(config.output, config, _about(config, everyone, held_out, accelerator))
    for seed, cases in chosen.items():
        folder = seed_folder(config.output, seed)
        steps = config.classifier.steps_for(len(cases))
        if accelerator.is_main_process:
            about = _about(config, cases, held_out, accelerator)
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
                Images(cases, config.classifier.preprocessing),
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
            "patients": {"train": sorted(patients_of(train)), "validation": sorted(patients_of(validation))},
        },
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
    }
