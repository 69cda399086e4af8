"""The client with a worker that works: answers, downloads, the command, and a window that never stands still."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from client_room import FAKE, Answers, Room

LONGEST_STANDSTILL_MS = 1000  # of what would be an hour, were a worker waited for


@pytest.fixture
def room(slicer_bench: Any, tmp_path: Path) -> Iterator[Room]:
    with Room(slicer_bench, tmp_path) as room:
        yield room


# Answers.


def test_the_worker_starts_with_the_first_request_and_stays(room: Room) -> None:
    assert room.client.state == "stopped" and room.pids == []
    _, first = room.ask("echo", text="größer 前列腺")
    assert room.client.state == "starting"
    _, second = room.ask("echo", number=2)
    room.wait_for(lambda: first.done and second.done)
    assert first.results == [{"do": "echo", "text": "größer 前列腺"}]
    assert second.results == [{"do": "echo", "number": 2}]
    assert room.client.state == "ready"
    assert room.works_again() and len(room.pids) == 1


def test_an_answer_that_is_owed_makes_it_busy(room: Room) -> None:
    room.answer("echo")
    number, answers = room.ask("obey")
    assert room.client.state == "busy"
    room.client.cancel(number)
    room.wait_for(lambda: answers.done)
    assert room.client.state == "ready"


def test_many_lines_in_one_piece(room: Room) -> None:
    answers = room.answer("work", steps=40)
    assert [event["step"] for event in answers.progress] == list(range(1, 41))
    assert answers.progress[0]["stage"] == "denoise"
    assert answers.previews == [FAKE["PNG"]] * 40
    assert answers.results == [{"text": FAKE["UMLAUTS"]}]


def test_one_line_in_many_pieces(room: Room) -> None:
    assert room.answer("dribble").results == [{"text": FAKE["UMLAUTS"]}]


def test_progress_and_preview_may_go_unheard(room: Room) -> None:
    heard = Answers()
    callbacks = {"on_result": heard.results.append, "on_error": heard.errors.append}
    room.client.request("generate", {"do": "work", "steps": 3}, **callbacks)
    room.wait_for(lambda: heard.done)
    assert heard.results == [{"text": FAKE["UMLAUTS"]}]


def test_an_error_of_the_worker_keeps_it(room: Room) -> None:
    error = room.answer("fail").error
    assert (error.code, error.message, error.hint) == ("model", "It is broken.", "Mend it.")
    assert str(error) == "It is broken. Mend it."
    assert error.finished == {"volumes": ["a.nii"]}
    assert room.works_again() and len(room.pids) == 1


def test_the_environment_reaches_the_worker(room: Room) -> None:
    room.client._environment = {"CCELLA_TEST": "größer"}
    value = room.answer("show_environment", names=["CCELLA_TEST", "PATH"]).results[0]
    assert value == {"CCELLA_TEST": "größer", "PATH": os.environ["PATH"]}


def test_a_callback_that_raises_costs_nobody_else_anything(room: Room) -> None:
    def broken(_value: object) -> None:
        raise ZeroDivisionError("the panel's own fault")

    room.client.request("generate", {"do": "echo"}, on_result=broken, on_error=broken)
    assert room.works_again()
    assert any("the panel's own fault" in line for line in room.log)


def test_a_callback_of_a_cancelled_job_may_ask_again(room: Room) -> None:
    room.answer("echo")
    again = Answers()
    _, question = room.ask("echo", method="describe")
    number = room.client.request(
        "generate",
        {"do": "hang"},
        on_result=again.results.append,
        on_error=lambda error: room.client.request("generate", {"do": "echo"}, **again.callbacks),
    )
    _, unanswered = room.ask("say_nothing", method="describe")
    room.client.cancel(number)
    room.wait_for(lambda: again.done)
    assert again.results == [{"do": "echo"}] and question.done and not unanswered.done
    assert len(room.pids) == 2


def test_a_callback_may_ask_again(room: Room) -> None:
    second = Answers()

    def ask_again(_value: object) -> None:
        room.client.request("generate", {"do": "echo"}, **second.callbacks)

    room.client.request("generate", {"do": "die"}, on_result=ask_again, on_error=ask_again)
    room.wait_for(lambda: second.done)
    assert second.results == [{"do": "echo"}]


# Downloads.


def test_a_download_has_a_process_of_its_own(room: Room) -> None:
    room.client._environment = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    names = list(room.client._environment)
    assert room.answer("show_environment", names=names).results == [dict.fromkeys(names, "1")]
    _, job = room.ask("say_nothing")
    _, download = room.ask("show_environment", method="download", names=names)
    room.wait_for(lambda: download.done)
    assert download.results == [dict.fromkeys(names, "0")]
    assert len(room.pids) == 2
    room.wait_for_end_of(room.pids[1])
    assert not room.ended(room.pids[0]) and not job.done


def test_a_cancelled_download_does_not_cost_the_warm_worker(room: Room) -> None:
    room.answer("echo")
    number, download = room.ask("hang", method="download")
    room.wait_for(lambda: len(room.pids) == 2)
    room.bench.process_events(0.2)
    room.client.cancel(number)
    room.wait_for(lambda: download.done)
    assert download.error.code == "cancelled"
    room.wait_for_end_of(room.pids[1])
    assert room.works_again() and len(room.pids) == 2


def test_a_download_ends_with_the_client(room: Room) -> None:
    _, download = room.ask("hang", method="download")
    room.wait_for(lambda: room.pids)
    room.client.close()
    room.wait_for_end_of(*room.pids)
    room.bench.process_events(0.1)
    assert not download.done


# The window.


@pytest.mark.medium
def test_the_window_never_stands_still(room: Room) -> None:
    """While a worker starts, works, is cancelled and ended, starts again, floods, dies, and is closed."""
    with room.bench.heartbeat() as heart:
        keep_busy(room)
    assert heart.longest_ms < LONGEST_STANDSTILL_MS


def keep_busy(room: Room) -> None:
    assert room.answer("work", steps=100).results
    number, answers = room.ask("start_child")
    room.wait_for(lambda: answers.progress)
    room.client.cancel(number)
    room.wait_for(lambda: answers.done)
    assert room.answer("flood").error.code == "rubbish"
    assert room.answer("log_flood").results
    assert room.answer("die").error.code == "died"
    _, answers = room.ask("start_child")
    room.wait_for(lambda: answers.progress)
    room.client.close()
    room.bench.process_events(0.1)


# The command.


def test_default_command_runs_slicers_own_python(room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from CCELLAGeneratorLib.client.command import default_command

    name = "PythonSlicer.exe" if os.name == "nt" else "PythonSlicer"
    monkeypatch.setenv("PATH", str(tmp_path))
    command, _ = default_command()
    assert command == [sys.executable, "-m", "ccella_core.worker"]  # there is no other here

    beside_slicer = Path(room.bench.app.slicerHome) / "bin" / name
    beside_slicer.parent.mkdir(parents=True)
    beside_slicer.touch(mode=0o755)
    assert default_command()[0][0] == str(beside_slicer)

    (tmp_path / name).touch(mode=0o755)
    assert Path(default_command()[0][0]).samefile(tmp_path / name)


def test_default_environment(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    from CCELLAGeneratorLib.client.command import default_command

    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    environment = default_command()[1]
    core, others = environment.pop("PYTHONPATH").split(os.pathsep)
    assert (Path(core) / "ccella_core" / "worker").is_dir() and others == "elsewhere"
    assert environment == {
        "PYTHONIOENCODING": "utf-8",
        "PYTHONUTF8": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }
    monkeypatch.delenv("PYTHONPATH")
    assert default_command()[1]["PYTHONPATH"] == core


@pytest.mark.parametrize("host", ["me@workstation", ""])
def test_signs_of_life_go_to_another_computer_only(room: Room, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Where the network is cut no pipe ends, and the worker there would wait for ever."""
    from CCELLAGeneratorLib.client.process import WorkerProcess

    from ccella_core.client import protocol

    monkeypatch.setattr(protocol, "SIGN_OF_LIFE_SECONDS", 0.01)
    written: list[bytes] = []
    write = WorkerProcess.write
    monkeypatch.setattr(WorkerProcess, "write", lambda self, data: (written.append(data), write(self, data))[1])
    room.client.host = host
    room.answer("echo")
    if host:
        room.wait_for(lambda: written.count(protocol.SIGN_OF_LIFE) > 3)
        assert written[0] == protocol.SIGN_OF_LIFE  # before the first request
        assert room.works_again() and len(room.pids) == 1
        room.client.close()
        count = len(written)
        room.bench.process_events(0.1)
        assert len(written) == count
    else:
        room.bench.process_events(0.1)
        assert protocol.SIGN_OF_LIFE not in written
