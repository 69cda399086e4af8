"""Scores of downstream classifiers and their comparison, on cases that they have not seen."""

from __future__ import annotations

import json

import pytest
from toy_classifier import FEW, config_of
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.testing import compare_classifiers, comparison_markdown, evaluate_classifier
from ccella_core.evaluation.classifier.training import train_classifier
from ccella_core.evaluation.data.volume_set import open_volume_set

pytestmark = pytest.mark.medium


@pytest.mark.slow
def test_two_runs_are_compared_on_the_same_cases(toy_run, toy_set, tmp_path):
    few = {**config_of(toy_set, tmp_path).classifier.model_dump(), "steps": 1, "validations": 1}
    poor = train_classifier(config_of(toy_set, tmp_path / "poor", classifier=few))
    arguments = ["evaluate", "classifier", str(toy_run), "--data", str(toy_set), "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, [*arguments, "--against", str(poor)])
    assert shown.exit_code == 0, shown.output
    assert "# real against poor" in shown.stdout and "| AUROC (DeLong, of these very networks) | +" in shown.stdout
    comparison = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    good, bad = (json.loads((tmp_path / "out" / name).read_text()) for name in ("scores.json", "against/scores.json"))
    difference = good["scores"]["auroc"]["value"] - bad["scores"]["auroc"]["value"]
    assert comparison["auroc"]["value"] == pytest.approx(difference)
    assert comparison["differences"]["accuracy"]["n"] == 20
    volumes = [open_volume_set(toy_set, split=split) for split in ("test", "test")]
    volumes[1].members = volumes[1].members[1:]
    results = [evaluate_classifier(toy_run, each, resamples=FEW) for each in volumes]
    with pytest.raises(InputError, match="were not tested on the same cases"):
        compare_classifiers(*results)


def test_two_runs_of_one_name_and_patients_with_several_cases(toy_run, toy_set):
    result = evaluate_classifier(toy_run, open_volume_set(toy_set, split="test"), resamples=FEW)
    again = result.model_copy(update={"run": "elsewhere"})
    assert compare_classifiers(result, again, resamples=FEW).b == f"{result.name} in elsewhere"
    together = [
        case.model_copy(update={"patient": f"patient {number // 2}"}) for number, case in enumerate(result.cases)
    ]
    result = result.model_copy(update={"cases": tuple(together)})
    comparison = compare_classifiers(result, result, resamples=FEW)
    assert comparison.auroc is None
    assert "DeLong's test is left out" in comparison_markdown(comparison, result, result)


def test_it_is_not_tested_on_whom_it_has_seen(toy_run, toy_set):
    for split, seen in (("train", 24), ("validation", 12)):
        with pytest.raises(InputError, match=rf"The cases to test on hold .* and {seen - 1} more of the {split} cases"):
            evaluate_classifier(toy_run, open_volume_set(toy_set, split=split), resamples=FEW)


def test_a_folder_that_is_no_run_is_refused(toy_set, tmp_path):
    with pytest.raises(InputError, match="is not the folder of a training"):
        evaluate_classifier(tmp_path, open_volume_set(toy_set, split="test"))
