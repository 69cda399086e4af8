"""Pre-training on synthetic cases of three sequences, then fine-tuning on a share of the real ones."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_cases import SIDE, toy_prepared, toy_synthetic
from toy_classifier import FEW, config_of, weights
from typer.testing import CliRunner

from ccella_core.cases.prepared import PreparedSet, volume_path, write_cases
from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.config import ClassifierConfig
from ccella_core.evaluation.classifier.testing import evaluate_classifier
from ccella_core.evaluation.classifier.training import train_classifier
from ccella_core.evaluation.data.volume_set import open_channels, open_volume_set
from ccella_core.runs.checkpoint import Checkpoints

pytestmark = pytest.mark.medium

SEQUENCES = ("t2w", "hbv", "adc")
FRACTIONS = (0.0625, 0.125, 0.25, 0.5, 1.0)
"""CCELLA++'s."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    counts = {"train": 32, "validation": 4, "test": 6}
    return toy_prepared(tmp_path_factory.mktemp("three") / "prepared", counts, SEQUENCES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    return toy_synthetic(tmp_path_factory.mktemp("three") / "synthetic", prepared, sequences=SEQUENCES)


def config(prepared: Path, output: Path, *, settings: dict[str, object] | None = None, **changes: object):
    short = {**config_of(prepared, output).classifier.model_dump(), "steps": 2, "validations": 1, **(settings or {})}
    return config_of(prepared, output, sequences=SEQUENCES, classifier=short, **changes)


@pytest.fixture(scope="module")
def pretrained(prepared: Path, made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = {"folder": made, "kind": "synthetic", "split": "train", "labels": "predicted"}
    output = tmp_path_factory.mktemp("runs") / "pretrained"
    return train_classifier(config(prepared, output, train=[source], settings={"choose_by": "loss"}))


def test_three_sequences_are_three_channels(prepared: Path, made: Path) -> None:
    for folder in (prepared, made):
        volumes = open_channels(folder, SEQUENCES, split="train")
        assert volumes.channels == 3 and volumes.voxels(1).shape == (3, SIDE, SIDE, SIDE)
        for place, sequence in enumerate(SEQUENCES):
            alone = open_volume_set(folder, sequence=sequence, split="train")
            np.testing.assert_array_equal(volumes.voxels(1)[place], alone.voxels(1))
    assert open_channels(prepared, ["adc"], split="test").voxels(0).shape == (SIDE,) * 3


def test_a_case_that_lacks_a_sequence_is_left_out_by_name(tmp_path: Path) -> None:
    folder = toy_prepared(tmp_path / "prepared", {"test": 4}, SEQUENCES)
    cases = list(PreparedSet.open(folder).cases)
    kept = {path: digest for path, digest in cases[1].sha256.items() if path != volume_path("test-1", "adc")}
    cases[1] = cases[1].model_copy(update={"sha256": kept})
    write_cases(folder, cases)
    volumes = open_channels(folder, SEQUENCES)
    assert [member.id for member in volumes] == ["test-0", "test-2", "test-3"]
    assert [(each.id, each.reason) for each in volumes.left_out] == [("test-1", "There is no adc of it.")]


def test_fine_tuning_goes_on_from_the_weights_and_remembers_the_patients(
    prepared: Path, pretrained: Path, tmp_path: Path
) -> None:
    still = config(prepared, tmp_path / "still", start_from=pretrained, settings={"learning_rate": 1e-30, "steps": 1})
    best = Checkpoints(pretrained / "seed-0" / "checkpoints")
    torch.testing.assert_close(
        {name: each for name, each in weights(train_classifier(still)).items() if name.endswith("weight")},
        {name: each for name, each in best.latest()["model"].items() if name.endswith("weight")},
    )  # there was one look, after the last step, so that the best are the last
    data = json.loads((still.output / "run.json").read_text(encoding="utf-8"))["data"]
    assert len(data["patients"]["pre-training"]) == 32 and len(data["patients"]["pre-training's validation"]) == 4
    result = evaluate_classifier(still.output, open_channels(prepared, SEQUENCES, split="test"), resamples=FEW)
    assert len(result.cases) == 6


def test_whom_the_pre_training_saw_is_neither_tested_nor_chosen_by(
    prepared: Path, pretrained: Path, tmp_path: Path
) -> None:
    # The run's own cases are others; those whom only its start has seen are tested.
    other = toy_prepared(tmp_path / "other", {"train": 4, "validation": 2}, SEQUENCES)
    cases = PreparedSet.open(other).cases
    write_cases(other, [case.model_copy(update={"patient": f"another {case.patient}"}) for case in cases])
    run = train_classifier(config(other, tmp_path / "run", start_from=pretrained, settings={"batch_size": 2}))
    with pytest.raises(InputError, match=r"The cases to test on hold .* of the pre-training cases of"):
        evaluate_classifier(run, open_channels(prepared, SEQUENCES, split="train"), resamples=FEW)
    chosen_by = [{"folder": prepared, "kind": "real", "split": "train"}]
    with pytest.raises(InputError, match=r"The validation cases hold the patient .* whom .*pretrained learnt from"):
        train_classifier(config(other, tmp_path / "leak", start_from=pretrained, validation=chosen_by))


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_a_fraction_of_the_real_cases(prepared: Path, tmp_path: Path, fraction: float) -> None:
    run = train_classifier(
        config(prepared, tmp_path / "run", real_fraction=fraction, settings={"steps": 1, "batch_size": 2})
    )
    data = json.loads((run / "seed-0" / "run.json").read_text(encoding="utf-8"))["data"]
    assert data["cases"]["real train"] == round(32 * fraction)


def test_the_last_weights_are_used_where_that_is_asked_for(prepared: Path, tmp_path: Path) -> None:
    settings = {"choose_by": "last", "steps": 4, "validations": 2}
    run = train_classifier(config(prepared, tmp_path / "run", settings=settings))
    result = evaluate_classifier(run, open_channels(prepared, SEQUENCES, split="test"), resamples=FEW)
    assert result.best_steps == (4,)
    assert not Checkpoints(run / "seed-0" / "checkpoints").best.exists()


def test_what_cannot_be_started_from_is_said(prepared: Path, pretrained: Path, tmp_path: Path) -> None:
    def refused(words: str, **changes: object) -> None:
        with pytest.raises(InputError, match=words):
            train_classifier(config(prepared, tmp_path / "refused", **{"start_from": pretrained, **changes}))
        assert not (tmp_path / "refused" / "run.json").exists()

    refused("another preprocessing", settings={"preprocessing": {"shape": (SIDE,) * 3, "soft_clip": 10}})
    refused("another network", settings={"network": "efficientnet-b0", "preprocessing": {"shape": (32, 32, 32)}})
    refused("is not the folder of a training", start_from=tmp_path)
    content = config(prepared, tmp_path / "refused", start_from=pretrained).model_dump()
    with pytest.raises(InputError, match="has other sequences; start from one that has the same"):
        train_classifier(ClassifierConfig.model_validate({**content, "sequences": ["t2w"]}))
    two = config(prepared, tmp_path / "two", seeds=(3, 4), settings={"steps": 1})
    train_classifier(two)
    refused(r"has no seed 0; name one of its seeds \(3, 4\)", start_from=two.output)
    record = two.output / "seed-3" / "run.json"
    record.write_text(record.read_text(encoding="utf-8").replace('"steps": 1', '"steps": 9'), encoding="utf-8")
    refused("stopped at step 1 of 9; let `ccella train classifier` go on", start_from=two.output, seeds=(3,))


def test_the_command_tests_all_channels(prepared: Path, pretrained: Path, tmp_path: Path) -> None:
    command = ["evaluate", "classifier", str(pretrained), "--data", str(prepared), "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["cases"]) == 6
    with pytest.raises(InputError, match="takes t2w, hbv, adc; open all of them"):
        evaluate_classifier(pretrained, open_volume_set(prepared, split="test"), resamples=FEW)
