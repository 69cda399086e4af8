"""What a study will do, stage by stage, and what it leaves out and why."""

from __future__ import annotations

from ccella_core.networks.config import VARIANTS, Variant
from ccella_core.study.config import Arm, StudyConfig, with_labels
from ccella_core.study.stages import StudyStep

CASES = "cases"
TRAINING, MODEL, OF_TEST, OF_TRAIN = "training", "model", "of-test-reports", "of-train-reports"
IMAGES, CLASS_HEAD, ADHERENCE, PRIVACY = "images", "class-head", "adherence", "privacy"
SHORT: dict[Arm, str] = {"real": "real", "synthetic": "synthetic", "real+synthetic": "both"}
"""Of the arms, for folders."""


def variant_key(variant: Variant, part: str) -> str:
    """Of one part of what is done with a variant."""
    return f"variants/{variant}/{part}"


def classifier_key(arm: Arm, variant: Variant | None, real_count: int | None) -> str:
    """Of the classifiers of an arm. ``variant``: whose volumes; ``real_count``: of real cases."""
    words = [SHORT[arm], variant, None if real_count is None else f"{real_count}-real"]
    return "/".join(["classifiers", *(word for word in words if word is not None)])


def plan(config: StudyConfig) -> tuple[StudyStep, ...]:
    """Every stage, in the order in which they are done. Raises InputError where a part cannot be done at all."""
    stages = [
        StudyStep(CASES, "Prepare the cases", None if config.data.source else "they are prepared already", "Cases")
    ]
    for variant in config.variants:
        stages += _of_variant(config, variant)
    return (*stages, *_of_classifiers(config))


def _of_variant(config: StudyConfig, variant: Variant) -> list[StudyStep]:
    traits = VARIANTS[variant]
    left_out = "it is left out of this study"
    per_case = config.synthesis.train_per_case
    head = None if traits.class_heads is not None else "it has no class head"
    return [
        StudyStep(variant_key(variant, TRAINING), f"Train {variant}", counted="Cases encoded"),
        StudyStep(variant_key(variant, MODEL), f"Make a model of {variant}"),
        StudyStep(variant_key(variant, OF_TEST), f"Synthesize volumes of the test reports with {variant}"),
        StudyStep(variant_key(variant, OF_TRAIN), f"Synthesize volumes of the training reports with {variant}",
              None if per_case else left_out),
        StudyStep(variant_key(variant, IMAGES), f"Compare the volumes of {variant} with real ones"),
        StudyStep(variant_key(variant, CLASS_HEAD), f"Score the class that {variant} reads from reports", head),
        StudyStep(variant_key(variant, ADHERENCE), f"Read what the volumes of {variant} show",
              None if config.adherence else left_out),
        StudyStep(variant_key(variant, PRIVACY), f"Look for copies of training cases among the volumes of {variant}",
              None if config.privacy else left_out),
    ]  # fmt: skip


def _of_classifiers(config: StudyConfig) -> list[StudyStep]:
    classifiers = config.classifiers
    if classifiers is None:
        return []
    real = [
        StudyStep(classifier_key("real", None, count), f"Classifiers of {count} real cases")
        for count in classifiers.real_counts
    ]
    able = with_labels(classifiers, config.variants)
    synthetic: list[StudyStep] = []
    for variant in config.variants if len(classifiers.arms) > 1 else ():
        if variant not in able:
            named = classifiers.variants is not None and variant not in classifiers.variants
            reason = "it is left out of this study" if named else "nothing tells which class its volumes have"
            synthetic.append(StudyStep(f"classifiers/{variant}", f"Classifiers with volumes of {variant}", reason))
            continue
        if "synthetic" in classifiers.arms:
            synthetic.append(
                StudyStep(classifier_key("synthetic", variant, None), f"Classifiers of volumes of {variant} alone")
            )
        if "real+synthetic" in classifiers.arms:
            synthetic += [
                StudyStep(classifier_key("real+synthetic", variant, count),
                      f"Classifiers of {count} real cases and volumes of {variant}")
                for count in classifiers.real_counts
            ]  # fmt: skip
    return [*real, *synthetic]
