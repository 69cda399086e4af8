"""Failures that are explained to a person in one sentence.

Everything that a caller can cause or mend is raised as a ``CCELLAError``; the command line prints its text and nothing
else. Any other exception is a fault of this software and keeps its traceback.
"""

from __future__ import annotations

MOST_CHARACTERS_OF_A_LIBRARY = 200


class CCELLAError(Exception):
    """A failure whose text tells the reader what is wrong and what to do about it."""


def first_line(error: BaseException) -> str:
    """What a library says of a failure, short enough to stand in a sentence of ours."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= MOST_CHARACTERS_OF_A_LIBRARY else f"{line[:MOST_CHARACTERS_OF_A_LIBRARY]}…"


class InputError(CCELLAError, ValueError):
    """An argument that cannot be used: a report, pathology, count, shape or file name, for instance."""


class ModelError(CCELLAError):
    """A model on disk that is missing, altered, truncated, of an unknown format, or unsafe to read."""


class SaveError(CCELLAError, OSError):
    """A result that could not be written; nothing half-written is left under the final name."""


class NonFiniteError(CCELLAError, ArithmeticError):
    """A network produced NaN or infinity; the result is not kept."""


class RemoteError(CCELLAError):
    """Another computer that cannot be reached or understood, or that failed for a reason of its own."""


class Cancelled(CCELLAError):
    """The caller asked to stop."""
