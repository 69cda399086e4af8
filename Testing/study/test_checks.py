"""What would fail hours later is refused before a study begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_study import tiny_study

from ccella_core.config import checked, merged
from ccella_core.errors import InputError
from ccella_core.evaluation.features import features
from ccella_core.study import checks
from ccella_core.study.checks import check_study
from ccella_core.study.classifiers import trainings
from ccella_core.study.config import StudyConfig
from ccella_core.study.run import run_study

NEVER_READ = Path("manifest.jsonl")


@pytest.fixture
def content(phantom_reader: Path, tiny_model: Path, tmp_path: Path) -> dict[str, Any]:
    return tiny_study(NEVER_READ, phantom_reader, tiny_model, tmp_path)


def configured(content: dict[str, Any], changes: dict[str, Any]) -> StudyConfig:
    return checked(StudyConfig, merged(content, changes), "The configuration")


def test_what_fits_is_accepted_without_training_a_phantom_reader(
    content: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "load_or_train_phantom_reader", lambda progress: pytest.fail("it was trained"))
    check_study(configured(content, {}))
    check_study(
        configured(content, {"images": {"extractors": {"phantom": None}}, "adherence": {"phantom_reader": None}})
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"classifiers": {"preset": "smal"}}, "There is no preset 'smal'"),
        ({"classifiers": {"settings": {"classifier": {"stpes": 2}}}},
         "classifiers.settings cannot be used: there is no key classifier.stpes; did you mean steps"),
        ({"synthesis": {"num_inference_steps": 2000}}, "must be a whole number from 1 to 1000, not 2000"),
        ({"training": {"settings": {"denoiser": {"scheduler": {"prediction_type": "flow"}}}},
          "synthesis": {"scheduler": "ddpm"}}, "ddpm does not fit a model of rectified flow"),
        ({"adherence": {"phantom_reader": "/nowhere"}}, "adherence.phantom_reader cannot be used: .*nowhere.* missing"),
        ({"images": {"extractors": {"phantom": "/nowhere"}}}, "extractors.phantom cannot be used: .* is missing"),
        ({"images": {"extractors": {"medicalnet": "/nowhere"}}},
         "images.extractors.medicalnet cannot be used: The weights of medicalnet are not in .*nowhere; import them"),
        ({"images": {"extractors": {"radimagenet": "/nowhere"}}}, "images.extractors.radimagenet cannot be used"),
        ({"data": {"grid": {"spacing": [0.5, 0.5, 0.5]}}},
         "The extractor phantom is a stand-in .* of 1 x 1 x 3 mm.*`ccella models import-extractor medicalnet FILE`"),
        ({"data": {"grid": {"shape": [8, 16, 8]}}}, "phantom is a stand-in .* a volume of at least"),
        ({"data": {"sequence": "adc", "grid": {"sequences": ["adc"]}}}, "trained on t2w volumes, not on adc"),
        ({"data": {"grid": {"grid": "whole"}}}, "A study measures cases of one spacing; prepare them with `--grid"),
        ({"data": {"sequence": "adc"}}, "data.sequence is adc, which is not among data.grid.sequences"),
    ],
)  # fmt: skip
def test_what_would_fail_later_is_refused_before_anything_is_done(
    content: dict[str, Any], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        run_study(configured(content, changes))
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"sequence": "adc", "grid": {"sequences": ["adc"]}}, "Adherence is read from t2w volumes, and data.sequence"),
        ({"grid": {"spacing": [0.5, 0.5, 0.5]}}, "Adherence cannot be read from these cases: .* 1 x 1 x 3 mm"),
    ],
)
def test_adherence_needs_the_grid_and_sequence_of_its_phantom_reader(
    content: dict[str, Any], monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr(checks, "load_extractors", lambda *_: ())
    content["images"] = {"extractors": {"medicalnet": None}}
    with pytest.raises(InputError, match=said):
        check_study(configured(content, {"data": data, "privacy": None}))


def test_every_arm_has_a_training_of_its_own(content: dict[str, Any], tmp_path: Path) -> None:
    found = trainings(configured(content, {}))
    assert [each.name for each in found] == [
        "classifiers-real-4-real", "classifiers-synthetic-ccella", "classifiers-both-ccella-4-real",
        "classifiers-synthetic-decoupled", "classifiers-both-decoupled-4-real",
    ]  # fmt: skip
    assert [source.kind for source in found[2].train] == ["real", "synthetic"]
    made = tmp_path / "study" / "variants" / "ccella" / "of-train-reports" / "synthetic"
    assert found[2].train[1].folder == made
