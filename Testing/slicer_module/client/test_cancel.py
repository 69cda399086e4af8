"""The client when it is cancelled or closed: at once, once, and nothing is left behind."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from client_room import Room
from patience import PATIENCE_SECONDS

POSIX_ONLY = pytest.mark.skipif(os.name == "nt", reason="signals and process groups as macOS and Linux have them")


@pytest.fixture
def room(slicer_bench: Any, tmp_path: Path) -> Iterator[Room]:
    with Room(slicer_bench, tmp_path) as room:
        yield room


# Cancel.


@pytest.mark.medium
def test_a_worker_that_obeys_stays(room: Room) -> None:
    room.answer("echo")
    number, answers = room.ask("obey")
    room.client.cancel(number)
    room.client.cancel(number)
    room.wait_for(lambda: answers.done)
    room.bench.process_events(1.0)  # longer than the patience
    assert answers.error.code == "cancelled"
    assert room.works_again() and len(room.pids) == 1


@pytest.mark.parametrize("do", ["beat_only", "hang", "exit_when_cancelled", "finish_when_cancelled"])
def test_cancel_answers_within_a_second_and_once(room: Room, do: str) -> None:
    from CCELLAGeneratorLib.client.client import CANCEL_PATIENCE

    assert CANCEL_PATIENCE < 1
    room.answer("echo")
    number, answers = room.ask(do)
    room.bench.process_events(0.1)
    room.client.cancel(number)
    assert not answers.done  # never from within cancel()
    room.wait_for(lambda: answers.done)  # of a worker that does not answer, when the patience is over
    room.bench.process_events(1.0)
    assert answers.error.code == "cancelled"
    assert room.works_again()
    assert len(room.pids) == (1 if do == "finish_when_cancelled" else 2)


def test_what_was_finished_before_a_cancel_comes_with_it(room: Room) -> None:
    room.answer("echo")
    number, answers = room.ask("finish_when_cancelled")
    room.client.cancel(number)
    room.wait_for(lambda: answers.done)
    assert answers.error.code == "cancelled" and answers.error.finished == {"do": "finish_when_cancelled"}


def test_progress_is_not_heard_after_cancel(room: Room) -> None:
    room.answer("echo")
    number, answers = room.ask("work", steps=5)
    room.client.cancel(number)
    room.wait_for(lambda: answers.done)
    assert answers.error.code == "cancelled" and answers.progress == answers.previews == []


def test_a_request_that_was_not_sent_yet_is_cancelled_at_once(room: Room) -> None:
    number, cancelled = room.starting("slowly").ask("hang")
    _, other = room.ask("echo")
    room.client.cancel(number)
    assert not cancelled.done
    room.wait_for(lambda: other.done)
    assert cancelled.error.code == "cancelled" and other.results == [{"do": "echo"}]
    assert len(room.pids) == 1


def test_ending_a_job_costs_other_requests_only_time(room: Room) -> None:
    room.answer("echo")
    number, job = room.ask("hang")
    _, question = room.ask("say_nothing", method="describe")
    room.client.cancel(number)
    room.wait_for(lambda: job.done)
    assert job.error.code == "cancelled" and not question.done
    room.wait_for(lambda: len(room.pids) == 2 and room.client.state == "busy")  # asked again
    room.bench.process_events(0.2)
    assert not question.done


def test_a_cancelled_question_does_not_cost_the_warm_worker(room: Room) -> None:
    room.answer("echo")
    number, question = room.ask("say_nothing", method="describe")
    room.client.cancel(number)
    room.wait_for(lambda: question.done)
    room.bench.process_events(1.0)
    assert question.error.code == "cancelled"
    assert room.works_again() and len(room.pids) == 1


def test_cancel_of_what_is_over_or_never_was(room: Room) -> None:
    number, answers = room.ask("echo")
    room.wait_for(lambda: answers.done)
    room.client.cancel(number)
    room.client.cancel(12345)
    assert room.works_again() and len(room.pids) == 1


@POSIX_ONLY
def test_cancel_ends_the_whole_tree(room: Room) -> None:
    number, answers = room.ask("start_child")
    room.wait_for(lambda: answers.progress)
    room.client.cancel(number)
    room.wait_for(lambda: answers.done)
    assert answers.error.code == "cancelled"
    room.wait_for_end_of(room.pids[0], answers.progress[0]["pid"])


# Close.


@POSIX_ONLY
@pytest.mark.parametrize("launcher", [False, True], ids=["direct", "through a launcher"])
def test_close_leaves_no_process_and_no_callback(room: Room, launcher: bool, tmp_path: Path) -> None:
    if launcher:  # as PythonSlicer is one
        script = tmp_path / "launcher.py"
        script.write_text("import subprocess, sys; subprocess.call(sys.argv[1:])", encoding="utf-8")
        room.client._command = [sys.executable, str(script), *room.client._command]
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    _, answers = room.ask("start_child")
    room.wait_for(lambda: answers.progress)
    family = [process for process in psutil.Process().children(recursive=True) if process.pid not in before]
    assert len(family) == (3 if launcher else 2)
    room.client.close()
    room.client.close()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all(room.ended(process.pid) for process in family):  # without the event loop, as when Slicer quits
        assert time.monotonic() < deadline
        time.sleep(0.02)
    room.bench.process_events(0.3)
    assert not answers.done
    assert room.client.state == "stopped" and room.works_again()


@pytest.mark.parametrize("do", ["echo", "die"])
def test_close_from_a_callback_is_the_last_word(room: Room, do: str) -> None:
    heard: list[object] = []

    def close(value: object) -> None:
        heard.append(value)
        room.client.close()

    for _ in range(3):
        room.client.request("generate", {"do": do}, on_result=close, on_error=close)
    room.wait_for(lambda: heard)
    room.bench.process_events(0.3)
    assert len(heard) == 1


def test_close_while_it_starts(room: Room) -> None:
    _, answers = room.starting("slowly").ask("echo")
    room.client.close()
    room.bench.process_events(0.6)
    assert not answers.done


def test_close_of_a_client_that_was_never_used(room: Room) -> None:
    room.client.close()
    assert room.client.state == "stopped" and room.pids == []
