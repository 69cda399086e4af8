"""The configuration of a study: one YAML file, checked as a whole before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, model_validator

from ccella_core.cases.case import PositiveMeans
from ccella_core.cases.layouts import Layout
from ccella_core.cases.prepared import PrepareSettings
from ccella_core.config import Seed, StrictModel, checked, merged
from ccella_core.errors import InputError
from ccella_core.evaluation.features.features import ExtractorName
from ccella_core.generation.options import GenerationOptions
from ccella_core.generation.sampling.schedulers import (
    DEFAULT_NUM_INFERENCE_STEPS,
    DEFAULT_SCHEDULER,
    MAX_TRAIN_TIMESTEPS,
)
from ccella_core.limits import MAX_COUNT, SchedulerName
from ccella_core.networks.config import REPORT_VARIANTS, VARIANTS, Variant
from ccella_core.provenance import SequenceName
from ccella_core.training.train_config import TrainConfig, preset

Arm = Literal["real", "synthetic", "real+synthetic"]
ARMS: tuple[Arm, ...] = get_args(Arm)
OF_THE_STUDY = ("name", "data", "output", "cache_folder", "sequences", "start_from")
"""Keys of a training that the study itself gives."""
OF_AN_ARM = ("name", "output", "train", "validation", "sequence", "sequences", "start_from", "real_count",
             "real_fraction", "real_seed", "seeds")  # fmt: skip
"""Keys of a classifier's training that the study itself gives."""
FOR_READING = ("text_encoder", "max_tokens", "read_first", "expect_first")
"""Keys of a training that mean nothing to a variant that reads no reports."""


class Data(StrictModel):
    """The cases: what the variants learn (train), are chosen by (validation) and are measured on (test)."""

    prepared: Path = Field(description="a folder of `ccella prepare`, or where to prepare `source`")
    source: Path | None = Field(None, description="a manifest or an archive that is prepared first")
    layout: Layout = "auto"
    positive: PositiveMeans | None = Field(None, description="what counts as positive in an archive that knows both")
    grid: PrepareSettings = PrepareSettings()
    fractions: tuple[float, float, float] = Field((0.8, 0.1, 0.1), description="where the source gives no split")
    split_seed: Seed = 0
    missing_reports: Literal["write", "null"] = "write"
    sequence: SequenceName = Field("t2w", description="the one that is learnt, made and measured")


class Training(StrictModel):
    """How every variant is trained: the same steps, seeds and cases for all of them."""

    size: Literal["small", "published"] = Field("small", description="of the presets, see `ccella train --help`")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="keys of `ccella train denoiser` over the preset, the same for every variant"
    )
    then: dict[str, Any] | None = Field(
        None, description="keys over those, of a second training that learns on from where the first ended"
    )
    weights: Literal["last", "best"] = Field("last", description="after the last step, or best on validation cases")


class Synthesis(StrictModel):
    """What every variant makes."""

    test_per_case: int = Field(1, gt=0, le=MAX_COUNT, description="volumes of each test report, which are measured")
    train_per_case: int = Field(
        1, ge=0, le=MAX_COUNT, description="volumes of each training report, for classifiers; 0: none"
    )
    seed: Seed = 0
    scheduler: SchedulerName = DEFAULT_SCHEDULER
    num_inference_steps: int = Field(DEFAULT_NUM_INFERENCE_STEPS, gt=0, le=MAX_TRAIN_TIMESTEPS)
    guidance_scale: float = Field(1.0, ge=0)

    @property
    def options(self) -> GenerationOptions:
        """Those of every volume, without label maps, which a study does not measure.

        Scheduler and steps are also the defaults of the models that the study makes.
        """
        return GenerationOptions(
            seed=self.seed,
            scheduler=self.scheduler,
            num_inference_steps=self.num_inference_steps,
            guidance_scale=self.guidance_scale,
            labels=False,
        )


class ImageSettings(StrictModel):
    """How alike synthetic and real volumes are."""

    extractors: dict[ExtractorName, Path | None] = Field(
        {"phantom": None}, min_length=1, description="each with the folder of its weights; null: the usual one"
    )
    seed: Seed = 0


class Privacy(StrictModel):
    """Whether training cases were copied."""

    extractor: ExtractorName = Field("phantom", description="one of images.extractors")


class Adherence(StrictModel):
    """Whether a volume shows what its report says; for cases with `fields` that look like the digital prostate."""

    phantom_reader: Path | None = Field(None, description="a trained phantom reader; by default the cached one")


class Classifiers(StrictModel):
    """Classifiers of the pathology, trained on real cases, synthetic ones, and both."""

    preset: str = "small"
    settings: dict[str, Any] = Field(
        default_factory=dict, description="keys of `ccella train classifier` over the preset, the same for every arm"
    )
    real_counts: tuple[Annotated[int, Field(ge=2)], ...] = Field(min_length=1, description="sizes of the real set")
    seeds: tuple[Seed, ...] = Field((0, 1, 2), min_length=1, description="each trains anew on other real cases")
    arms: tuple[Arm, ...] = ARMS
    variants: tuple[Variant, ...] | None = Field(None, description="whose volumes; by default all that have a label")
    labels: Literal["clinical", "predicted"] = Field(
        "clinical", description="of synthetic volumes: the case's own class, or what the variant read in the report"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> Classifiers:
        if "real" not in self.arms:
            raise ValueError("the other arms are compared with `real`, so it must be among arms")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed stands twice in seeds")
        return self


class StudyConfig(StrictModel):
    """A whole study. Paths are taken from the current folder."""

    title: str = Field("A study of report-conditioned prostate MRI", min_length=1)
    about: str = Field("", description="a sentence under the title: whose cases these are")
    output: Path = Field(description="folder of the study; one that was stopped goes on there")
    data: Data
    variants: tuple[Variant, ...] = Field(REPORT_VARIANTS, min_length=1)
    training: Training = Training()
    synthesis: Synthesis = Synthesis()
    images: ImageSettings = ImageSettings()
    privacy: Privacy | None = Field(Privacy(), description="null: left out")
    adherence: Adherence | None = Field(None, description="null: left out")
    classifiers: Classifiers | None = Field(None, description="null: left out")
    examples: int = Field(
        3, ge=0, le=MAX_COUNT, description="test reports of which the page shows a volume of every variant"
    )

    @model_validator(mode="after")
    def _parts_fit(self) -> StudyConfig:
        if len(set(self.variants)) != len(self.variants):
            raise ValueError("a variant stands twice in variants")
        if self.privacy is not None and self.privacy.extractor not in self.images.extractors:
            raise ValueError(f"privacy.extractor {self.privacy.extractor} is not among images.extractors")
        of_classifiers = {} if self.classifiers is None else self.classifiers.settings
        for key, settings, own in (
            ("training.settings", self.training.settings, OF_THE_STUDY),
            ("training.then", self.training.then or {}, OF_THE_STUDY),
            ("classifiers.settings", of_classifiers, OF_AN_ARM),
        ):
            if taken := sorted(set(own) & settings.keys()):
                raise ValueError(f"{key} must not hold {', '.join(taken)}, which the study itself gives")
        if self.classifiers is not None:
            if self.synthesis.train_per_case == 0 and self.classifiers.arms != ("real",):
                raise ValueError("classifiers with synthetic volumes need synthesis.train_per_case of at least 1")
            if unexpected := set(self.classifiers.variants or ()) - set(self.variants):
                raise ValueError(f"classifiers.variants has {', '.join(sorted(unexpected))}, which is not in variants")
        return self


def trainings_of(config: StudyConfig, variant: Variant) -> tuple[TrainConfig, ...]:
    """The training of a variant, or both: the preset, the settings that all share, and its own folders.

    What concerns reports is left out for variants that read none.

    Raises:
        InputError: a setting that no training has, or that does not fit.
    """
    training, reads = config.training, VARIANTS[variant].uses_text
    shared, then = (each if reads else _without_reading(each) for each in (training.settings, training.then or {}))
    content = merged(preset(f"{training.size}-{variant}"), shared)
    folder = variant_folder(config, variant) / "training"
    own = {
        "name": variant,
        "data": config.data.prepared,
        "sequences": [config.data.sequence],
        "output": folder if training.then is None else folder / "first",
        "cache_folder": config.output / "cache" / ("with-reports" if reads else "without-reports"),
    }
    first = checked(TrainConfig, content | own, f"training.settings, for {variant},")
    if training.then is None:
        return (first,)
    own |= {"output": folder, "start_from": first.output}
    return first, checked(TrainConfig, merged(content, then) | own, f"training.then, for {variant},")


def variant_folder(config: StudyConfig, variant: Variant) -> Path:
    """Where all of a variant lies."""
    return config.output / "variants" / variant


def with_labels(config: Classifiers, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """The variants whose volumes can be given a label: those that are given the report or the class.

    Raises:
        InputError: one was named that cannot.
    """
    able = [v for v in variants if VARIANTS[v].class_heads is not None] if config.labels == "predicted" else [
        v for v in variants if VARIANTS[v].uses_text or VARIANTS[v].uses_class
    ]  # fmt: skip
    if unable := [variant for variant in config.variants or () if variant not in able]:
        reason = "reads no class from a report" if config.labels == "predicted" else "is given neither report nor class"
        raise InputError(f"The volumes of {unable[0]} have no label, as it {reason}: take it out of classifiers.")
    return tuple(variant for variant in able if variant in (config.variants or able))


def _without_reading(settings: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in settings.items() if key not in FOR_READING}
    denoiser = kept.get("denoiser")
    if isinstance(denoiser, dict) and isinstance(network := denoiser.get("network"), dict):
        network = {key: each for key, each in network.items() if key != "adapter"}
        if isinstance(unet := network.get("unet"), dict):  # what reports let expect
            network["unet"] = {key: each for key, each in unet.items() if key != "expected"}
        kept["denoiser"] = denoiser | {"network": network}
    return kept
