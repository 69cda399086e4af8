"""Runs without the phantom reader, of generators whose honesty is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_glands import examination, stated_in

from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.adherence import FIRST_PATIENT
from ccella_core.evaluation.adherence.examination_report import ExaminationAdherence, examination_markdown
from ccella_core.evaluation.adherence.examinations import run_examinations
from ccella_core.evaluation.adherence.gland import DrawnLabels, dice
from ccella_core.evaluation.statistics.estimate import Estimate

CASES, PAIRS = 8, 2


class Honest:
    """Draws what the report says, and counts."""

    def __init__(self, change=lambda stated: stated, **settings) -> None:
        self.change, self.settings, self.seeds = change, settings, []

    def __call__(self, report: str, seed: int):
        self.seeds.append(seed)
        return examination(seed, **self.change(stated_in(report)), **self.settings)


def run(generate, out: Path | None = None, cases: int = CASES, **settings) -> ExaminationAdherence:
    settings = {"style": "patients", "counterfactuals": PAIRS, **settings}
    return run_examinations(generate, settings.pop("finder", DrawnLabels()), cases=cases, out=out, **settings)


def test_an_honest_generator_adheres(tmp_path: Path) -> None:
    generator = Honest()
    result = run(generator, tmp_path)
    assert result.gland_found == Estimate.of_share([True] * CASES)
    assert result.gland_volume_ml.r.value > 0.99 and result.gland_volume_ml.error.value < 1
    assert result.coil == Estimate.of_share([True] * CASES)
    assert result.coil_where_stated.n == result.no_coil_where_none_is_stated.n == CASES // 2
    assert list(result.moved) == ["side", "zone", "level"]
    for scores in result.moved.values():
        assert scores.followed == Estimate.of_share([True] * scores.followed.n) and 0 < scores.followed.n <= PAIRS
        assert all(share.count == share.n for share in scores.looks.values()) and set(scores.looks) == {
            "t2w", "adc", "hbv"
        }  # fmt: skip
    assert len(generator.seeds) == CASES + sum(len(case.moved) for case in result.cases)
    assert ExaminationAdherence.model_validate_json((tmp_path / "adherence.json").read_bytes()) == result
    table = (tmp_path / "adherence.md").read_text(encoding="utf-8")
    assert table == examination_markdown(result)
    assert f"| Gland found | 100.0% ({CASES}/{CASES}; 95 % 68% to 100%)" in table
    assert "| Endorectal coil as stated | 100.0% (8/8;" in table and "| left and right | 100.0% (" in table
    assert "Dice" not in table  # the label against itself


def test_a_generator_that_does_not_read_follows_nothing() -> None:
    same = {"volume_ml": 45.0, "place": ("left", "peripheral", "mid"), "coil": True}
    result = run(Honest(lambda stated: same))
    assert all(scores.followed.count == 0 < scores.followed.n for scores in result.moved.values())
    assert all(share.count == 0 for scores in result.moved.values() for share in scores.looks.values())
    assert result.coil_where_stated.value == 1 and result.no_coil_where_none_is_stated.value == 0
    assert result.gland_volume_ml.r.value is None


def test_a_generator_that_mixes_up_sides_or_contrasts_is_found_out() -> None:
    def other_side(stated):
        place = stated["place"]
        return {**stated, "place": place and ({"left": "right", "right": "left"}[place[0]], *place[1:])}

    mixed = run(Honest(other_side), changed_facts=("side",)).moved["side"]
    assert mixed.followed.count == 0 < mixed.followed.n and mixed.looks["t2w"].count == 0

    def bright(report: str, seed: int):
        drawn = Honest()(report, seed)
        return drawn._replace(volumes={**drawn.volumes, "adc": 1 - drawn.volumes["adc"]})

    scores = run(bright, changed_facts=("side",)).moved["side"]
    assert scores.followed.value == 1 and scores.looks["adc"].count == 0 and scores.looks["hbv"].value == 1


def test_volumes_without_a_gland_count_as_wrong() -> None:
    def none(report: str, seed: int):
        drawn = Honest()(report, seed)
        return drawn._replace(gland_label=np.zeros_like(drawn.gland_label))

    result = run(none)
    assert result.gland_found.count == result.coil.count == 0 and result.coil.n == CASES
    assert all(scores.followed.count == 0 < scores.followed.n for scores in result.moved.values())
    assert "not defined" in examination_markdown(result)


def test_a_model_without_diffusion_is_measured_in_t2() -> None:
    result = run(Honest(sequences=("t2w",)))
    assert all(set(scores.looks) == {"t2w"} for scores in result.moved.values())
    assert "ADC" not in examination_markdown(result)


def test_a_report_that_says_nothing_of_a_coil_is_not_asked_for_one() -> None:
    def draw(report: str, seed: int):
        return examination(seed)

    result = run(draw, style="classic", counterfactuals=0)
    assert result.coil.n == 0 and "coil as stated" not in examination_markdown(result)


def test_a_run_that_was_stopped_goes_on_and_others_are_refused(tmp_path: Path) -> None:
    run(Honest(), tmp_path, cases=3, counterfactuals=0)
    lines = tmp_path / "cases.jsonl"
    lines.write_text(lines.read_text(encoding="utf-8")[:-20], encoding="utf-8")  # stopped while it wrote
    second, told = Honest(), []
    result = run(second, tmp_path, cases=5, counterfactuals=0, progress=lambda *at: told.append(at))
    assert second.seeds == [2, 3, 4] and told == [(n, 5) for n in range(1, 6)]
    third = Honest()
    assert run(third, tmp_path, cases=5, counterfactuals=0) == result
    assert third.seeds == [0]  # by which it is seen that the model is the same
    more = run(Honest(), tmp_path, cases=5, counterfactuals=1)
    assert more.moved and len(more.cases) == 5
    for settings in ({"style": "classic"}, {"seed": 7}):
        with pytest.raises(InputError, match="made or read otherwise"):
            run(lambda report, seed: examination(seed), tmp_path, cases=6, counterfactuals=0, **settings)
    strange = json.loads(lines.read_text(encoding="utf-8").splitlines()[0])
    lines.write_text(json.dumps({**strange, "unknown": 1}), encoding="utf-8")
    with pytest.raises(InputError, match="another version or for another reader; choose another folder"):
        run(Honest(), tmp_path, cases=1)


def test_counterfactuals_have_the_same_noise() -> None:
    generator = Honest()
    result = run(generator, seed=100)
    made = [100 + case.patient - FIRST_PATIENT for case in result.cases for _ in range(1 + len(case.moved))]
    assert generator.seeds == made


def test_dice() -> None:
    a, b = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 0], bool)
    assert dice(a, b) == 0.5 and dice(a, a) == 1 and dice(a, ~a) == 0 and dice(a & ~a, a & ~a) is None
