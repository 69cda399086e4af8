"""The configuration of a classifier: one YAML file, with presets, as ``ccella train denoiser`` has them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ccella_core.config import MOST_STEPS, LearningRate, MixedPrecision, Power, Seed, Steps, StrictModel, read_settings
from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.data import Source
from ccella_core.evaluation.classifier.network import EFFICIENTNET_MULTIPLE, Augmentation, Network, Preprocessing
from ccella_core.provenance import SequenceName
from ccella_core.runs.batches import DataLoading
from ccella_core.runs.logging import TrackerName

PUBLISHED_SPACING = (0.5, 0.5, 2.0)
"""mm: the field of view of the published grid in 256 x 256 x 32 voxels."""
SMALLEST_SIDE = 16
"""Voxels that the small network's four halvings leave one of."""


class ClassifierTraining(StrictModel):
    """How a classifier is trained; see ``classifier.py`` for where the published values come from."""

    network: Network = "efficientnet-b0"
    preprocessing: Preprocessing = Preprocessing()
    augmentation: Augmentation = Augmentation()
    epochs: Steps = 200
    steps: Annotated[int, Field(ge=0, le=MOST_STEPS)] = Field(
        0, description="instead of epochs; 0: as many as the epochs take"
    )
    batch_size: int = Field(32, gt=1, le=2**16, description="cases a step, over all processes")
    learning_rate: LearningRate = 1e-4
    decay_power: Power = Field(2.0, description="of the polynomial decay to zero")
    focal_gamma: float = Field(2.0, ge=0, le=100)
    validations: Steps = Field(40, description="looks at the validation cases, spread over the steps")
    choose_by: Literal["average_precision", "loss"] = Field(
        "average_precision", description="on the validation cases: which weights are used"
    )
    checkpoint_every: Steps = Field(50, description="steps")
    keep_checkpoints: Steps = 2

    @model_validator(mode="after")
    def _network_takes_shape(self) -> ClassifierTraining:
        shape = self.preprocessing.shape
        if self.network == "efficientnet-b0" and any(side % EFFICIENTNET_MULTIPLE for side in shape):
            raise ValueError(f"each side of preprocessing.shape must be a multiple of {EFFICIENTNET_MULTIPLE}")
        if min(shape) < SMALLEST_SIDE:
            raise ValueError(f"each side of preprocessing.shape must be at least {SMALLEST_SIDE}")
        return self

    def steps_for(self, count: int) -> int:
        """Steps of a training on ``count`` cases."""
        return self.steps or math.ceil(self.epochs * count / self.batch_size)


class ClassifierConfig(StrictModel):
    """Classifiers that differ in their seeds alone. Paths are taken from the current folder."""

    name: str = Field("classifier", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="as it stands in tables")
    output: Path = Field(description="folder of the run, with one for each seed; a run that was stopped goes on there")
    train: tuple[Source, ...] = Field(min_length=1, description="real cases, synthetic ones, or both")
    validation: tuple[Source, ...] = Field(min_length=1, description="never the test split")
    sequence: SequenceName = "t2w"
    real_count: int | None = Field(None, ge=2, description="so many of the real training cases; null: all")
    real_seed: Seed | None = Field(0, description="which ones; null: others with each of `seeds`")
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, description="a network for each")
    classifier: ClassifierTraining = ClassifierTraining()
    mixed_precision: MixedPrecision = "no"
    loading: DataLoading = DataLoading()
    log_with: tuple[TrackerName, ...] = ("tensorboard",)

    @model_validator(mode="after")
    def _parts_fit(self) -> ClassifierConfig:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed stands twice in seeds")
        if self.real_count is not None and all(source.kind != "real" for source in self.train):
            raise ValueError("real_count is given, and there are no real sources in train")
        return self


class ClassifierData(BaseModel):
    """What ``run.json`` says of the cases of a classifier's training, among other things."""

    model_config = ConfigDict(extra="allow")

    cases: dict[str, int]
    patients: dict[str, list[str]]
    fingerprints: dict[str, str] | None = None
    """``None`` in runs that were begun before they were kept."""
    left_out: dict[str, str] = Field(default_factory=dict)
    """Why volumes could not be used, by name."""


class ClassifierRecord(BaseModel):
    """What ``run.json`` must say of such a training."""

    data: ClassifierData


class SeedRecord(BaseModel):
    """What it must say of the training of one network."""

    steps: int


def seed_folder(run: Path, seed: int) -> Path:
    """Where the network of a seed lies in the folder of a run."""
    return run / f"seed-{seed}"


PRESETS: dict[str, dict[str, Any]] = {
    "published": {"classifier": {"preprocessing": {"spacing": list(PUBLISHED_SPACING)}}},
    "small": {
        "seeds": [0, 1, 2],
        "classifier": {
            "network": "resnet10",
            "preprocessing": {"shape": [48, 48, 24], "spacing": [1.5, 1.5, 3.0]},
            "augmentation": {"translation": [3, 3, 1]},
            "steps": 300,
            "batch_size": 16,
            "learning_rate": 3e-3,
            "validations": 20,
            "choose_by": "loss",
        },
        "log_with": [],
    },
}


def preset(name: str) -> dict[str, Any]:
    """What a preset says; ``output``, ``train`` and ``validation`` are the user's to give.

    ``published``: the paper's numbers, for cases of 256 x 256 x 128 voxels of 0.5 mm.
    ``small``: a size for two CPU cores: 48 x 48 x 24 voxels of 1.5 x 1.5 x 3 mm, which show the gland and little else,
    and a narrow residual network, because EfficientNet-B0 takes several times as long for a step on a CPU, and many
    more of them from random weights.

    Raises:
        InputError: there is no such preset.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0)
        raise InputError(f"There is no preset {name!r}; there are {' and '.join(PRESETS)}. Did you mean {near[0]}?")
    return PRESETS[name]


def read_classifier_config(
    file: Path | None = None, *, preset_name: str | None = None, overrides: Sequence[str] = ()
) -> ClassifierConfig:
    """A preset, what a YAML file says over it, and what the command line says over both; see ``read_config``."""
    return read_settings(ClassifierConfig, file, overrides, preset_name=preset_name, presets=preset)
