"""A worker that speaks the protocol and misbehaves on request; run as a script by the tests of the client.

    python fake_worker.py LOG [START]

Each start adds a line with its pid to the file LOG. START: how it starts ("well" if left out), see STARTS. A request's
``params["do"]`` names a function of this file.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

UMLAUTS = "Befund: größer als früher – 前列腺 🩻"
OUT = sys.stdout.buffer
PNG = b"\x89PNG\r\n\x1a\n not really"


def write(data: bytes) -> None:
    OUT.write(data)
    OUT.flush()


def line(**message: object) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode() + b"\n"


def send(**message: object) -> None:
    write(line(**message))


def to_log(text: str | bytes) -> None:
    sys.stderr.buffer.write(text if isinstance(text, bytes) else text.encode())
    sys.stderr.flush()


# What a request may ask for. Each gets the request's id and its params.


def echo(number: int, params: dict) -> None:
    send(event="result", id=number, value=params)


def show_environment(number: int, params: dict) -> None:
    send(event="result", id=number, value={name: os.environ.get(name) for name in params["names"]})


def fail(number: int, params: dict) -> None:
    send(event="error", id=number, code="model", message="It is broken.", hint="Mend it.", volumes=["a.nii"])


def work(number: int, params: dict) -> None:
    """Progress, a preview and a result, many lines in one piece."""
    import base64

    said = b"".join(
        line(event="progress", id=number, stage="denoise", step=step, steps=params["steps"])
        + line(event="heartbeat", memory_gib=1.0)
        + line(event="preview", id=number, width=2, height=2, png=base64.b64encode(PNG).decode())
        for step in range(1, params["steps"] + 1)
    )
    write(said + line(event="result", id=number, value={"text": UMLAUTS}))


def dribble(number: int, params: dict) -> None:
    """The same answer a byte at a time: lines, and letters, come in pieces."""
    for byte in line(event="result", id=number, value={"text": UMLAUTS}):
        write(bytes([byte]))
        time.sleep(0.001)


def chatter(number: int, params: dict) -> None:
    """A few lines that are no messages, some of them in no encoding, before the answer."""
    write(b"Loading ...\n\xff\xfe\xe4\n[1, 2]\n\n" + b"x" * 5000 + b"\n" + '"Müll"\n'.encode())
    to_log(b"10%\r20%\r\nna\xefve\n")
    to_log("ä" * 10 + "\n")
    time.sleep(0.2)
    echo(number, params)


def log_flood(number: int, params: dict) -> None:
    to_log("\n".join(f"warning {count}" for count in range(5000)) + "\n")
    echo(number, params)


def strangers(number: int, params: dict) -> None:
    """Messages of no request, and of a shape that the protocol does not have."""
    send(event="result", id=number + 1000, value={})
    send(event="error", id=None, code="protocol", message="Which request?", hint="")
    send(event="progress", id=[number])
    send(event="tomorrow", id=number)
    send(nothing=True)
    send(event="log", level="info", message="hello")
    echo(number, params)


def flood(number: int, params: dict) -> None:
    for _ in range(20000):
        write(b"x" * 100 + b"\n")


def endless_line(number: int, params: dict) -> None:
    while True:
        write(b"x" * 2**16)


def die(number: int, params: dict) -> None:
    to_log(params.get("words", "Traceback:\nSomeError: it broke"))  # without a line feed, as last words may be
    write(b'{"event":"resu')
    sys.stdout.flush()
    os._exit(params.get("code", 3))


def be_killed(number: int, params: dict) -> None:
    os.kill(os.getpid(), params.get("signal", signal.SIGKILL))


def say_nothing(number: int, params: dict) -> None:
    """The worker lives on, but this request is forgotten."""


def hang(number: int, params: dict) -> None:
    time.sleep(3600)


def beat_only(number: int, params: dict) -> None:
    while True:
        send(event="heartbeat", memory_gib=1.0)
        time.sleep(0.05)


def start_child(number: int, params: dict) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    send(event="progress", id=number, pid=child.pid)
    if params.get("then") == "die":
        os._exit(3)
    hang(number, params)


def obey(number: int, params: dict) -> None:
    """Works until it is cancelled, and then says so."""
    cancelled.wait()
    send(event="error", id=number, code="cancelled", message="Stopped.", hint="")


def finish_when_cancelled(number: int, params: dict) -> None:
    """Too late to be stopped: the result comes all the same."""
    cancelled.wait()
    echo(number, params)


def exit_when_cancelled(number: int, params: dict) -> None:
    cancelled.wait()
    os._exit(0)


cancelled = threading.Event()


def ready(protocol: int = 3) -> None:
    send(event="ready", protocol=protocol, version="0", pid=os.getpid(), python="3")


def lack_a_module() -> None:
    sys.exit("ModuleNotFoundError: No module named 'ccella_core'")


STARTS = {
    "well": ready,
    "slowly": lambda: (time.sleep(0.3), ready()),
    "otherwise": lambda: ready(protocol=1),
    "broken": lack_a_module,
    "never": lambda: time.sleep(3600),
}


def main() -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # as the worker does
    with Path(sys.argv[1]).open("a", encoding="utf-8") as starts:
        starts.write(f"{os.getpid()}\n")
    STARTS[sys.argv[2] if len(sys.argv) > 2 else "well"]()
    for request in map(json.loads, filter(bytes.strip, sys.stdin.buffer)):  # an empty line is a sign of life
        if request["method"] == "cancel":
            cancelled.set()
            send(event="result", id=request["id"], value={})
        else:
            what = globals()[request["params"]["do"]]
            threading.Thread(target=what, args=(request["id"], request["params"]), daemon=True).start()


if __name__ == "__main__":
    main()
