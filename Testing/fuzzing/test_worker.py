"""Whatever a client sends: an answer or an error that is the client's, never a fault of the worker."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from broken import broken_bytes, broken_value, each, within_limits
from ccella_core.worker.protocol import parse_request

from ccella_core.client.protocol import parse_request
from ccella_core.limits import MAX_REQUEST_BYTES
from ccella_core.worker.failures import MOST_CHARACTERS, explain
from ccella_core.worker.server import Server
from ccella_core.worker.tasks import Handlers, Task

pytestmark = pytest.mark.medium


def test_requests(tiny_model: Path, tmp_path: Path) -> None:
    """Of ``generate`` only those that are refused are of interest, so that its model is not there."""
    model = str(tiny_model)
    requests: list[dict[str, Any]] = [
        {"id": 1, "method": "describe", "params": {"model_folders": [str(tmp_path)]}},
        {"id": 2, "method": "count_tokens", "params": {"model": model, "report": "PI-RADS 4 lesion."}},
        {"id": 3, "method": "estimate", "params": {"model": model, "shape": [16, 16, 8], "num_inference_steps": 2}},
        {"id": 4, "method": "generate", "params": {"model": str(tmp_path), "report": "x", "output_dir": str(tmp_path),
                                                   "seed": 1, "count": 1, "spacing": [1.0, 1.0, 3.0]}},
        {"id": 5, "method": "delete", "params": {"path": str(tmp_path)}},
    ]  # fmt: skip
    handlers = Handlers(tmp_path / "timings.json")
    for request in requests[:3]:  # what it imports is not the first variant's
        handlers(Task(request["id"], request["method"], request["params"], send=lambda *_, **__: None))
    for chance in each(8, 200):
        request = chance.choice(requests)
        line = json.dumps(broken_value(chance, request)).encode()
        if chance.random() < 0.2:
            line = broken_bytes(chance, line)
        with within_limits(line[:2000]):
            try:
                asked = parse_request(line)
                if asked.method in {each["method"] for each in requests}:
                    handlers(Task(*asked, send=lambda *_, **__: None))
            except Exception as error:
                failure = explain(error)
                assert failure.code != "internal", (line[:2000], failure)
                assert len(failure.message) <= MOST_CHARACTERS + 1
    assert not [path for path in tmp_path.iterdir() if path.name != "timings.json"]


def test_the_end_of_a_line_that_is_too_long_is_no_request() -> None:
    long = b"x" * (2 * MAX_REQUEST_BYTES + 5) + b'{"id": 1, "method": "shutdown"}\n'
    replies, codes = io.BytesIO(), []
    Server(io.BytesIO(long + b'{"id": 2, "method": "shutdown"}\n'), replies, answer=dict, leave=codes.append).serve()
    told = [json.loads(line) for line in replies.getvalue().splitlines()]
    assert [each["event"] for each in told] == ["ready", "error", "result"]
    assert told[1]["code"] == "protocol" and told[2]["id"] == 2
