"""Two processes that share each batch learn what one process learns from the whole of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from latent_cases import build

SCRIPT = Path(__file__).with_name("two_processes.py")
ROOT = Path(__file__).parents[2]


def heard(cache: Path, out: Path, processes: int) -> dict:
    out.mkdir()
    # `accelerate launch` starts several processes for GPUs; for processors alone, torch's own launcher does.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes),
              str(SCRIPT), str(cache), str(out)]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    ended = subprocess.run(launch, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
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
