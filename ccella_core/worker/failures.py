"""What went wrong, as the protocol says it: a code for the program, a sentence and a hint for the person."""

from __future__ import annotations

import sys
from typing import NamedTuple

from ccella_core.client.protocol import ProtocolError
from ccella_core.errors import Cancelled, CCELLAError, InputError, ModelError, NonFiniteError, SaveError

HINTS = {
    "input": "Change the request as the sentence says, and try again.",
    "model": "Choose another model, or get this one again.",
    "dependency": "Install what is missing and start again.",
    "memory": "Ask for a smaller volume, close other programs, or choose a smaller model.",
    "gpu_memory": "Close other programs that use the graphics card, ask for a smaller volume, or choose the CPU.",
    "cancelled": "Start it again when you like.",
    "nonfinite": "Try other settings; if it happens again, get the model again.",
    "save": "Free disk space, or choose another folder.",
    "busy": "Wait until the other request has ended, or cancel it.",
    "protocol": "Client and worker do not understand each other: install them in the same version.",
    "internal": "Try again; if it happens again, report it together with the log.",
}
MOST_CHARACTERS = 1000
GPU_WORDS = ("cuda", "mps", "hip")
OUT_OF_MEMORY_WORDS = "out of memory"


class Failure(NamedTuple):
    """An ``error`` event without its id."""

    code: str
    message: str
    hint: str


def failure(code: str, message: str) -> Failure:
    """The failure with the hint that belongs to its code. What a client sent may be any length, a message not."""
    short = message if len(message) <= MOST_CHARACTERS else f"{message[:MOST_CHARACTERS]}…"
    return Failure(code, short, HINTS[code])


def explain(error: Exception) -> Failure:
    """Any exception as a failure; ``internal`` where it is a fault of this software."""
    if (code := _memory_code(error)) is not None:
        where = "the graphics card" if code == "gpu_memory" else "this computer"
        return failure(code, f"There is not enough free memory on {where} for this.")
    if isinstance(error, ImportError) and _is_foreign(error):
        return failure("dependency", _missing(error))
    for kind, code in _CODES.items():
        if isinstance(error, kind):
            return failure(code, str(error))
    return failure("internal", f"The worker met a fault of its own ({type(error).__name__}{_first_line(error)}).")


_CODES: dict[type[CCELLAError], str] = {
    ProtocolError: "protocol",
    InputError: "input",
    ModelError: "model",
    SaveError: "save",
    NonFiniteError: "nonfinite",
    Cancelled: "cancelled",
}


def _memory_code(error: Exception) -> str | None:
    """``memory`` or ``gpu_memory`` if that is what ran out."""
    # The pipeline says "not enough memory" as an InputError, whose cause tells which memory it was.
    explained = isinstance(error, InputError) and isinstance(error.__cause__, (MemoryError, RuntimeError))
    cause = error.__cause__ if explained else error
    torch = sys.modules.get("torch")  # where it was never imported, it raised nothing
    if torch is not None and isinstance(cause, torch.cuda.OutOfMemoryError):
        return "gpu_memory"
    words = str(cause).lower()
    if isinstance(cause, RuntimeError) and OUT_OF_MEMORY_WORDS in words and any(gpu in words for gpu in GPU_WORDS):
        return "gpu_memory"
    return "memory" if explained or isinstance(cause, MemoryError) else None


def _is_foreign(error: ImportError) -> bool:
    """Whether a package other than this one is at fault; a library whose parts cannot be loaded may give no name."""
    return (error.name or "").partition(".")[0] != "ccella_core"


def _missing(error: ImportError) -> str:
    package = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and error.name == package:
        return f"The Python package {package} is not installed."
    return f"The Python package {package or 'that is needed'} cannot be loaded{_first_line(error)}."


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f": {lines[0].rstrip('.')}" if lines else ""
