"""The client with a worker that fails in every way that the panel must survive."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
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


@pytest.fixture
def hang_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    from CCELLAGeneratorLib.client import link as worker_link

    return lambda seconds: monkeypatch.setattr(worker_link, "HANG_SECONDS", seconds)


# What is no message.


def test_what_is_no_message_goes_to_the_log(room: Room) -> None:
    answers = room.answer("chatter")
    assert answers.results == [{"do": "chatter"}]
    assert {"Loading ...", "\ufffd\ufffd\ufffd", "[1, 2]", '"Müll"', "x" * 200} <= set(room.log)
    assert {"10%", "20%", "na\ufffdve", "ä" * 10} <= set(room.log)
    assert "" not in room.log


def test_messages_of_no_request_are_passed_over(room: Room) -> None:
    answers = room.answer("strangers")
    assert answers.results == [{"do": "strangers"}] and answers.progress == []
    assert {"hello", "Which request?"} <= set(room.log)


def test_a_flooded_log_is_cut(room: Room) -> None:
    room.answer("log_flood")
    room.wait_for(lambda: any("left out" in line for line in room.log))
    assert "warning 0" in room.log and len(room.log) < 2500


@pytest.mark.medium
@pytest.mark.parametrize("do", ["flood", "endless_line"])
def test_a_flood_of_rubbish_ends_the_worker(room: Room, do: str) -> None:
    error = room.answer(do).error
    assert error.code == "rubbish" and "cannot be understood" in error.message and error.hint
    room.wait_for_end_of(room.pids[0])
    assert sum(len(line) for line in room.log) < 10_000
    assert room.works_again() and len(room.pids) == 2


# A worker that cannot be started.


def test_a_program_that_is_not_there(room: Room, tmp_path: Path) -> None:
    room.client._command = [str(tmp_path / "no such program")]
    _, first = room.ask("echo")
    _, second = room.ask("echo")
    assert not first.done and not second.done  # never from within request()
    room.wait_for(lambda: first.done and second.done)
    assert first.error.code == second.error.code == "start"
    assert room.client.state == "stopped"
    assert room.starting("well").works_again()


def test_a_program_that_is_not_there_and_a_client_that_is_closed(room: Room, tmp_path: Path) -> None:
    room.client._command = [str(tmp_path / "no such program")]
    _, answers = room.ask("echo")
    room.client.close()
    room.bench.process_events(0.2)
    assert not answers.done


def test_a_worker_that_ends_before_it_is_ready(room: Room) -> None:
    error = room.starting("broken").answer("echo").error
    assert error.code == "start"
    assert "exit code 1" in error.message and "No module named 'ccella_core'" in error.message
    assert room.starting("well").works_again()


def test_a_worker_that_never_becomes_ready(room: Room, hang_seconds: Callable[[float], None]) -> None:
    hang_seconds(1.0)
    error = room.starting("never").answer("echo").error
    assert error.code == "start" and "no sign of life for 1 seconds" in error.message
    room.wait_for_end_of(*room.pids)


def test_another_version_of_the_protocol(room: Room) -> None:
    error = room.starting("otherwise").answer("echo").error
    assert error.code == "version" and "3" in error.message and "1" in error.message
    assert "install the extension again" in error.hint
    room.wait_for_end_of(room.pids[0])
    assert room.starting("well").works_again()


# A worker that dies or hangs.


def test_death_is_told_with_its_code_and_last_words(room: Room) -> None:
    _, other = room.ask("say_nothing")
    error = room.answer("die").error
    assert error.code == "died"
    assert "exit code 3" in error.message and "SomeError: it broke" in error.message
    assert "memory" not in error.message
    assert other.error.code == "died"
    assert room.client.state == "stopped" and "SomeError: it broke" in room.log
    assert room.works_again() and len(room.pids) == 2


def test_an_end_without_an_answer_is_a_death_whatever_the_code(room: Room) -> None:
    assert "exit code 0" in room.answer("die", code=0).error.message


def test_an_exit_code_that_suggests_memory(room: Room) -> None:
    error = room.answer("die", code=137).error  # what a launcher makes of a kill
    assert error.code == "died" and "memory ran out" in error.message


@POSIX_ONLY
def test_a_kill_suggests_memory(room: Room) -> None:
    error = room.answer("be_killed").error
    assert error.code == "died" and "signal 9" in error.message and "memory ran out" in error.message
    assert "fewer volumes" in error.hint
    assert room.works_again()


@POSIX_ONLY
def test_another_signal_does_not(room: Room) -> None:
    error = room.answer("be_killed", signal=int(signal.SIGTERM)).error
    assert "signal 15" in error.message and "memory" not in error.message


@pytest.mark.parametrize(
    ("words", "memory"),
    [
        ("terminate called after throwing an instance of 'std::bad_alloc'", True),
        ("MemoryError\nsomething else", True),
        ("error: [/bin/python-real] exit abnormally - Report the problem.", True),  # PythonSlicer's, after a kill
        ("Fatal Python error: Segmentation fault\nerror: [/bin/python-real] exit abnormally - Report …", False),
    ],
)
def test_last_words_that_suggest_memory(room: Room, words: str, memory: bool) -> None:
    error = room.answer("die", code=1, words=words).error
    assert error.code == "died" and "exit code 1" in error.message
    assert ("memory ran out" in error.message) == memory


def test_death_between_two_requests(room: Room) -> None:
    room.answer("echo")
    psutil.Process(room.pids[0]).kill()
    room.wait_for(lambda: room.client.state == "stopped")
    assert room.works_again() and len(room.pids) == 2


@POSIX_ONLY
def test_the_children_of_a_dead_worker_end_too(room: Room) -> None:
    answers = room.answer("start_child", then="die")
    room.wait_for_end_of(answers.progress[0]["pid"])


@POSIX_ONLY
def test_a_worker_that_stands_still(room: Room, hang_seconds: Callable[[float], None]) -> None:
    room.answer("echo")
    hang_seconds(1.0)
    error = room.answer("be_killed", signal=int(signal.SIGSTOP)).error
    assert error.code == "hung" and "1 seconds" in error.message and error.hint
    hang_seconds(PATIENCE_SECONDS)
    room.wait_for_end_of(room.pids[0])
    assert room.works_again() and len(room.pids) == 2


@pytest.mark.medium
def test_a_sign_of_life_is_enough(room: Room, hang_seconds: Callable[[float], None]) -> None:
    room.answer("echo")
    hang_seconds(3.0)
    number, answers = room.ask("beat_only")
    room.bench.process_events(5.0)
    assert not answers.done
    room.client.cancel(number)
    room.wait_for(lambda: answers.done)
    assert answers.error.code == "cancelled"


def test_an_idle_worker_may_be_silent(room: Room, hang_seconds: Callable[[float], None]) -> None:
    room.answer("echo")
    hang_seconds(0.5)
    room.answer("echo")
    room.bench.process_events(1.0)
    assert room.client.state == "ready"
    hang_seconds(PATIENCE_SECONDS)
    assert room.works_again() and len(room.pids) == 1


@pytest.mark.medium
def test_a_window_that_stood_still_is_no_hung_worker(room: Room, hang_seconds: Callable[[float], None]) -> None:
    room.answer("echo")
    hang_seconds(3.0)
    number, answers = room.ask("beat_only")
    time.sleep(4.0)  # a large scene is loaded, or the computer sleeps
    room.bench.process_events(0.3)
    assert not answers.done
    room.client.cancel(number)
