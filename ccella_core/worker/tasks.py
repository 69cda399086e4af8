"""A request on its way through the worker, and what stays from one request to the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ccella_core.errors import Cancelled
from ccella_core.limits import GIB

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from ccella_core.generation.pipeline import CCELLAPipeline
    from ccella_core.models.report_profile import ReportProfile
    from ccella_core.worker.needs import Need


@dataclass
class Task:
    """A request that was accepted.

    ``send`` is the channel's. ``finished`` is what was completed so far: if the request fails, it goes into the
    ``error`` event, so that no result is lost. ``scans`` are NRRD files that were sent for this job.
    """

    id: int
    method: str
    params: dict[str, Any]
    send: Callable[..., None]
    cancelled: threading.Event = field(default_factory=threading.Event)
    finished: dict[str, Any] = field(default_factory=dict)
    scans: Mapping[str, bytes] = field(default_factory=dict)

    def tell(self, event: str, **content: Any) -> None:
        """Send an event of this request."""
        self.send(event, id=self.id, **content)

    def stop_if_cancelled(self) -> None:
        """Raises Cancelled where the client has asked for it."""
        if self.cancelled.is_set():
            raise Cancelled("The request was cancelled.")


@dataclass
class WorkerState:
    """What outlives a request. Jobs set the pipeline; the rest belongs to the thread that answers questions."""

    timings_file: Path | None = None
    """Where the times of runs are kept; ``None``: in the user's cache folder."""
    pipeline: CCELLAPipeline | None = None
    """The last one, ready to run again."""
    tokenizers: dict[str, PreTrainedTokenizerBase] = field(default_factory=dict)
    """By the model's hash."""
    profiles: dict[str, ReportProfile | None] = field(default_factory=dict)
    """Of the reports that a model was trained on, by the model's hash."""
    needs: dict[str, Need] = field(default_factory=dict)
    """By the model's hash."""
    speeds: dict[tuple[str, torch.dtype, int], float] = field(default_factory=dict)
    """Operations a second, by device, precision and channels."""
    importing: threading.Lock = field(default_factory=threading.Lock)
    """Held while modules are imported or may be: large libraries do so late and in circles, and of two threads in one
    circle one sees modules that are half there."""

    def holds(self, model_sha256: str, device: str) -> bool:
        """Whether the loaded pipeline is of that model and on that device."""
        pipeline = self.pipeline  # once, for another thread may replace it
        return pipeline is not None and (pipeline.model_sha256, str(pipeline.device)) == (model_sha256, device)


def resident_gib() -> float | None:
    """Memory of this process in GiB, ``None`` where psutil is not installed."""
    try:
        import psutil
    except ImportError:
        return None
    return round(psutil.Process().memory_info().rss / GIB, 3)


MODULES = {
    "generate": "requested",
    "download": "models",
    "delete": "models",
    "describe": "models",
    "count_tokens": "reports",
    "estimate": "estimate",
    "read_study": "studies",
}
"""Each module has a function of the method's name, ``(task, state) -> value``."""


class Handlers:
    """Answers every method of the protocol.

    Args:
        timings_file: see ``WorkerState``.
    """

    def __init__(self, timings_file: Path | None = None) -> None:
        self.state = WorkerState(timings_file)

    def __call__(self, task: Task) -> dict[str, Any]:
        """Import what the method needs, and answer; raises what the answering function does."""
        with self.state.importing:
            module = import_module(f"ccella_core.worker.{MODULES[task.method]}")
        return getattr(module, task.method)(task, self.state)
