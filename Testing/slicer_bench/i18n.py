"""``slicer.i18n``: ``tr`` and ``translate`` in the source language.

Like Slicer's, they take text that is known beforehand. An f-string cannot be seen by Qt's lupdate, so text that stands
nowhere in the caller's source is refused.
"""

from __future__ import annotations

import ast
import functools
import sys
import tokenize
from pathlib import Path


def tr(text: str) -> str:
    """The translation of ``text``; TypeError unless the caller's source file spells it as a literal."""
    return _checked(text, sys._getframe(1).f_code.co_filename)


def translate(context: str, text: str) -> str:
    """The translation of ``text`` within ``context``."""
    if not isinstance(context, str):
        raise TypeError(f"context is a string, not {context!r}")
    return _checked(text, sys._getframe(1).f_code.co_filename)


def _checked(text: str, filename: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"only a string can be translated, not {text!r}")
    if Path(filename).is_file() and text not in _literals(filename):
        raise TypeError(f"{text!r} is no literal of {Path(filename).name}: lupdate could not find it")
    return text


@functools.cache
def _literals(filename: str) -> frozenset[str]:
    with tokenize.open(filename) as file:
        tree = ast.parse(file.read())
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return frozenset(value for value in constants if isinstance(value, str))
