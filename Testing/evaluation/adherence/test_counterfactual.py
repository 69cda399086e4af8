"""Counterfactual reports differ in one fact, stay within what the phantom draws, and are followed or not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.counterfactual import (
    CHANGED_FACTS,
    ChangedFact,
    counterfactual_findings,
    follows,
    read_changed_facts,
)
from ccella_core.evaluation.adherence.measurements import MeasuredFinding
from ccella_core.evaluation.adherence.scores import StatedFinding
from ccella_core.phantom.findings import Findings
from ccella_core.phantom.patient import VOLUME_RANGE_ML, Patient, draw_patient, size_range_mm
from ccella_core.phantom.report import write_report

PATIENTS = 100
GOES_ALONG = {
    "side": {"lesions", "peripheral_change"},
    "zone": {"lesions"},
    "level": {"lesions"},
    "size": {"lesions", "pirads"},
    "volume": {"gland_volume_ml", "hyperplasia"},
    "pathology": {"lesions", "pirads", "peripheral_change"},
}


@pytest.fixture(scope="module")
def patients() -> list[Patient]:
    return [draw_patient(seed) for seed in range(PATIENTS)]


def pairs(patients: list[Patient], what: ChangedFact) -> list[tuple[Findings, Findings]]:
    changed = [(patient.findings, counterfactual_findings(patient, what)) for patient in patients]
    return [(before, after) for before, after in changed if after is not None]


def different(one: Findings, other: Findings) -> set[str]:
    return {name for name in Findings.__slots__ if getattr(one, name) != getattr(other, name)}


@pytest.mark.parametrize("what", CHANGED_FACTS)
def test_one_fact_changes_and_what_goes_with_it(patients: list[Patient], what: ChangedFact) -> None:
    found = pairs(patients, what)
    assert len(found) >= PATIENTS // 5
    for before, after in found:
        assert different(before, after) <= GOES_ALONG[what]
        assert VOLUME_RANGE_ML[0] <= after.gland_volume_ml <= VOLUME_RANGE_ML[1]
        for lesion in after.lesions:
            smallest, largest = size_range_mm(lesion.pirads, lesion.zone, after.gland_volume_ml)
            assert smallest <= lesion.size_mm <= largest
        if what in ("side", "zone", "level"):
            one, other = StatedFinding.by(before).model_dump(), StatedFinding.by(after).model_dump()
            assert {name for name in one if one[name] != other[name]} == {what}


def test_which_way(patients: list[Patient]) -> None:
    zones = {(StatedFinding.by(before).zone, StatedFinding.by(after).zone) for before, after in pairs(patients, "zone")}
    assert zones == {("peripheral", "transition"), ("transition", "peripheral")}
    levels = {
        (StatedFinding.by(before).level, StatedFinding.by(after).level) for before, after in pairs(patients, "level")
    }
    assert levels == {("base", "apex"), ("apex", "base")}
    for before, after in pairs(patients, "size"):
        sizes = sorted((before.lesions[0].size_mm, after.lesions[0].size_mm))
        assert sizes[0] < 15 <= sizes[1] and sizes[1] - sizes[0] >= 5
        assert {before.pirads, after.pirads} in ({3, 5}, {4, 5})
    for before, after in pairs(patients, "volume"):
        assert after.gland_volume_ml / before.gland_volume_ml in (pytest.approx(2, 0.01), pytest.approx(0.5, 0.01))
    assert all(before.pathology != after.pathology for before, after in pairs(patients, "pathology"))


def test_the_other_words_stay(patients: list[Patient]) -> None:
    before, after = next(
        (before, after) for before, after in pairs(patients, "level") if StatedFinding.by(before).level == "base"
    )
    one, other = (write_report(findings, seed=7).split() for findings in (before, after))
    changed = {(old.strip(".,"), new.strip(".,")) for old, new in zip(one, other, strict=True) if old != new}
    assert changed <= {("base", "apex"), ("basal", "apical")} and changed


def test_a_lesion_that_the_phantom_would_not_draw_is_not_asked_for() -> None:
    patient = draw_patient(0, pathology="positive")
    small = replace(patient.findings.lesions[0], zone="peripheral", size_mm=9.0, pirads=4, extraprostatic=False)
    with_small = replace(patient, findings=replace(patient.findings, pirads=4, lesions=(small,)))
    assert counterfactual_findings(with_small, "zone") is None  # it would pass for a nodule
    beyond = replace(small, pirads=5, extraprostatic=True)
    assert (
        counterfactual_findings(
            replace(patient, findings=replace(patient.findings, pirads=5, lesions=(beyond,))), "size"
        )
        is None
    )
    assert counterfactual_findings(draw_patient(0, pathology="negative"), "side") is None


def test_following() -> None:
    nothing = dict.fromkeys(("side", "zone", "level", "size_mm"))

    def said(**facts: object) -> StatedFinding:
        return StatedFinding.model_validate({"has_lesion": True, "gland_volume_ml": 40, **nothing, **facts})

    def seen(**facts: object) -> MeasuredFinding:
        return MeasuredFinding.model_validate(
            {"has_lesion": True, "gland_volume_ml": 40, "lesion_volume_ml": 1, **facts}
        )

    asked = (said(level="base"), said(level="apex"))
    for readings, expected in (
        (("base", "apex"), True), (("apex", "apex"), False), (("base", "mid"), False), (("base", None), False),
    ):  # fmt: skip
        before, after = (seen(level=level) for level in readings)
        assert follows("level", (asked[0], before), (asked[1], after)) is expected

    larger = (said(size_mm=10), said(size_mm=20))
    for sizes, expected in (((12, 17), True), ((12, 16), False), ((17, 12), False), ((None, 20), False)):
        before, after = (seen(size_mm=size) for size in sizes)
        assert follows("size", (larger[0], before), (larger[1], after)) is expected
    smaller = (said(gland_volume_ml=80), said(gland_volume_ml=40))
    assert follows("volume", (smaller[0], seen(gland_volume_ml=70)), (smaller[1], seen(gland_volume_ml=50)))
    assert not follows("volume", (smaller[0], seen(gland_volume_ml=60)), (smaller[1], seen(gland_volume_ml=60)))

    none = seen(has_lesion=False)
    was, became = said(), said(has_lesion=False)
    assert follows("pathology", (was, seen()), (became, none))
    assert not follows("pathology", (was, none), (became, none))


def test_a_list_of_facts() -> None:
    assert read_changed_facts(" zone,side ") == ("side", "zone")
    assert read_changed_facts("") == ()
    with pytest.raises(InputError, match="There is no fact colour to change; there are side, zone"):
        read_changed_facts("side,colour")
