"""``ccella generate --on``: what leaves this computer is said and asked once, and volumes come back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
from loopback_host import ALIAS, LoopbackHost, gone, loopback_host
from typer.testing import CliRunner, Result

from ccella_core.cli import app, remote
from ccella_core.client.consent import REPORT as REPORT_LEAVES
from ccella_core.client.protocol import EXIT_PARENT_GONE, decode
from ccella_core.imaging.volume import SyntheticVolume

__all__ = ["loopback_host"]

ROOT = Path(__file__).resolve().parent.parent.parent
REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex."


@pytest.fixture(autouse=True)
def no_agreement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has agreed to anything yet."""
    monkeypatch.setattr(remote, "_file", lambda: tmp_path / "settings" / "hosts.json")


def generate(model: Path, out: Path, *more: object) -> Result:
    arguments = ("generate", "--model", model, "--report", REPORT, "--device", "cpu", "--out", out, "--seed", 7, *more)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_nothing_is_sent_before_somebody_agreed(tiny_model: Path, tmp_path: Path) -> None:
    result = generate(tiny_model, tmp_path / "out", "--on", "me@nowhere.invalid")
    assert result.exit_code == 2
    assert "These leave this computer for me@nowhere.invalid: the reports that you generate from." in result.stderr
    assert "Agree to it with --yes" in result.stderr and not (tmp_path / "settings").exists()


def test_what_cannot_be_is_a_sentence(tiny_model: Path, tmp_path: Path) -> None:
    result = generate(tiny_model, tmp_path / "out", "--on", "-oProxyCommand=x", "--yes")
    assert result.exit_code == 2 and "is no other computer" in result.stderr
    result = generate(Path("hf:some/model"), tmp_path / "out", "--on", "somewhere", "--yes")
    assert result.exit_code == 2 and "ccella models download hf:some/model there" in result.stderr
    result = generate(tiny_model, tmp_path / "out", "--on", "somewhere", "--yes", "--dtype", "float16")
    assert result.exit_code == 2 and "leave --dtype out" in result.stderr


@pytest.mark.medium
def test_the_worker_of_others_says_that_it_is_ready_and_ends_with_its_input() -> None:
    command = [sys.executable, "-m", "ccella_core", "worker"]
    ended = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True)
    assert decode(ended.stdout)["event"] == "ready" and ended.returncode == EXIT_PARENT_GONE
    assert ended.stderr == b""


@pytest.mark.medium
def test_asked_once_for_a_host(
    loopback_host: LoopbackHost, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(remote, "_ask", lambda *question: asked.append(question))
    for overwrite in ((), ("--overwrite",)):
        result = generate(
            tiny_model, tmp_path / "out", "--on", ALIAS, "--steps", 1, "--no-picture", "--json", *overwrite
        )
        assert result.exit_code == 0, result.stderr
    assert asked == [(ALIAS, (REPORT_LEAVES,))]
    (entry,) = json.loads(result.stdout)["volumes"]
    volume = SyntheticVolume.load(entry["volume"])
    assert volume.provenance.seed == 7 and volume.provenance.report == REPORT
    assert Path(entry["volume"]).name == "SYNTHETIC_tiny_seed7.nii.gz"
    assert gone(loopback_host.workers) and loopback_host.left_behind() == []


def test_a_host_that_got_reports_only_is_asked_about_the_scan(tiny_model: Path, tmp_path: Path) -> None:
    """Also one that was agreed to before scans were sent at all."""
    scan = tmp_path / "Doe.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((14, 44, 40), np.int16)), str(scan))
    settings = tmp_path / "settings"
    settings.mkdir()
    for stored in ('["me@nowhere.invalid"]', '{"me@nowhere.invalid": ["report"]}'):
        (settings / "hosts.json").write_text(stored)
        result = generate(tiny_model, tmp_path / "out", "--on", "me@nowhere.invalid", "--image", scan)
        assert result.exit_code == 2
        assert (
            "These leave this computer for me@nowhere.invalid: the scans that you edit, with the masks" in result.stderr
        )
        assert "reports" not in result.stderr and "Agree to it with --yes" in result.stderr
        assert (settings / "hosts.json").read_text() == stored


@pytest.mark.medium
def test_a_scan_is_edited_there(loopback_host: LoopbackHost, tiny_model: Path, tmp_path: Path) -> None:
    voxels = np.random.default_rng(0).integers(0, 900, (14, 44, 40)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(tmp_path / "Doe.nii.gz"))
    edit = ("--image", tmp_path / "Doe.nii.gz", "--around=-20,-22,7", "--radius", 5)
    there = ("--on", ALIAS, "--yes", "--steps", 1, "--no-picture", "--json")
    result = generate(tiny_model, tmp_path / "out", *edit, *there)
    assert result.exit_code == 0, result.stderr
    (entry,) = json.loads(result.stdout)["volumes"]
    volume = SyntheticVolume.load(entry["volume"])
    changed = np.argwhere(volume.voxels != voxels.T)
    assert len(changed) > 50 and np.linalg.norm(changed - [20, 22, 7], axis=1).max() <= 5
    assert Path(entry["volume"]).name.startswith("SYNTHETIC_EDITED_FROM_")
    assert gone(loopback_host.workers) and loopback_host.left_behind() == []
