"""Damaged values in DICOM headers, in our words."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from ccella_core.errors import InputError

Arguments = ParamSpec("Arguments")
Read = TypeVar("Read")


def damage_explained(
    read: Callable[Concatenate[Path, Arguments], Read],
) -> Callable[Concatenate[Path, Arguments], Read]:
    """A reader of a DICOM file, whose first argument it is, that raises InputError alone.

    pydicom parses a value when it is first asked for, and raises whatever its parser meets; a value may also be of
    another type than its element's, or several where one belongs.
    """

    @wraps(read)
    def explained(path: Path, *arguments: Arguments.args, **keywords: Arguments.kwargs) -> Read:
        try:
            return read(path, *arguments, **keywords)
        except (InputError, MemoryError):
            raise
        except Exception as error:
            raise InputError(
                f"{path} is damaged DICOM: a value of its header cannot be read ({short_words(error)}); get it again."
            ) from error

    return explained


def short_words(error: Exception) -> str:
    """The first line of what an exception says, or what it is called."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
