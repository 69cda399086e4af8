"""Failures that are explained to a person in one sentence.

Everything that a caller can cause or mend is raised as a ``CCELLAError``; the command line prints its text and nothing
else. Any other exception is a fault of this software and keeps its traceback.
"""

from __future__ import annotations


class CCELLAError(Exception):
    """A failure whose text tells the reader what is wrong and what to do about it."""


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
