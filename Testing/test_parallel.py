"""The same work on many things: results, order and failures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest
from patience import PATIENCE_SECONDS

from ccella_core.errors import InputError
from ccella_core.parallel import in_processes


def _square(number: int) -> int:
    if number < 0:
        raise InputError(f"{number} is negative.")
    return number**2


def _process(number: int) -> int:
    return os.getpid()


def test_one_process_keeps_the_order_and_starts_no_other():
    assert list(in_processes(_square, [3, 1, 2], jobs=1)) == [(3, 9), (1, 1), (2, 4)]
    assert list(in_processes(_process, [3], jobs=8)) == [(3, os.getpid())]  # one thing needs no other process


@pytest.mark.medium
def test_several_processes_find_the_same():
    assert dict(in_processes(_square, range(5), jobs=2)) == {number: number**2 for number in range(5)}
    assert os.getpid() not in dict(in_processes(_process, range(4), jobs=2)).values()


@pytest.mark.medium
@pytest.mark.parametrize("jobs", [1, 2])
def test_what_the_work_raises_arrives_as_it_is(jobs: int):
    with pytest.raises(InputError, match="-1 is negative"):
        list(in_processes(_square, [1, -1, 2], jobs=jobs))


def test_nothing_to_do():
    assert list(in_processes(_square, [], jobs=0)) == []


STARTS_OTHERS = {
    "pool": """
import time
from ccella_core.parallel import in_processes
if __name__ == "__main__":
    list(in_processes(time.sleep, [600, 600], 2))
""",
    "loader": """
import time
import torch
from ccella_core.runs.batches import Batches, DataLoading
def make(step, places):
    time.sleep(600)
if __name__ == "__main__":
    next(Batches(make, 2, DataLoading(workers=2))(range(4), torch.device("cpu")))
""",
}


@pytest.mark.medium
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("kind", STARTS_OTHERS)
@pytest.mark.parametrize("how", ["SIGTERM", "SIGKILL", "SIGINT", "Ctrl-C"])
def test_no_process_outlives_the_one_that_started_it(kind: str, how: str, tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text(STARTS_OTHERS[kind])
    command = [sys.executable, str(program)]
    # Started in the background, a shell has its programs ignore Ctrl-C, and they theirs: this one is to hear it.
    hears = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    parent = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=hears)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(children := psutil.Process(parent.pid).children()) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    if how == "Ctrl-C":  # reaches all processes of a terminal
        os.killpg(parent.pid, signal.SIGINT)
    else:
        os.kill(parent.pid, signal.Signals[how])
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_SECONDS)
    assert not alive and parent.wait(PATIENCE_SECONDS) != 0
