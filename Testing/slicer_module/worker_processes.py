"""The worker processes that a test starts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import psutil

Workers = Callable[[], list[psutil.Process]]


def living_workers() -> list[psutil.Process]:
    """Those that were started from this process and live; other processes of other tests are none of them."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended in the meantime
            if process.status() != psutil.STATUS_ZOMBIE and "ccella_core.worker" in process.cmdline():
                found.append(process)
    return found
