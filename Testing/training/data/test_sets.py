"""Several folders of prepared cases in one training: what must agree, and what each case is taken for."""

from __future__ import annotations

import numpy as np
import pytest

from ccella_core.cases.prepared import PreparedCase, PrepareSettings, write_cases, write_index
from ccella_core.config import checked
from ccella_core.errors import InputError
from ccella_core.training.data.sets import DataShare, JoinedSet
from ccella_core.training.train_config import TrainConfig

SETTINGS = PrepareSettings(shape=(16, 16, 8), spacing=(4.0, 4.0, 8.0))


def folder_of(path, names, *, settings=SETTINGS, split="train", patient=None):
    path.mkdir()
    write_index(path, settings)
    cases = [
        PreparedCase(
            id=name, patient=patient or name, split=split, pathology=None, pirads=None, reports=(),
            report_source="none", fields=None, source_spacing_mm=(1, 1, 1), source_shape=(9, 9, 9),
            has_regions=False, sha256={},
        )
        for name in names
    ]  # fmt: skip
    write_cases(path, cases)
    return path


def test_cases_of_all_folders_with_their_source_and_repeats(tmp_path):
    a, b = folder_of(tmp_path / "a", ["a1", "a2"]), folder_of(tmp_path / "b", ["b1"])
    joined = JoinedSet((DataShare(folder=a), DataShare(folder=b, repeat=20, augment=False)))
    assert [(case.id, joined.source(case)) for case in joined.split("train")] == [("a1", 0), ("a2", 0), ("b1", 1)]
    assert joined.repeats == (1, 20) and joined.folders == f"{a}, {b}"
    alone = [JoinedSet.of(each).fingerprint for each in (a, b)]
    assert joined.fingerprint == "+".join(alone) and joined.cases[0].positive is None


def test_voxels_come_from_the_case_s_own_folder(tmp_path, monkeypatch):
    joined = JoinedSet.of(tuple(DataShare(folder=folder_of(tmp_path / name, [f"{name}1"])) for name in "ab"))
    for number, each in enumerate(joined.sets):
        monkeypatch.setattr(each, "_read", lambda name, case, number=number: np.full((2, 2, 2), 65535 * number))
    assert [joined.voxels(case, "t2w").max() for case in joined.cases] == [0, 1]


@pytest.mark.parametrize(
    ("names", "more", "words"),
    [
        (["b1"], {"settings": SETTINGS.model_copy(update={"spacing": (2.0, 2.0, 8.0)})}, "the spacing 2 x 2 x 8, and"),
        (["b1"], {"settings": SETTINGS.model_copy(update={"scaling": "none"})}, "the scaling none, and those in"),
        (["a1"], {}, "The case a1 stands in .*a and in .*b; rename"),
        (["b1"], {"split": "validation", "patient": "a1"}, "The patient a1 stands in two splits, train and validation"),
    ],
)
def test_what_does_not_fit_together_is_refused(tmp_path, names, more, words):
    a, b = folder_of(tmp_path / "a", ["a1"]), folder_of(tmp_path / "b", names, **more)
    with pytest.raises(InputError, match=words):
        JoinedSet.of((DataShare(folder=a), DataShare(folder=b)))


def test_a_configuration_names_one_folder_or_several(tmp_path):
    given = {"output": "run", "autoencoder": "a", "text_encoder": "t"}
    one = checked(TrainConfig, {**given, "data": "a"}, "It")
    several = checked(TrainConfig, {**given, "data": ["a", {"folder": "b", "repeat": 3}]}, "It")
    assert str(one.data) == "a"
    assert [(str(each.folder), each.repeat, each.augment) for each in several.data] == [("a", 1, True), ("b", 3, True)]
    assert checked(TrainConfig, several.model_dump(mode="json"), "It") == several
    for data in ([], [{"folder": "b", "repeat": 0}], [{"folder": "b", "often": 2}]):
        with pytest.raises(InputError):
            checked(TrainConfig, {**given, "data": data}, "It")
