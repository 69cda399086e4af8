"""The configuration of a classifier: one YAML file, with presets, as ``ccella train denoiser`` has them."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ccella_core.config import (
    MOST_STEPS,
    LearningRate,
    MixedPrecision,
    Power,
    Seed,
    Steps,
    StrictModel,
    merged,
    read_settings,
)
from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.data import Source
from ccella_core.evaluation.classifier.network import EFFICIENTNET_MULTIPLE, Augmentation, Network, Preprocessing
from ccella_core.provenance import SequenceName
from ccella_core.runs.batches import DataLoading
from ccella_core.runs.logging import TrackerName

OWN_SPACING = (0.5, 0.5, 2.0)
"""mm: the field of view of the published grid in 256 x 256 x 32 voxels."""
PUBLISHED_SPACING = (0.5, 0.5, 3.0)
"""mm, of CCELLA's own classifier."""
SOFT_CLIP = 10_000.0
"""CCELLA++ has 10 on whole numbers; here 0 … 1 stand for 0 … 1000, in which such volumes are kept."""
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
    choose_by: Literal["average_precision", "loss", "last"] = Field(
        "average_precision", description="on the validation cases: which weights are used; last: those of the last step"
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
    sequences: tuple[SequenceName, ...] = Field(("t2w",), min_length=1, description="a channel each")
    start_from: Path | None = Field(
        None, description="a finished run, from whose weights of the same seed, or of its only one, is gone on"
    )
    real_count: int | None = Field(None, ge=2, description="so many of the real training cases; null: all")
    real_fraction: float | None = Field(
        None, gt=0, le=1, description="instead of real_count: this share of the real training cases"
    )
    real_seed: Seed | None = Field(0, description="which ones; null: others with each of `seeds`")
    seeds: tuple[Seed, ...] = Field((0,), min_length=1, description="a network for each")
    classifier: ClassifierTraining = ClassifierTraining()
    mixed_precision: MixedPrecision = "no"
    loading: DataLoading = DataLoading()
    log_with: tuple[TrackerName, ...] = ("tensorboard",)

    @model_validator(mode="before")
    @classmethod
    def _one_sequence(cls, content: Any) -> Any:
        """Runs that were begun before there were several channels say ``sequence``."""
        if isinstance(content, dict) and "sequence" in content and "sequences" not in content:
            content = dict(content)
            content["sequences"] = [content.pop("sequence")]
        return content

    @model_validator(mode="after")
    def _parts_fit(self) -> ClassifierConfig:
        if len(set(self.sequences)) != len(self.sequences):
            raise ValueError("a sequence stands twice in sequences")
        if self.real_count is not None and self.real_fraction is not None:
            raise ValueError("real_count and real_fraction say the same thing; give one of them")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed stands twice in seeds")
        for key in ("real_count", "real_fraction"):
            if getattr(self, key) is not None and all(source.kind != "real" for source in self.train):
                raise ValueError(f"{key} is given, and there are no real sources in train")
        return self


class ClassifierData(BaseModel):
    """What ``run.json`` says of the cases of a classifier's training, among other things."""

    model_config = ConfigDict(extra="allow")

    cases: dict[str, int]
    patients: dict[str, list[str]]
    fingerprints: dict[str, str] | None = None
    """``None`` in runs that were begun before they were kept."""


class ClassifierRecord(BaseModel):
    """What ``run.json`` must say of such a training."""

    data: ClassifierData


class SeedRecord(BaseModel):
    """What it must say of the training of one network."""

    steps: int


def seed_folder(run: Path, seed: int) -> Path:
    """Where the network of a seed lies in the folder of a run."""
    return run / f"seed-{seed}"


_PLUS_PLUS: dict[str, Any] = {
    "sequences": ["t2w", "hbv", "adc"],
    "classifier": {
        "preprocessing": {"spacing": list(PUBLISHED_SPACING), "resampling": "lanczos", "soft_clip": SOFT_CLIP},
        "epochs": 155,
        "validations": 31,
    },
}
PRESETS: dict[str, dict[str, Any]] = {
    "own": {"classifier": {"preprocessing": {"spacing": list(OWN_SPACING)}}},
    "published": {
        "classifier": {
            "preprocessing": {"spacing": list(PUBLISHED_SPACING), "resampling": "lanczos", "intensity": "0-1"},
            "batch_size": 16,
            "choose_by": "last",
        },
    },
    "published++": _PLUS_PLUS,
    "published++-fine-tuning": merged(
        _PLUS_PLUS, {"classifier": {"epochs": 385, "validations": 77, "learning_rate": 1e-5}}
    ),
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

    ``own``: the paper's numbers and, where it has none, those of CCELLA++, for cases of 256 x 256 x 128 voxels of
    0.5 mm.
    ``published``: the classifier that came with CCELLA.
    ``published++``: that of CCELLA++ on three sequences (``scripts/tfproxy.py``), for the pre-training on synthetic
    cases; ``published++-fine-tuning``: what follows on real ones, with the first run as ``start_from``.
    ``small``: a size for two CPU cores: 48 x 48 x 24 voxels of 1.5 x 1.5 x 3 mm, which show the gland and little else,
    and a narrow residual network, because EfficientNet-B0 takes several times as long for a step on a CPU, and many
    more of them from random weights.

    Raises:
        InputError: there is no such preset.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0)
        raise InputError(f"There is no preset {name!r}; there are {', '.join(PRESETS)}. Did you mean {near[0]}?")
    return PRESETS[name]


def read_classifier_config(
    file: Path | None = None, *, preset_name: str | None = None, overrides: Sequence[str] = ()
) -> ClassifierConfig:
    """A preset, what a YAML file says over it, and what the command line says over both; see ``read_config``."""
    return read_settings(ClassifierConfig, file, overrides, preset_name=preset_name, presets=preset)
