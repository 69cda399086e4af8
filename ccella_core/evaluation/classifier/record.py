"""What ``run.json`` says of a classifier's training: what is trained on what, and of whom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.config import ClassifierConfig, ClassifierRecord
from ccella_core.evaluation.classifier.data import Labelled, fingerprint_of, patients_of
from ccella_core.evaluation.classifier.start import patients_before
from ccella_core.runs.folder import RUN_NAME, read_run_record


def refuse_other_data(run: Path, now: dict[str, Any]) -> None:
    """Raises InputError where the cases are no longer those that the run in ``run`` was begun on.

    What run.json says of its patients must stay true, because the test goes by it. Runs that were begun before
    fingerprints were kept are compared by their patients, which is all that is known.
    """
    if not (run / RUN_NAME).exists():
        return
    before = read_run_record(run, ClassifierRecord).data
    if before.fingerprints is None:
        changed = [now["folder"]] if before.patients != now["patients"] else []
    else:
        changed = [folder for folder, each in now["fingerprints"].items() if before.fingerprints.get(folder) != each]
    if changed:
        raise InputError(
            f"The cases in {', '.join(changed)} have changed since the training in {run} was begun; bring them back as "
            "they were, or name another output."
        )


def as_begun(folder: Path, about: dict[str, Any]) -> dict[str, Any]:
    """``about`` with the data that a run in ``folder`` was begun on, where there is one: that is never overwritten."""
    if not (folder / RUN_NAME).exists():
        return about
    return {**about, "data": read_run_record(folder, ClassifierRecord).data.model_dump(exclude_unset=True)}


def about_training(
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
            "patients": {
                "train": sorted(patients_of(train)),
                "validation": sorted(patients_of(validation)),
                **{name: sorted(each) for name, each in patients_before(config).items()},
            },
        },
        "processes": accelerator.num_processes,
        "device": str(accelerator.device),
    }
