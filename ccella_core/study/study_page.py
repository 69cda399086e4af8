"""The page of a study: everything that was found, in one file to look at and to send."""

from __future__ import annotations

from pathlib import Path

import yaml

from ccella_core.files import write_text
from ccella_core.provenance import SYNTHETIC_LABEL
from ccella_core.report_page import render_page
from ccella_core.study import sentences as words
from ccella_core.study.examples import Examples
from ccella_core.study.figures import classifier_plot, forest_plot
from ccella_core.study.measures import Group
from ccella_core.study.result import (
    GROUPS,
    STUDY_RESULT_NAME,
    TABLES,
    StudyResult,
    cases_sentence,
    classifier_tables,
    group_table,
)
from ccella_core.study.tables import ARROWS, StudyTable

STUDY_PAGE_NAME = "study.html"
GROUP_HINTS: dict[Group, str] = {
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


def write_page(result: StudyResult, folder: Path, examples: Examples | None) -> Path:
    """Write ``study.html``; returns its path.

    Args:
        result: what was found.
        folder: of the study.
        examples: volumes of the same reports, where they are to be shown.

    Raises:
        SaveError: the disk refuses.
    """
    page = render_page(
        "study.html",
        title=result.title,
        about=result.about,
        in_short=_in_short(result),
        trained=_trained(result),
        label=SYNTHETIC_LABEL,
        examples=examples,
        groups=[found for group in GROUPS if (found := _group(result, group)) is not None],
        classifiers=_classifiers(result) if result.arm_scores else None,
        warnings=result.warnings,
        left_out=result.left_out_words,
        behind=_behind(result),
        config=yaml.safe_dump(result.config, sort_keys=False, allow_unicode=True),
    )
    write_text(folder / STUDY_PAGE_NAME, page, private=True)  # under the examples stand reports
    return folder / STUDY_PAGE_NAME


def _in_short(result: StudyResult) -> dict[str, object]:
    found = words.in_short(result.measures, GROUPS)
    if result.differences:
        found.append(words.summary_of_differences(result.differences))
    about = [cases_sentence(result.cases), f"Variants: {', '.join(result.names)}, all trained alike."]
    return {"about": about, "found": found, "rule": words.RULE}


def _trained(result: StudyResult) -> dict[str, object]:
    rows = [
        [each.variant, f"{each.trained.parameters:,}", each.trained.steps, _minutes(result, each.variant),
         "–" if each.trained.validation_loss is None else f"{each.trained.validation_loss:.4f}", each.of_test.count,
         "–" if each.of_train is None else each.of_train.count]
        for each in result.variants
    ]  # fmt: skip
    header = ["variant", "parameters", "steps", "minutes of training", "validation loss", "volumes of test reports",
              "of training reports"]  # fmt: skip
    note = (
        "Minutes are of the process that finished a training, with the encoding of cases that had not been encoded "
        "yet. The validation loss holds the class's where a variant has a head."
    )
    return {"header": header, "rows": rows, "note": note}


def _minutes(result: StudyResult, variant: str) -> str:
    return f"{result.seconds.get(f'variants/{variant}/training', 0.0) / 60:.1f}"


def _group(result: StudyResult, group: Group) -> dict[str, object] | None:
    numbers = group_table(result, group)
    if numbers is None:
        return None
    return _shown(numbers) | {
        "title": GROUPS[group],
        "hint": GROUP_HINTS[group],
        "figure": forest_plot(result.measures, group, result.names) or "",
        "found": words.of_measures(result.measures, group),
    }


def _classifiers(result: StudyResult) -> dict[str, object]:
    return {
        "hint": OF_CLASSIFIERS,
        "figure": classifier_plot(result.arm_scores, result.whose_volumes) or "",
        "tables": [_shown(each) for each in classifier_tables(result)],
        "found": [words.summary_of_differences(result.differences)] if result.differences else [],
    }


def _shown(table: StudyTable) -> dict[str, object]:
    rows = [[_unbroken(cell) for cell in row] for row in table.rows]
    return {"title": table.title, "header": table.header, "rows": rows}


def _unbroken(cell: str) -> str:
    """Breaks between a value and its interval, but neither inside of that nor before an arrow."""
    for text in (" to ", *(f" {arrow}" for arrow in ARROWS.values() if arrow)):
        cell = cell.replace(text, text.replace(" ", "\u00a0"))
    return cell


def _behind(result: StudyResult) -> list[str]:
    software = ", ".join(f"{name} {version}" for name, version in result.software.items())
    hours = sum(result.seconds.values()) / 3600
    return [
        f"Every number in full precision: {STUDY_RESULT_NAME} and {TABLES}/ beside this page.",
        f"Cases: {result.cases.fingerprint}. Software: {software}.",
        f"The processes that finished the stages took {hours:.1f} hours.",
    ]
