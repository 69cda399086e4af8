"""Findings refuse contradictions, and reports state the facts, all of them, and nothing else."""

import re

import pytest

from ccella_core.phantom.findings import Findings, Lesion
from ccella_core.phantom.patient import draw_patient
from ccella_core.phantom.report import write_report

LESION = Lesion("left", "peripheral", "mid", 12.0, 4)
SWAP = {
    "left": "right",
    "right": "left",
    "lt": "rt",
    "rt": "lt",
    "Left": "Right",
    "Right": "Left",
    "Lt": "Rt",
    "Rt": "Lt",
}


def drawn(count: int) -> list[Findings]:
    return [draw_patient(seed).findings for seed in range(count)]


@pytest.mark.parametrize(
    "change",
    [
        {"side": "middle"},
        {"zone": "central"},
        {"level": "top"},
        {"size_mm": 0.0},
        {"size_mm": float("nan")},
        {"pirads": 2},
        {"pirads": 4, "size_mm": 15.0},
        {"pirads": 5, "size_mm": 12.0},
    ],
)
def test_lesion_refuses(change):
    facts = {"side": "left", "zone": "peripheral", "level": "mid", "size_mm": 12.0, "pirads": 3}
    with pytest.raises(ValueError, match=r"must|PI-RADS"):
        Lesion(**{**facts, **change})


@pytest.mark.parametrize(
    "change",
    [
        {"pirads": 2, "lesions": (LESION,)},
        {"pirads": 5, "lesions": (LESION,)},
        {"pirads": 3},
        {"pirads": 0},
        {"gland_volume_ml": -1.0},
        {"peripheral_change": "left"},
        {"bladder": "absent"},
    ],
)
def test_findings_refuse(change):
    facts = {"gland_volume_ml": 45.0, "psa_ng_ml": 5.0, "age_years": 60, "pirads": 1}
    with pytest.raises(ValueError, match=r"must|needs|scores"):
        Findings(**{**facts, **change})


def test_pathology_follows_pirads():
    assert Findings(45, 5, 60, 2).pathology == "negative"
    assert Findings(45, 5, 60, 4, (LESION,)).pathology == "positive"


def test_mirroring_twice_changes_nothing():
    for findings in drawn(50):
        assert findings.mirrored().mirrored() == findings


def test_report_of_the_mirrored_patient_swaps_sides_only():
    for seed, findings in enumerate(drawn(100)):
        report = write_report(findings, seed=seed)
        swapped = re.sub(r"\b(left|right|lt|rt)\b", lambda word: SWAP[word[0]], report, flags=re.IGNORECASE)
        assert write_report(findings.mirrored(), seed=seed) == swapped


@pytest.mark.medium
def test_report_states_every_fact_and_no_other_side():
    for seed, findings in enumerate(drawn(200)):
        report = write_report(findings, seed=seed)
        assert re.search(rf"\b{findings.gland_volume_ml:.0f} (mL|ml|cc)\b", report)
        assert re.search(rf"(Overall|assessment:) PI-RADS {findings.pirads}\b|Overall assessment: PI-RADS", report)
        scores = {int(score) for score in re.findall(r"PI-RADS (\d)", report)}
        assert scores == {findings.pirads} | {lesion.pirads for lesion in findings.lesions}
        sides = {
            "right" if word.lower() in ("right", "rt") else "left"
            for word in re.findall(r"\b(left|right|lt|rt)\b", report, flags=re.IGNORECASE)
        }
        assert sides == {lesion.side for lesion in findings.lesions} | ({findings.peripheral_change} - {"none", "both"})
        for lesion in findings.lesions:
            assert f"{lesion.size_mm:.0f} mm" in report or f"{lesion.size_mm / 10:.1f} cm" in report
        assert (findings.pathology == "negative") == bool(
            re.search(r"No (focal|evidence|MRI evidence)|no suspicious", report)
        )
        assert 40 <= len(report.split()) <= 170


def test_report_is_deterministic_and_varied():
    findings = drawn(1)[0]
    assert write_report(findings, seed=3) == write_report(findings, seed=3)
    assert len({write_report(findings, seed=seed) for seed in range(30)}) > 25
