"""Splits by patient: alike in both classes, independent of the order, and never one patient in two."""

from __future__ import annotations

from pathlib import Path

import pytest

from ccella_core.cases.case import Case
from ccella_core.cases.splits import assign_splits
from ccella_core.errors import InputError


def new_case(patient: int, exam: int = 0, **more) -> Case:
    content = {"pathology": "positive" if patient % 4 == 0 else "negative", **more}
    return Case(id=f"p{patient}-{exam}", patient=f"p{patient}", images={"t2w": Path("a.mha")}, **content)


def test_patients_are_divided_and_both_classes_alike():
    cases = assign_splits([new_case(patient, exam) for patient in range(40) for exam in range(2)])
    for pathology, expected in (("positive", (8, 1, 1)), ("negative", (24, 3, 3))):
        found = [{c.patient for c in cases if c.split == split and c.pathology == pathology}
                 for split in ("train", "validation", "test")]  # fmt: skip
        assert tuple(map(len, found)) == expected
        assert not found[0] & found[1] and not found[0] & found[2] and not found[1] & found[2]


def test_patients_of_unknown_class_are_divided_by_themselves():
    cases = assign_splits(
        [new_case(patient, pathology=None) if patient < 10 else new_case(patient) for patient in range(30)]
    )
    found = [case.split for case in cases if case.pathology is None]
    assert [found.count(split) for split in ("train", "validation", "test")] == [8, 1, 1]


def test_order_says_nothing_and_the_seed_does():
    cases = [new_case(patient) for patient in range(20)]
    one = {case.id: case.split for case in assign_splits(cases)}
    assert {case.id: case.split for case in assign_splits(cases[::-1])} == one
    assert {case.id: case.split for case in assign_splits(cases, seed=1)} != one


def test_what_the_source_says_stays_for_all_examinations_of_a_patient():
    cases = [new_case(0, 0, split="test"), new_case(0, 1), *(new_case(patient) for patient in range(1, 9))]
    assert [case.split for case in assign_splits(cases)][:2] == ["test", "test"]


def test_no_test_cases_where_none_are_wanted():
    splits = [case.split for case in assign_splits([new_case(p) for p in range(11)], (0.7, 0.3, 0.0))]
    assert "test" not in splits and splits.count("validation") >= 2


def test_a_patient_in_two_splits_is_refused_by_name():
    with pytest.raises(InputError, match=r"The patient p1 stands in two splits, train and test \(p1-1\)"):
        assign_splits([new_case(1, 0, split="train"), new_case(1, 1, split="test")])


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.5), (0.0, 0.5, 0.5), (1.2, -0.1, -0.1), (1.0, 0.0)])
def test_fractions_must_add_up(fractions):
    with pytest.raises(InputError, match="The fractions of train, validation and test add up to 1"):
        assign_splits([new_case(1)], fractions)
