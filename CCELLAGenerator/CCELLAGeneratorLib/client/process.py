"""One run of the worker process: whole lines come out of it, bytes go in, and its end is reported once.

Everything happens in Qt's event loop; nothing here waits.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Sequence

import qt
from slicer.i18n import tr as _

from .command import shared_limits
from .process_tree import end_tree

LAST_LINES = 20
"""Lines of the log that are kept to explain a death."""
LOGGED_AT_ONCE = 100
"""Lines of the log that are passed on from one read; a flood would hold up the window."""


class WorkerProcess:
    """Starts `command` and tells of it until `end` is called.

    Args:
        command: program and arguments.
        environment: variables to add to Slicer's own.
        on_line: gets each line of standard output, as bytes.
        on_log: gets each line of standard error, as text.
        on_ended: (exit code, whether it crashed); the process ended by itself.
        on_failed: (reason); it could not be started.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: dict[str, str],
        *,
        on_line: Callable[[bytes], None],
        on_log: Callable[[str], None],
        on_ended: Callable[[int, bool], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self.pid = 0
        """Of the worker itself, where it has said so: that of the process started here may be a launcher's."""
        self._on_line = on_line
        self._on_log = on_log
        self._on_ended = on_ended
        self._on_failed = on_failed
        self._heard = True
        self._output = _LineSplitter()
        self._errors = _LineSplitter()

        whole_environment = qt.QProcessEnvironment.systemEnvironment()
        for name, value in environment.items():
            whole_environment.insert(name, value)
        self._process = qt.QProcess()
        self._process.setProcessEnvironment(whole_environment)
        # Lambdas, so that the connections keep this object alive until the process is over: the destructor of a
        # QProcess that still runs would wait for it.
        self._process.connect("readyReadStandardOutput()", lambda: self._read_output())
        self._process.connect("readyReadStandardError()", lambda: self._read_errors())
        self._process.connect("errorOccurred(QProcess::ProcessError)", lambda error: self._failed(error))
        self._process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: self._finished(code, status))
        self._process.start(command[0], list(command[1:]))

    def write(self, data: bytes) -> None:
        self._process.write(data)

    def end(self) -> None:
        """End it and all that it started; nothing more is heard of it."""
        if self._heard:
            self._heard = False
            end_tree(self._process.processId(), self.pid)

    def _read_output(self, ending: bytes = b"") -> None:
        if not self._heard:
            return
        for line in self._output.feed(_bytes(self._process.readAllStandardOutput()) + ending):
            if self._heard:  # a listener may have called end()
                self._on_line(line)

    def _read_errors(self, ending: bytes = b"") -> None:
        if not self._heard:
            return
        lines = [_text(line) for line in self._errors.feed(_bytes(self._process.readAllStandardError()) + ending)]
        self.last_lines.extend(lines)
        if (left_out := len(lines) - LOGGED_AT_ONCE) > 0:
            lines[LOGGED_AT_ONCE:] = [_("({number} lines left out)").format(number=left_out)]
        for line in lines:
            if self._heard:
                self._on_log(line)

    def _failed(self, error: int) -> None:
        if error == qt.QProcess.FailedToStart:  # whatever else may fail, _finished comes too
            # Later, because Qt may say so from within start(), when nobody has this object in hand yet.
            qt.QTimer.singleShot(0, lambda: self._tell_failure(self._process.errorString()))

    def _tell_failure(self, reason: str) -> None:
        if self._heard:
            self._heard = False
            self._on_failed(reason)
        self._process.deleteLater()

    def _finished(self, exit_code: int, status: int) -> None:
        self._read_output(b"\n")  # a last line may lack its end
        self._read_errors(b"\n")
        if self._heard:
            self._heard = False
            end_tree(self.pid)  # what it started may live on without it
            self._on_ended(exit_code, status == qt.QProcess.CrashExit)
        with contextlib.suppress(RuntimeError, ValueError):  # Slicer quits, and Qt has deleted it already
            self._process.deleteLater()


class _LineSplitter:
    """Makes lines of bytes that come in any pieces; empty ones are left out."""

    def __init__(self) -> None:
        self._rest = b""
        self._longest = shared_limits().MAX_REPLY_BYTES  # what is longer is cut here and handed on as it is

    def feed(self, data: bytes) -> list[bytes]:
        # A carriage return ends a line too: that is how progress bars write over themselves.
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        if len(self._rest) > self._longest:
            lines.append(self._rest)
            self._rest = b""
        return [line for line in lines if line.strip()]


def _bytes(array: qt.QByteArray) -> bytes:
    data = array.data()  # PythonQt gives bytes or, in some releases, str
    return data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip()
