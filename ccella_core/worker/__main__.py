"""``python -m ccella_core.worker``: serve the client at the other end of stdin and stdout; stderr is the log."""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import logging
import os
import signal
import sys
from pathlib import Path

from ccella_core.worker.channel import Channel, take_standard_streams
from ccella_core.worker.server import Answer, Server, leave
from ccella_core.worker.tasks import Handlers


def main(arguments: list[str] | None = None, answer: Answer | None = None) -> None:
    """Serve until the client ends it, then end this process.

    Args:
        arguments: of the command line.
        answer: how requests are answered; the library's own ``Handlers`` by default.
    """
    parser = argparse.ArgumentParser(prog="python -m ccella_core.worker", description=__doc__)
    parser.add_argument("--timings", type=Path, help="file of measured times, by default in the user's cache folder")
    options = parser.parse_args(arguments)
    _become_a_worker()
    requests, replies = take_standard_streams()
    server = Server(requests, replies, answer or Handlers(options.timings))
    _send_log_to(server.channel)
    leave(server.serve())


def _become_a_worker() -> None:
    # A group of its own, so that a client can end this process and its children together.
    if hasattr(os, "setsid"):
        with contextlib.suppress(OSError):  # it leads a group already
            os.setsid()
    # Ctrl-C in the client's terminal reaches this process too; the client decides what becomes of the job.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    faulthandler.enable()  # a crash inside a library says where
    # Hugging Face's library: nothing is sent unasked, and no bars are drawn into the log.
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"


class _LogEvents(logging.Handler):
    """Sends what this library logs to the client."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(logging.INFO)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        names = {logging.INFO: "info", logging.WARNING: "warning"}
        self._channel.send("log", level=names.get(record.levelno, "error"), message=record.getMessage())


def _send_log_to(channel: Channel) -> None:
    logger = logging.getLogger("ccella_core")
    logger.setLevel(logging.INFO)
    logger.addHandler(_LogEvents(channel))


if __name__ == "__main__":
    main()
