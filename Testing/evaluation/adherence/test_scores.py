"""Scores of readings whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.measurements import MeasuredFinding
from ccella_core.evaluation.adherence.scores import NONE_SEEN, Agreement, StatedFinding, score_readings
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.phantom.fields import LesionFields, StructuredFields
from ccella_core.phantom.patient import draw_findings

NOTHING_SEEN = MeasuredFinding(has_lesion=False, gland_volume_ml=0, lesion_volume_ml=0)


@pytest.fixture(scope="module")
def stated() -> list[StatedFinding]:
    return [StatedFinding.by(draw_findings(seed)) for seed in range(100)]


def as_stated(said: StatedFinding) -> MeasuredFinding:
    return MeasuredFinding(**said.model_dump(), lesion_volume_ml=float(said.has_lesion))


def contrary(said: StatedFinding) -> MeasuredFinding:
    other = {"left": "right", "right": "left", "peripheral": "transition", "transition": "peripheral",
             "base": "apex", "apex": "mid", "mid": "base", None: None}  # fmt: skip
    places = {name: other[getattr(said, name)] for name in ("side", "zone", "level")}
    return as_stated(said).model_copy(update={**places, "has_lesion": not said.has_lesion})


def test_readings_as_stated_are_all_right(stated: list[StatedFinding]) -> None:
    scores = score_readings(stated, [as_stated(said) for said in stated])
    for share in (scores.pathology, scores.sensitivity, scores.specificity, scores.side, scores.zone, scores.level):
        assert share.count == share.n > 20
    for lengths in (scores.size_mm, scores.gland_volume_ml):
        assert (lengths.r.value, lengths.r.low, lengths.r.high) == pytest.approx((1, 1, 1))
        assert (lengths.error.value, lengths.error.high, lengths.bias.value, lengths.bias.low) == (0, 0, 0, 0)
    assert scores.size_mm.r.n == sum(said.has_lesion for said in stated) and scores.gland_volume_ml.bias.n == 100
    for table in scores.confusion.values():
        counts = np.array(table.counts)
        assert counts.sum() == np.trace(counts) > 20


def test_exchanged_labels_are_all_wrong_and_the_tables_say_how(stated: list[StatedFinding]) -> None:
    scores = score_readings(stated, [contrary(said) for said in stated])
    for share in (scores.pathology, scores.sensitivity, scores.specificity, scores.side, scores.zone, scores.level):
        assert share.count == 0 < share.n
    left, right = (sum(said.side == side for said in stated) for side in ("left", "right"))
    side = scores.confusion["side"]
    assert (side.stated, side.read) == (("left", "right"), ("left", "right", NONE_SEEN))
    assert side.counts == ((0, left, 0), (right, 0, 0))
    positive = sum(said.has_lesion for said in stated)
    assert scores.confusion["pathology"].counts == ((0, 100 - positive), (positive, 0))
    assert np.array(scores.confusion["level"].counts)[range(3), [2, 0, 1]].sum() == scores.level.n


def test_nothing_seen_counts_as_wrong_and_has_no_size(stated: list[StatedFinding]) -> None:
    scores = score_readings(stated, [NOTHING_SEEN for _ in stated])
    assert scores.specificity.value == 1 and scores.sensitivity.value == 0
    for attribute, share in (("side", scores.side), ("zone", scores.zone), ("level", scores.level)):
        assert share.count == 0 < share.n
        assert sum(row[-1] for row in scores.confusion[attribute].counts) == share.n
    assert scores.size_mm.r.n == 0 and scores.size_mm.error.value is None
    assert scores.gland_volume_ml.r.value is None  # all read alike
    assert scores.gland_volume_ml.bias.value == pytest.approx(-np.mean([said.gland_volume_ml for said in stated]))


def test_lengths_against_closed_forms() -> None:
    rng = np.random.default_rng(0)
    said = rng.normal(15, 4, 400)
    seen = 2 + said + rng.normal(0, 3, 400)
    agreement = Agreement.of(list(zip(said, seen, strict=True)))
    r = np.corrcoef(said, seen)[0, 1]
    reach = norm.ppf(0.975) / np.sqrt(400 - 3)  # Fisher 1921
    expected = (r, np.tanh(np.arctanh(r) - reach), np.tanh(np.arctanh(r) + reach))
    assert (agreement.r.value, agreement.r.low, agreement.r.high) == pytest.approx(expected)
    difference = seen - said
    reach = norm.ppf(0.975) * difference.std(ddof=1) / 20  # of a mean of 400
    assert agreement.bias.value == pytest.approx(difference.mean())
    assert (agreement.bias.low, agreement.bias.high) == pytest.approx(
        (difference.mean() - reach, difference.mean() + reach), abs=0.03
    )
    assert agreement.error.value == pytest.approx(np.abs(difference).mean())
    assert agreement.error.low < agreement.error.value < agreement.error.high
    assert agreement == Agreement.of(list(zip(said, seen, strict=True)))
    assert agreement != Agreement.of(list(zip(said, seen, strict=True)), seed=1)


def test_three_pairs_have_neither_correlation_nor_spread() -> None:
    agreement = Agreement.of([(1, 2), (3, 5), (4, 4)])
    assert agreement.r.value is agreement.error.value is agreement.bias.value is None and agreement.error.n == 3


def test_wilson_intervals() -> None:
    share = Estimate.of_share([True] * 8 + [False] * 2)  # Wilson 1927; 0.490 to 0.943 in every textbook
    assert (share.low, share.high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    none = Estimate.of_share([])
    assert (none.value, none.low, none.high, none.n) == (None, None, None, 0) and none.as_share() == "no cases"


def test_a_report_of_two_sides_names_none() -> None:
    drawn = [draw_findings(seed, pathology="positive") for seed in range(200)]
    sides = {tuple(lesion.side for lesion in findings.lesions): StatedFinding.by(findings).side for findings in drawn}
    assert sides[("left",)] == sides[("left", "left")] == "left"
    assert sides[("left", "right")] is None
    assert all(
        StatedFinding.by(findings).size_mm == max(lesion.size_mm for lesion in findings.lesions) for findings in drawn
    )
    none = StatedFinding.by(draw_findings(0, pathology="negative"))
    assert none.side is None and none.size_mm is None


def test_what_is_not_known_is_not_stated() -> None:
    lesions = (LesionFields(side="left", size_mm=12), LesionFields(side="left"))
    said = StatedFinding.known("positive", StructuredFields(lesions=lesions))
    assert (said.side, said.zone, said.size_mm, said.gland_volume_ml) == ("left", None, None, None)
    assert StatedFinding.known("negative", StructuredFields(lesions=lesions)).side is None  # PI-RADS 2
    scores = score_readings([said], [NOTHING_SEEN])
    assert (scores.side.n, scores.zone.n, scores.gland_volume_ml.r.n) == (1, 0, 0)


def test_scoring_needs_a_reading_for_each_report() -> None:
    with pytest.raises(InputError, match="one reading a report"):
        score_readings([], [])
