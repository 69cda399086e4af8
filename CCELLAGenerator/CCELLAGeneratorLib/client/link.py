"""The link to a running worker process: messages in and out, and its break, reported once with the reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import qt

from . import errors as client_errors
from .command import worker_protocol
from .errors import ClientError
from .process import WorkerProcess

HANG_SECONDS = 60.0
"""A worker at work gives a sign of life every 2 seconds, but loading a library from a slow disk may hold it up."""
HANG_TICKS = 4
"""The silence is counted in ticks and not by the clock: a computer that slept is no worker that hung."""
MAX_RUBBISH_BYTES = 2**16
"""So much that is no message, with no message in between, and the process is given up."""
RUBBISH_LOGGED = 20
"""Lines of it that are shown in the log, each cut to RUBBISH_CHARACTERS."""
RUBBISH_CHARACTERS = 200


class WorkerLink:
    """Starts a worker.

    Args:
        command: program and arguments.
        environment: variables to add to Slicer's own.
        on_ready: it speaks our version of the protocol and takes requests.
        on_message: gets every message from then on.
        on_log: gets every line of the log, and what is no message.
        on_broken: it could not be started, died, hung or made no sense; nothing more comes after that.
        host: the other computer that it runs on; empty for this one.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        *,
        on_ready: Callable[[], None],
        on_message: Callable[[dict[str, Any]], None],
        on_log: Callable[[str], None],
        on_broken: Callable[[ClientError], None],
        host: str = "",
    ) -> None:
        self.ready = False
        self._host = host
        self._protocol = worker_protocol()
        self._on_ready = on_ready
        self._on_message = on_message
        self._on_log = on_log
        self._on_broken = on_broken
        self._rubbish_bytes = 0
        self._rubbish_lines = 0
        self._silent_ticks = 0
        self._watch = qt.QTimer()
        self._watch.connect("timeout()", self._tick)
        self._life = qt.QTimer()
        self._life.connect("timeout()", self._live)
        self._process = WorkerProcess(
            command,
            environment,
            on_line=self._receive,
            on_log=on_log,
            on_ended=self._ended,
            on_failed=self._failed,
        )

    def send(self, message_id: int, method: str, params: dict[str, Any]) -> None:
        """Send one message to the worker."""
        self._process.write(self._protocol.encode({"id": message_id, "method": method, "params": params}))

    def watch(self, answer_is_owed: bool) -> None:
        """Be alarmed by silence while an answer is owed; an idle worker has nothing to say."""
        if answer_is_owed:
            self._silent_ticks = 0
            self._watch.start(round(1000 * HANG_SECONDS / HANG_TICKS))
        else:
            self._watch.stop()

    def end(self) -> None:
        """End the process and all that it started; nothing more comes after this."""
        self._watch.stop()
        self._life.stop()
        self._process.end()

    def _break(self, error: ClientError) -> None:
        self.end()
        self._on_broken(error)

    def _receive(self, line: bytes) -> None:
        message = self._protocol.decode(line)
        if message is None:
            self._receive_rubbish(line)
            return
        self._silent_ticks = self._rubbish_bytes = self._rubbish_lines = 0
        event = message.get("event")
        if event == "ready":
            self._greet(message)
        elif event == "log":
            self._on_log(str(message.get("message", "")))
        elif self.ready:
            self._on_message(message)

    def _greet(self, message: dict[str, Any]) -> None:
        theirs, ours = message.get("protocol"), self._protocol.PROTOCOL_VERSION
        if theirs != ours:
            of_host = client_errors.other_release(self._host, theirs, ours) if self._host else None
            self._break(of_host or client_errors.other_version(theirs, ours))
            return
        if self._host:
            self._live()
            self._life.start(round(1000 * self._protocol.SIGN_OF_LIFE_SECONDS))
        else:  # there, the number is another process's
            self._process.pid = message["pid"]
        self.ready = True
        self._on_ready()

    def _receive_rubbish(self, line: bytes) -> None:
        self._rubbish_bytes += len(line)
        self._rubbish_lines += 1
        if self._rubbish_lines <= RUBBISH_LOGGED:
            self._on_log(line.decode("utf-8", "replace").strip()[:RUBBISH_CHARACTERS])
        if self._rubbish_bytes > MAX_RUBBISH_BYTES:
            self._break(client_errors.rubbish())

    def _live(self) -> None:
        """Give a sign of life, without which the worker there ends itself, as it does where the network is cut."""
        self._process.write(self._protocol.SIGN_OF_LIFE)

    def _tick(self) -> None:
        self._silent_ticks += 1
        if self._silent_ticks > HANG_TICKS:
            self._break_of(client_errors.hung(HANG_SECONDS))

    def _failed(self, reason: str) -> None:
        self._break(client_errors.no_ssh(reason) if self._host else client_errors.not_started(reason))

    def _ended(self, exit_code: int, crashed: bool) -> None:
        if self._host:
            code = -exit_code if crashed else exit_code  # ssh itself was killed
            lines = self._process.last_lines
            self._break(client_errors.elsewhere(self._host, code, lines, was_ready=self.ready))
            return
        self._break_of(client_errors.died(exit_code, crashed, self._process.last_lines))

    def _break_of(self, error: ClientError) -> None:
        """`error`, unless the worker was not even ready."""
        self._break(error if self.ready else client_errors.not_started(error.message))
