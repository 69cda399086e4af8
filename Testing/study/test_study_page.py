"""The page of a study: whole in itself, and with nothing that was not measured."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_up import VARIANTS, arm_scores, image_measures, study_result

from ccella_core.provenance import SYNTHETIC_LABEL
from ccella_core.study.examples import Examples, chosen_cases, examples_of, shown_slice
from ccella_core.study.figures import classifier_plot, forest_plot
from ccella_core.study.result import StudyResult, write_result
from ccella_core.study.study_page import write_page


@pytest.mark.medium
def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    text = write_page(study_result(), tmp_path, Examples("AAAA", [("p1", "A <report>.")])).read_text(encoding="utf-8")
    assert "<script" not in text and not re.search(r'(?:src|href)="(?!data:|#)', text)
    assert text.count("<svg") == 3
    for heading in ("In short", "Image quality", "The class read from the report", "Left out"):
        assert f"<h2>{heading}</h2>" in text
    assert "copied" not in text  # privacy was not measured
    assert "prefers-color-scheme: dark" in text


def test_the_result_is_read_by_machines(tmp_path: Path) -> None:
    result = study_result()
    write_result(result, tmp_path)
    assert StudyResult.model_validate_json((tmp_path / "study.json").read_bytes()) == result
    assert json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))["format"] == "ccella-study"
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        "classifier_differences.csv", "classifiers.csv", "measures.csv",
    ]  # fmt: skip
    assert (tmp_path / "study.md").read_text(encoding="utf-8").startswith("# A study")


def test_figures_are_there_only_for_what_was_measured() -> None:
    assert forest_plot(image_measures(), "privacy", VARIANTS) is None  # type: ignore[arg-type]
    assert classifier_plot([], VARIANTS) is None  # type: ignore[arg-type]
    drawn = forest_plot(image_measures(), "images", VARIANTS)  # type: ignore[arg-type]
    assert drawn is not None and drawn.startswith("<svg") and drawn.rstrip().endswith("</svg>")
    only_real = [score for score in arm_scores() if score.arm == "real"]
    assert (classifier_plot(only_real, VARIANTS) or "").startswith("<svg")  # type: ignore[arg-type]


def case(name: str, pathology: str, *, reports: tuple[str, ...] = ("A <report>.",)) -> SimpleNamespace:
    return SimpleNamespace(id=name, pathology=pathology, reports=reports)


def test_examples_are_labelled_and_their_slice_shows_the_lesion(tmp_path: Path) -> None:
    lesion = np.zeros((8, 8, 4), bool)
    lesion[2:4, 2:4, 3] = True
    prepared = SimpleNamespace(
        settings=SimpleNamespace(shape=(8, 8, 4), spacing=(1.0, 1.0, 3.0)),
        regions=lambda case: (lesion, lesion) if case.pathology == "positive" else None,
        voxels=lambda case, sequence: np.zeros((8, 8, 4), np.float32),
    )
    cases = chosen_cases(
        [case("n1", "negative"), case("p1", "positive"), case("p2", "positive"), case("e", "negative", reports=())], 2
    )  # type: ignore[list-item]
    assert [each.id for each in cases] == ["p1", "n1"]
    assert [shown_slice(prepared, each) for each in cases] == [3, 2]  # type: ignore[arg-type]
    made = {"ccella": {each.id: np.ones((8, 8, 4), np.float32) for each in cases}}
    examples = examples_of(prepared, cases, "t2w", made)  # type: ignore[arg-type]
    assert examples.reports == [("p1, positive", "A <report>."), ("n1, negative", "A <report>.")]
    html = write_page(study_result(), tmp_path, examples).read_text(encoding="utf-8")
    assert SYNTHETIC_LABEL in html and "A &lt;report&gt;." in html
    assert f"data:image/png;base64,{examples.picture}" in html
