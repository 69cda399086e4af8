"""A downstream classifier that learns the toy cases in thirty steps."""

from __future__ import annotations

from toy_cases import SIDE

from ccella_core.evaluation.classifier.config import ClassifierConfig
from ccella_core.runs.checkpoint import Checkpoints

COUNTS = {"train": 24, "validation": 12, "test": 20}
FEW = 200
"""Resamples, where the ends of the interval need not be exact."""


def config_of(prepared, output, **changes) -> ClassifierConfig:
    content = {
        "name": output.name,
        "output": output,
        "train": [{"folder": prepared, "kind": "real", "split": "train"}],
        "validation": [{"folder": prepared, "kind": "real", "split": "validation"}],
        "classifier": {
            "network": "resnet10",
            "preprocessing": {"shape": (SIDE,) * 3},
            "augmentation": {"translation": (1, 1, 1)},
            "steps": 30,
            "batch_size": 8,
            "learning_rate": 3e-3,
            "validations": 6,
            "choose_by": "loss",
            "checkpoint_every": 10,
        },
        "log_with": [],
    }
    return ClassifierConfig.model_validate({**content, **changes})


def weights(run, seed=0):
    return Checkpoints(run / f"seed-{seed}" / "checkpoints").latest()["model"]
