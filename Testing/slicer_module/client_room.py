"""What the tests of the client share: the callbacks of a request, and a client with a fake worker behind it."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
FAKE = runpy.run_path(str(FAKE_WORKER))


class Answers:
    """The callbacks of one request, and what they were told."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []
        self.errors: list[Any] = []
        self.progress: list[dict[str, Any]] = []
        self.previews: list[bytes] = []

    @property
    def done(self) -> bool:
        return bool(self.results or self.errors)

    @property
    def error(self) -> Any:
        assert (len(self.errors), self.results) == (1, [])
        return self.errors[0]

    @property
    def callbacks(self) -> dict[str, Callable]:
        return {
            "on_result": self.results.append,
            "on_error": self.errors.append,
            "on_progress": self.progress.append,
            "on_preview": self.previews.append,
        }


class Room:
    """A client, the fake worker behind it, and the event loop in front."""

    def __init__(self, bench: Any, folder: Path) -> None:
        from CCELLAGeneratorLib.client.client import WorkerClient

        self.bench = bench
        self.starts_file = folder / "starts.txt"
        self.log: list[str] = []
        self.client = WorkerClient(self.command("well"), {}, self.log.append)

    def __enter__(self) -> Room:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.client.close()
        self.wait_for_end_of(*self.pids)
        self.bench.process_events(0.02)  # Qt hears of it too

    def command(self, start: str) -> list[str]:
        return [sys.executable, str(FAKE_WORKER), str(self.starts_file), start]

    def starting(self, start: str) -> Room:
        self.client._command = self.command(start)
        return self

    @property
    def pids(self) -> list[int]:
        """Of every worker that was started, in order."""
        return [int(line) for line in self.starts_file.read_text().split()] if self.starts_file.exists() else []

    def ask(self, do: str, *, method: str = "generate", **params: Any) -> tuple[int, Answers]:
        answers = Answers()
        return self.client.request(method, {"do": do, **params}, **answers.callbacks), answers

    def wait_for(self, condition: Callable[[], object]) -> None:
        self.bench.wait_until(condition)

    def answer(self, do: str, **params: Any) -> Answers:
        _, answers = self.ask(do, **params)
        self.wait_for(lambda: answers.done)
        return answers

    def works_again(self) -> bool:
        return self.answer("echo", text="again").results == [{"do": "echo", "text": "again"}]

    def ended(self, pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def wait_for_end_of(self, *pids: int) -> None:
        self.wait_for(lambda: all(self.ended(pid) for pid in pids))
