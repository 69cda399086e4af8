"""Cases for a downstream classifier: their labels, how many, and from whom it must not learn."""

from __future__ import annotations

import numpy as np
import pytest
from toy_cases import toy_prepared, toy_synthetic
from toy_classifier import config_of

from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.data import Source, open_sources, take_real
from ccella_core.evaluation.classifier.training import train_classifier


def test_labels_are_the_cases_own_or_what_the_model_read(toy_set, toy_volumes, tmp_path):
    def positive(labels):
        source = Source(folder=toy_volumes, kind="synthetic", split="train", labels=labels)
        return np.array([case.positive for case in open_sources([source], ["t2w"])])

    assert (positive("clinical") == (np.arange(24) % 2 == 0)).all()
    assert (positive("clinical") != positive("predicted")).tolist() == [number % 4 == 0 for number in range(24)]
    silent = toy_synthetic(tmp_path / "silent", toy_set, predicts=False)
    source = Source(folder=silent, kind="synthetic", split="train", labels="predicted")
    with pytest.raises(InputError, match=r"train-0 of .* has no predicted class"):
        open_sources([source], ["t2w"])


def test_fewer_real_cases_are_a_part_of_more_and_of_both_classes(toy_set, toy_volumes):
    sources = [
        Source(folder=toy_set, kind="real", split="train"),
        Source(folder=toy_volumes, kind="synthetic", split="train"),
    ]
    cases = open_sources(sources, ["t2w"])
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


def test_the_test_split_is_not_learnt_from(toy_set, tmp_path):
    for place in ("train", "validation"):
        with pytest.raises(InputError, match=r"The split test of .* is kept for `ccella evaluate classifier`"):
            source = {"folder": toy_set, "kind": "real", "split": "test"}
            train_classifier(config_of(toy_set, tmp_path / "run", **{place: [source]}))


def test_a_volume_from_a_test_patients_report_is_not_learnt_from(toy_set, tmp_path):
    leaking = toy_synthetic(tmp_path / "leaking", toy_set, patient="patient of test-3")
    made = [{"folder": leaking, "kind": "synthetic", "split": "train"}]
    with pytest.raises(InputError, match="The training cases hold the patient patient of test-3 of the test split"):
        train_classifier(config_of(toy_set, tmp_path / "run", train=made))


def test_a_patient_is_not_learnt_from_and_chosen_by(toy_set, tmp_path):
    leaking = toy_synthetic(tmp_path / "leaking", toy_set, patient="patient of validation-1")
    made = [{"folder": leaking, "kind": "synthetic", "split": "train"}]
    with pytest.raises(InputError, match="patient of validation-1 of the validation cases"):
        train_classifier(config_of(toy_set, tmp_path / "run", train=made))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "synthetic"}, "holds no synthetic cases, as `ccella synthesize` makes them"),
        ({"labels": "predicted"}, "Real cases have no predicted class"),
        ({"split": "validation"}, "The training cases hold the patient .* of the validation cases"),
    ],
)
def test_sources_that_cannot_be_used(toy_set, tmp_path, changes, sentence):
    source = {"folder": toy_set, "kind": "real", "split": "train", **changes}
    with pytest.raises(InputError, match=sentence):
        train_classifier(config_of(toy_set, tmp_path / "run", train=[source]))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_one_class_alone_is_refused(tmp_path):
    alone = toy_prepared(tmp_path / "alone", {"train": 4, "validation": 1})
    with pytest.raises(InputError, match="The validation cases need both classes; all 1 are of one"):
        train_classifier(config_of(alone, tmp_path / "run"))
