"""The server's manners, with answers made up here, so that no process waits for torch."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from patience import PATIENCE_SECONDS

from ccella_core.client.protocol import EXIT_PARENT_GONE, EXIT_SHUTDOWN, HEARTBEAT_SECONDS, SIGN_OF_LIFE
from ccella_core.errors import InputError
from ccella_core.worker.channel import TICKS, ClientWatch
from ccella_core.worker.server import Server
from ccella_core.worker.tasks import Task

WorkerProcess = Any  # the client in conftest.py, which tests cannot import
StartWorker = Callable[..., WorkerProcess]

ROOT = Path(__file__).resolve().parent.parent.parent

NOTHING_HEAVY = """
import sys
from importlib.abc import MetaPathFinder

class Refused(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "monai", "transformers", "diffusers", "scipy", "SimpleITK"):
            raise ImportError(f"{name} is loaded before the first line")

sys.meta_path.insert(0, Refused())
from ccella_core.worker.__main__ import main
main()
"""
MADE_UP = """
import os, subprocess, sys, time
from ccella_core.errors import InputError
from ccella_core.worker.__main__ import main

def answer(task):
    what = task.params.get("name", "")
    if what == "print":
        print("printed by a library")
        os.write(1, b"written by a C library\\n")
        subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
        return {"read": sys.stdin.read()}
    if what == "stubborn":
        task.tell("progress", stage="load")
        time.sleep(3600)
    if what == "patient":
        task.finished["volumes"] = [1]
        task.tell("progress", stage="denoise")
        while not task.cancelled.is_set():
            time.sleep(0.01)
    if what == "refused":
        raise InputError("The report is empty.")
    if what == "fault":
        raise KeyError("a fault")
    if what == "nan":
        return {"value": float("nan")}
    if what == "missing":
        import no_such_package
    if what == "log":
        import logging
        logging.getLogger("ccella_core.somewhere").warning("Grüße, %s", "世界")
        logging.getLogger("another.library").warning("of no interest")
    return {"name": what}

main(answer=answer)
"""


@pytest.fixture
def made_up(start_worker: StartWorker) -> WorkerProcess:
    worker = start_worker(code=MADE_UP)
    assert worker.read()["event"] == "ready"
    return worker


def test_the_first_line_comes_before_anything_heavy(start_worker: StartWorker) -> None:
    worker = start_worker(code=NOTHING_HEAVY)
    ready = worker.read()
    assert ready["event"] == "ready" and ready["protocol"] == 3 and ready["version"] == "0.1.0"
    assert ready["pid"] == worker.process.pid
    assert ready["python"] == f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"


def test_a_job_gives_a_result(made_up: WorkerProcess) -> None:
    number = made_up.send("download", name="前立腺")
    assert made_up.events_of(number) == [{"event": "result", "id": number, "value": {"name": "前立腺"}}]


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_the_channel_is_utf8_whatever_the_console_is(start_worker: StartWorker, encoding: str) -> None:
    environment = {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}
    code = MADE_UP.encode("ascii", "backslashreplace").decode()  # the command line itself is read in that code page
    worker = start_worker(code=code, environment=environment)
    assert worker.read()["event"] == "ready"
    number = worker.send("delete", name="größer – 前列腺 😀")
    assert worker.read()["value"] == {"name": "größer – 前列腺 😀"} and number
    worker.send("delete", name="log")
    assert worker.read()["message"] == "Grüße, 世界"


def test_shutdown_answers_and_leaves_with_zero(made_up: WorkerProcess) -> None:
    assert made_up.ask("shutdown")["value"] == {}
    assert made_up.wait() == EXIT_SHUTDOWN == 0


def test_shutdown_ends_a_stubborn_job(made_up: WorkerProcess) -> None:
    made_up.send("download", name="stubborn")
    made_up.read_until(lambda event: event["event"] == "progress")
    assert made_up.ask("shutdown")["value"] == {}
    assert made_up.wait() == EXIT_SHUTDOWN, "long before the job would have ended"


@pytest.mark.parametrize("job", [None, "patient", "stubborn"])
def test_a_closed_stdin_ends_it(made_up: WorkerProcess, job: str | None) -> None:
    if job is not None:
        made_up.send("download", name=job)
        made_up.read_until(lambda event: event["event"] == "progress")
    made_up.close_stdin()
    assert made_up.wait() == EXIT_PARENT_GONE, "long before the job would have ended"


def test_a_closed_stdout_ends_it() -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", MADE_UP], cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None and process.stdout is not None
        assert b"ready" in process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b'{"id": 1, "method": "download"}\n')
        process.stdin.flush()
        assert process.wait(PATIENCE_SECONDS) == EXIT_PARENT_GONE


def test_cancel_is_answered_while_the_job_runs_and_ends_it(made_up: WorkerProcess) -> None:
    job = made_up.send("download", name="patient")
    made_up.read_until(lambda event: event["event"] == "progress")
    cancel = made_up.send("cancel", id=job)
    answered, ended = made_up.read_until(lambda event: event.get("id") == job)
    assert answered == {"event": "result", "id": cancel, "value": {"cancelled": True}}
    assert (ended["code"], ended["volumes"]) == ("cancelled", [1])
    assert made_up.ask("cancel", id=job)["value"] == {"cancelled": False}
    assert made_up.ask("download", name="next")["value"] == {"name": "next"}


def test_questions_are_answered_in_between_and_a_second_job_is_refused(made_up: WorkerProcess) -> None:
    job = made_up.send("download", name="patient")
    assert made_up.ask("describe")["value"] == {"name": ""}
    refused = made_up.ask("delete")
    assert refused["code"] == "busy" and f"request {job} (download)" in refused["message"]
    made_up.send("cancel", id=job)
    assert made_up.events_of(job)[-1]["code"] == "cancelled"


def test_an_id_in_use_is_refused_without_ending_the_first(made_up: WorkerProcess) -> None:
    job = made_up.send("download", name="patient")
    made_up.write(b'{"id": %d, "method": "describe"}\n' % job)
    refused = made_up.read_until(lambda event: event["event"] == "error")[-1]
    assert refused["id"] is None and refused["code"] == "protocol" and "another id" in refused["message"]
    made_up.send("cancel", id=job)
    assert made_up.events_of(job)[-1]["code"] == "cancelled"


def test_failures_are_one_event_and_the_log_has_the_traceback(made_up: WorkerProcess) -> None:
    events = {name: made_up.ask("download", name=name) for name in ("refused", "fault", "nan", "missing")}
    codes = {name: event["code"] for name, event in events.items()}
    assert codes == {"refused": "input", "fault": "internal", "nan": "internal", "missing": "dependency"}
    assert events["refused"]["message"] == "The report is empty." and events["refused"]["hint"]
    assert "no_such_package" in events["missing"]["message"]
    assert not any(b"Traceback" in line for line in made_up.lines)
    made_up.ask("shutdown")
    made_up.wait()
    log = made_up.log.decode()
    assert log.count("Traceback") == 3 and "KeyError: 'a fault'" in log and "The report is empty" not in log


def test_prints_of_libraries_go_to_the_log(made_up: WorkerProcess) -> None:
    assert made_up.ask("download", name="print")["value"] == {"read": ""}
    assert made_up.ask("shutdown")["event"] == "result"
    made_up.wait()
    log = made_up.log.decode()
    assert all(f"by a {who}" in log for who in ("library", "C library", "child"))
    assert not any(b"printed" in line or b"written" in line for line in made_up.lines)


def test_our_own_log_reaches_the_client(made_up: WorkerProcess) -> None:
    made_up.send("download", name="log")
    assert made_up.read() == {"event": "log", "level": "warning", "message": "Grüße, 世界"}
    assert made_up.read()["event"] == "result"


def test_rubbish_is_answered_and_survived(made_up: WorkerProcess) -> None:
    for rubbish in (b"GET / HTTP/1.1\r\n", b"\xff\xfe\x00\n", b"[" * 5000 + b"\n", b"{}\n", b'{"id": NaN}\n'):
        made_up.write(rubbish)
        error = made_up.read()
        assert (error["event"], error["id"], error["code"]) == ("error", None, "protocol")
    made_up.write(b'{"id": 99, "method": "draw"}\n')
    assert (error := made_up.read())["id"] == 99 and error["code"] == "protocol"
    made_up.write(b"\n  \r\n")
    assert made_up.ask("download", name="still there")["value"] == {"name": "still there"}


def test_heartbeats_come_while_a_job_runs(made_up: WorkerProcess) -> None:
    job = made_up.send("download", name="patient")
    started = time.monotonic()
    made_up.read_until(lambda event: event["event"] == "heartbeat")
    beat = made_up.read_until(lambda event: event["event"] == "heartbeat")[-1]
    assert time.monotonic() - started > HEARTBEAT_SECONDS and 0 < beat["memory_gib"] < 1
    made_up.ask("cancel", id=job)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups of this kind")
def test_it_ignores_interrupts_and_leads_a_group_of_its_own(made_up: WorkerProcess) -> None:
    made_up.process.send_signal(signal.SIGINT)
    assert made_up.ask("download", name="calm")["value"] == {"name": "calm"}
    assert os.getpgid(made_up.process.pid) == made_up.process.pid != os.getpgid(0)


def test_serves_in_process_until_the_input_ends() -> None:
    def answer(task: Task) -> dict[str, str]:
        return {"method": task.method}

    replies = io.BytesIO()
    server = Server(io.BytesIO(b'{"id": 1, "method": "shutdown"}\n'), replies, answer, leave=lambda code: None)
    assert server.serve() == EXIT_SHUTDOWN
    assert replies.getvalue().splitlines()[1] == b'{"event":"result","id":1,"value":{}}'


def test_a_client_is_missed_only_once_it_has_given_signs_of_life() -> None:
    watch = ClientWatch()
    watch.heard(b'{"id": 1, "method": "describe"}\n')
    assert not any(watch.tick() for _ in range(1000))  # one on this computer, whose pipe ends with it
    watch.heard(SIGN_OF_LIFE)
    for line in (SIGN_OF_LIFE, b'{"id": 2, "method": "describe"}\n'):  # all that comes is a sign of life
        assert not any(watch.tick() for _ in range(TICKS))
        watch.heard(line)
    assert [watch.tick() for _ in range(TICKS + 1)] == [False] * TICKS + [True]


def test_ends_in_mid_job_when_the_client_falls_silent_and_no_pipe_ends() -> None:
    """As where a cable is pulled: nothing comes, nothing closes."""
    ours, theirs = os.pipe()
    begun, left = threading.Event(), threading.Event()

    def answer(task: Task) -> dict[str, str]:
        begun.set()
        assert task.cancelled.wait(PATIENCE_SECONDS)
        raise InputError("It was stopped.")

    server = Server(
        os.fdopen(ours, "rb"), io.BytesIO(), answer, leave=lambda code: left.set(), client_silence_seconds=0.12
    )
    os.write(theirs, b'{"id": 1, "method": "generate"}\n')
    codes: list[int] = []
    serving = threading.Thread(target=lambda: codes.append(server.serve()))
    serving.start()
    assert begun.wait(PATIENCE_SECONDS)
    os.write(theirs, SIGN_OF_LIFE)
    serving.join(PATIENCE_SECONDS)
    assert codes == [EXIT_PARENT_GONE] and left.wait(PATIENCE_SECONDS)
    os.close(theirs)
