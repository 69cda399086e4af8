"""The class that a model read from reports, scored from the table of a synthetic set."""

from __future__ import annotations

import json
from collections.abc import Container

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from toy_cases import SETTINGS
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.class_head import evaluate_class_head
from ccella_core.evaluation.data.synthetic_set import SyntheticCase, write_settings, write_table
from ccella_core.files import alone_in


def write_set(folder, cases: dict[str, tuple[str, list[float | None]]], training: Container[str] = ()) -> None:
    """A synthetic set without images: by case the class, and the probability that was read for each of its volumes.

    ``training`` names the cases of the split train; the others are of the test.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        SyntheticCase(
            id=f"{case}-{number}",
            case=case,
            patient=case,
            split="train" if case in training else "test",
            sequence="t2w",
            pathology=pathology,
            predicted_pathology=None if probability is None else "positive" if probability > 0.5 else "negative",
            predicted_positive_probability=probability,
            seed=number,
            path=f"volumes/{case}-{number}.nii.gz",
            sha256="0" * 64,
        )
        for case, (pathology, probabilities) in cases.items()
        for number, probability in enumerate(probabilities)
    ]
    write_settings(folder, SETTINGS)
    write_table(folder, rows)


def drawn(count: int = 40) -> dict[str, tuple[str, list[float | None]]]:
    rng = np.random.default_rng(0)
    cases = {}
    for number in range(count):
        positive = bool(rng.random() < 0.5)
        read = (0.3 + 0.4 * positive + 0.2 * rng.normal(size=2)).clip(0, 1).tolist()
        cases[f"case-{number}"] = ("positive" if positive else "negative", read)
    return cases


def test_cases_are_scored_and_not_volumes(tmp_path):
    cases = drawn()
    write_set(tmp_path / "set", cases)
    result = evaluate_class_head(tmp_path / "set", resamples=200, out=tmp_path / "out")
    truth = [pathology == "positive" for pathology, _ in cases.values()]
    means = [np.mean(read) for _, read in cases.values()]
    assert result.scores.cases == 40 and result.scores.positives == sum(truth)
    assert result.scores.auroc.value == pytest.approx(roc_auc_score(truth, means))
    assert (result.model, result.without_prediction) == ("tiny 1", 0)
    assert json.loads((tmp_path / "out" / "class_head.json").read_text())["scores"]["cases"] == 40
    table = (tmp_path / "out" / "class_head.md").read_text(encoding="utf-8")
    assert "# Class head of tiny 1" in table and f"{result.scores.auroc.value:.3f}" in table


def test_a_head_that_reads_the_other_class_is_worse_than_none(tmp_path):
    cases = {f"{number}": ("positive" if number % 2 else "negative", [float(number % 2 == 0)]) for number in range(10)}
    write_set(tmp_path, cases)
    scores = evaluate_class_head(tmp_path, resamples=200).scores
    assert scores.accuracy.value == scores.auroc.value == 0


def test_cases_without_a_prediction_are_counted(tmp_path):
    write_set(tmp_path, {**drawn(10), "silent": ("negative", [None, None])})
    result = evaluate_class_head(tmp_path, split="test", resamples=200)
    assert (result.scores.cases, result.without_prediction) == (10, 1)


def test_training_cases_are_said_to_be_such(tmp_path):
    write_set(tmp_path / "set", drawn(12), training=("case-0", "case-5", "case-7"))
    result = evaluate_class_head(tmp_path / "set", resamples=10, out=tmp_path / "out")
    (warning,) = result.warnings
    assert warning.startswith("3 of 12 cases are training cases") and "`ccella synthesize --split test`" in warning
    assert f"\n\n**Warning:** {warning}\n" in (tmp_path / "out" / "class_head.md").read_text(encoding="utf-8")
    held_out = evaluate_class_head(tmp_path / "set", split="test", resamples=10, out=tmp_path / "out")
    assert (held_out.scores.cases, held_out.warnings) == (9, ())
    assert "Warning" not in (tmp_path / "out" / "class_head.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("cases", "split", "sentence"),
    [
        ({"a": ("negative", [None])}, None, "tiny, reads no class from reports"),
        ({"a": ("negative", [0.1])}, "train", "There are no cases of the split train"),
        ({}, None, "is empty"),
    ],
)
def test_what_cannot_be_scored_is_said(tmp_path, cases, split, sentence):
    write_set(tmp_path, cases)
    with pytest.raises(InputError, match=sentence):
        evaluate_class_head(tmp_path, split=split)


def test_the_command(tmp_path):
    write_set(tmp_path / "set", drawn())
    shown = CliRunner().invoke(app, ["evaluate", "class-head", str(tmp_path / "set"), "--out", str(tmp_path / "out")])
    assert shown.exit_code == 0 and "| AUROC |" in shown.stdout
    as_json = CliRunner().invoke(app, ["evaluate", "class-head", str(tmp_path / "set"), "--json"])
    assert json.loads(as_json.stdout)["scores"]["cases"] == 40
    with alone_in(tmp_path / "out"):
        second = CliRunner().invoke(
            app, ["evaluate", "class-head", str(tmp_path / "set"), "--out", str(tmp_path / "out")]
        )
    assert second.exit_code == 2 and "Another process works in" in second.stderr
    elsewhere = CliRunner().invoke(app, ["evaluate", "class-head", str(tmp_path)])
    assert elsewhere.exit_code == 2 and "was not made by `ccella synthesize`" in elsewhere.stderr
