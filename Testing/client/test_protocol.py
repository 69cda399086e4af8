"""The words of the protocol, and what is no request."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest

from ccella_core.client import protocol
from ccella_core.client.protocol import ProtocolError, Request, decode, encode, parse_request
from ccella_core.worker.failures import HINTS
from ccella_core.worker.tasks import MODULES

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize(
    "module", ["client.protocol", "client.ssh", "client.transfer", "worker.server", "worker.__main__"]
)
def test_needs_only_the_standard_library(module: str) -> None:
    program = f"import sys; import ccella_core.{module}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    printed = subprocess.run([sys.executable, "-S", "-c", program], cwd=ROOT, check=True, capture_output=True)
    others = set(printed.stdout.decode().split()) - set(sys.stdlib_module_names) - {"__main__"}
    assert others == {"ccella_core"}


def test_a_message_comes_back_as_it_was() -> None:
    message = {"report": "Grüße, 前立腺 \u2028 𝔘", "path": "/tmp/\udcff", "number": 0.1, "none": None, "lines": "a\nb"}
    line = encode(message)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert line.decode("utf-8") and decode(line) == message


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_neither_written_nor_read(value: float) -> None:
    with pytest.raises(ValueError):
        encode({"value": value})
    assert decode(json.dumps({"value": value}).encode()) is None


@pytest.mark.parametrize("line", [b"", b"rubbish\n", b'{"id": 1', b"[1]\n", b"7", b"null", b"\xff{}", b"[" * 100_000])
def test_what_is_no_object_is_none(line: bytes) -> None:
    assert decode(line) is None


def test_lists_agree_with_the_library() -> None:
    from ccella_core.progress import GenerationStage

    assert set(get_args(GenerationStage)) <= set(protocol.STAGES)
    assert HINTS.keys() == set(protocol.ERROR_CODES)
    assert MODULES.keys() == {*protocol.JOBS, *protocol.QUESTIONS}


def line_of(**changes: Any) -> bytes:
    return json.dumps({"id": 7, "method": "describe", "params": {}} | changes).encode()


def test_a_request_is_read() -> None:
    assert parse_request(line_of(params={"model_folders": []})) == Request(7, "describe", {"model_folders": []})
    assert parse_request(b'{"id": 7, "method": "shutdown"}\r\n') == Request(7, "shutdown", {})
    assert parse_request(line_of(method="cancel", params={"id": 3})) == Request(7, "cancel", {"id": 3})


@pytest.mark.parametrize(
    ("line", "words", "number"),
    [
        (b"GET / HTTP/1.1\r\n", "not a JSON object", None),
        (line_of(id=True), "whole number, not True", None),
        (line_of(id="7"), "whole number, not '7'", None),
        (line_of(method="draw"), "no method 'draw'; there are: generate", 7),
        (line_of(method=["describe"]), "no method", 7),
        (line_of(params=[1]), "params of describe are a JSON object, not [1]", 7),
        (line_of(jsonrpc="2.0"), "but not jsonrpc", 7),
        (line_of(method="cancel"), "cancel takes the id", 7),
        (line_of(method="cancel", params={"id": "3"}), "cancel takes the id", 7),
        (line_of(method="shutdown", params={"now": True}), "shutdown takes no parameters", 7),
    ],
)
def test_what_is_no_request_is_explained(line: bytes, words: str, number: int | None) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_request(line)
    assert words in str(caught.value) and caught.value.request_id == number
