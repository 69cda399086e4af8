"""A connection to a worker on another computer that waits for its answers; for library and command line."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ccella_core.client import ssh
from ccella_core.client.protocol import (
    PROTOCOL_VERSION,
    SIGN_OF_LIFE,
    SIGN_OF_LIFE_SECONDS,
    SILENCE_SECONDS,
    decode,
    encode,
)
from ccella_core.errors import Cancelled, CCELLAError, InputError, ModelError, NonFiniteError, RemoteError, SaveError
from ccella_core.limits import MAX_REPLY_BYTES

CANCEL_PATIENCE_SECONDS = 2.0
"""That the worker has to stop by itself before the connection is cut, which ends it."""
END_SECONDS = 2.0
LAST_LINES = 20

ERRORS: dict[str, type[CCELLAError]] = {
    "input": InputError,
    "model": ModelError,
    "nonfinite": NonFiniteError,
    "save": SaveError,
    "cancelled": Cancelled,
}
"""The worker's codes that are known here; all others become RemoteError."""

OnEvent = Callable[[dict[str, Any]], bool | None]


class Connection:
    """One run of ``ssh``, and so of a worker. It is over when anything fails; make a new one then.

    Args:
        host: ``user@host``, or a name of the user's SSH configuration.

    Raises:
        InputError: no name of a host.
        RemoteError: not to be reached, no ``ccella`` there, or one of another release.
    """

    def __init__(self, host: str) -> None:
        self.host = ssh.check_host(host)
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._ready = False
        self._number = 0
        pipe = subprocess.PIPE
        try:
            # A group of its own: Ctrl-C is ours to handle, and must not cut the connection under it.
            self._process = subprocess.Popen(
                ssh.ssh_command(self.host), stdin=pipe, stdout=pipe, stderr=pipe, **_apart()
            )
        except OSError as error:
            reason = error.strerror or error
            raise RemoteError(
                f"ssh cannot be started ({reason}): install OpenSSH's client on this computer."
            ) from error
        self._readers = [threading.Thread(target=read, daemon=True) for read in (self._read_lines, self._read_log)]
        self._writing = threading.Lock()  # of its input
        self._closed = threading.Event()
        for thread in (*self._readers, threading.Thread(target=self._live, daemon=True)):
            thread.start()
        try:
            self._greet()
        except BaseException:
            self.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether a request can still be answered."""
        return self._process.poll() is None

    def request(self, method: str, params: dict[str, Any], on_event: OnEvent | None = None) -> dict[str, Any]:
        """Ask the worker and wait for its answer.

        Args:
            method: of the protocol.
            params: of the method.
            on_event: gets every other event of the request; ``False`` cancels it.

        Returns:
            The value of the result.

        Raises:
            CCELLAError: what went wrong there, by its kind; Cancelled where ``on_event`` wanted it.
            RemoteError: the connection was lost, or makes no sense any more.
        """
        self._number += 1
        number = self._number
        answered = False
        try:
            self._send(number, method, params)
            while True:
                message = self._receive()
                if message.get("id") != number:
                    continue
                answered = message["event"] in ("result", "error")
                if message["event"] == "error":
                    raise _error(message)
                if answered:
                    return dict(message.get("value") or {})
                if on_event is not None and on_event(message) is False:
                    answered = self._cancel(number)
                    raise Cancelled("The request was cancelled.")
        finally:
            if not answered:  # Ctrl-C, a fault here, or nobody there: what still comes would belong to no request
                self.close()

    def close(self) -> None:
        """End the connection, and with it the worker there."""
        self._closed.set()
        if os.name != "nt" and self.alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)  # with what ssh has started, a proxy for instance
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # what could not be written any more
            self._process.stdin.close()  # type: ignore[union-attr]
        for reader, stream in zip(self._readers, (self._process.stdout, self._process.stderr), strict=True):
            reader.join(END_SECONDS)
            if not reader.is_alive():  # else closing would wait for it
                stream.close()  # type: ignore[union-attr]

    def _greet(self) -> None:
        message = self._receive()
        while message.get("event") != "ready":
            message = self._receive()
        if message.get("protocol") != PROTOCOL_VERSION:
            raise RemoteError(
                f"The ccella on {self.host} ({message.get('version')}) speaks version {message.get('protocol')} of the "
                f"protocol, and this one version {PROTOCOL_VERSION}. {ssh.same_release(self.host)}"
            )
        self._ready = True

    def _cancel(self, number: int) -> bool:
        """Ask the worker to stop the request; returns whether it did in good time."""
        self._number += 1
        end = time.monotonic() + CANCEL_PATIENCE_SECONDS
        try:
            self._send(self._number, "cancel", {"id": number})
            while (left := end - time.monotonic()) > 0:
                message = self._receive(left)
                if message.get("id") == number and message["event"] in ("result", "error"):
                    return True
        except RemoteError:
            pass
        return False

    def _send(self, number: int, method: str, params: dict[str, Any]) -> None:
        try:
            self._write(encode({"id": number, "method": method, "params": params}))
        except (OSError, ValueError) as error:
            raise self._ended() from error

    def _write(self, line: bytes) -> None:
        with self._writing:
            self._process.stdin.write(line)  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]

    def _live(self) -> None:
        """Give signs of life, without which the worker there would end itself, as it does where the network is cut."""
        with contextlib.suppress(OSError, ValueError):
            self._write(SIGN_OF_LIFE)
            while not self._closed.wait(SIGN_OF_LIFE_SECONDS):
                self._write(SIGN_OF_LIFE)

    def _receive(self, seconds: float = SILENCE_SECONDS) -> dict[str, Any]:
        """The next message; whatever else a login may print is passed over."""
        while True:
            try:
                line = self._lines.get(timeout=seconds)
            except queue.Empty:
                self.close()
                raise RemoteError(
                    f"{self.host} gave no sign of life for {seconds:.0f} seconds; the connection was cut. Try again."
                ) from None
            if not line:
                raise self._ended()
            message = decode(line)
            if message is not None and "event" in message:
                return message

    def _ended(self) -> RemoteError:
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            code = ssh.SSH_FAILED
        self._readers[1].join(END_SECONDS)  # its last words
        return RemoteError(" ".join(ssh.explain(self.host, code, list(self._last_lines), was_ready=self._ready)))

    def _read_lines(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := self._process.stdout.readline(MAX_REPLY_BYTES):  # type: ignore[union-attr]
                self._lines.put(line)
        self._lines.put(b"")

    def _read_log(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stderr:  # type: ignore[union-attr]
                self._last_lines.append(line.decode("utf-8", "replace").rstrip())


def _apart() -> dict[str, Any]:
    if os.name == "nt":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
    return {"start_new_session": True}


def _error(message: dict[str, Any]) -> CCELLAError:
    known = ERRORS.get(str(message.get("code")))
    if known is not None:
        return known(str(message.get("message")))
    return RemoteError(" ".join(part for part in (message.get("message"), message.get("hint")) if part))
