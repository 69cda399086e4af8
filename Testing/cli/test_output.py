"""How a command ends: with one sentence and the exit code that goes with it, whatever happened."""

from __future__ import annotations

import stat
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ccella_core.cli import main
from ccella_core.cli.output import EXIT_FAILED, EXIT_STOPPED, EXIT_USAGE, explained, print_message
from ccella_core.errors import Cancelled, InputError, SaveError


def ended(error: BaseException) -> tuple[int, str]:
    app = typer.Typer(pretty_exceptions_enable=False)

    @app.command()
    @explained
    def command() -> None:
        raise error

    result = CliRunner().invoke(app, [])
    return result.exit_code, " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("No such case."), EXIT_USAGE, "No such case."),
        (SaveError("The disk is full."), EXIT_FAILED, "The disk is full."),
        (Cancelled("x"), EXIT_STOPPED, "Stopped."),
        (KeyboardInterrupt(), EXIT_STOPPED, "Stopped."),
        (MemoryError(), EXIT_FAILED, "There is not enough memory for this; ask for less, or use another computer."),
        (typer.Exit(3), 3, ""),
        (
            BrokenProcessPool(),
            EXIT_FAILED,
            "The system ended one of its processes: there may be too little memory; try it with fewer jobs. What is "
            "finished stays.",
        ),
    ],
)
def test_known_reasons(error: BaseException, code: int, said: str) -> None:
    assert ended(error) == (code, said)


def test_a_fault_is_a_sentence_and_its_traceback_a_private_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platformdirs.user_log_path", lambda *_, **__: tmp_path)
    code, said = ended(ZeroDivisionError("division by zero\nand more"))
    (file,) = tmp_path.iterdir()
    assert code == EXIT_FAILED
    assert said == (
        "This is a fault of the software (ZeroDivisionError: division by zero). Please report it with what is in "
        f"{file}."
    )
    assert "Traceback" not in said and "in command" in file.read_text(encoding="utf-8")
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_fault_is_said_even_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("platformdirs.user_log_path", lambda *_, **__: tmp_path / "file")
    code, said = ended(RecursionError())
    assert (code, said) == (
        EXIT_FAILED,
        "This is a fault of the software (RecursionError: RecursionError). Please report it.",
    )


def test_help_that_cannot_be_printed_ends_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ccella_core.cli.app", full)
    with pytest.raises(SystemExit) as ended:
        main()
    assert (
        ended.value.code == EXIT_FAILED and "No space left on device; choose another place" in capsys.readouterr().err
    )


def test_what_would_steer_a_terminal_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_message("\x1b[31mred\x1b]0;title\x07 a b\nc \u202eright \x9b2J ä – ✓")
    assert capsys.readouterr().err == "\\x1b[31mred\\x1b]0;title\\x07 a b\nc \\u202eright \\x9b2J ä – ✓\n"
