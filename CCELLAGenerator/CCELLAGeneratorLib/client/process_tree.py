"""Ends a process and everything that it started, on Windows, macOS and Linux, without waiting for any of it.

Slicer's Python is started by a launcher, and ending a launcher leaves its child running.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

PROC = Path("/proc")
PS_SECONDS = 1.0
"""`ps` takes some 20 ms; one that takes longer than this is stuck."""


def end_tree(*pids: int) -> None:
    """End these processes, all their descendants and the process groups that they lead; returns at once.

    A pid whose process is gone is no error. On Windows `taskkill` is started and does the rest by itself.
    """
    roots = [pid for pid in pids if pid > 1 and pid != os.getpid()]  # to `kill`, 0 and -1 would mean others as well
    if not roots:
        return
    if os.name == "nt":
        _end_on_windows(roots)
    else:
        _end_on_posix(roots)


def _end_on_posix(roots: list[int]) -> None:
    for pid in [*roots, *_descendants(roots)]:
        # The group first: it has the children that were born since they were listed, and outlives its leader.
        _send(os.killpg, pid)
        _send(os.kill, pid)


def _send(kill: Callable[[int, int], None], pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # already gone, or by now another user's
        kill(pid, signal.SIGKILL)


def _descendants(roots: list[int]) -> list[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in _every_process():
        children.setdefault(parent, []).append(pid)
    found = list(roots)
    for pid in found:  # grows while it is walked
        found += [child for child in children.get(pid, []) if child not in found]
    return found[len(roots) :]


def _every_process() -> Iterator[tuple[int, int]]:
    """(pid, parent's pid) of every process."""
    return _listed_by_proc() if (PROC / "self" / "stat").exists() else _listed_by_ps()


def _listed_by_proc() -> Iterator[tuple[int, int]]:
    for folder in PROC.iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):  # it ended in the meantime
                # "pid (name) state parent …", and a name may hold blanks and brackets itself.
                after_the_name = (folder / "stat").read_bytes().rpartition(b")")[2]
                yield int(folder.name), int(after_the_name.split()[1])


def _listed_by_ps() -> Iterator[tuple[int, int]]:
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # the groups are ended all the same
        listing = subprocess.run(
            ["ps", "-axo", "pid=,ppid="], capture_output=True, stdin=subprocess.DEVNULL, timeout=PS_SECONDS, check=False
        )
        for line in listing.stdout.splitlines():
            pid, parent = line.split()
            yield int(pid), int(parent)


def _end_on_windows(roots: list[int]) -> None:
    command = ["taskkill", "/T", "/F"]
    for pid in roots:
        command += ["/PID", str(pid)]
    with contextlib.suppress(OSError):  # no taskkill: a worker ends itself when its input is closed
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            creationflags=subprocess.CREATE_NO_WINDOW,  # type: ignore[attr-defined]
        )
