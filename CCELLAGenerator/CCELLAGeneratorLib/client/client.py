"""The client to the worker process: requests go through it, answers come back through callbacks.

The process is started by the first request and stays warm. Everything happens in Qt's event loop: no call here waits,
and no callback comes from within `request` or `cancel`.
"""

from __future__ import annotations

import base64
import contextlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import qt

from . import errors as client_errors
from .command import ONLINE, default_command, host_command, shared_transfer, worker_protocol
from .errors import ClientError
from .link import WorkerLink

CANCEL_PATIENCE = 0.8
"""Seconds between asking the worker to stop a job and ending it; the user was promised an answer within one."""
DOWNLOAD = "download"
FIRST_ID = 1


@dataclass
class _Request:
    id: int
    method: str
    params: dict[str, Any]
    on_result: Callable[[dict[str, Any]], None]
    on_error: Callable[[ClientError], None]
    on_progress: Callable[[dict[str, Any]], None] | None
    on_preview: Callable[[bytes], None] | None
    files: Any = None  # ReceivedFiles, where they come from another computer
    scans: tuple[Path, ...] = ()  # that go there
    sent: bool = False
    cancelled: bool = False


class WorkerClient:
    """The `Client` of one worker process at a time.

    Args:
        command: program and arguments that start the worker, see `default_command`.
        environment: variables to add to Slicer's own.
        on_log: gets each line of the worker's log.
        host: the other computer that the command starts it on; empty for this one.
    """

    def __init__(
        self, command: list[str], environment: dict[str, str], on_log: Callable[[str], None], host: str = ""
    ) -> None:
        self.host = host
        self._command = command
        self._environment = environment
        self._on_log = on_log
        self._jobs = worker_protocol().JOBS
        self._requests: dict[int, _Request] = {}
        self._downloads: dict[int, WorkerClient] = {}
        self._last_id = FIRST_ID - 1
        self._link: WorkerLink | None = None

    @property
    def state(self) -> str:
        """Say "stopped", "starting", "ready", or "busy" while an answer is owed."""
        if self._link is None:
            return "stopped"
        if not self._link.ready:
            return "starting"
        return "busy" if self._requests else "ready"

    def request(
        self,
        method: str,
        params: dict[str, Any],
        *,
        on_result: Callable[[dict[str, Any]], None],
        on_error: Callable[[ClientError], None],
        on_progress: Callable[[dict[str, Any]], None] | None = None,
        on_preview: Callable[[bytes], None] | None = None,
    ) -> int:
        """Send a request to the worker, which is started where needed; see `Client.request`."""
        request = _Request(self._next_id(), method, params, on_result, on_error, on_progress, on_preview)
        if method == DOWNLOAD and not self._environment.items() >= ONLINE.items():
            self._download(request)
            return request.id
        if self.host:
            self._bring_files_here(request)
            self._take_scans_there(request)
        self._requests[request.id] = request
        if self._link is None:
            self._start()
        elif self._link.ready:
            self._send(request)
        if len(self._requests) == 1 and self._link is not None:
            self._link.watch(answer_is_owed=True)
        return request.id

    def cancel(self, request_id: int) -> None:
        """Stop a request: `on_error` gets the code "cancelled", within a second, whatever the worker does.

        A job is stopped by a message; a worker that does not heed it is ended. An unknown number is no error.
        """
        if request_id in self._downloads:
            self._downloads[request_id].cancel(FIRST_ID)
        request = self._requests.get(request_id)
        if request is None or request.cancelled:
            return
        request.cancelled = True
        patience = 0.0
        if self._is_running_job(request):
            patience = CANCEL_PATIENCE
            self._link.send(self._next_id(), "cancel", {"id": request_id})
        qt.QTimer.singleShot(round(1000 * patience), lambda: self._lose_patience(request_id))

    def close(self) -> None:
        """End the worker at once, with all that it started; no callback comes after this. A new request starts anew.

        There is no farewell: where Slicer quits, no event loop is left to wait for an answer.
        """
        for download in self._downloads.values():
            download.close()
        self._downloads.clear()
        self._requests.clear()
        self._end_link()

    def use(self, host: str) -> None:
        """End the worker, and run the next one on another computer, or on this one where ``host`` is empty."""
        self.close()
        self.host = host
        self._command, self._environment = host_command(host) if host else default_command()

    # The process.

    def _start(self) -> None:
        self._link = WorkerLink(
            self._command,
            self._environment,
            on_ready=self._send_all,
            on_message=self._receive,
            on_log=self._on_log,
            on_broken=self._broken,
            host=self.host,
        )
        self._link.watch(answer_is_owed=True)

    def _end_link(self) -> None:
        link, self._link = self._link, None
        for request in self._requests.values():
            request.sent = False
        if link is not None:
            link.end()

    def _broken(self, error: ClientError) -> None:
        self._on_log(str(error))
        self._end_link()
        # Where one was cancelled, this is how the worker heeded it, and the others are asked again.
        cancelled = [request.id for request in self._requests.values() if request.cancelled]
        for request_id in cancelled or list(self._requests):
            self._finish(request_id, error)
        self._start_where_needed()

    def _lose_patience(self, request_id: int) -> None:
        request = self._requests.get(request_id)
        if request is None:
            return
        if self._is_running_job(request):
            self._end_link()
        self._finish(request_id, client_errors.cancelled())
        self._start_where_needed()

    def _start_where_needed(self) -> None:
        if self._requests and self._link is None:
            self._start()

    # Requests and answers.

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _is_running_job(self, request: _Request) -> bool:
        return request.sent and request.method in self._jobs

    def _send_all(self) -> None:
        for request in self._requests.values():
            if not request.cancelled:
                self._send(request)

    def _send(self, request: _Request) -> None:
        request.sent = True
        for chunk in (chunk for path in request.scans for chunk in _chunks_of_scan(path)):
            self._link.send(self._next_id(), "send", chunk)
        self._link.send(request.id, request.method, request.params)

    def _bring_files_here(self, request: _Request) -> None:
        """The other computer sees none of our folders: files come through the pipe."""
        folder = request.params.get("output_dir")
        if folder is not None:
            request.files = shared_transfer().ReceivedFiles(Path(folder))
            request.params = {name: value for name, value in request.params.items() if name != "output_dir"}

    @staticmethod
    def _take_scans_there(request: _Request) -> None:
        """Nor does it see the scan to edit, or its mask: both are sent, and named without a folder."""
        image, mask = (request.params.get(name) for name in ("image", "mask"))
        paths = list(image.values()) if isinstance(image, dict) else [image]
        request.scans = tuple(Path(path) for path in (*paths, mask) if path is not None)
        if isinstance(image, dict):
            image = {sequence: Path(path).name for sequence, path in image.items()}
        named = {"image": image, "mask": mask}
        there = {key: Path(name).name if isinstance(name, str) else name for key, name in named.items() if name}
        request.params = {**request.params, **there}

    def _take_file(self, request: _Request, message: dict[str, Any]) -> None:
        try:
            request.files.take(message)
        except Exception as error:  # damaged on the way, or the disk is full: what comes after it is of no use
            self._end_link()
            self._finish(request.id, client_errors.not_brought(error))
            self._start_where_needed()

    def _receive(self, message: dict[str, Any]) -> None:
        event, number = message.get("event"), message.get("id")
        request = self._requests.get(number) if isinstance(number, int) else None
        if request is None:
            if event == "error":  # of no request: the worker could not make out which
                self._on_log(str(message.get("message", "")))
        elif event == "file" and request.files is not None:
            self._take_file(request, message)
        elif event == "result":
            self._finish(request.id, self._here(request, message.get("value", {})))
        elif event == "error":
            here = self._here(request, message)
            self._finish(request.id, here if isinstance(here, ClientError) else client_errors.of_worker(here))
        elif event == "progress":
            self._tell(request, request.on_progress, message)
        elif event == "preview":
            self._tell(request, request.on_preview, base64.b64decode(message.get("png", "")))

    @staticmethod
    def _here(request: _Request, value: dict[str, Any]) -> dict[str, Any] | ClientError:
        """The files that a value names, where they lie on this computer; or that one of them never came."""
        if request.files is None or "volumes" not in value:
            return value
        try:
            return request.files.here(value)
        except Exception as error:
            return client_errors.not_brought(error)

    def _tell(self, request: _Request, callback: Callable[[Any], None] | None, what: Any) -> None:
        if callback is not None and not request.cancelled:
            self._call(callback, what)

    def _finish(self, request_id: int, outcome: dict[str, Any] | ClientError) -> None:
        request = self._requests.pop(request_id, None)
        if request is None:  # the client was closed, or it is over already
            return
        if not self._requests and self._link is not None:
            self._link.watch(answer_is_owed=False)
        if request.cancelled:  # a whole result may overtake the cancelling: then all of it was finished
            outcome = client_errors.cancelled(outcome.finished if isinstance(outcome, ClientError) else outcome)
        self._call(request.on_error if isinstance(outcome, ClientError) else request.on_result, outcome)

    def _call(self, callback: Callable[[Any], None], argument: Any) -> None:
        try:
            callback(argument)
        except Exception:  # one listener's fault must not cost the others their answer
            self._on_log(traceback.format_exc())

    # Downloads.

    def _download(self, request: _Request) -> None:
        """In a process of its own, which may use the network, and can be ended without losing the warm one."""
        command = host_command(self.host, online=True)[0] if self.host else self._command
        client = WorkerClient(command, {**self._environment, **ONLINE}, self._on_log, self.host)
        self._downloads[request.id] = client

        def then(callback: Callable[[Any], None]) -> Callable[[Any], None]:
            def end(outcome: Any) -> None:
                del self._downloads[request.id]
                client.close()
                callback(outcome)

            return end

        client.request(
            DOWNLOAD,
            request.params,
            on_result=then(request.on_result),
            on_error=then(request.on_error),
            on_progress=request.on_progress,
        )


def _chunks_of_scan(path: Path) -> Iterator[dict[str, Any]]:
    """Of a scan that is gone nothing is sent, and the worker says that it did not come."""
    transfer = shared_transfer()
    with contextlib.suppress(OSError):
        yield from transfer.chunks_of(path.name, transfer.bare_nrrd(path.read_bytes()))
