"""What a study found, as machines read it: ``study.json`` and the tables beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue, ValidationError

from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.files import read_bytes, write_json, write_text
from ccella_core.networks.config import Variant
from ccella_core.provenance import software_versions
from ccella_core.study import sentences as words
from ccella_core.study.measures import ArmDifference, ArmScore, Group, Measure
from ccella_core.study.tables import (
    StudyTable,
    arms_csv,
    classifier_table,
    differences_csv,
    differences_table,
    measures_table,
    numbers_csv,
)

STUDY_RESULT_NAME, TABLES, MARKDOWN_NAME = "study.json", "tables", "study.md"
GROUPS: dict[Group, str] = {
    "images": "Image quality",
    "class_head": "The class read from the report",
    "adherence": "Does the volume show what its report says?",
    "privacy": "Were training cases copied?",
}


class Cases(StrictModel):
    """How many cases, by split: all, and the positive among them."""

    fingerprint: str
    counts: dict[str, int]
    positive: dict[str, int]


class TrainedVariant(StrictModel):
    """What training a variant left."""

    parameters: int
    steps: int
    validation_loss: float | None
    """Of the weights that are used; variants with a class head have its loss in it."""
    weights_sha256: str
    """Of the checkpoint that the model is made of."""


class VariantModel(StrictModel):
    """The model of a variant."""

    path: str
    """In the study's folder, with forward slashes."""
    sha256: str


class SyntheticVolumes(StrictModel):
    """A folder of synthetic volumes."""

    path: str
    """In the study's folder, with forward slashes."""
    count: int
    sha256: str
    """Of its table, which holds the hash of every volume."""


class VariantResult(StrictModel):
    """A variant: how it was trained, and what it made."""

    variant: Variant
    trained: TrainedVariant
    model: VariantModel
    of_test: SyntheticVolumes
    of_train: SyntheticVolumes | None


class LeftOut(StrictModel):
    """A stage that was not done."""

    stage: str
    why_not: str


class StudyResult(StrictModel):
    """All of it."""

    format: Literal["ccella-study"] = "ccella-study"
    format_version: Literal[1] = 1
    title: str
    about: str
    config: dict[str, JsonValue]
    cases: Cases
    variants: tuple[VariantResult, ...]
    measures: tuple[Measure, ...]
    warnings: tuple[str, ...]
    """What limits the worth of the measures."""
    arm_scores: tuple[ArmScore, ...]
    differences: tuple[ArmDifference, ...]
    left_out: tuple[LeftOut, ...]
    cases_left_out: dict[str, str] = Field(default_factory=dict)
    """Cases and volumes that a stage went on without, each with the reason."""
    seconds: dict[str, float]
    """That the process took which finished each stage; a stage that was stopped had taken more."""
    software: dict[str, str] = Field(default_factory=software_versions)

    @property
    def left_out_words(self) -> list[str]:
        """What was left out, stages and then cases and volumes, each with the reason."""
        stages = [f"{each.stage}: {each.why_not}." for each in self.left_out]
        return [*stages, *(f"{name}: {reason}" for name, reason in self.cases_left_out.items())]

    @property
    def names(self) -> tuple[Variant, ...]:
        """The variants, in their order."""
        return tuple(each.variant for each in self.variants)

    @property
    def whose_volumes(self) -> tuple[Variant, ...]:
        """The variants whose volumes classifiers were trained with."""
        return tuple(name for name in self.names if any(score.variant == name for score in self.arm_scores))


def read_result(folder: Path) -> StudyResult:
    """Of a finished study. Raises InputError where there is none."""
    try:
        return StudyResult.model_validate_json(read_bytes(folder / STUDY_RESULT_NAME))
    except (OSError, ValidationError) as error:
        raise InputError(f"{folder} holds no finished study: {STUDY_RESULT_NAME} cannot be read.") from error


def group_table(result: StudyResult, group: Group) -> StudyTable | None:
    """A row a measure of the group, a column a variant; ``None`` where nothing of the group was measured."""
    return measures_table(group, GROUPS[group], group, result.measures, result.names)


def classifier_tables(result: StudyResult) -> list[StudyTable]:
    """A table a variant whose volumes were used, and one of the differences; none where no classifier was trained."""
    if not result.arm_scores:
        return []
    arms = list(dict.fromkeys(score.arm for score in result.arm_scores))
    tables = [classifier_table(result.arm_scores, each, arms) for each in result.whose_volumes or (None,)]
    return [*tables, *([differences_table(result.differences)] if result.differences else [])]


def write_result(result: StudyResult, folder: Path) -> None:
    """Write ``study.json``, ``tables/`` (CSV) and ``study.md``. Raises SaveError where the disk refuses."""
    write_json(folder / STUDY_RESULT_NAME, result)
    write_text(folder / MARKDOWN_NAME, study_markdown(result))
    write_text(folder / TABLES / "measures.csv", numbers_csv(result.measures))
    write_text(folder / TABLES / "classifiers.csv", arms_csv(result.arm_scores))
    write_text(folder / TABLES / "classifier_differences.csv", differences_csv(result.differences))


def study_markdown(result: StudyResult) -> str:
    """The tables with what was found under each, to be put into documentation."""
    parts = [f"# {result.title}", result.about, cases_sentence(result.cases)]
    for group in GROUPS:
        if (table := group_table(result, group)) is not None:
            found = words.of_measures(result.measures, group)
            parts += [f"## {table.title}", table.markdown(), _list(found)]
    if tables := classifier_tables(result):
        parts.append("## What the volumes are worth to a classifier")
        parts += [part for table in tables for part in (f"**{table.title}**", table.markdown())]
        parts += [words.summary_of_differences(result.differences)] if result.differences else []
    if result.warnings:
        parts += ["## Warnings", _list(result.warnings)]
    if words_of_left_out := result.left_out_words:
        parts += ["## Left out", _list(words_of_left_out)]
    return "\n\n".join(part for part in parts if part) + "\n"


def cases_sentence(cases: Cases) -> str:
    """How many cases there are for what."""
    counted = [f"{count} for {split} ({cases.positive[split]} positive)" for split, count in cases.counts.items()]
    return f"Cases: {', '.join(counted)}. Values stand with their 95 % interval."


def _list(sentences: Iterable[str]) -> str:
    return "\n".join(f"- {each}" for each in sentences)
