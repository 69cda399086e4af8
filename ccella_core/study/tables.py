"""The tables of a study, for its page and its Markdown, and the same numbers as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import NamedTuple

from ccella_core.evaluation.statistics.estimate import Estimate, format_p_value
from ccella_core.networks.config import Variant
from ccella_core.report_page import markdown_table
from ccella_core.study.config import ARMS, Arm
from ccella_core.study.measures import ARM_WORDS, ArmDifference, ArmScore, Group, Measure, measures_by_row, variants_of
from ccella_core.study.sentences import verdict

ARROWS = {"lower": "↓", "higher": "↑", None: ""}
NOTHING = "–"


class StudyTable(NamedTuple):
    """A table for people; what machines read is in ``study.json`` and the CSV of single numbers."""

    name: str
    """Of its files."""
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """As Markdown."""
        return markdown_table(self.header, self.rows)


def measures_table(
    name: str, title: str, group: Group, measures: Sequence[Measure], variants: Sequence[Variant]
) -> StudyTable | None:
    """A row a measure, a column a variant that was measured; ``None`` where nothing of the group was measured."""
    rows = measures_by_row(measures, group)
    if not rows:
        return None
    variants = variants_of(rows, variants)
    has_extractor = any(row[0].extractor for row in rows)
    references = {measure.reference_name for row in rows for measure in row if measure.reference_name}
    header = ["", *(["measured by"] if has_extractor else []), "n", *variants]
    header += [text for name in sorted(references) for text in (name, "n of those")]
    return StudyTable(
        name,
        title,
        tuple(header),
        tuple(_measures_row(row, variants, sorted(references), has_extractor=has_extractor) for row in rows),
    )


def _measures_row(
    row: Sequence[Measure], variants: Sequence[Variant], references: Sequence[str], *, has_extractor: bool
) -> tuple[str, ...]:
    of_variant = {measure.variant: measure for measure in row}
    counts = list(dict.fromkeys(measure.number.n for measure in row))
    reference = {measure.reference_name: measure.reference for measure in row}
    return (
        f"{row[0].name} {ARROWS[row[0].better]}".strip(),
        *([row[0].extractor or NOTHING] if has_extractor else []),
        str(counts[0]) if len(counts) == 1 else "; ".join(f"{each.variant} {each.number.n}" for each in row),
        *(_cell(of_variant[variant].number if variant in of_variant else None) for variant in variants),
        *(text for name in references for text in _with_n(reference.get(name))),
    )


def classifier_table(scores: Sequence[ArmScore], variant: Variant | None, arms: Sequence[Arm]) -> StudyTable:
    """AUROC: rows are sizes of the real set, columns the arms, those of one variant's volumes.

    The arm of synthetic volumes alone has no real set; its one value stands in every row.
    """
    counts = sorted({score.real_count for score in scores if score.real_count is not None})
    shown = [arm for arm in ARMS if arm in arms]
    header = ["real cases", *(f"{ARM_WORDS[arm]}{_of(arm, scores, variant)}" for arm in shown), "n"]
    rows = []
    for count in counts:
        numbers = [_auroc(scores, arm, variant, count) for arm in shown]
        known = dict.fromkeys(str(number.n) for number in numbers if number is not None)
        rows.append((str(count), *(_cell(number) for number in numbers), "; ".join(known)))
    name = f"classifier_{variant}" if variant else "classifier"
    title = f"AUROC of classifiers, with volumes of {variant}" if variant else "AUROC of classifiers"
    return StudyTable(name, title, tuple(header), tuple(rows))


def differences_table(differences: Sequence[ArmDifference]) -> StudyTable:
    """AUROC less that of real cases alone."""
    rows = [
        (
            each.variant,
            ARM_WORDS[each.arm],
            str(each.real_count),
            _cell(each.difference),
            str(each.difference.n),
            format_p_value(each.p_value),
            format_p_value(each.adjusted_p_value),
            verdict(each, len(differences)),
        )
        for each in differences
    ]
    header = (
        "volumes of",
        "trained on",
        "real cases",
        "AUROC less that of real alone",
        "n",
        "p",
        "p, adjusted",
        "it is",
    )
    return StudyTable("classifier_differences", "Difference from real cases alone", header, tuple(rows))


def numbers_csv(measures: Sequence[Measure]) -> str:
    """Every measure as a line, in full precision."""
    header = ["variant", "group", "measure", "extractor", "better", "n", "value", "low", "high", "reference",
              "reference_n", "reference_value", "reference_low", "reference_high"]  # fmt: skip
    lines = [
        [each.variant, each.group, each.name, each.extractor, each.better, each.number.n, *_ends(each.number),
         each.reference_name, None if each.reference is None else each.reference.n, *_ends(each.reference)]
        for each in measures
    ]  # fmt: skip
    return _csv(header, lines)


def arms_csv(scores: Sequence[ArmScore]) -> str:
    """Every score of every arm as a line."""
    names = ("auroc", "average_precision", "accuracy", "sensitivity", "specificity")
    header = ["arm", "variant", "real_cases", "synthetic_volumes", "networks", "score", "n", "value", "low", "high"]
    lines = [
        [each.arm, each.variant, each.real_count, each.synthetic_count, each.networks, name, number.n, *_ends(number)]
        for each in scores
        for name in names
        for number in (getattr(each, name),)
    ]
    return _csv(header, lines)


def differences_csv(differences: Sequence[ArmDifference]) -> str:
    """Every comparison as a line."""
    header = ["arm", "variant", "real_cases", "n", "value", "low", "high", "p_value", "adjusted_p_value"]
    lines = [
        [each.arm, each.variant, each.real_count, each.difference.n, *_ends(each.difference), each.p_value,
         each.adjusted_p_value]
        for each in differences
    ]  # fmt: skip
    return _csv(header, lines)


def _csv(header: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return stream.getvalue()


def _ends(number: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if number is None else (number.value, number.low, number.high)


def _cell(number: Estimate | None) -> str:
    return NOTHING if number is None else str(number)


def _with_n(number: Estimate | None) -> tuple[str, str]:
    return _cell(number), NOTHING if number is None else str(number.n)


def _auroc(scores: Sequence[ArmScore], arm: Arm, variant: Variant | None, count: int) -> Estimate | None:
    return next((score.auroc for score in scores if _is(score, arm, variant, count)), None)


def _is(score: ArmScore, arm: Arm, variant: Variant | None, count: int) -> bool:
    same_volumes = arm == "real" or score.variant == variant
    return score.arm == arm and same_volumes and (arm == "synthetic" or score.real_count == count)


def _of(arm: Arm, scores: Sequence[ArmScore], variant: Variant | None) -> str:
    counts = {score.synthetic_count for score in scores if score.arm == arm and score.variant == variant}
    return f" ({counts.pop()} volumes)" if arm != "real" and len(counts) == 1 else ""
