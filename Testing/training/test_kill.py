"""A training that is killed, as a computer that loses power kills it, and started again ends with the same weights."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from patience import PATIENCE_SECONDS
from small_training import prepare_work

from ccella_core.runs.checkpoint import Checkpoints

pytestmark = pytest.mark.slow

STEPS, EVERY = 60, 5


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return prepare_work(tmp_path_factory.mktemp("work"), steps=STEPS, checkpoint_every=EVERY)


def start(work: Path, output: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "ccella_core", "train", "denoiser", "config.yaml", "--set", f"output={output}"]
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
    assert sum('"kind": "step"' in line for line in log) == STEPS, "each once, although some were done twice"
