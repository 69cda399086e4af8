"""Going on from a finished run: from which weights, and from whom they have learnt."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.config import ClassifierConfig, ClassifierRecord, SeedRecord, seed_folder
from ccella_core.runs.folder import CHECKPOINTS, last_step, read_run_config, read_run_record
from ccella_core.runs.trainer import load_trained

LEARNT, CHOSEN_BY = "pre-training", "pre-training's validation"
"""Names in a run's record, beside train and validation."""


def load_finished(run: Path, config: ClassifierConfig, seed: int, network: nn.Module) -> int:
    """Fill ``network`` with the weights for use of a finished run's seed; returns the step they are of.

    Raises:
        InputError: the training has not ended, or its checkpoint is damaged.
    """
    folder = seed_folder(run, seed)
    steps, done = read_run_record(folder, SeedRecord).steps, last_step(folder / CHECKPOINTS)
    if done < steps:
        raise InputError(
            f"The training in {folder} stopped at step {done} of {steps}; let `ccella train classifier` go on with it."
        )
    return load_trained(folder / CHECKPOINTS, network, best=config.classifier.choose_by != "last")


def load_start(config: ClassifierConfig, seed: int, network: nn.Module) -> None:
    """Fill ``network`` with what the training of a seed starts from; nothing where that are random weights.

    Raises:
        InputError: there is no such run, it has not ended, or its networks take other inputs.
    """
    if config.start_from is None:
        return
    before = read_run_config(config.start_from, ClassifierConfig)
    for what, theirs, ours in (
        ("another network", before.classifier.network, config.classifier.network),
        ("other sequences", before.sequences, config.sequences),
        ("another preprocessing", before.classifier.preprocessing, config.classifier.preprocessing),
    ):
        if theirs != ours:
            raise InputError(f"The run in {config.start_from} has {what}; start from one that has the same.")
    if seed not in before.seeds and len(before.seeds) > 1:
        raise InputError(
            f"The run in {config.start_from} has no seed {seed}; name one of its seeds "
            f"({', '.join(map(str, before.seeds))})."
        )
    load_finished(config.start_from, before, seed if seed in before.seeds else before.seeds[0], network)


def patients_before(config: ClassifierConfig) -> dict[str, set[str]]:
    """Of whom the run that is started from, and those before it, have learnt, and by whom they were chosen.

    Raises:
        InputError: there is no such run.
    """
    if config.start_from is None:
        return {}
    seen = read_run_record(config.start_from, ClassifierRecord).data.patients
    return {
        LEARNT: {*seen["train"], *seen.get(LEARNT, ())},
        CHOSEN_BY: {*seen["validation"], *seen.get(CHOSEN_BY, ())},
    }
