"""The page of a study: everything that was found, in one file to look at and to send."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

import yaml

from ccella_core.report_page import page, table
from ccella_core.study import sentences as words
from ccella_core.study.figures import classifier_plot, forest_plot
from ccella_core.study.measures import Group
from ccella_core.study.result import (
    GROUPS,
    RESULT_NAME,
    TABLES,
    StudyResult,
    cases_sentence,
    classifier_tables,
    group_table,
    write_texts,
)

PAGE_NAME = "study.html"
HINTS: dict[Group, str] = {
    "images": "An arrow tells which way is better. A number holds only for its extractor, and for sets of this size: "
    "what the real cases have among themselves is between two halves of them, and of sets of half the size a Fréchet "
    "distance is larger. Intervals come from the spread between halves of both sets; those of the real cases hold 95 % "
    "of their divisions into halves; that of MS-SSIM comes from the spread between pairs that share no volume.",
    "class_head": "From the report alone, of test cases; the volume plays no part.",
    "adherence": "Read from the volume by a network that was trained on digital prostates.",
    "privacy": "A volume is suspected where it is so much nearer to one training case than to the others as among real "
    "cases, which were not trained on, hardly any would be. Authentic is a volume that is further from its nearest "
    "training case than that is from its own nearest.",
}
OF_CLASSIFIERS = (
    "Every classifier is scored on the same test cases; its validation cases are others. Values are means over "
    "classifiers that were trained with several seeds, each on other real cases of the training split; intervals count "
    "what other test cases and what other seeds would have changed. The variants had learnt from all training cases, "
    "so the synthetic volumes carry something of cases that are not in the real set: what is measured is the worth of "
    "a model that somebody else trained on more cases."
)


def write_page(result: StudyResult, folder: Path, examples: str | None) -> Path:
    """Write ``study.html``; returns its path.

    Args:
        result: what was found.
        folder: of the study.
        examples: HTML with volumes of the same reports, where they are to be shown.

    Raises:
        SaveError: the disk refuses.
    """
    sections = [("In short", _in_short(result)), ("How it was done", _how(result))]
    if examples is not None:
        sections.append(("The same reports, by every variant", examples))
    sections += [(GROUPS[group], content) for group in GROUPS if (content := _group(result, group)) is not None]
    if result.arm_scores:
        sections.append(("What the volumes are worth to a classifier", _classifiers(result)))
    if result.warnings:
        sections.append(("Warnings", _listed(result.warnings)))
    if result.left_out:
        sections.append(("Left out", _listed(f"{each.stage}: {each.why_not}." for each in result.left_out)))
    sections.append(("To go on with", _behind(result)))
    write_texts(folder, {PAGE_NAME: page(result.title, result.about, sections)})
    return folder / PAGE_NAME


def _in_short(result: StudyResult) -> str:
    found = words.in_short(result.measures, GROUPS)
    if result.differences:
        found.append(words.summary_of_differences(result.differences))
    about = [cases_sentence(result.cases), f"Variants: {', '.join(result.names)}, all trained alike."]
    return f"{_paragraphs(about)}{_listed(found)}{_paragraphs([words.RULE])}"


def _how(result: StudyResult) -> str:
    rows = [
        [each.variant, f"{each.trained.parameters:,}", each.trained.steps, _minutes(result, each.variant),
         "–" if each.trained.validation_loss is None else f"{each.trained.validation_loss:.4f}", each.of_test.count,
         "–" if each.of_train is None else each.of_train.count]
        for each in result.variants
    ]  # fmt: skip
    header = ["variant", "parameters", "steps", "minutes of training", "validation loss", "volumes of test reports",
              "of training reports"]  # fmt: skip
    said = (
        "Minutes are of the process that finished a training, with the encoding of cases that had not been encoded "
        "yet. The validation loss holds the class's where a variant has a head."
    )
    return table(header, rows) + _paragraphs([said])


def _minutes(result: StudyResult, variant: str) -> str:
    return f"{result.seconds.get(f'variants/{variant}/training', 0.0) / 60:.1f}"


def _group(result: StudyResult, group: Group) -> str | None:
    numbers = group_table(result, group)
    if numbers is None:
        return None
    figure = forest_plot(result.measures, group, result.names) or ""
    said = _listed(words.of_measures(result.measures, group))
    return f"<p>{escape(HINTS[group])}</p>{figure}{numbers.html()}{said}"


def _classifiers(result: StudyResult) -> str:
    tables = "".join(f"<h3>{escape(each.title)}</h3>{each.html()}" for each in classifier_tables(result))
    figure = classifier_plot(result.arm_scores, result.whose_volumes) or ""
    found = _paragraphs([words.summary_of_differences(result.differences)] if result.differences else [])
    return f"<p>{escape(OF_CLASSIFIERS)}</p>{figure}{tables}{found}"


def _behind(result: StudyResult) -> str:
    config = yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True)
    software = ", ".join(f"{name} {version}" for name, version in result.software.items())
    hours = sum(result.seconds.values()) / 3600
    said = [
        f"Every number in full precision: {RESULT_NAME} and {TABLES}/ beside this page.",
        f"Cases: {result.cases.fingerprint}. Software: {software}.",
        f"The processes that finished the stages took {hours:.1f} hours.",
    ]
    return f"{_paragraphs(said)}<details><summary>Configuration</summary><pre>{escape(config)}</pre></details>"


def _paragraphs(sentences: Sequence[str]) -> str:
    return "".join(f"<p>{escape(each)}</p>" for each in sentences)


def _listed(sentences: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(each)}</li>" for each in sentences)
    return f"<ul>{items}</ul>" if items else ""
