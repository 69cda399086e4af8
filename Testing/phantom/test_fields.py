"""What is known of a real patient: the same ranges as findings, and findings where all is known."""

import pytest
from pydantic import ValidationError

from ccella_core.phantom.fields import LesionFields, StructuredFields
from ccella_core.phantom.findings import Findings, Lesion
from ccella_core.phantom.patient import draw_patient


def test_findings_survive_the_way_there_and_back():
    for seed in range(40):
        findings = draw_patient(seed).findings
        assert StructuredFields.from_findings(findings).to_findings() == findings


@pytest.mark.parametrize(
    "change",
    [
        {"bladder": None},
        {"lesions": None},
        {"lesions": ()},  # with PI-RADS 4
        {"lesions": (LesionFields(side="left", pirads=4),)},
    ],
)
def test_what_is_unknown_or_contradictory_makes_no_findings(change):
    known = StructuredFields.from_findings(Findings(45, 5, 60, 4, (Lesion("left", "peripheral", "mid", 12, 4),)))
    assert known.to_findings() is not None
    assert known.model_copy(update=change).to_findings() is None


@pytest.mark.parametrize(
    ("name", "low", "high"), [("gland_volume_ml", 10, 300), ("psa_ng_ml", 0, 5000), ("age_years", 18, 120)]
)
def test_ranges_are_those_of_findings(name, low, high):
    facts = {"gland_volume_ml": 45.0, "psa_ng_ml": 5.0, "age_years": 60, "pirads": 1}
    for value in (low, high):
        Findings(**{**facts, name: value})
        StructuredFields(**{name: value})
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match=name):
            Findings(**{**facts, name: value})
        with pytest.raises(ValidationError, match=name):
            StructuredFields(**{name: value})


def test_nothing_known_says_nothing():
    assert StructuredFields().says_nothing
    assert not StructuredFields(lesions=()).says_nothing
