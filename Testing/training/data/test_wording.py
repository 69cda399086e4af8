"""The wording of training reports: kept by a run until it is exported, and given to models that were made without."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from ccella_core.cases.prepared import PreparedCase, PreparedSet, PrepareSettings, write_cases, write_index
from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.models.model import ModelFolder
from ccella_core.models.report_profile import read_profile
from ccella_core.phantom.patient import draw_findings
from ccella_core.phantom.report import write_report
from ccella_core.training.data.wording import PROFILE_NAME, keep_profile, kept_profile, profile_of


def prepared(folder: Path, patients: int) -> PreparedSet:
    cases = []
    for seed in range(patients):
        findings = draw_findings(seed)
        cases.append(
            PreparedCase(
                id=f"case{seed}", patient=f"patient{seed}", split="train", pathology=findings.pathology, pirads=None,
                reports=(write_report(findings, seed=seed),), report_source="given", fields=None, has_regions=False,
                source_spacing_mm=(1, 1, 1), source_shape=(8, 8, 8), sha256={},
            )
        )  # fmt: skip
    other = cases[0].model_copy(update={"id": "test", "split": "test", "reports": ("Held out.",)})
    folder.mkdir()
    write_index(folder, PrepareSettings())
    write_cases(folder, [*cases, other])
    return PreparedSet.open(folder)


def test_a_run_keeps_the_wording_of_what_it_trains_on(tmp_path, caplog):
    cases = prepared(tmp_path / "prepared", 40)
    keep_profile(tmp_path, cases, mirror=True)
    profile = kept_profile(tmp_path)
    assert profile == profile_of(cases, mirror=True) and profile.reports == 80 and profile.language == "English"
    assert "held" not in profile.model_dump_json(), "the test cases are for measuring alone"
    assert profile_of(cases, mirror=False).reports == 40
    (tmp_path / PROFILE_NAME).write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        kept_profile(tmp_path)
    (tmp_path / PROFILE_NAME).unlink()
    keep_profile(tmp_path, prepared(tmp_path / "few", 10), mirror=False)
    assert kept_profile(tmp_path) is None and "needs 30 patients with a report" in caplog.text


def test_reports_that_cannot_be_mirrored_are_kept_as_they_are():
    reports = [("Herd links apikal.",)] * 40
    cases = SimpleNamespace(
        split=lambda _: [SimpleNamespace(patient=str(n), reports=each) for n, each in enumerate(reports)]
    )
    profile = profile_of(cases, mirror=True)
    assert profile.reports == 40 and profile.follows["links"] == ("apikal",)


def test_the_command(own_pipeline, tmp_path):
    model = own_pipeline.save_pretrained(tmp_path / "tiny")
    few, enough = prepared(tmp_path / "few", 10), prepared(tmp_path / "enough", 40)
    run = CliRunner().invoke
    result = run(app, ["models", "profile", str(model.path), str(few.folder)])
    assert result.exit_code == 2 and "fewer than 30 patients" in result.stderr and read_profile(model) is None
    result = run(app, ["models", "profile", str(model.path), str(enough.folder), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["reports"] == 40
    changed = ModelFolder.open(model.path)
    assert read_profile(changed).language == "English" and changed.sha256 == model.sha256
    result = run(app, ["models", "profile", str(model.path), str(enough.folder), "--mirror"])
    assert "knows how 80 reports are worded" in result.stdout
