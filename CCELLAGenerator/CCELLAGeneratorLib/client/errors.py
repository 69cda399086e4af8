"""What can go wrong between Slicer and the worker process, in a code, a sentence and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from slicer.i18n import tr as _

from .command import shared_ssh

SIGKILL = 9
WINDOWS_NO_MEMORY = 0xC0000017 - 2**32  # STATUS_NO_MEMORY, as Qt reports it
# 9: killed by a signal, as Qt reports it; 137 = 128 + 9 and -9: the same, told by a process in between.
KILLED_CODES = (SIGKILL, 128 + SIGKILL, -SIGKILL, WINDOWS_NO_MEMORY)
# PythonSlicer has one exit code for every crash and says this. A crash of Python's own leaves a trace; a kill does not.
LAUNCHER_WORDS = "exit abnormally"
CRASH_WORDS = ("fatal python error", "fatal exception")
MEMORY_WORDS = ("memoryerror", "out of memory", "bad_alloc", "cannot allocate memory", "not enough memory")


class ClientError(Exception):
    """Why a request was not answered.

    Attributes:
        code: the worker's own ("input", "model", "memory", …), or "start", "version", "died", "hung", "rubbish",
            or "host": another computer that cannot be reached, or whose connection was lost.
        message: one sentence that says what happened.
        hint: one that says what to do.
        finished: what the worker had completed before, under the names of a result ("volumes").
    """

    def __init__(self, code: str, message: str, hint: str = "", finished: dict[str, Any] | None = None) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.code = code
        self.message = message
        self.hint = hint
        self.finished = finished or {}


def of_worker(event: dict[str, Any]) -> ClientError:
    """What an "error" event says."""
    said = {name: value for name, value in event.items() if name not in ("event", "id")}
    code, message, hint = (str(said.pop(name, "")) for name in ("code", "message", "hint"))
    return ClientError(code, message, hint, said)


def cancelled(finished: dict[str, Any] | None = None) -> ClientError:
    """The user stopped the request; `finished` is what was completed before."""
    return ClientError("cancelled", _("Generation was cancelled."), finished=finished)


def not_started(reason: str) -> ClientError:
    """The process could not be started, or ended or fell silent before it was ready."""
    return ClientError(
        "start",
        _("The generating process could not be started: {reason}").format(reason=_ended(reason)),
        _("Read the log; if packages are missing, install the dependencies again."),
    )


def other_version(theirs: object, ours: int) -> ClientError:
    """The process speaks another version of the protocol."""
    return ClientError(
        "version",
        _("The generating process speaks version {theirs} of the protocol, and this module version {ours}.").format(
            theirs=theirs, ours=ours
        ),
        _("Two releases are mixed: install the extension again and restart Slicer."),
    )


def checked_host(host: str) -> str:
    """``host`` as SSH may have it. Raises ClientError where it is none."""
    try:
        return shared_ssh().check_host(host)
    except ValueError as error:
        raise ClientError("input", str(error)) from error


def elsewhere(host: str, exit_code: int, last_lines: Sequence[str], *, was_ready: bool) -> ClientError:
    """The connection to another computer could not be made, or was lost."""
    return ClientError("host", *shared_ssh().explain(host, exit_code, last_lines, was_ready=was_ready))


def no_ssh(reason: str) -> ClientError:
    """SSH's own program could not be started."""
    return ClientError(
        "host",
        _("ssh cannot be started: {reason}").format(reason=_ended(reason)),
        _("Install OpenSSH's client on this computer."),
    )


def other_release(host: str, theirs: object, ours: int) -> ClientError:
    """The `ccella` on another computer speaks another version of the protocol."""
    return ClientError(
        "version",
        _("The ccella on {host} speaks version {theirs} of the protocol, and this module version {ours}.").format(
            host=host, theirs=theirs, ours=ours
        ),
        shared_ssh().same_release(host),
    )


def not_brought(error: Exception) -> ClientError:
    """A file did not come whole from another computer, or could not be written here."""
    return ClientError("save" if isinstance(error, OSError) else "host", str(error))


def hung(seconds: float) -> ClientError:
    """The process gave no sign of life for so many seconds."""
    return ClientError(
        "hung",
        _("The generating process gave no sign of life for {seconds:.0f} seconds and was ended.").format(
            seconds=seconds
        ),
        _again(),
    )


def rubbish() -> ClientError:
    """The process wrote what is no message."""
    return ClientError(
        "rubbish",
        _("The generating process wrote what cannot be understood and was ended."),
        _("{again} If it happens again, install the dependencies again.").format(again=_again()),
    )


def died(exit_code: int, crashed: bool, last_lines: Sequence[str]) -> ClientError:
    """The process ended by itself while it owed an answer; `last_lines` are the last of its log."""
    if _memory_ran_out(exit_code, last_lines):
        return ClientError(
            "died",
            _("The generating process ended ({how}), most likely because memory ran out.").format(
                how=_how(exit_code, crashed)
            ),
            _("Close other programs, or choose fewer volumes, a smaller size or another device; then try again."),
        )
    words = _(" Its last words: {line}").format(line=_ended(last_lines[-1])) if last_lines else ""
    return ClientError(
        "died",
        _("The generating process ended unexpectedly ({how}).").format(how=_how(exit_code, crashed)) + words,
        _again(),
    )


def _memory_ran_out(exit_code: int, last_lines: Sequence[str]) -> bool:
    said = "\n".join(last_lines).lower()
    without_a_trace = LAUNCHER_WORDS in said and not any(words in said for words in CRASH_WORDS)
    return exit_code in KILLED_CODES or without_a_trace or any(words in said for words in MEMORY_WORDS)


def _how(exit_code: int, crashed: bool) -> str:
    # Where a process was killed, Qt gives the signal's number; Windows has none, and large negative codes instead.
    if crashed and exit_code > 0:
        return _("signal {number}").format(number=exit_code)
    return _("exit code {number}").format(number=exit_code)


def _again() -> str:
    return _("Try again: a new process is started. The log has more.")


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."
