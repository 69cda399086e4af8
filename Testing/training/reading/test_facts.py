"""What a report states, as numbers, and the heads that learn to read it."""

from __future__ import annotations

import math

import pytest
import torch

from ccella_core.phantom.fields import LesionFields, StructuredFields
from ccella_core.phantom.findings import Findings, Lesion
from ccella_core.phantom.patient import draw_findings
from ccella_core.training.reading.facts import CLASSES, NUMBERS, FactHeads, facts_of, stated_facts

FINDINGS = [draw_findings(seed) for seed in range(40)]


def stated(findings: Findings) -> dict[str, float]:
    return stated_facts(StructuredFields.from_findings(findings), positive=findings.pathology == "positive")


def test_facts_of_a_positive_case():
    small, large = Lesion("left", "peripheral", "apex", 9.0, 3), Lesion("right", "transition", "base", 20.0, 5)
    facts = stated(Findings(60.0, 7.0, 66, 5, (small, large), hyperplasia="moderate", rectum="gas"))
    assert facts == {
        "positive": 1.0,
        "pirads": 4,
        "left": 1.0,
        "right": 1.0,
        "zone": 1,  # of the larger one, as level and size
        "level": 0,
        "size": 2.0,
        "volume": pytest.approx(math.log(60)),
        "hyperplasia": 2,
        "change": 0,
        "bladder": 1,
        "rectum": 1,
    }


def test_what_a_negative_report_does_not_state_is_nan():
    facts = stated(Findings(30.0, 3.0, 60, 2, peripheral_change="left"))
    assert {name for name, value in facts.items() if math.isnan(value)} == {"zone", "level", "size"}
    assert (facts["positive"], facts["left"], facts["change"]) == (0.0, 0.0, 1)


def test_every_fact_is_learned_and_within_its_classes():
    assert stated(FINDINGS[0]).keys() == CLASSES.keys() | set(NUMBERS)
    for findings in FINDINGS:
        for name, count in CLASSES.items():
            value = stated(findings)[name]
            assert math.isnan(value) or 0 <= value < count


def test_facts_of_several_reports_are_columns():
    columns = facts_of([stated(one) for one in FINDINGS[:3]])
    assert columns.keys() == CLASSES.keys() | set(NUMBERS)
    assert all(column.shape == (3,) and column.dtype == torch.float32 for column in columns.values())


def test_right_reading_costs_nothing_and_wrong_reading_much():
    heads = FactHeads(8)
    rows = [stated(FINDINGS[0])]
    with torch.no_grad():
        for name, head in heads.items():
            head.weight.zero_()
            value = rows[0][name]
            if math.isnan(value):
                continue
            head.bias.fill_(value if name in NUMBERS else -50.0)
            if name not in NUMBERS:
                head.bias[int(value)] = 50.0
    features = torch.randn(1, 1, 8)
    assert heads.loss(features, facts_of(rows)).item() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        heads["volume"].bias += 1.0
    assert heads.loss(features, facts_of(rows)).item() == pytest.approx(4 * (1 - 0.05 / 2), rel=1e-4)


def test_what_no_report_states_costs_nothing():
    negative = Findings(30.0, 3.0, 60, 1)
    heads = FactHeads(4)
    features = torch.randn(2, len(heads), 4, requires_grad=True)
    loss = heads.loss(features, facts_of([stated(negative)] * 2))
    loss.backward()
    unstated = [number for number, name in enumerate(heads) if name in {"zone", "level", "size"}]
    assert torch.isfinite(loss) and features.grad is not None
    assert features.grad[:, unstated].abs().max() == 0 and features.grad.abs().max() > 0


def test_what_nobody_knows_is_nan():
    facts = stated_facts(StructuredFields(), positive=True)
    assert {name for name, value in facts.items() if not math.isnan(value)} == {"positive"}
    facts = stated_facts(StructuredFields(lesions=(LesionFields(isup=2),), isup=2), positive=True)
    assert {name for name, value in facts.items() if not math.isnan(value)} == {"positive"}
    facts = stated_facts(
        StructuredFields(lesions=(LesionFields(side="left"), LesionFields(zone="peripheral"))), positive=True
    )
    assert math.isnan(facts["left"]) and math.isnan(facts["right"]), "the other lesion may lie on either side"
