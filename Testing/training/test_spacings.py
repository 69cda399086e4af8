"""Cases with a spacing each, from the scan to the model that was trained on them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import SimpleITK as sitk  # noqa: N813
from small_training import prepare_work
from typer.testing import CliRunner

from ccella_core.cases.prepared import PreparedSet
from ccella_core.cli import app
from ccella_core.models.model import ModelFolder
from ccella_core.runs.folder import read_run

pytestmark = pytest.mark.slow


def ccella(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


def test_a_model_knows_the_spacings_that_it_was_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(prepare_work(tmp_path, steps=2, checkpoint_every=2))
    first = Path("phantoms/manifest.jsonl").read_text(encoding="utf-8").splitlines()[0]
    scan = Path("phantoms") / json.loads(first)["t2w"]
    image = sitk.ReadImage(str(scan))
    image.SetSpacing([*image.GetSpacing()[:2], 1.5 * image.GetSpacing()[2]])
    sitk.WriteImage(image, str(scan))
    command = ["prepare", "phantoms/manifest.jsonl", "--preset", "published", "--shape", 16, 16, 8, "--jobs", 1]
    ccella(*command, "--out", "whole-field")
    prepared = PreparedSet.open(Path("whole-field"))
    thick = [case.spacing_mm[2] for case in prepared.cases if case.spacing_mm is not None]
    assert len(thick) == 6 and max(thick) == pytest.approx(1.5 * min(thick))
    ccella("train", "denoiser", "config.yaml", "--set", "data=whole-field")
    record = read_run(Path("whole"))
    assert record["native_spacing_mm"][2] == pytest.approx(min(thick)), "the median"
    assert record["trained_spacing_mm"][2] == pytest.approx([min(thick), max(thick)])
    ccella("models", "export", "whole", "--out", "model", "--licence", "x", "--intended-use", "x", "--trained-on", "x")
    index = ModelFolder.open(Path("model")).index
    assert index.trained_spacing_mm is not None
    assert index.trained_spacing_mm[2] == pytest.approx((min(thick), max(thick)))
    assert "spacing each" in ccella("evaluate", "images", "whole-field", "whole-field", "--out", "scores", code=2)
    other = ccella(
        "train", "denoiser", "config.yaml", "--set", "data=[prepared, whole-field]", "--set", "output=b", code=2
    )
    assert ("have the grid whole" in other and "have the grid crop" in other) or "prepare them alike" in other
