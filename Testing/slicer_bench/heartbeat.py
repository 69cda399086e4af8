"""How long the event loop stands still: what a user feels as a frozen window."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from PySide6.QtCore import QTimer

INTERVAL_MS = 5


class Heartbeat:
    """A timer that notes how late it is. Time in which a busy machine ran other processes instead does not count."""

    def __init__(self) -> None:
        self._last = _own_time()
        self.longest_ms = 0.0
        self._timer = QTimer()
        self._timer.timeout.connect(self._beat)
        self._timer.start(INTERVAL_MS)

    def stop(self) -> None:
        self._beat()
        self._timer.stop()

    def _beat(self) -> None:
        now = _own_time()
        self.longest_ms = max(self.longest_ms, 1000 * (now - self._last))
        self._last = now


def _own_time() -> float:
    """Seconds, without those that this thread could have run but waited for a processor (known on Linux only)."""
    statistics = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    waited_ns = int(statistics.read_text().split()[1]) if statistics.exists() else 0
    return time.perf_counter() - waited_ns / 1e9
