"""Where the worker's lines come from and go to, out of reach of any library that prints, and who sends them."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any, BinaryIO

from ccella_core.client.protocol import SIGN_OF_LIFE, encode

STDIN, STDOUT, STDERR = 0, 1, 2  # as the operating system numbers them
TICKS = 12
"""Of silence in a row that a client is given. Ticks are counted and not seconds: a computer that slept, or was too busy
to read, has not heard the client either."""


class Channel:
    """Sends whole lines; any thread may call it.

    Args:
        stream: binary; flushed after every line.
        on_broken: called when nobody reads the lines any more.
    """

    def __init__(self, stream: BinaryIO, on_broken: Callable[[], object]) -> None:
        self._stream = stream
        self._on_broken = on_broken
        self._lock = threading.Lock()

    def send(self, event: str, **content: Any) -> None:
        """Raises ValueError or TypeError, and sends nothing, where ``content`` cannot be written as JSON."""
        self.write(encode({"event": event, **content}))

    def write(self, line: bytes) -> None:
        """Send what ``encode`` made."""
        try:
            with self._lock:
                self._stream.write(line)
                self._stream.flush()
        except OSError:
            self._on_broken()


class ClientWatch:
    """Counts ticks since the last line, once the client has given its first sign of life.

    A client that gives none, such as one on the same computer, whose pipe ends with it, is not watched.
    """

    def __init__(self) -> None:
        self._watched = False
        self._silent_ticks = 0

    def heard(self, line: bytes) -> None:
        """A line came; a sign of life or any other."""
        self._silent_ticks = 0
        self._watched = self._watched or line == SIGN_OF_LIFE

    def tick(self) -> bool:
        """A tick has passed; returns whether the client counts as gone."""
        if self._watched:
            self._silent_ticks += 1
        return self._silent_ticks > TICKS


def take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """This process's stdin and stdout as binary streams of our own.

    From now on, whatever is printed by Python or by a C library goes to stderr; whoever reads stdin meets its end.
    """
    requests, replies = _own(STDIN, "rb"), _own(STDOUT, "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, STDIN)
    os.close(nothing)
    os.dup2(STDERR, STDOUT)
    sys.stdout = sys.stderr
    return requests, replies


def _own(descriptor: int, mode: str) -> Any:
    copy = os.dup(descriptor)
    if sys.platform == "win32":
        import msvcrt

        # Else "\n" would be written as "\r\n", and Ctrl-Z would end the input.
        msvcrt.setmode(copy, os.O_BINARY)
    return os.fdopen(copy, mode)
