"""``ccella models``: models are listed, shown, verified, fetched and removed, and a broken one is named."""

import json
import shutil
from pathlib import Path

import pytest
from ccella_command import ccella
from typer.testing import CliRunner

from ccella_core.cli import app


@pytest.mark.medium
def test_models_list_show_and_verify(models: Path) -> None:
    listed = json.loads(ccella("models", "list", "--json").stdout)
    assert [model["name"] for model in listed["models"]] == ["tiny"]
    assert [Path(entry["path"]).name for entry in listed["broken"]] == ["broken"]
    plain = ccella("models", "list")
    assert "tiny 1" in plain.stdout and "Cannot be used" in plain.stderr

    assert "licence: Apache-2.0" in ccella("models", "show", "tiny").stdout
    assert json.loads(ccella("models", "show", "tiny", "--json").stdout)["native_shape"] == [16, 16, 8]
    assert "tiny is whole" in ccella("models", "verify", "tiny").stdout
    assert json.loads(ccella("models", "verify", "tiny", "--json").stdout)["files"] > 5

    unknown = ccella("models", "show", "tinny")
    assert unknown.exit_code == 1 and "Did you mean tiny?" in unknown.stderr


def test_an_unverified_model_ends_with_1(tiny_model: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_model, copy)
    (copy / "scheduler" / "config.json").write_text("{}", encoding="utf-8")
    result = ccella("models", "verify", copy)
    assert result.exit_code == 1 and "truncated" in result.stderr


def test_download_needs_a_reference_and_is_what_the_error_names(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ccella_core.models.search.user_models_dir", lambda: models)
    assert ccella("models", "download", "tiny").exit_code == 2
    result = ccella("models", "show", "hf:nobody/nothing")
    assert result.exit_code == 1 and "`ccella models download hf:nobody/nothing`" in result.stderr


def test_a_model_is_removed_and_one_that_came_along_is_not(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(models / "broken", tmp_path / "mine" / "old")
    monkeypatch.setattr("ccella_core.models.search.default_search_paths", lambda: [tmp_path / "mine", models])
    monkeypatch.setattr("ccella_core.models.search.shipped_models_dir", lambda: models)
    kept = CliRunner().invoke(app, ["models", "remove", "old"], input="n\n")
    assert kept.exit_code == 0 and "Delete" in kept.output and (tmp_path / "mine" / "old").exists()
    removed = ccella("models", "remove", "old", "--yes", "--json")
    assert json.loads(removed.stdout) == {"removed": str(tmp_path / "mine" / "old")}
    assert not list((tmp_path / "mine").iterdir())
    refused = ccella("models", "remove", "tiny", "--yes")
    assert refused.exit_code == 1 and "came with this software" in refused.stderr and (models / "broken").exists()
    assert "There is no model named 'old'" in ccella("models", "remove", "old", "--yes").stderr
