"""Sentences and tables follow from the numbers, whichever way they came out."""

from __future__ import annotations

import csv
import io

import pytest
from made_up import VARIANTS, arm_scores, difference, image_measures, number, study_result

from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.study import sentences as words
from ccella_core.study.measures import Measure
from ccella_core.study.result import classifier_tables, group_table, study_markdown
from ccella_core.study.tables import numbers_csv


def row(*numbers: Estimate, better: str | None = "lower", reference: Estimate | None = None) -> list[Measure]:
    return [
        Measure(variant=variant, group="images", name="FID", better=better, number=each,  # type: ignore[arg-type]
                reference=reference, reference_name="real against real" if reference else None)
        for variant, each in zip(VARIANTS, numbers, strict=False)
    ]  # fmt: skip


def said(measures: list[Measure]) -> str:
    (sentence,) = words.of_measures(measures, "images")
    return sentence


def test_a_number_shows_its_interval() -> None:
    assert str(number(0.5, 0.1)) == "0.500 (0.400 to 0.600)"
    assert str(number(12.0, 3.0)) == "12.0 (9.0 to 15.0)"
    assert str(number(0.00123, 0.0002)) == "0.00123 (0.00103 to 0.00143)"
    assert str(Estimate(value=0.0, low=0.0, high=0.00918, n="400")) == "0.0000 (0.0000 to 0.0092)"
    assert str(number(0.5)) == "0.5" and str(number(None)) == "not defined"


def test_intervals_that_lie_apart_are_a_difference() -> None:
    assert said(row(number(1.0, 0.1), number(2.0, 0.1), number(1.15, 0.1))) == (
        "FID: lowest for ccella, 1.00 (0.90 to 1.10), apart from maisi; from ellamaisi no difference can be claimed."
    )


def test_the_other_way_round_says_so_as_well() -> None:
    assert said(row(number(0.6, 0.01), number(0.9, 0.01), better="higher")) == (
        "FID: highest for maisi, 0.900 (0.890 to 0.910), apart from ccella."
    )


def test_intervals_that_touch_are_none() -> None:
    assert said(row(number(1.0, 0.3), number(1.2, 0.3))).endswith("; no difference from maisi can be claimed.")


def test_equals_are_named_together() -> None:
    assert said(row(number(1.0, 0.1), number(1.0, 0.1), number(2.0, 0.1))) == (
        "FID: lowest for ccella and maisi, 1.00 (0.90 to 1.10), apart from ellamaisi."
    )
    assert said(row(number(0.0, 0.0), number(0.0, 0.0))) == "FID: the same for ccella and maisi, 0."


def test_intervals_of_no_width_are_none() -> None:
    """That nothing varied between resamples does not say that nothing can."""
    assert said(row(number(1.0, 0.0), number(0.9, 0.05), better="higher")) == (
        "FID: highest for ccella, 1; without intervals no difference can be claimed."
    )


def test_without_intervals_nothing_is_claimed() -> None:
    assert said(row(number(1.0), number(2.0))).endswith("without intervals no difference can be claimed.")


@pytest.mark.parametrize(
    ("reference", "end"),
    [
        (number(1.0, 0.1), "From real against real, 1.00 (0.90 to 1.10), no difference can be claimed."),
        (number(0.5, 0.1), "That is worse than real against real: 0.500 (0.400 to 0.600)."),
        (number(2.0, 0.1), "That is better than real against real: 2.00 (1.90 to 2.10)."),
        (number(2.0), "For comparison, real against real: 2."),
    ],
)
def test_the_best_is_compared_with_the_reference(reference: Estimate, end: str) -> None:
    assert said(row(number(1.0, 0.1), reference=reference)).endswith(end)


def test_a_reference_of_another_size_is_shown_and_no_verdict_given() -> None:
    """A Fréchet distance between halves is larger than that of equal sets of twice the size."""
    (measure,) = row(number(1.0, 0.1), reference=number(2.0, 0.1))
    assert said([measure.model_copy(update={"comparable": False})]).endswith(
        "For comparison, real against real: 2.00 (1.90 to 2.10)."
    )


def test_nothing_is_best_where_neither_way_is_better() -> None:
    assert words.of_measures(row(number(1.0, 0.1), number(2.0, 0.1), better=None), "images") == []
    numbers = (number(1.0, 0.1), number(2.0, 0.1), number(0.5, 0.1))
    assert said(row(*numbers, better=None, reference=number(1.05, 0.1))) == (
        "FID, beside real against real, 1.05 (0.95 to 1.15): higher for maisi; lower for ellamaisi; "
        "no difference can be claimed for ccella."
    )


@pytest.mark.parametrize(
    ("value", "half", "adjusted", "verdict"),
    [
        (0.08, 0.03, 0.002, "better"),
        (-0.08, 0.03, 0.002, "worse"),
        (0.02, 0.05, 0.4, "no difference that can be claimed"),
        (-0.04, 0.03, 0.08, "worse by itself, but not among 5 comparisons"),
    ],
)
def test_a_difference_counts_only_among_all_comparisons(
    value: float, half: float, adjusted: float, verdict: str
) -> None:
    assert words.verdict(difference("ccella", 40, value, half, adjusted), 5) == verdict


def test_the_summary_counts_what_came_out() -> None:
    better, none = difference("ccella", 40, 0.08, 0.03, 0.002), difference("decoupled", 40, 0.01, 0.03, 0.5)
    assert words.summary_of_differences([better, none]) == (
        "Against real cases alone: better in 1 of 2 (ccella real + synthetic at 40); "
        "no difference can be claimed in 1 of 2."
    )
    assert words.summary_of_differences([none]) == ("Against real cases alone: no difference can be claimed in 1 of 1.")


def test_every_number_stands_in_the_table_with_n_and_extractor() -> None:
    table = group_table(study_result(), "images")
    assert table is not None
    assert table.header == ("", "measured by", "n", *VARIANTS, "the real cases among themselves", "n of those")
    assert table.rows[0] == (
        "FID ↓", "phantom reader (stand-in)", "64 real, 64 synthetic", "0.0200 (0.0140 to 0.0260)",
        "0.0900 (0.0840 to 0.0960)", "0.0240 (0.0180 to 0.0300)", "0.0220 (0.0160 to 0.0280)",
        "0.0100 (0.0060 to 0.0140)", "halves of 64 real",
    )  # fmt: skip
    heads = group_table(study_result(), "class_head")
    assert heads is not None and heads.header == ("", "n", "ccella")
    assert heads.rows[0] == ("AUROC ↑", "64", "0.950 (0.920 to 0.980)")
    assert group_table(study_result(), "privacy") is None


def test_classifier_tables_have_a_row_a_size() -> None:
    tables = classifier_tables(study_result())
    assert [table.name for table in tables] == [
        "classifier_ccella", "classifier_ellamaisi", "classifier_decoupled", "classifier_differences",
    ]  # fmt: skip
    assert tables[0].header[:3] == ("real cases", "real", "synthetic (300 volumes)")
    assert tables[0].rows[0] == (
        "40", "0.700 (0.650 to 0.750)", "0.820 (0.770 to 0.870)", "0.780 (0.730 to 0.830)", "64",
    )  # fmt: skip
    assert tables[-1].rows[0][-3:] == ("0.001", "0.002", "better")
    assert classifier_tables(study_result(arm_scores=(), differences=())) == []
    only_real = [score for score in arm_scores() if score.arm == "real"]
    (table,) = classifier_tables(study_result(arm_scores=tuple(only_real), differences=()))
    assert table.header == ("real cases", "real", "n")


def test_the_csv_holds_full_precision() -> None:
    lines = list(csv.DictReader(io.StringIO(numbers_csv(image_measures()))))
    assert len(lines) == 16
    assert (
        lines[1]["variant"] == "maisi" and float(lines[1]["value"]) == 0.09 and float(lines[1]["low"]) == 0.09 - 0.006
    )
    assert float(lines[1]["reference_value"]) == 0.01 and lines[1]["reference_n"] == "halves of 64 real"


def test_markdown_has_what_was_found_and_what_was_left_out() -> None:
    text = study_markdown(study_result())
    assert "| FID ↓ | phantom reader (stand-in) | 64 real, 64 synthetic |" in text
    assert "- Score the class that maisi reads from reports: it has no class head." in text
    assert "Against real cases alone: better in 1 of 3" in text
