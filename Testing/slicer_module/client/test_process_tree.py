"""A process is ended together with everything that it started, and nothing else is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from types import ModuleType

import psutil
import pytest
from CCELLAGeneratorLib.client import process_tree
from patience import PATIENCE_SECONDS

POSIX_ONLY = pytest.mark.skipif(os.name == "nt", reason="ends real process trees as macOS and Linux have them")

# Starts itself again until the argument is used up; the last but one generation leaves for a session of its own.
FAMILY = """
import subprocess, sys, time
left = int(sys.argv[1])
if left:
    subprocess.Popen([sys.executable, "-c", sys.argv[2], str(left - 1), sys.argv[2]], start_new_session=left == 2)
time.sleep(3600)
"""


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition: object, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.fixture
def family() -> list[psutil.Process]:
    """A process, its child, grandchild and great-grandchild."""
    head = subprocess.Popen([sys.executable, "-c", FAMILY, "3", FAMILY], start_new_session=True)
    everyone = psutil.Process(head.pid)
    wait_until(lambda: len(everyone.children(recursive=True)) == 3)
    members = [everyone, *everyone.children(recursive=True)]
    yield members
    for member in members:
        if member.is_running():
            member.kill()
    head.wait()


@POSIX_ONLY
def test_the_whole_family_ends(family: list[psutil.Process]) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    try:
        process_tree.end_tree(family[0].pid)
        wait_until(lambda: all(is_gone(member.pid) for member in family))
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


@POSIX_ONLY
def test_a_group_outlives_its_leader_no_longer() -> None:
    orphan_starter = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)'])"
    leader = subprocess.Popen([sys.executable, "-c", orphan_starter], start_new_session=True)
    leader.wait()
    orphans = [process.pid for process in psutil.process_iter() if _group(process.pid) == leader.pid]
    assert orphans
    process_tree.end_tree(leader.pid)
    wait_until(lambda: all(is_gone(pid) for pid in orphans))


def _group(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


@pytest.mark.parametrize("pids", [(), (0,), (-1,), (1,), (os.getpid(),)])
def test_never_ends_itself_or_everybody(pids: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(process_tree, "_end_on_posix", ended.extend)
    monkeypatch.setattr(process_tree, "_end_on_windows", ended.extend)
    process_tree.end_tree(*pids)
    assert ended == []


@POSIX_ONLY
def test_what_is_gone_already_is_no_error() -> None:
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    process_tree.end_tree(finished.pid)


@POSIX_ONLY
def test_the_group_ends_even_where_processes_cannot_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    alone = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], start_new_session=True)
    process_tree.end_tree(alone.pid)
    assert alone.wait(PATIENCE_SECONDS) == -signal.SIGKILL


def test_windows_leaves_it_to_taskkill(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[list[str], int]] = []

    def popen(command: list[str], *, creationflags: int, **streams: int) -> None:
        assert set(streams.values()) == {subprocess.DEVNULL}
        started.append((command, creationflags))

    monkeypatch.setattr(process_tree, "os", _windows())
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    monkeypatch.setattr(subprocess, "Popen", popen)
    process_tree.end_tree(4711, 0, 4712)
    assert started == [(["taskkill", "/T", "/F", "/PID", "4711", "/PID", "4712"], 0x08000000)]


def test_windows_without_taskkill_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_arguments: object, **_options: object) -> None:
        raise FileNotFoundError("taskkill")

    monkeypatch.setattr(process_tree, "os", _windows())
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    monkeypatch.setattr(subprocess, "Popen", missing)
    process_tree.end_tree(4711)


def _windows() -> ModuleType:
    windows = ModuleType("os")
    windows.name, windows.getpid = "nt", os.getpid  # type: ignore[attr-defined]
    return windows
