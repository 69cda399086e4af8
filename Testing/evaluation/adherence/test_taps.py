"""The outside judge, with a stand-in for its package; with the package itself where that is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from drawn_glands import examination, stated_in

from ccella_core.evaluation.adherence.examination_report import examination_markdown
from ccella_core.evaluation.adherence.examinations import run_examinations
from ccella_core.evaluation.adherence.gland import TapsJudge

STAND_IN = Path(__file__).parents[2] / "gland" / "stand_in"


@pytest.fixture
def without_taps(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "taps"]:
        monkeypatch.delitem(sys.modules, name)
    yield monkeypatch
    for name in [name for name in sys.modules if name.partition(".")[0] == "taps"]:
        del sys.modules[name]


@pytest.fixture
def taps(without_taps) -> TapsJudge:
    without_taps.syspath_prepend(str(STAND_IN))
    return TapsJudge()


def test_the_gland_is_found(taps: TapsJudge) -> None:
    one = examination(2)
    found = taps.find(one)
    assert taps.name == "taps 1.1.2" and found.dtype == bool
    assert (found == (one.volumes["t2w"] > 0.5)).all() and (found != one.gland_label).mean() < 0.001


def test_a_run_says_how_the_models_label_agrees(taps: TapsJudge) -> None:
    result = run_examinations(
        lambda report, seed: examination(seed, **stated_in(report)), taps, style="patients", cases=5, counterfactuals=1
    )
    assert result.gland_found.count == 5 and result.gland_volume_ml.r.value > 0.99
    assert result.dice.value > 0.9 and result.dice.n == 5
    assert result.moved["side"].followed.value == 1
    text = examination_markdown(result)
    assert "The gland is that of taps 1.1.2" in text and "| Gland label against it, mean Dice | 0.9" in text


def test_a_model_that_draws_no_label_is_read_as_well(taps: TapsJudge) -> None:
    result = run_examinations(
        lambda report, seed: examination(seed, label=False), taps, style="classic", cases=1, counterfactuals=0
    )
    assert result.gland_found.count == 1 and result.dice.value is None
