"""What a command says when Ctrl-C comes while it starts, for docs/reliability.md. Linux and macOS.

    python Testing/benchmarks/interrupts.py

Starts `ccella info`, as its installed script does and as `python -m ccella_core`, and interrupts each start at another
moment. Takes two minutes of a core.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

SCRIPT = "import sys; from ccella_core.__main__ import main; sys.exit(main())"
"""What an installed script does."""
WAYS = {"the installed script": ("-c", SCRIPT, "info"), "python -m ccella_core": ("-m", "ccella_core", "info")}
STOPPED, MOMENTS, FIRST_MS, LAST_MS = 130, 60, 10, 300
TRACES = ("Traceback", "Exception ignored", "Fatal Python error")
PATIENCE_SECONDS = 120


class Ending(NamedTuple):
    """Of one start."""

    moment_ms: float
    kind: str


def kind_of(code: int, said: str) -> str:
    """How a command ended, in words, by its exit code and what it wrote to stderr."""
    if any(trace in said for trace in TRACES):
        return "traceback"
    if code == -signal.SIGINT:
        return "ended by the signal"
    if code == STOPPED:
        return "Stopped." if said.strip().endswith("Stopped.") else "130 without a word"
    return "finished before" if code == 0 else f"exit code {code}"


def interrupted(arguments: Sequence[str], moment_ms: float) -> Ending:
    """Start Python with arguments, in a session of its own, and interrupt it after so many milliseconds."""
    # Started in the background, a shell has its programs ignore Ctrl-C, and they theirs: this one is to hear it.
    hears = None if os.name == "nt" else partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        [sys.executable, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True, preexec_fn=hears,
    ) as process:  # fmt: skip
        time.sleep(moment_ms / 1000)
        process.send_signal(signal.SIGINT)
        try:
            said = process.communicate(timeout=PATIENCE_SECONDS)[1]
        finally:
            process.kill()  # which waits for ever otherwise
    return Ending(moment_ms, kind_of(process.returncode, said))


def summary_of(endings: Sequence[Ending]) -> str:
    """How often each kind came, and the latest moment of a traceback."""
    counts = Counter(ending.kind for ending in endings)
    late = max((ending.moment_ms for ending in endings if ending.kind == "traceback"), default=None)
    text = ", ".join(f"{kind}: {count}" for kind, count in counts.most_common())
    return text if late is None else f"{text}; the last traceback at {late:.0f} ms"


def main() -> None:
    """Print a line for each way of starting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=MOMENTS, help="of each way, evenly from 10 to 300 ms")
    moments = parser.parse_args().moments
    for way, arguments in WAYS.items():
        step = (LAST_MS - FIRST_MS) / max(1, moments - 1)
        endings = [interrupted(arguments, FIRST_MS + step * number) for number in range(moments)]
        print(f"{way}: {summary_of(endings)}", flush=True)


if __name__ == "__main__":
    main()
