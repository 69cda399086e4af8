"""Two processes that share each batch learn what one process learns from the whole of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from latent_cases import build
from patience import PATIENCE_SECONDS
from small_training import prepare_work

from ccella_core.runs.folder import read_run
from ccella_core.runs.logging import read_log

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("two_processes.py")
ROOT = Path(__file__).parents[2]


def launch(processes: int, *command: str, folder: Path) -> str:
    """Run a command in several processes at once; what it printed."""
    # `accelerate launch` starts several processes for GPUs; for processors alone, torch's own launcher does.
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    ended = subprocess.run([*launcher, *command], cwd=folder, env=environment, capture_output=True, text=True,
                           timeout=PATIENCE_SECONDS, check=False)  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


def heard(cache: Path, out: Path, processes: int) -> dict:
    out.mkdir()
    launch(processes, str(SCRIPT), str(cache), str(out), folder=out)
    return json.loads((out / "heard.json").read_text(encoding="utf-8"))


def test_two_processes_equal_one(tmp_path):
    build(tmp_path / "cache")
    one = heard(tmp_path / "cache", tmp_path / "one", 1)
    two = heard(tmp_path / "cache", tmp_path / "two", 2)
    assert (one["processes"], two["processes"]) == (1, 2) and one["done"] == two["done"] == 4
    for kind in ("steps", "validation"):
        assert len(one[kind]) == len(two[kind]) == 4
        for alone, together in zip(one[kind], two[kind], strict=True):
            assert together == pytest.approx(alone, rel=1e-3, nan_ok=True)
    names = [sorted(path.name for path in (tmp_path / run / "checkpoints").iterdir()) for run in ("one", "two")]
    assert names[0] == names[1] == ["step-00000002.safetensors", "step-00000004.safetensors"]


def test_the_whole_command_in_two_processes(tmp_path):
    """They share the making of the cache, too, and only the first writes and talks."""
    work = prepare_work(tmp_path, steps=6, checkpoint_every=3)
    logs = []
    for processes in (1, 2):
        own = [f"output=run{processes}", f"cache_folder=cache{processes}"]
        overrides = [word for each in own for word in ("--set", each)]
        said = launch(processes, "-m", "ccella_core", "train", "denoiser", "config.yaml", *overrides, folder=work)
        assert said.count("The run is in") == 1
        assert read_run(work / f"run{processes}")["processes"] == processes
        logs.append(read_log(work / f"run{processes}"))
    kinds = [[record["kind"] for record in log] for log in logs]
    assert kinds[0] == kinds[1] == ["step"] * 6 + ["validation", "picture"]
    for alone, together in zip(*logs, strict=True):
        for name in {"loss", "gradient_norm"} & alone.keys():
            assert together[name] == pytest.approx(alone[name], rel=1e-3)
    shards = [sorted(path.name for path in (work / f"cache{processes}").iterdir()) for processes in (1, 2)]
    assert shards[0] == shards[1] and len(shards[0]) == 4
