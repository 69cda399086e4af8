"""Broken variants of what the software reads, drawn from a seed, and what must come of each."""

from __future__ import annotations

import copy
import io
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from typer.main import get_command

from ccella_core.cli import app
from ccella_core.limits import GIB

COMMAND = get_command(app)
MOST_SECONDS = 5.0
"""Of a processor, for one variant: more than a slow one needs, and less than what never ends."""
MOST_CHARACTERS = 4000
"""Of what a person has to read."""
DEPTH = 5000

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 3, 10**6, 10**12, 2**63, 10**30, -0.5, 0.5, 1e-30, 1e308, math.nan, math.inf, "", " ",
    "x", "x" * 300, "../..", "/", "~nobody-of-this-name/x", "a\0b", "\u2028", "\x1b[31m", "nan", "1_000", "ä" * 200,
    [], [[]], [None], [0, 0, 0], [-1, 10**9], {}, {"a": 1}, {"": {}},
)  # fmt: skip
ODD_WORDS = (
    *(str(value) for value in ODD_VALUES if not isinstance(value, (list, dict)) and value != "a\0b"),
    *("/dev/null", "/dev/zero", "/proc/self/mem", "-"),
)


def broken_value(chance: random.Random, content: Any) -> Any:
    """The same JSON value with one thing wrong in it, at any depth."""
    content = copy.deepcopy(content)
    places = [(holder, key) for holder in _holders(content) for key in _keys(holder)]
    holder, key = chance.choice(places)
    match chance.randrange(6):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]]
        case 2 if isinstance(holder, dict):
            holder[f"{key}x"] = holder[key]
        case 3:
            deep: Any = []
            for _ in range(50):
                deep = [deep]
            holder[key] = deep
        case _:
            holder[key] = chance.choice(ODD_VALUES)
    return content


def _holders(content: Any) -> Iterator[Any]:
    if isinstance(content, (dict, list)) and content:
        yield content
        for each in content.values() if isinstance(content, dict) else content:
            yield from _holders(each)


def _keys(holder: Any) -> list[Any]:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))


def broken_bytes(chance: random.Random, content: bytes) -> bytes:
    """The same file cut, overwritten, filled up, or another altogether."""
    at = chance.randrange(max(1, len(content)))
    match chance.randrange(9):
        case 0:
            return content[:at]
        case 1:
            return content[:at] + bytes(chance.randrange(256) for _ in range(16)) + content[at + 16 :]
        case 2:
            return content[:at] + b"\0" * 64 + content[at + 64 :]
        case 3:
            return content + content[:at]
        case 4:
            return b""
        case 5:
            return bytes(chance.randrange(256) for _ in range(200))
        case 6:
            return b"[" * DEPTH + b"]" * DEPTH
        case 7:
            return content.replace(b'"', b'"\\ud800', 1)
        case _:
            return content.decode("utf-8", "replace").encode("utf-16")


def broken_json(chance: random.Random, content: bytes) -> bytes:
    """A JSON file with something wrong in its values, or in its bytes."""
    if chance.random() < 0.25:
        return broken_bytes(chance, content)
    return json.dumps(broken_value(chance, json.loads(content))).encode()


def broken_lines(chance: random.Random, content: bytes) -> bytes:
    """JSON lines of which one is broken."""
    lines = content.splitlines()
    at = chance.randrange(len(lines))
    lines[at] = broken_json(chance, lines[at])
    return b"\n".join(lines)


@contextmanager
def within_limits(what: object) -> Iterator[None]:
    """Fails where the block takes more than some seconds of a processor, or more than a GiB of memory beyond before."""
    started, before = time.process_time(), _peak_gib()
    yield
    seconds, grown = time.process_time() - started, _peak_gib() - before
    assert seconds < MOST_SECONDS, f"{seconds:.1f} s: {what}"
    assert grown < 1, f"{grown:.1f} GiB: {what}"


def _peak_gib() -> float:
    if sys.platform == "win32":  # tells no peak
        return 0.0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / GIB


def run_command(*arguments: object, result: Path | None = None) -> int:
    """Run ``ccella`` in this process, and see that it ends as it should with whatever it was given.

    Args:
        *arguments: of the command line.
        result: what must not be there where the command failed.

    Returns:
        The exit code.
    """
    words = [str(each) for each in arguments]
    output, code = io.StringIO(), 0
    # Not by Typer's runner, which builds the whole command anew for every call.
    with within_limits(words), redirect_stdout(output), redirect_stderr(output):
        try:
            COMMAND.main(words, prog_name="ccella")
        except SystemExit as ended:
            code = int(ended.code or 0)
    said = output.getvalue()
    assert code in (0, 1, 2, 3), (words, code, said)
    assert "Traceback" not in said and "fault of the software" not in said, (words, said)
    assert len(said) < MOST_CHARACTERS, (words, said)
    if code in (1, 2):
        assert said.strip(), words
        assert result is None or not result.exists(), (words, said, [*result.rglob("*")])
    return code


def each(seed: int, count: int) -> Iterator[random.Random]:
    """A source of chance for each of so many variants, which can be drawn alone to look at it."""
    return (random.Random(f"{seed}/{number}") for number in range(count))


Break = Callable[[random.Random, bytes], bytes]
