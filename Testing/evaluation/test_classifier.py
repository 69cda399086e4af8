"""The downstream classifier: what it is given, what it learns, the same after a stop, and from whom it must not."""

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
from toy_cases import SIDE, toy_prepared, toy_synthetic
from typer.testing import CliRunner

from ccella_core.cases.prepared import PreparedSet, write_cases
from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.evaluation.classifier import Augmentation, Augmenter, Preprocessing, build_classifier, preprocess
from ccella_core.evaluation.classifier_config import ClassifierConfig, read_classifier_config
from ccella_core.evaluation.classifier_data import Source, open_sources, take_real
from ccella_core.evaluation.classifier_scores import compare_classifiers, comparison_markdown, test_classifier
from ccella_core.evaluation.classify import seed_folder, train_classifier
from ccella_core.evaluation.synthetic_set import read_table
from ccella_core.evaluation.synthetic_table import write_table
from ccella_core.evaluation.volume_set import open_volume_set
from ccella_core.training.checkpoint import Checkpoints
from ccella_core.training.watch import read_log

COUNTS = {"train": 24, "validation": 12, "test": 20}
ROOT = Path(__file__).parents[2]
FEW = 200
"""Resamples, where the ends of the interval need not be exact."""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return toy_prepared(tmp_path_factory.mktemp("toy") / "prepared", COUNTS)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory, prepared):
    return toy_synthetic(tmp_path_factory.mktemp("toy") / "synthetic", prepared)


def config_of(prepared, output, **changes) -> ClassifierConfig:
    content = {
        "name": output.name,
        "output": output,
        "train": [{"folder": prepared, "kind": "real", "split": "train"}],
        "validation": [{"folder": prepared, "kind": "real", "split": "validation"}],
        "classifier": {
            "network": "resnet10",
            "preprocessing": {"shape": (SIDE,) * 3},
            "augmentation": {"translation": (1, 1, 1)},
            "steps": 30,
            "batch_size": 8,
            "learning_rate": 3e-3,
            "validations": 6,
            "choose_by": "loss",
            "checkpoint_every": 10,
        },
        "tensorboard": False,
    }
    return ClassifierConfig.model_validate({**content, **changes})


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory):
    """Trained on real cases, with two seeds."""
    return train_classifier(config_of(prepared, tmp_path_factory.mktemp("runs") / "real", seeds=(0, 1)))


def weights(run, seed=0):
    return Checkpoints(run / f"seed-{seed}" / "checkpoints").latest()["model"]


# -- what the network is given ------------------------------------------------------------------------------------


def test_a_volume_is_cropped_clipped_standardised_and_centred():
    voxels = np.zeros((40, 40, 20), np.float32)
    voxels[:20, :20, :10] = np.random.default_rng(0).uniform(0.2, 0.6, (20, 20, 10))
    voxels[3, 3, 3] = 1.0
    image = preprocess(voxels, (1.0, 1.0, 3.0), Preprocessing(shape=(24, 16, 16))).float()
    assert image.shape == (1, 24, 16, 16)
    # 20 x 20 x 10 of foreground: padded by 2 and 3 on both sides, and cut by 2.
    assert (image[0, :2] == 0).all() and (image[0, -2:] == 0).all() and (image[0, :, :, :3] == 0).all()
    inside = image[0, 2:-2, :, 3:-3]
    assert (inside != 0).all() and abs(inside.mean()) < 0.05 and abs(inside.std() - 1) < 0.05
    assert inside.max() < 2, "the bright voxel was clipped"


def test_a_volume_is_resampled_first():
    voxels = np.full((64, 64, 32), 0.3, np.float32)
    voxels[16:48] = 0.6
    image = preprocess(voxels, (0.5, 0.5, 0.5), Preprocessing(shape=(32, 32, 16), spacing=(1.0, 1.0, 2.0))).float()
    assert image.shape == (1, 32, 32, 16)
    assert (image[0, 10:22, :, 4:12] > 0.9).all() and (image[0, :6, :, 4:12] < -0.9).all()
    assert (image[0, :, :, :4] == 0).all() and (image[0, :, :, 12:] == 0).all(), "8 slices, padded to 16"


def test_an_empty_volume_is_refused():
    with pytest.raises(InputError, match="dark everywhere"):
        preprocess(np.zeros((16, 16, 16)), (1, 1, 1), Preprocessing(shape=(16, 16, 16)))


def test_augmentation_follows_from_its_seed():
    image = torch.from_numpy(np.random.default_rng(0).standard_normal((1, 16, 16, 16), dtype=np.float32))
    one, other = (Augmenter(Augmentation(translation=(2, 2, 1))) for _ in range(2))
    first = [one(image, seed) for seed in range(8)]
    assert all(torch.equal(other(image, seed), first[seed]) for seed in reversed(range(8)))
    assert len({round(float(each.sum()), 3) for each in first}) > 4
    assert all(each.shape == image.shape and each.dtype == torch.float32 for each in first)
    off = Augmenter(Augmentation(probability=0.0))
    assert all(torch.equal(off(image, seed), image) for seed in range(4))
    always = Augmenter(Augmentation(probability=1.0, rotation_degrees=0, translation=(0, 0, 0), zoom=0))
    torch.testing.assert_close(always(image, 5), image.flip(1), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("network", "shape"), [("efficientnet-b0", (32, 32, 32)), ("resnet10", (16, 32, 16))])
def test_networks_answer_with_two_logits(network, shape):
    model = build_classifier(network).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 1, *shape)).shape == (1, 2)


def test_the_published_network_is_efficientnet_b0():
    # 5.29 million parameters in two dimensions with 1000 classes; its kernels are longer by one axis here.
    assert sum(parameter.numel() for parameter in build_classifier("efficientnet-b0").parameters()) == 4_690_942


# -- what it learns -----------------------------------------------------------------------------------------------


def test_it_learns_what_can_be_told(run, prepared, tmp_path):
    result = test_classifier(run, open_volume_set(prepared, split="test"), resamples=FEW, out=tmp_path)
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


def test_it_looks_at_the_validation_cases_and_keeps_the_best(run):
    records = read_log(run / "seed-0")
    looks = [record for record in records if record["kind"] == "validation"]
    assert [look["step"] for look in looks] == [5, 10, 15, 20, 25, 30]
    assert {"loss", "accuracy", "auroc", "average_precision"} <= looks[0].keys()
    best = min(looks, key=lambda look: look["loss"])
    assert Checkpoints(run / "seed-0" / "checkpoints").latest()["best_score"] == pytest.approx(best["loss"])
    assert (run / "seed-1" / "summary.html").is_file()


def test_synthetic_cases_alone_and_with_real_ones(prepared, synthetic, tmp_path):
    made = {"folder": synthetic, "kind": "synthetic", "split": "train"}
    real = {"folder": prepared, "kind": "real", "split": "train"}
    few = {**config_of(prepared, tmp_path).classifier.model_dump(), "steps": 2, "validations": 1}
    for name, sources, expected in (("synthetic", [made], (0, 24)), ("both", [real, made], (6, 24))):
        config = config_of(
            prepared, tmp_path / name, train=sources, classifier=few, real_count=6 if name == "both" else None
        )
        about = json.loads((train_classifier(config) / "seed-0" / "run.json").read_text(encoding="utf-8"))
        assert (about["data"]["cases"]["real train"], about["data"]["cases"]["synthetic train"]) == expected


def test_labels_are_the_cases_own_or_what_the_model_read(prepared, synthetic, tmp_path):
    def positive(labels):
        source = Source(folder=synthetic, kind="synthetic", split="train", labels=labels)
        return np.array([case.positive for case in open_sources([source], "t2w")])

    assert (positive("clinical") == (np.arange(24) % 2 == 0)).all()
    assert (positive("clinical") != positive("predicted")).tolist() == [number % 4 == 0 for number in range(24)]
    silent = toy_synthetic(tmp_path / "silent", prepared, predicts=False)
    source = Source(folder=silent, kind="synthetic", split="train", labels="predicted")
    with pytest.raises(InputError, match=r"train-0 of .* has no predicted class"):
        open_sources([source], "t2w")


def test_fewer_real_cases_are_a_part_of_more_and_of_both_classes(prepared, synthetic):
    sources = [
        Source(folder=prepared, kind="real", split="train"),
        Source(folder=synthetic, kind="synthetic", split="train"),
    ]
    cases = open_sources(sources, "t2w")
    before: set[str] = set()
    for count in (2, 5, 10, 24):
        taken = take_real(cases, count, seed=3)
        real = [case for case in taken if case.kind == "real"]
        names = {case.member.id for case in real}
        assert len(taken) == count + 24 and len(names) == count and before <= names
        assert sum(case.positive for case in real) == round(count / 2)
        before = names
    others = {case.member.id for case in take_real(cases, 10, seed=4) if case.kind == "real"}
    assert others != {case.member.id for case in take_real(cases, 10, seed=3) if case.kind == "real"}
    with pytest.raises(InputError, match="real_count asks for 25 real training cases, and there are 24"):
        take_real(cases, 25, seed=0)


# -- stops ---------------------------------------------------------------------------------------------------------


def test_a_run_that_was_stopped_ends_with_the_same_weights(run, prepared, tmp_path, monkeypatch):
    config = config_of(prepared, tmp_path / "stopped")

    class Stopped(Exception):
        pass

    save = Checkpoints.save

    def save_and_stop(checkpoints, step, state):
        save(checkpoints, step, state)
        raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Checkpoints, "save", save_and_stop)
        train_classifier(config)
    volumes = open_volume_set(prepared, split="test")
    with pytest.raises(InputError, match=r"seed-0 stopped at step 10 of 30; let `ccella classify train` go on"):
        test_classifier(config.output, volumes, resamples=FEW)
    train_classifier(config)
    torch.testing.assert_close(weights(config.output), weights(run), rtol=0, atol=0)
    assert len([1 for record in read_log(config.output / "seed-0") if record["kind"] == "step"]) == 30


def test_seeds_can_be_added_to_a_run_and_nothing_else_changed(prepared, tmp_path):
    few = {**config_of(prepared, tmp_path).classifier.model_dump(), "steps": 2, "validations": 1}
    train_classifier(config_of(prepared, tmp_path / "run", classifier=few))
    first = weights(tmp_path / "run")
    train_classifier(config_of(prepared, tmp_path / "run", classifier=few, seeds=(0, 5)))
    torch.testing.assert_close(weights(tmp_path / "run"), first, rtol=0, atol=0)
    assert seed_folder(tmp_path / "run", 5).is_dir()
    with pytest.raises(InputError, match=r"another configuration \(real_count was None and is 4\)"):
        train_classifier(config_of(prepared, tmp_path / "run", classifier=few, real_count=4))


# -- comparisons ---------------------------------------------------------------------------------------------------


def test_two_runs_are_compared_on_the_same_cases(run, prepared, tmp_path):
    few = {**config_of(prepared, tmp_path).classifier.model_dump(), "steps": 1, "validations": 1}
    poor = train_classifier(config_of(prepared, tmp_path / "poor", classifier=few))
    arguments = ["classify", "test", str(run), "--data", str(prepared), "--out", str(tmp_path / "out")]
    shown = CliRunner().invoke(app, [*arguments, "--against", str(poor)])
    assert shown.exit_code == 0, shown.output
    assert "# real against poor" in shown.stdout and "| AUROC (DeLong, of these very networks) | +" in shown.stdout
    comparison = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))
    good, bad = (json.loads((tmp_path / "out" / name).read_text()) for name in ("scores.json", "against/scores.json"))
    difference = good["scores"]["auroc"]["value"] - bad["scores"]["auroc"]["value"]
    assert comparison["auroc"]["difference"] == pytest.approx(difference)
    assert comparison["differences"]["accuracy"]["n"] == 20
    volumes = [open_volume_set(prepared, split=split) for split in ("test", "test")]
    volumes[1].members = volumes[1].members[1:]
    results = [test_classifier(run, each, resamples=FEW) for each in volumes]
    with pytest.raises(InputError, match="were not tested on the same cases"):
        compare_classifiers(*results)


def test_two_runs_of_one_name_and_patients_with_several_cases(run, prepared):
    result = test_classifier(run, open_volume_set(prepared, split="test"), resamples=FEW)
    again = result.model_copy(update={"run": "elsewhere"})
    assert compare_classifiers(result, again, resamples=FEW).b == f"{result.name} in elsewhere"
    together = [
        case.model_copy(update={"patient": f"patient {number // 2}"}) for number, case in enumerate(result.cases)
    ]
    result = result.model_copy(update={"cases": tuple(together)})
    comparison = compare_classifiers(result, result, resamples=FEW)
    assert comparison.auroc is None
    assert "DeLong's test is left out" in comparison_markdown(comparison, result, result)


# -- from whom it must not learn ------------------------------------------------------------------------------------


def test_the_test_split_is_not_learnt_from(prepared, tmp_path):
    for place in ("train", "validation"):
        with pytest.raises(InputError, match=r"The split test of .* is kept for `ccella classify test`"):
            source = {"folder": prepared, "kind": "real", "split": "test"}
            train_classifier(config_of(prepared, tmp_path / "run", **{place: [source]}))


def test_a_volume_from_a_test_patients_report_is_not_learnt_from(prepared, tmp_path):
    leaking = toy_synthetic(tmp_path / "leaking", prepared, patient="patient of test-3")
    made = [{"folder": leaking, "kind": "synthetic", "split": "train"}]
    with pytest.raises(InputError, match="The training cases hold the patient patient of test-3 of the test split"):
        train_classifier(config_of(prepared, tmp_path / "run", train=made))


def test_a_patient_is_not_learnt_from_and_chosen_by(prepared, tmp_path):
    leaking = toy_synthetic(tmp_path / "leaking", prepared, patient="patient of validation-1")
    made = [{"folder": leaking, "kind": "synthetic", "split": "train"}]
    with pytest.raises(InputError, match="patient of validation-1 of the validation cases"):
        train_classifier(config_of(prepared, tmp_path / "run", train=made))


def test_it_is_not_tested_on_whom_it_has_seen(run, prepared):
    for split, seen in (("train", 24), ("validation", 12)):
        with pytest.raises(InputError, match=rf"The cases to test on hold .* and {seen - 1} more of the {split} cases"):
            test_classifier(run, open_volume_set(prepared, split=split), resamples=FEW)


def with_swapped_splits(prepared):
    """Who was learnt from becomes the test, and the other way round."""
    cases = PreparedSet.open(prepared).cases
    other = {"train": "test", "test": "train", "validation": "validation"}
    write_cases(prepared, [case.model_copy(update={"split": other[case.split]}) for case in cases])


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
    assert test_classifier(config.output, open_volume_set(prepared, split="test"), resamples=FEW).scores.cases == 4
    with_swapped_splits(prepared)
    with pytest.raises(InputError, match=r"The cases in .*prepared have changed since the training in .*run was begun"):
        train_classifier(config)
    assert json.loads(record.read_text(encoding="utf-8"))["data"] == before
    with pytest.raises(InputError, match=r"The cases to test on hold .* of the train cases"):
        test_classifier(config.output, open_volume_set(prepared, split="test"), resamples=FEW)


def test_synthetic_volumes_that_were_made_anew_are_not_gone_on_with(prepared, tmp_path):
    made = toy_synthetic(tmp_path / "made", prepared)
    few = {**config_of(prepared, tmp_path).classifier.model_dump(), "steps": 1, "validations": 1}
    source = {"folder": made, "kind": "synthetic", "split": "train"}
    config = config_of(prepared, tmp_path / "run", train=[source], classifier=few)
    train_classifier(config)
    write_table(made, [row.model_copy(update={"sha256": "1" * 64}) for row in read_table(made)])
    with pytest.raises(InputError, match=r"The cases in [^,]*made have changed"):
        train_classifier(config)


# -- what cannot be used ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "synthetic"}, "holds no synthetic cases, as `ccella synthesize` makes them"),
        ({"labels": "predicted"}, "Real cases have no predicted class"),
        ({"split": "validation"}, "The training cases hold the patient .* of the validation cases"),
    ],
)
def test_sources_that_cannot_be_used(prepared, tmp_path, changes, sentence):
    source = {"folder": prepared, "kind": "real", "split": "train", **changes}
    with pytest.raises(InputError, match=sentence):
        train_classifier(config_of(prepared, tmp_path / "run", train=[source]))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_one_class_alone_is_refused(tmp_path):
    alone = toy_prepared(tmp_path / "alone", {"train": 4, "validation": 1})
    with pytest.raises(InputError, match="The validation cases need both classes; all 1 are of one"):
        train_classifier(config_of(alone, tmp_path / "run"))


def test_a_folder_that_is_no_run_is_refused(prepared, tmp_path):
    with pytest.raises(InputError, match="is not the folder of a training"):
        test_classifier(tmp_path, open_volume_set(prepared, split="test"))


# -- the configuration -----------------------------------------------------------------------------------------------


SOURCES = """
output: out
train: [{folder: a, kind: real, split: train}]
validation: [{folder: a, kind: real, split: validation}]
"""


def test_the_published_preset_is_the_papers(tmp_path):
    (tmp_path / "c.yaml").write_text("preset: published" + SOURCES, encoding="utf-8")
    training = read_classifier_config(tmp_path / "c.yaml").classifier
    assert (training.network, training.preprocessing.shape) == ("efficientnet-b0", (256, 256, 32))
    assert (training.learning_rate, training.decay_power, training.focal_gamma) == (1e-4, 2.0, 2.0)
    assert (training.epochs, training.batch_size, training.choose_by) == (200, 32, "average_precision")
    assert training.steps_for(1600) == 200 * 50
    changed = training.augmentation
    assert (changed.probability, changed.rotation_degrees, changed.zoom) == (0.5, 15, 0.1)
    assert changed.translation == (25, 25, 2)


def test_a_preset_the_file_and_overrides_in_turn(tmp_path):
    (tmp_path / "c.yaml").write_text("classifier: {steps: 7}" + SOURCES, encoding="utf-8")
    config = read_classifier_config(tmp_path / "c.yaml", preset_name="small", overrides=["classifier.batch_size=4"])
    assert (config.classifier.network, config.classifier.steps, config.classifier.batch_size) == ("resnet10", 7, 4)
    assert config.seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("classifier.batchsize=4", "there is no key classifier.batchsize; did you mean batch_size"),
        ("train=[{folder: a, kinds: real, split: train}]", "there is no key train.0.kinds; did you mean kind"),
        ("train=[]", "train: Tuple should have at least 1 item"),
        ("seeds=[1, 1]", "a seed stands twice in seeds"),
        ("classifier.preprocessing.shape=[40, 32, 32]", "each side of preprocessing.shape must be a multiple of 32"),
        ("train=[{folder: a, kind: synthetic, split: train}]", "there are no real sources in train"),
    ],
)
def test_what_the_configuration_refuses(tmp_path, override, sentence):
    (tmp_path / "c.yaml").write_text("real_count: 4" + SOURCES, encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        read_classifier_config(tmp_path / "c.yaml", overrides=[override])


def test_an_unknown_preset_is_said(tmp_path):
    with pytest.raises(InputError, match=r"no preset 'smal'; there are published and small\. Did you mean small\?"):
        read_classifier_config(preset_name="smal")


def test_the_command_trains(prepared, tmp_path):
    content = config_of(prepared, tmp_path / "run").model_dump(mode="json")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    command = ["classify", "train", str(tmp_path / "c.yaml"), "--set", "classifier.steps=2"]
    shown = CliRunner().invoke(app, [*command, "--show-config"])
    assert yaml.safe_load(shown.stdout)["classifier"]["steps"] == 2 and not (tmp_path / "run").exists()
    trained = CliRunner().invoke(app, command)
    assert trained.exit_code == 0 and "a folder for each seed" in trained.stdout
    refused = CliRunner().invoke(app, [*command, "--set", "clasifier.steps=2"])
    assert refused.exit_code == 2 and "there is no key clasifier" in refused.stderr


def test_two_processes_share_batches_and_validation_cases(prepared, tmp_path):
    config = config_of(prepared, tmp_path / "run")
    training = config.classifier.model_copy(update={"steps": 3, "validations": 3})
    content = config.model_copy(update={"classifier": training}).model_dump(mode="json")
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    # `accelerate launch` starts several processes for GPUs; for processors alone, torch's own launcher does.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    command = [*launch, "-m", "ccella_core", "classify", "train", str(tmp_path / "c.yaml")]
    ended = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("The run is in") == 1
    run = json.loads((tmp_path / "run" / "run.json").read_text(encoding="utf-8"))
    assert run["processes"] == 2
    records = read_log(tmp_path / "run" / "seed-0")
    assert [record["step"] for record in records if record["kind"] == "validation"] == [1, 2, 3]
