"""From a line to a request, or a sentence that says what is wrong with it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ccella_core.errors import CCELLAError
from ccella_core.worker.protocol import METHODS, decode


class Request(NamedTuple):
    """What a client asks. The parameters of ``cancel`` and ``shutdown`` were checked, others are not yet."""

    id: int
    method: str
    params: dict[str, Any]


class ProtocolError(CCELLAError):
    """A request that is no request: unknown method or parameters, or values of the wrong type.

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
    elif strangers := message.keys() - {"id", "method", "params"}:
        problem = f"A request has id, method and params, but not {', '.join(sorted(strangers))}."
    elif method == "cancel" and (params.keys() != {"id"} or type(params["id"]) is not int):
        problem = f"cancel takes the id of a request, a whole number, and nothing else, not {params!r}."
    elif method == "shutdown" and params:
        problem = f"shutdown takes no parameters, not {params!r}."
    else:
        return Request(number, method, params)
    raise ProtocolError(problem, number)
