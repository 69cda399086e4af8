"""Calibrations that cannot be used are refused, and a model without one is as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from ccella_core.errors import ModelError
from ccella_core.models.calibration import Calibration
from ccella_core.models.model import INDEX_NAME, ModelFolder

USABLE = {"tone": [[0, 0], [0.5, 0.4], [1, 1]], "gain": [1.0, 1.2], "finest_per_mm": 0.6}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tone": [[0, 0]]}, "at least 2"),
        ({"tone": [[0, 0], [0.5, 0.4], [0.5, 0.6], [1, 1]]}, "must rise"),
        ({"tone": [[0, 0.3], [1, 0.2]]}, "must rise"),
        ({"tone": [[0, 0.5], [1, 0.5]]}, "must rise"),
        ({"tone": [[0, 0], [1, 1.5]]}, "less than or equal to 1"),
        ({"tone": [[0, 0], [1, float("nan")]]}, "tone"),
        ({"gain": [1.0]}, "at least 2"),
        ({"gain": [1.0, 30.0]}, "less than or equal to 2"),
        ({"gain": [1.0, 0.0]}, "greater than or equal to 0.5"),
        ({"finest_per_mm": 0}, "greater than or equal to 0.01"),
        ({"gain": [1.0] * 1001}, "at most 1000"),
        ({"strength": 2}, "Extra inputs"),
    ],
)
def test_what_is_no_calibration_is_refused(changes: dict[str, object], words: str) -> None:
    Calibration.model_validate(USABLE)
    with pytest.raises(ValidationError, match=words):
        Calibration.model_validate({**USABLE, **changes})


def test_it_is_of_a_models_own_sequence_and_of_its_hash(tiny_model: Path, tmp_path: Path) -> None:
    before = ModelFolder.open(tiny_model)
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)

    def written(calibration: object) -> ModelFolder:
        content = json.loads((tiny_model / INDEX_NAME).read_text(encoding="utf-8"))
        assert "calibration" not in content  # nothing is said where there is none
        (copy / INDEX_NAME).write_text(json.dumps({**content, "calibration": calibration}), encoding="utf-8")
        return ModelFolder.open(copy)

    assert written({}).sha256 == before.sha256 and before.describe()["calibrated"] == []
    calibrated = written({"t2w": USABLE})
    assert calibrated.sha256 != before.sha256 and calibrated.describe()["calibrated"] == ["t2w"]
    calibrated.verify()
    with pytest.raises(ModelError, match="calibration must name sequences of the model"):
        written({"adc": USABLE})
