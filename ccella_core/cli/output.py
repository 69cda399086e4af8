"""What all commands share: how errors end a command, where output goes, and how progress looks.

Results go to stdout; progress, warnings and errors to stderr, so that stdout can be piped.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer
from rich.console import Console

from ccella_core.errors import Cancelled, CCELLAError, InputError, first_line
from ccella_core.files import alone_in, usable_path, write_text
from ccella_core.parallel import is_first

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import TaskID

    from ccella_core.progress import Progress

EXIT_FAILED, EXIT_USAGE, EXIT_LEFT_OUT, EXIT_STOPPED = 1, 2, 3, 130
EXIT_CODES = (
    "Exit codes: 0 done; 3 done, with cases left out; 2 an argument cannot be used; 1 anything else failed; "
    "130 stopped with Ctrl-C."
)
STAGE_WORDS = {"encode": "Reading the report", "denoise": "Denoising", "decode": "Decoding"}
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""All but the tab and the line feed; the last ones turn the direction of what follows."""
PLAIN_LINES = 4  # lines a stage, where there is no terminal to draw a bar on
SPEED_WINDOW_SECONDS = 3600.0  # over which speed is measured: Rich's half a minute may see no step end

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and all else on stderr.")]
P = ParamSpec("P")
R = TypeVar("R")


def explained(command: Callable[P, R], *, writes: str | None = None) -> Callable[P, R]:
    """End a command that fails for a known reason with one sentence and the exit code that goes with it.

    Args:
        command: it.
        writes: its option with a folder that no other process may write into meanwhile, see ``alone_in``.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            usable = {name: _usable(value) for name, value in kwargs.items()}
            folder = usable.get(writes) if writes is not None and is_first() else None
            with nullcontext() if folder is None else alone_in(folder):
                return command(*args, **usable)  # type: ignore[arg-type]
        except (KeyboardInterrupt, Cancelled) as error:
            print_message("Stopped.", style="red")
            raise typer.Exit(EXIT_STOPPED) from error
        except CCELLAError as error:
            print_message(str(error), style="red")
            raise typer.Exit(EXIT_USAGE if isinstance(error, InputError) else EXIT_FAILED) from error
        except (typer.Exit, typer.Abort, typer.BadParameter):
            raise
        except MemoryError as error:
            print_message("There is not enough memory for this; ask for less, or use another computer.", style="red")
            raise typer.Exit(EXIT_FAILED) from error
        except BrokenProcessPool as error:
            print_message(
                "The system ended one of its processes: there may be too little memory; try it with fewer jobs. What "
                "is finished stays.",
                style="red",
            )
            raise typer.Exit(EXIT_FAILED) from error
        except OSError as error:  # a full or closed standard output, for instance
            what = f"{error.filename}: " if error.filename else "What was to be written or printed: "
            print_message(f"{what}{error.strerror or error}; free disk space, or choose another place.", style="red")
            raise typer.Exit(EXIT_FAILED) from error
        except Exception as error:  # the last one: whatever it is, a person reads a sentence
            print_message(_fault(error), style="red")
            raise typer.Exit(EXIT_FAILED) from error

    return run


def _usable(value: Any) -> Any:
    """What was given to an option, paths in it checked."""
    if isinstance(value, (list, tuple)):
        return type(value)(map(_usable, value))
    return usable_path(value) if isinstance(value, Path) else value


def _fault(error: Exception) -> str:
    """What nobody foresaw, in a sentence; the traceback goes into a file that only this user reads."""
    import traceback

    import platformdirs

    said = f"This is a fault of the software ({type(error).__name__}: {first_line(error)})."
    where = platformdirs.user_log_path("ccella", appauthor=False) / f"fault-{datetime.now():%Y%m%d-%H%M%S}.txt"
    try:
        write_text(where, "".join(traceback.format_exception(error)), private=True)
    except CCELLAError:
        return f"{said} Please report it."
    return f"{said} Please report it with what is in {where}."


def print_message(text: str, *, style: str | None = None) -> None:
    """A line for a person, on stderr."""
    # Neither markup nor wrapping: the text may hold brackets and paths that a person copies.
    Console(stderr=True).print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)


def printable(text: str) -> str:
    """With what would steer a terminal written out: names and descriptions come from files that others made."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def end_with_left_out(left_out: Iterable[tuple[str, str]]) -> None:
    """Name what was left out, each with the reason, and end with the exit code for it; nothing where all went well."""
    left_out = list(left_out)
    for name, reason in left_out:
        print_message(f"Left out: {name}: {reason}", style="yellow")
    if left_out:
        print_message(f"{len(left_out)} left out.", style="yellow")
        raise typer.Exit(EXIT_LEFT_OUT)


def print_json(content: dict[str, Any]) -> None:
    """Print JSON that keeps letters beyond ASCII."""
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def quiet_libraries() -> None:
    """Keep Transformers from drawing bars of its own, and from saying what the sentences here say better."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()


def show_log(level: int) -> None:
    """Print this package's log on stderr, the way ``print_message`` does."""
    import logging

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print_message(record.getMessage(), style="yellow" if record.levelno >= logging.WARNING else None)

    log = logging.getLogger("ccella_core")
    log.handlers = [Said()]
    log.setLevel(level)


class StepDisplay:
    """How many of something are done: one bar on a terminal, a few plain lines elsewhere."""

    def __init__(self, words: str, console: Console | None = None) -> None:
        from rich import progress

        self._words, self._console, self._lines = words, console or Console(stderr=True), 0
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
            speed_estimate_period=SPEED_WINDOW_SECONDS,
        )
        self._task: TaskID = self._bar.add_task(words, total=None)

    def __enter__(self) -> StepDisplay:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done."""
        self._bar.update(self._task, completed=done, total=total)
        lines = done * PLAIN_LINES // total
        if not self._console.is_terminal and lines > self._lines:
            self._lines = lines
            seconds = self._bar.tasks[self._task].time_remaining
            left = f", about {timedelta(seconds=round(seconds))} left" if seconds else ""
            print_message(f"{self._words}: {done} of {total}{left}")


class ProgressDisplay:
    """A generation's progress: one bar on a terminal, a few plain lines elsewhere. It is the pipeline's callback."""

    def __init__(self, console: Console | None = None) -> None:
        from rich import progress

        self._console = console or Console(stderr=True)
        self._bar = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[left]}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID = self._bar.add_task("Loading the model", total=None, left="")

    def __enter__(self) -> ProgressDisplay:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        """Show where the generation is."""
        batch = f" (batch {progress.batch + 1} of {progress.batches})" if progress.batches > 1 else ""
        words = f"{STAGE_WORDS[progress.stage]}{batch} {progress.step}/{progress.steps}"
        left = "" if progress.seconds_left is None else f"about {progress.seconds_left:.0f} s left"
        if self._console.is_terminal:
            self._bar.update(self._task, description=words, completed=progress.step, total=progress.steps, left=left)
        elif progress.step * PLAIN_LINES // progress.steps > (progress.step - 1) * PLAIN_LINES // progress.steps:
            self._console.print(f"{words} {left}".rstrip(), markup=False, highlight=False, soft_wrap=True)
