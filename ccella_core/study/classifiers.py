"""What synthetic volumes are worth to somebody who trains a classifier: real cases, synthetic ones, and both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from scipy.stats import false_discovery_control

from ccella_core.cases.prepared import PreparedSet
from ccella_core.config import checked, merged
from ccella_core.evaluation.classifier.config import ClassifierConfig, preset
from ccella_core.evaluation.classifier.data import Source
from ccella_core.evaluation.classifier.testing import ClassifierResult, compare_classifiers, evaluate_classifier
from ccella_core.evaluation.classifier.training import train_classifier
from ccella_core.evaluation.data.channels import open_channels
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.networks.config import Variant
from ccella_core.progress import OnProgress
from ccella_core.runs.folder import read_left_out_of_run
from ccella_core.study.config import Arm, StudyConfig, with_labels
from ccella_core.study.measures import ArmDifference, ArmScore
from ccella_core.study.plan import OF_TRAIN, classifier_key, variant_key
from ccella_core.study.result import SyntheticVolumes, VariantResult
from ccella_core.study.stages import Stages
from ccella_core.study.variant import VOLUMES_FOLDER

CLASSIFIER_MAY_CHANGE = ("name", "output", "log_with", "classifier.checkpoint_every", "classifier.keep_checkpoints")
"""Keys that change nothing in the networks, nor in which there are."""
RUN = "classifier"


class TrainedClassifier(NamedTuple):
    """The classifiers of one arm, tested."""

    arm: Arm
    variant: Variant | None
    real_count: int | None
    synthetic_count: int
    result: ClassifierResult


class _Wanted(NamedTuple):
    arm: Arm
    real_count: int | None
    variant: Variant | None
    """Whose volumes are used."""

    @property
    def key(self) -> str:
        return classifier_key(self.arm, self.variant, self.real_count)


def train_arms(
    config: StudyConfig, prepared: PreparedSet, variants: Sequence[VariantResult], stages: Stages
) -> list[TrainedClassifier]:
    """Train and test every arm; nothing where the study has no classifiers."""
    volumes = {made.variant: made.of_train for made in variants}
    return [
        _trained(config, prepared, wanted, volumes.get(wanted.variant) if wanted.variant else None, stages)
        for wanted in _wanted(config)
    ]


def trainings(config: StudyConfig) -> list[ClassifierConfig]:
    """What every arm is trained with. Raises InputError where a setting is none, or does not fit."""
    return [_training(config, wanted) for wanted in _wanted(config)]


def compared(arms: Sequence[TrainedClassifier]) -> tuple[list[ArmScore], list[ArmDifference]]:
    """The scores of the arms, and how each differs from as many real cases alone.

    The arm of synthetic volumes alone is compared with every size of the real set.
    """
    real = {each.real_count: each.result for each in arms if each.arm == "real"}
    found = []
    for each in arms:
        for count, alone in real.items() if each.variant is not None else ():
            if each.real_count in (None, count):
                pair = _on_shared_cases(each.result, alone)
                found.append((each, count, compare_classifiers(*pair).differences["auroc"]))
    known = [difference.p_value for _, _, difference in found if difference.p_value is not None]
    adjusted = iter(false_discovery_control(known) if known else ())
    differences = [
        ArmDifference(
            arm=each.arm,
            variant=each.variant,  # type: ignore[arg-type]  # real cases alone are not compared
            real_count=count,  # type: ignore[arg-type]
            difference=_with_seeds(difference, each.result),
            p_value=difference.p_value,
            adjusted_p_value=None if difference.p_value is None else float(next(adjusted)),
        )
        for each, count, difference in found
    ]
    return [_score(each) for each in arms], differences


def _on_shared_cases(*results: ClassifierResult) -> Iterator[ClassifierResult]:
    """The results without cases that one was not tested on: a volume may have been damaged between two arms."""
    shared = set.intersection(*({case.id for case in result.cases} for result in results))
    for result in results:
        yield result.model_copy(update={"cases": tuple(case for case in result.cases if case.id in shared)})


def _wanted(config: StudyConfig) -> Iterator[_Wanted]:
    classifiers = config.classifiers
    if classifiers is None:
        return
    for count in classifiers.real_counts:
        yield _Wanted("real", count, None)
    able = with_labels(classifiers, config.variants)
    for variant in config.variants:
        if variant not in able:
            continue
        if "synthetic" in classifiers.arms:
            yield _Wanted("synthetic", None, variant)
        for count in classifiers.real_counts if "real+synthetic" in classifiers.arms else ():
            yield _Wanted("real+synthetic", count, variant)


def _trained(
    config: StudyConfig, prepared: PreparedSet, wanted: _Wanted, volumes: SyntheticVolumes | None, stages: Stages
) -> TrainedClassifier:
    training = _training(config, wanted)
    made_with = training.model_dump(mode="json") | {
        "cases": prepared.fingerprint,
        "volumes": None if volumes is None else volumes.sha256,
    }

    def work(folder: Path, on_progress: OnProgress) -> ClassifierResult:
        train_classifier(training)
        stages.leave_out(read_left_out_of_run(training.output))
        test_cases = stages.checked(open_channels(prepared.folder, training.sequences, split="test"))
        return evaluate_classifier(training.output, test_cases, out=folder)

    result = stages.done(wanted.key, made_with, ClassifierResult, work, may_change=CLASSIFIER_MAY_CHANGE)
    return TrainedClassifier(
        wanted.arm, wanted.variant, wanted.real_count, 0 if volumes is None else volumes.count, result
    )


def _training(config: StudyConfig, wanted: _Wanted) -> ClassifierConfig:
    classifiers, prepared, key = config.classifiers, config.data.prepared, wanted.key
    assert classifiers is not None
    sources = [Source(folder=prepared, kind="real", split="train")] if wanted.real_count is not None else []
    if wanted.variant is not None:
        folder = config.output / variant_key(wanted.variant, OF_TRAIN) / VOLUMES_FOLDER
        sources.append(Source(folder=folder, kind="synthetic", split="train", labels=classifiers.labels))
    own = {
        "name": key.replace("/", "-"),
        "output": config.output / key / RUN,
        "train": sources,
        "validation": [Source(folder=prepared, kind="real", split="validation")],
        "sequences": [config.data.sequence],
        "real_count": wanted.real_count,
        "real_seed": None,
        "seeds": classifiers.seeds,
    }
    content = merged(preset(classifiers.preset), classifiers.settings) | own
    return checked(ClassifierConfig, content, "classifiers.settings")


def _score(each: TrainedClassifier) -> ArmScore:
    scores = each.result.scores
    return ArmScore(
        arm=each.arm,
        variant=each.variant,
        real_count=each.real_count,
        synthetic_count=each.synthetic_count,
        networks=scores.networks,
        auroc=_with_seeds(scores.auroc, each.result),
        average_precision=_with_seeds(scores.average_precision, each.result),
        accuracy=_with_seeds(scores.accuracy, each.result),
        sensitivity=_with_seeds(scores.sensitivity, each.result),
        specificity=_with_seeds(scores.specificity, each.result),
    )


def _with_seeds(score: Estimate, result: ClassifierResult) -> Estimate:
    n = f"{score.n} cases, {len(result.seeds)} seeds"
    return Estimate(value=score.value, low=score.low, high=score.high, n=n)
