"""Training of the downstream classifier: what it learns, and the same after a stop."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from patience import PATIENCE_SECONDS
from toy_cases import toy_prepared, toy_synthetic
from toy_classifier import FEW, config_of, weights
from typer.testing import CliRunner

from ccella_core.cases.prepared import PreparedSet, volume_path, write_cases
from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.config import seed_folder
from ccella_core.evaluation.classifier.testing import evaluate_classifier
from ccella_core.evaluation.classifier.training import train_classifier
from ccella_core.evaluation.data.synthetic_set import read_table, write_table
from ccella_core.evaluation.data.volume_set import open_volume_set
from ccella_core.runs.checkpoint import Checkpoints
from ccella_core.runs.logging import read_log

pytestmark = pytest.mark.medium

ROOT = Path(__file__).parents[2]


def with_swapped_splits(prepared):
    """Who was learnt from becomes the test, and the other way round."""
    cases = PreparedSet.open(prepared).cases
    other = {"train": "test", "test": "train", "validation": "validation"}
    write_cases(prepared, [case.model_copy(update={"split": other[case.split]}) for case in cases])


@pytest.mark.slow
def test_it_learns_what_can_be_told(toy_run, toy_set, tmp_path):
    result = evaluate_classifier(toy_run, open_volume_set(toy_set, split="test"), resamples=FEW, out=tmp_path)
    assert result.scores.auroc.value > 0.9
    assert result.seeds == (0, 1) and result.scores.networks == 2 and result.scores.cases == 20
    mean = np.mean([result.by_seed[seed].auroc.value for seed in (0, 1)])
    assert result.scores.auroc.value == pytest.approx(mean)
    assert result.trained_on == {"real train": 24, "synthetic train": 0, "validation": 12}
    assert json.loads((tmp_path / "scores.json").read_text())["best_steps"] == list(result.best_steps)
    assert "| mean of the seeds | seed 0 | seed 1 |" in (tmp_path / "scores.md").read_text(encoding="utf-8")
    with (tmp_path / "probabilities.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [f"test-{number}" for number in range(20)]
    assert float(rows[3]["seed_1"]) == result.probability[1, 3]


def test_it_looks_at_the_validation_cases_and_keeps_the_best(toy_run):
    records = read_log(toy_run / "seed-0")
    looks = [record for record in records if record["kind"] == "validation"]
    assert [look["step"] for look in looks] == [5, 10, 15, 20, 25, 30]
    assert {"loss", "accuracy", "auroc", "average_precision"} <= looks[0].keys()
    best = min(looks, key=lambda look: look["loss"])
    assert Checkpoints(toy_run / "seed-0" / "checkpoints").latest()["best_score"] == pytest.approx(best["loss"])
    assert (toy_run / "seed-1" / "summary.html").is_file()


def test_synthetic_cases_alone_and_with_real_ones(toy_set, toy_volumes, tmp_path):
    made = {"folder": toy_volumes, "kind": "synthetic", "split": "train"}
    real = {"folder": toy_set, "kind": "real", "split": "train"}
    few = {**config_of(toy_set, tmp_path).classifier.model_dump(), "steps": 2, "validations": 1}
    for name, sources, expected in (("synthetic", [made], (0, 24)), ("both", [real, made], (6, 24))):
        config = config_of(
            toy_set, tmp_path / name, train=sources, classifier=few, real_count=6 if name == "both" else None
        )
        about = json.loads((train_classifier(config) / "seed-0" / "run.json").read_text(encoding="utf-8"))
        assert (about["data"]["cases"]["real train"], about["data"]["cases"]["synthetic train"]) == expected


def test_a_run_that_was_stopped_ends_with_the_same_weights(toy_run, toy_set, tmp_path, monkeypatch):
    config = config_of(toy_set, tmp_path / "stopped")

    class Stopped(Exception):
        pass

    save = Checkpoints.save

    def save_and_stop(checkpoints, step, state):
        save(checkpoints, step, state)
        raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Checkpoints, "save", save_and_stop)
        train_classifier(config)
    volumes = open_volume_set(toy_set, split="test")
    with pytest.raises(InputError, match=r"seed-0 stopped at step 10 of 30; let `ccella train classifier` go on"):
        evaluate_classifier(config.output, volumes, resamples=FEW)
    train_classifier(config)
    torch.testing.assert_close(weights(config.output), weights(toy_run), rtol=0, atol=0)
    assert len([1 for record in read_log(config.output / "seed-0") if record["kind"] == "step"]) == 30


def test_seeds_can_be_added_to_a_run_and_nothing_else_changed(toy_set, tmp_path):
    few = {**config_of(toy_set, tmp_path).classifier.model_dump(), "steps": 2, "validations": 1}
    train_classifier(config_of(toy_set, tmp_path / "run", classifier=few))
    first = weights(tmp_path / "run")
    train_classifier(config_of(toy_set, tmp_path / "run", classifier=few, seeds=(0, 5)))
    torch.testing.assert_close(weights(tmp_path / "run"), first, rtol=0, atol=0)
    assert seed_folder(tmp_path / "run", 5).is_dir()
    with pytest.raises(InputError, match=r"another configuration \(real_count was None and is 4\)"):
        train_classifier(config_of(toy_set, tmp_path / "run", classifier=few, real_count=4))


@pytest.mark.parametrize("older", [False, True], ids=["with fingerprints", "begun before there were any"])
def test_a_run_whose_cases_have_changed_does_not_go_on_and_keeps_its_patients(tmp_path, older):
    prepared = toy_prepared(tmp_path / "prepared", {"train": 4, "validation": 4, "test": 4})
    few = {**config_of(prepared, tmp_path).classifier.model_dump(), "steps": 1, "validations": 1, "batch_size": 2}
    config = config_of(prepared, tmp_path / "run", classifier=few)
    record = train_classifier(config) / "run.json"
    if older:
        content = json.loads(record.read_text(encoding="utf-8"))
        del content["data"]["fingerprints"]
        record.write_text(json.dumps(content), encoding="utf-8")
    before = json.loads(record.read_text(encoding="utf-8"))["data"]
    train_classifier(config)  # the same cases: nothing to do
    assert json.loads(record.read_text(encoding="utf-8"))["data"] == before
    assert evaluate_classifier(config.output, open_volume_set(prepared, split="test"), resamples=FEW).scores.cases == 4
    with_swapped_splits(prepared)
    with pytest.raises(InputError, match=r"The cases in .*prepared have changed since the training in .*run was begun"):
        train_classifier(config)
    assert json.loads(record.read_text(encoding="utf-8"))["data"] == before
    with pytest.raises(InputError, match=r"The cases to test on hold .* of the train cases"):
        evaluate_classifier(config.output, open_volume_set(prepared, split="test"), resamples=FEW)


def test_synthetic_volumes_that_were_made_anew_are_not_gone_on_with(toy_set, tmp_path):
    made = toy_synthetic(tmp_path / "made", toy_set)
    few = {**config_of(toy_set, tmp_path).classifier.model_dump(), "steps": 1, "validations": 1}
    source = {"folder": made, "kind": "synthetic", "split": "train"}
    config = config_of(toy_set, tmp_path / "run", train=[source], classifier=few)
    train_classifier(config)
    rows = read_table(made)
    (made / rows[0].path).write_bytes((made / rows[1].path).read_bytes())
    write_table(made, [rows[0].model_copy(update={"sha256": rows[1].sha256}), *rows[1:]])
    with pytest.raises(InputError, match=r"The cases in [^,]*made have changed"):
        train_classifier(config)


def test_the_command_trains(toy_set, tmp_path):
    content = config_of(toy_set, tmp_path / "run").model_dump(mode="json")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    command = ["train", "classifier", str(tmp_path / "c.yaml"), "--set", "classifier.steps=2"]
    shown = CliRunner().invoke(app, [*command, "--show-config"])
    assert yaml.safe_load(shown.stdout)["classifier"]["steps"] == 2 and not (tmp_path / "run").exists()
    trained = CliRunner().invoke(app, command)
    assert trained.exit_code == 0 and "a folder for each seed" in trained.stdout
    refused = CliRunner().invoke(app, [*command, "--set", "clasifier.steps=2"])
    assert refused.exit_code == 2 and "there is no key clasifier" in refused.stderr


def test_volumes_that_cannot_be_used_are_left_out_by_name(tmp_path):
    prepared = toy_prepared(tmp_path / "prepared", {"train": 5, "validation": 3})
    damaged = [prepared / volume_path(name, "t2w") for name in ("train-1", "validation-2")]
    whole = [path.read_bytes() for path in damaged]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-30])
    few = {**config_of(prepared, tmp_path).classifier.model_dump(), "steps": 1, "validations": 1, "batch_size": 2}
    config = config_of(prepared, tmp_path / "run", classifier=few).model_dump(mode="json")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = ["train", "classifier", str(tmp_path / "c.yaml")]
    trained = CliRunner().invoke(app, command)
    assert trained.exit_code == 3 and "2 left out" in trained.stderr
    assert all(f"Left out: {name} of {prepared}" in trained.stderr for name in ("train-1", "validation-2"))
    about = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))["data"]
    assert about["cases"] == {"real train": 4, "synthetic train": 0, "validation": 2} and len(about["left_out"]) == 2
    for path, content in zip(damaged, whole, strict=True):
        path.write_bytes(content)
    mended = CliRunner().invoke(app, command)  # other cases than those that the run was begun on
    assert mended.exit_code == 2 and "train-1" in mended.stderr and "have changed since" in mended.stderr


@pytest.mark.slow
def test_two_processes_share_batches_and_validation_cases(toy_set, tmp_path):
    config = config_of(toy_set, tmp_path / "run")
    training = config.classifier.model_copy(update={"steps": 3, "validations": 3})
    content = config.model_copy(update={"classifier": training}).model_dump(mode="json")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    # `accelerate launch` starts several processes for GPUs; for processors alone, torch's own launcher does.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [*launch, "-m", "ccella_core", "train", "classifier", str(tmp_path / "c.yaml")]
    ended = subprocess.run(
        command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("The run is in") == 1
    run = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert run["processes"] == 2
    records = read_log(tmp_path / "run" / "seed-0")
    assert [record["step"] for record in records if record["kind"] == "validation"] == [1, 2, 3]
