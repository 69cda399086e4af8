"""The authors' lists: their keys, their one-hot classes, their two files; what cannot be used is refused by name."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from ccella_core.cases.authors import read_authors_list
from ccella_core.cases.layouts import read_source
from ccella_core.errors import InputError

ENTRY = {"axt2": "./anna/axt2.nii.gz", "dataset": "Institute1", "folder": "anna", "pirads": [1, 0],
         "spacing": [0.5, 0.5, 0.5625], "text": "No suspicious lesion.", "text_isnull": 0}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two patients' images, empty: what is in them is for others to judge."""
    for patient in ("anna", "bert"):
        (tmp_path / patient).mkdir()
        (tmp_path / patient / "axt2.nii.gz").touch()
    return tmp_path


def written(folder: Path, content: Any, name: str = "train.json") -> Path:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return folder / name


def test_every_key_is_read(folder):
    other = {"axt2": "axt2.nii.gz", "folder": "bert", "pirads": 4, "text": "", "text_isnull": 1}
    (one, two), refused = read_source(written(folder, [ENTRY, other], "cases.json"))[:2]
    assert not refused
    assert (one.id, one.patient, one.pathology, one.pirads) == ("anna_axt2", "anna", "negative", None)
    assert one.images == {"t2w": folder / "anna" / "axt2.nii.gz"} and one.spacing_mm == (0.5, 0.5, 0.5625)
    assert (one.reports, one.report_source, one.split) == (("No suspicious lesion.",), "given", None)
    assert two.images == {"t2w": folder / "bert" / "axt2.nii.gz"}, "below its folder"
    assert (two.pathology, two.pirads, two.reports, two.report_source) == ("positive", 4, (), "none")


def test_three_sequences_are_read_as_ccella_plus_plus_lists_them(folder):
    for name in ("b1600", "adc"):
        (folder / "anna" / f"{name}.nii.gz").touch()
    entry = {
        **ENTRY,
        "b1600": "./anna/b1600.nii.gz",
        "adc": "adc.nii.gz",
        "text": "/path/to/nulltext.npy",
        "text_isnull": 1,
    }
    (case,), refused = read_authors_list(written(folder, [entry], "train_merged.json"))[:2]
    assert not refused
    assert case.images == {
        "t2w": folder / "anna" / "axt2.nii.gz",
        "hbv": folder / "anna" / "b1600.nii.gz",
        "adc": folder / "anna" / "adc.nii.gz",
    }
    _, (refused_case,) = read_authors_list(written(folder, [{**entry, "adc": "none.nii.gz"}]))[:2]
    assert "adc: there is no" in refused_case.reason


def test_lists_may_be_of_institutions(folder):
    bert = {**ENTRY, "axt2": "bert/axt2.nii.gz", "folder": "bert"}
    del bert["dataset"]
    source = read_authors_list(written(folder, {"institute1": [ENTRY], "Institute2": [bert]}, "all.json"))
    assert [(case.id, case.split) for case in source.cases] == [("anna_axt2", None), ("bert_axt2", None)]
    (warning,) = source.warnings
    assert "institute1 1, institute2 1" in warning and "the authors train on institute1 alone" in warning
    assert read_authors_list(written(folder, {"institute1": [ENTRY]}, "one.json")).warnings == ()
    with pytest.raises(InputError, match="has a list 'institut1'"):
        read_authors_list(written(folder, {"institut1": [ENTRY]}, "typo.json"))


def test_a_null_report_is_none_whatever_its_text(folder):
    (case,), _ = read_authors_list(written(folder, [{**ENTRY, "text_isnull": True}]))[:2]
    assert case.reports == () and case.report_source == "none"


def test_a_report_may_be_a_file(folder):
    (folder / "report.txt").write_text("A lesion.\n", encoding="utf-8")
    (case,), _ = read_authors_list(written(folder, [{**ENTRY, "text": "report.txt"}]))[:2]
    assert case.reports == ("A lesion.",)


def test_splits_are_lists_in_a_file_or_files_in_a_folder(folder):
    bert = {**ENTRY, "axt2": "bert/axt2.nii.gz", "folder": "bert", "pirads": [0, 1]}
    expected = [("anna_axt2", "train"), ("bert_axt2", "test")]
    (cases, refused) = read_authors_list(written(folder, {"training": [ENTRY], "test": [bert]}, "both.json"))[:2]
    assert [(case.id, case.split) for case in cases] == expected and not refused
    written(folder, [ENTRY], "train.json")
    written(folder, [bert], "test.json")
    assert [(case.id, case.split) for case in read_source(folder).cases] == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pirads": [1, 1]}, r"Its pirads \[1, 1\] is neither a score nor a class, \[1, 0\] or \[0, 1\]"),
        ({"pirads": 7}, "pirads: must be at most 5"),
        ({"text": "/path/to/text.npy"}, r"text\.npy is a report that was encoded already; give the report itself"),
        ({"axt2": "./carl/axt2.nii.gz"}, "t2w: there is no"),
        ({"axt2": None}, "no axt2 and pirads"),
        ({"extra": 1}, "not understood: extra"),
        ({"spacing": [0.5, 0.5]}, "spacing"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(folder, change, said):
    bert = {**ENTRY, "axt2": "bert/axt2.nii.gz", "folder": "bert"}
    cases, (refused,) = read_authors_list(written(folder, [bert, {**ENTRY, **change}]))[:2]
    assert [case.id for case in cases] == ["bert_axt2"]
    assert re.search(said, refused.reason)


@pytest.mark.parametrize(
    ("content", "said"),
    [("[", "cannot be read as JSON"), ({"axt2": "a"}, "holds neither a list"), ({"folds": []}, "has a list 'folds'")],
)
def test_what_is_no_list_is_said(folder, content, said):
    with pytest.raises(InputError, match=said):
        read_authors_list(written(folder, content, "cases.json"))


def test_a_folder_without_lists_is_said(tmp_path):
    with pytest.raises(InputError, match=r"no list of cases in .*, such as train\.json"):
        read_source(tmp_path, "authors")
    with pytest.raises(InputError, match=r"no PI-CAI or PROSTATEx folder and holds no train\.json"):
        read_source(tmp_path)


def test_an_image_that_stands_twice_costs_its_second_entry_alone(folder):
    cases, refused = read_authors_list(written(folder, [ENTRY, ENTRY | {"text": "Another."}]))[:2]
    assert [each.id for each in cases] == ["anna_axt2"]
    assert refused[0].id == "anna_axt2" and "stands in the lists already" in refused[0].reason
