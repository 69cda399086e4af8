"""The words that worker and client share. Standard library only: a client imports this where torch is not installed.

One JSON object a line, UTF-8, ended by a line feed. ``docs/worker.md`` explains every method and event.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, get_args

from ccella_core.errors import CCELLAError
from ccella_core.limits import SchedulerName

PROTOCOL_VERSION = 3
"""A client refuses a worker whose ``ready`` names another one."""

JOBS = ("generate", "download", "delete")
"""Methods that run one at a time; a second one is refused as ``busy``."""
QUESTIONS = ("describe", "count_tokens", "estimate", "read_study")
"""Methods that are answered in between, in the order in which they were asked."""
CONTROLS = ("send", "cancel", "shutdown")
"""Methods that are answered at once, in the order in which they were asked."""
METHODS = (*JOBS, *QUESTIONS, *CONTROLS)

EVENTS = ("ready", "progress", "preview", "file", "heartbeat", "log", "result", "error")
STAGES = ("load", "encode", "denoise", "decode", "save")
ERROR_CODES = (
    "input",
    "model",
    "dependency",
    "memory",
    "gpu_memory",
    "cancelled",
    "nonfinite",
    "save",
    "busy",
    "protocol",
    "internal",
)
SCHEDULERS: tuple[str, ...] = get_args(SchedulerName)

HEARTBEAT_SECONDS = 2.0
SILENCE_SECONDS = 60.0
"""After which a worker that owes an answer counts as hung: loading a library from a slow disk holds heartbeats up."""
SIGN_OF_LIFE = b"\n"
"""What a client on another computer writes every SIGN_OF_LIFE_SECONDS: an empty line, which asks for nothing."""
SIGN_OF_LIFE_SECONDS = 10.0
CLIENT_SILENCE_SECONDS = 120.0
"""After which a worker whose client has given such signs takes the connection for cut, and ends: a cable that is pulled
ends no input. Much longer than the pause between two, because a busy window may hold them up."""
EXIT_SHUTDOWN = 0
EXIT_PARENT_GONE = 3
"""Nobody reads or writes any more: stdin was closed without ``shutdown``, or stdout was, or the client fell silent."""


def encode(message: dict[str, Any]) -> bytes:
    """One line. Raises ValueError for NaN and infinity, which JSON does not have.

    It is ASCII, which is UTF-8 too: so even a path with bytes that are no UTF-8, which Python holds as lone surrogates,
    comes through unharmed.
    """
    return json.dumps(message, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """The object on a line, or ``None`` where there is none: not UTF-8, not JSON, or no object."""
    try:
        message = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


class Request(NamedTuple):
    """What a client asks. The parameters of ``cancel`` and ``shutdown`` were checked, others are not yet."""

    id: int
    method: str
    params: dict[str, Any]


class ProtocolError(CCELLAError):
    """A malformed request: unknown method or parameters, or values of the wrong type.

    ``request_id`` is its id, where that could be read.
    """

    def __init__(self, message: str, request_id: int | None = None) -> None:
        super().__init__(message)
        self.request_id = request_id


def parse_request(line: bytes) -> Request:
    """Raises ProtocolError where there is no request on the line."""
    message = decode(line)
    if message is None:
        raise ProtocolError("A line from the client is not a JSON object in UTF-8.")
    number, method, params = message.get("id"), message.get("method"), message.get("params", {})
    if type(number) is not int:  # True is an int to Python
        raise ProtocolError(f"The id of a request is a whole number, not {number!r}.")
    if not isinstance(method, str) or method not in METHODS:
        problem = f"There is no method {method!r}; there are: {', '.join(METHODS)}."
    elif not isinstance(params, dict):
        problem = f"The params of {method} are a JSON object, not {params!r}."
    elif unexpected := message.keys() - {"id", "method", "params"}:
        problem = f"A request has id, method and params, but not {', '.join(sorted(unexpected))}."
    elif method == "cancel" and (params.keys() != {"id"} or type(params["id"]) is not int):
        problem = f"cancel takes the id of a request, a whole number, and nothing else, not {params!r}."
    elif method == "shutdown" and params:
        problem = f"shutdown takes no parameters, not {params!r}."
    else:
        return Request(number, method, params)
    raise ProtocolError(problem, number)
