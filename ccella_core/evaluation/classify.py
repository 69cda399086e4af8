"""``ccella classify train``: a classifier for each seed, from prepared and synthetic cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.config import ClassifierConfig
from ccella_core.evaluation.classifier.data import (
    Images,
    Labelled,
    fingerprint_of,
    open_sources,
    patients_of,
    refuse_leaks,
    refuse_one_class,
    take_real,
)
from ccella_core.evaluation.classifier.training import train_network
from ccella_core.runs.folder import CHECKPOINTS, RUN_NAME, open_log, read_run, refuse_other_run, write_run
from ccella_core.runs.summary import write_summary

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
    validation = Images(held_out, config.classifier.preprocessing)
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
