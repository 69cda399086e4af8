"""Failures that are explained to a person in one sentence.

Everything that a caller can cause or mend is raised as a ``CCELLAError``; the command line prints its text and nothing
else. Any other exception is a fault of this software and keeps its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MOST_CHARACTERS_OF_A_LIBRARY = 200


class CCELLAError(Exception):
    """A failure whose text tells the reader what is wrong and what to do about it."""


def first_line(error: BaseException) -> str:
    """What a library says of a failure, short enough to stand in a sentence of ours."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= MOST_CHARACTERS_OF_A_LIBRARY else f"{line[:MOST_CHARACTERS_OF_A_LIBRARY]}…"


PYDANTIC_WORDS = {
    "string_type": "a text is expected",
    "int_": "a whole number is expected",
    "float_": "a number is expected",
    "finite_number": "a finite number is expected",
    "bool_": "true or false is expected",
    "model_": "keys and values are expected",
    "dict_type": "keys and values are expected",
    "tuple_type": "a list is expected",
    "list_type": "a list is expected",
    "set_type": "a list is expected",
    "path_type": "a path is expected",
    "date_": "a date is expected",
    "invalid_key": "a key must be a text",
    "literal_error": "choose {expected}",
    "enum": "choose {expected}",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be above {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be below {lt}",
    "too_short": "too few entries, at least {min_length} needed",
    "too_long": "too many entries, at most {max_length} allowed",
    "string_too_short": "too short, at least {min_length} characters needed",
    "string_too_long": "too long, at most {max_length} characters allowed",
    "string_pattern_mismatch": "has another form than {pattern}",
    "json_": "it is no JSON",
    "value_error": "{error}",
}
"""Ours for its kinds of errors, by how the kind begins; a kind that is missing keeps pydantic's."""
YAML_WORDS = {
    r"found character '\\?t'|found character '\t'": "a tab; indent with spaces",
    r"found character '(.)' that cannot start": r"the text that begins with \1 must stand in quotation marks",
    "mapping values are not allowed": "a second colon; put the text in quotation marks, or begin a new line",
    r"expected ',' or|expected the node content": "a bracket is not closed, or a value is missing",
    "unexpected end of stream": "a quotation mark is not closed",
    r"constructor for the tag '(.*)'": r"the tag \1; write plain values",
    "another document": "a second document begins; leave one",
    "unhashable key": "a key is a list; keys are texts",
    "expected <block end>|could not find expected ':'": "the line is indented unlike those above, or lacks its colon",
}


def pydantic_words(problem: Mapping[str, Any]) -> str:
    """One of pydantic's errors as words that may follow the name of what is wrong."""
    for kind, words in PYDANTIC_WORDS.items():
        if str(problem["type"]).startswith(kind):
            limits = problem.get("ctx", {}).items()
            return words.format(
                **{name: f"{value:.15g}" if isinstance(value, float) else value for name, value in limits}
            )
    return str(problem["msg"])


def yaml_words(error: Exception) -> str:
    """What is wrong with a YAML text, with line and column where they are known."""
    said, mark = str(getattr(error, "problem", None) or error), getattr(error, "problem_mark", None)
    where = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
    for pattern, words in YAML_WORDS.items():
        if found := re.search(pattern, said):
            return where + found.expand(words)
    return f"{where}what stands there is no YAML" if mark is not None else " ".join(said.split())


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


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object of a JSON text (its ``object_pairs_hook``). Raises ValueError where a name stands there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} stands there twice")
    return found
