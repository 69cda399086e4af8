"""Reads requests, has them answered, and ends when the client does. Standard library only, so that it starts at once.

Five threads: the main one runs jobs, because some libraries insist on it; one reads, and answers ``cancel`` and
``shutdown``; one answers questions; one sends heartbeats; one watches for the client's signs of life.
"""

from __future__ import annotations

import os
import platform
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from ccella_core import __version__
from ccella_core.client.protocol import (
    CLIENT_SILENCE_SECONDS,
    EXIT_PARENT_GONE,
    EXIT_SHUTDOWN,
    HEARTBEAT_SECONDS,
    JOBS,
    PROTOCOL_VERSION,
    ProtocolError,
    encode,
    parse_request,
)
from ccella_core.client.transfer import SentScans, TransferError
from ccella_core.limits import MAX_REQUEST_BYTES
from ccella_core.worker.channel import TICKS, Channel, ClientWatch
from ccella_core.worker.failures import Failure, explain, failure
from ccella_core.worker.tasks import Task, resident_gib

PATIENCE_SECONDS = 0.5
"""That a job has to stop by itself, and remove half-written files, before the process is ended under it."""

Answer = Callable[[Task], dict[str, Any]]


def leave(code: int) -> None:
    """End the process now: without waiting for threads, and without the clean-up that may hang in a large library."""
    if sys.stderr is not None and code != EXIT_PARENT_GONE:  # it may be a pipe that is full and that nobody reads
        sys.stderr.flush()
    os._exit(code)


class Server:
    """Serves one client.

    Args:
        requests: binary stream of lines.
        replies: binary stream for lines.
        answer: gives the value of a request's ``result``, or raises; called in the main thread for jobs and in one
            other for questions.
        leave: ends the process with an exit code.
        heartbeat_seconds: between two heartbeats, while a request is being worked on.
        client_silence_seconds: after which a client that has given signs of life counts as gone.
    """

    def __init__(
        self,
        requests: BinaryIO,
        replies: BinaryIO,
        answer: Answer,
        *,
        leave: Callable[[int], object] = leave,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
        client_silence_seconds: float = CLIENT_SILENCE_SECONDS,
    ) -> None:
        self.channel = Channel(replies, on_broken=lambda: leave(EXIT_PARENT_GONE))
        self._requests = requests
        self._answer = answer
        self._leave = leave
        self._heartbeat_seconds = heartbeat_seconds
        self._tick_seconds = client_silence_seconds / TICKS
        self._client = ClientWatch()
        self._jobs: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._questions: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._scans = SentScans()
        self._open: dict[int, Task] = {}
        self._lock = threading.Lock()  # of _open
        self._exit_code = EXIT_PARENT_GONE

    def serve(self) -> int:
        """Serve until the client ends it; returns the exit code."""
        python = platform.python_version()
        self.channel.send("ready", protocol=PROTOCOL_VERSION, version=__version__, pid=os.getpid(), python=python)
        for target in (self._read, self._answer_questions, self._beat, self._watch_client):
            threading.Thread(target=target, name=target.__name__, daemon=True).start()
        while (task := self._jobs.get()) is not None:
            self._work(task)
        return self._exit_code

    def _read(self) -> None:
        code = EXIT_PARENT_GONE
        try:
            for line in self._lines():
                self._client.heard(line)
                if line.strip() and self._accept(line) == "shutdown":
                    code = EXIT_SHUTDOWN
                    break
        except OSError:
            pass  # the client died without closing the pipe properly
        finally:
            self._stop(code)

    def _lines(self) -> Iterator[bytes]:
        """What the client sends; of a line that is far too long the beginning, which is no request."""
        while line := self._requests.readline(MAX_REQUEST_BYTES):
            yield line
            while line and not line.endswith(b"\n"):
                line = self._requests.readline(MAX_REQUEST_BYTES)

    def _accept(self, line: bytes) -> str | None:
        """Take in one request; returns its method, ``None`` for one that was refused."""
        try:
            request = parse_request(line)
        except ProtocolError as error:
            self._refuse(error.request_id, failure("protocol", str(error)))
            return None
        task = Task(*request, send=self.channel.send)
        if task.method == "cancel":
            self._cancel(task)
        elif task.method == "send":
            self._keep_scan(task)
        elif task.method == "shutdown":
            task.tell("result", value={})
        else:
            self._queue(task)
        return task.method

    def _queue(self, task: Task) -> None:
        with self._lock:
            problem = self._obstacle(task)
            if problem is None:
                self._open[task.id] = task
                if task.method in JOBS:
                    task.scans = self._scans.claim()
                (self._jobs if task.method in JOBS else self._questions).put(task)
                return
        self._refuse(task.id, problem)

    def _obstacle(self, task: Task) -> Failure | None:
        if task.id in self._open:
            return failure("protocol", f"The request {task.id} is not finished; give another one another id.")
        running = next((other for other in self._open.values() if other.method in JOBS), None)
        if task.method in JOBS and running is not None:
            return failure("busy", f"The request {running.id} ({running.method}) is still running.")
        return None

    def _keep_scan(self, task: Task) -> None:
        try:
            self._scans.take(task.params)
        except TransferError as error:
            self._refuse(task.id, failure("input", str(error)))
        else:
            task.tell("result", value={})

    def _cancel(self, task: Task) -> None:
        meant = self._open.get(task.params["id"])
        # First the answer, for the request that is meant may end at any moment from then on.
        task.tell("result", value={"cancelled": meant is not None})
        if meant is not None:
            meant.cancelled.set()

    def _refuse(self, number: int | None, why: Failure) -> None:
        # An error with the id of a request that is under way would seem to end that one.
        self.channel.send("error", id=None if number in self._open else number, **why._asdict())

    def _answer_questions(self) -> None:
        while True:
            self._work(self._questions.get())

    def _work(self, task: Task) -> None:
        try:
            task.stop_if_cancelled()
            value = self._answer(task)
            task.stop_if_cancelled()
            line = encode({"event": "result", "id": task.id, "value": value})
        except Exception as error:
            why = explain(error)
            if why.code in ("internal", "dependency"):
                traceback.print_exc()  # on stderr, which is the log
            line = encode({"event": "error", "id": task.id, **why._asdict(), **task.finished})
        with self._lock:
            del self._open[task.id]  # before it is told: the client may send the next job right after
        self.channel.write(line)

    def _beat(self) -> None:
        while True:
            time.sleep(self._heartbeat_seconds)
            if self._open:
                self.channel.send("heartbeat", memory_gib=resident_gib())

    def _watch_client(self) -> None:
        while not self._client.tick():
            time.sleep(self._tick_seconds)
        self._stop(EXIT_PARENT_GONE)

    def _stop(self, code: int) -> None:
        self._exit_code = code
        with self._lock:
            for task in self._open.values():
                task.cancelled.set()
        self._jobs.put(None)
        time.sleep(PATIENCE_SECONDS)  # by then the main thread has ended the process, if it could
        self._leave(code)
