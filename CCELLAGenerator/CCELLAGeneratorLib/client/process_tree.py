"""Ends a process and everything that it started, on Windows, macOS and Linux, without waiting for any of it.

Slicer's Python is started by a launcher, and ending a launcher leaves its child running.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable


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
    try:
        import psutil  # the worker needs it, in the same Python; where it is missing, a worker has started nothing yet
    except ImportError:
        return []
    found: list[int] = []
    for pid in roots:
        with contextlib.suppress(psutil.Error):  # it is gone already
            found += [child.pid for child in psutil.Process(pid).children(recursive=True)]
    return found


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
