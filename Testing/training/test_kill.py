"""A training that is killed, as a computer that loses power kills it, and started again ends with the same weights."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from latent_cases import TINY_AUTOENCODER, tiny_autoencoder, tiny_network

from ccella_core.bundle import save_component
from ccella_core.cases.layouts import read_source
from ccella_core.cases.prepare import prepare
from ccella_core.cases.prepared import PrepareSettings
from ccella_core.cli import app
from ccella_core.training.checkpoint import Checkpoints

STEPS, EVERY = 60, 5
PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """Prepared phantoms, an autoencoder, and a configuration that needs no text encoder."""
    from typer.testing import CliRunner

    folder = tmp_path_factory.mktemp("work")
    arguments = ["phantom", "--seed", "0", "--count", "4", "--sequence", "t2w", "--manifest", "train"]
    assert CliRunner().invoke(app, [*arguments, "--out", str(folder / "phantoms")]).exit_code == 0
    settings = PrepareSettings(shape=(16, 16, 8), spacing=(6.0, 6.0, 12.0))
    prepare(read_source(folder / "phantoms" / "manifest.jsonl"), settings, folder / "prepared")
    save_component(tiny_autoencoder(), TINY_AUTOENCODER, folder / "autoencoder")
    content = {
        "data": "prepared", "output": "whole", "autoencoder": "autoencoder", "cache": {"shard_cases": 2},
        "denoiser": {
            "network": tiny_network("radmaisi").model_dump(mode="json"), "steps": STEPS, "batch_size": 2,
            "checkpoint_every": EVERY, "ema_decay": 0.9, "learning_rate": 1e-3, "keep_checkpoints": 2,
        },
        "watching": {"tensorboard": False},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def start(work: Path, output: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ccella_core", "train", "config.yaml", "--set", f"output={output}"]
    return subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_killed_again_and_again_it_ends_with_the_same_weights(work):
    assert start(work, "whole").wait(PATIENCE_SECONDS) == 0
    checkpoints = Checkpoints(work / "killed" / "checkpoints")
    kills = 0
    for least in (EVERY, 4 * EVERY, 8 * EVERY):
        process = start(work, "killed")
        deadline = time.monotonic() + PATIENCE_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            steps = checkpoints.steps()
            if steps and int(steps[-1].stem.removeprefix("step-")) >= least:
                process.kill()
                kills += 1
                break
            time.sleep(0.005)
        process.wait(PATIENCE_SECONDS)
    assert kills >= 1, "the training was over before it could be killed"
    assert start(work, "killed").wait(PATIENCE_SECONDS) == 0
    whole, killed = Checkpoints(work / "whole" / "checkpoints").latest(), checkpoints.latest()
    assert whole["step"] == killed["step"] == STEPS
    for part in ("model", "optimiser", "schedule", "average"):
        torch.testing.assert_close(killed[part], whole[part], rtol=0, atol=0)
    log = (work / "killed" / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(log) == STEPS, "each step once, although some were done twice"
