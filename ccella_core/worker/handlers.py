"""Which module answers which method. None is imported before it is needed: the worker is ready before torch is."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from ccella_core.worker.tasks import State, Task

MODULES = {
    "generate": "jobs",
    "download": "models",
    "delete": "models",
    "describe": "models",
    "count_tokens": "reports",
    "estimate": "estimate",
}
"""Each module has a function of the method's name, ``(task, state) -> value``."""


class Handlers:
    """Answers every method of the protocol.

    Args:
        timings_file: see ``State``.
    """

    def __init__(self, timings_file: Path | None = None) -> None:
        self.state = State(timings_file)

    def __call__(self, task: Task) -> dict[str, Any]:
        with self.state.importing:
            module = import_module(f"ccella_core.worker.{MODULES[task.method]}")
        return getattr(module, task.method)(task, self.state)
