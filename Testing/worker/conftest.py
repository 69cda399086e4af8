"""A client for the tests: it starts a worker process and reads its lines with a time limit."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_SECONDS

ROOT = Path(__file__).resolve().parent.parent.parent

Message = dict[str, Any]


class WorkerProcess:
    """One worker. ``code`` is run instead of the library's own worker."""

    def __init__(self, *arguments: str, code: str | None = None, environment: dict[str, str] | None = None) -> None:
        program = ["-m", "ccella_core.worker"] if code is None else ["-c", code]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=ROOT,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env={**os.environ, **(environment or {})},
        )
        self.lines: list[bytes] = []
        self.log = b""
        self._arrived: queue.Queue[bytes] = queue.Queue()
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read_lines, self._read_log)]
        for thread in self._threads:
            thread.start()
        self._number = 0

    def _read_lines(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._arrived.put(line)
        self._arrived.put(b"")

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log += line

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, method: str, **params: Any) -> int:
        """Ask something; returns the request's id."""
        self._number += 1
        request = {"id": self._number, "method": method, "params": params}
        self.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
        return self._number

    def read(self, timeout: float = PATIENCE_SECONDS) -> Message:
        """The next event."""
        line = self._arrived.get(timeout=timeout)
        assert line.endswith(b"\n") and not line.endswith(b"\r\n"), (line, self.log.decode())
        self.lines.append(line)
        return json.loads(line.decode("utf-8"))

    def read_until(self, wanted: Callable[[Message], bool], timeout: float = PATIENCE_SECONDS) -> list[Message]:
        """All events up to the first that is wanted."""
        events = [self.read(timeout)]
        while not wanted(events[-1]):
            events.append(self.read(timeout))
        return events

    def events_of(self, number: int) -> list[Message]:
        """The events of one request, the last of which ends it."""
        events = self.read_until(lambda event: event.get("id") == number and event["event"] in ("result", "error"))
        return [event for event in events if event.get("id") == number]

    def ask(self, method: str, **params: Any) -> Message:
        """Send a request and return the event that ends it."""
        return self.events_of(self.send(method, **params))[-1]

    def close_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait(self, timeout: float = PATIENCE_SECONDS) -> int:
        """Wait for the end of the process and of its output; returns the exit code."""
        code = self.process.wait(timeout)
        for thread in self._threads:
            thread.join(timeout)
        return code

    def kill(self) -> None:
        self.process.kill()
        self.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


@pytest.fixture
def start_worker() -> Iterator[Callable[..., WorkerProcess]]:
    """``start_worker(*arguments, code=None)``: processes that are ended with the test."""
    started: list[WorkerProcess] = []

    def start(*arguments: str, **options: Any) -> WorkerProcess:
        started.append(WorkerProcess(*arguments, **options))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerProcess]:
    """One real worker for all tests of a module, because importing torch takes long; it has said that it is ready."""
    process = WorkerProcess("--timings", str(tmp_path_factory.mktemp("cache") / "timings.json"))
    assert process.read()["event"] == "ready"
    yield process
    process.kill()
