"""PySide6's classes of Qt objects and their own attribute access, kept before ``pythonqt.py`` replaces it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

QT_MODULES = (QtCore, QtGui, QtWidgets, QtUiTools)
QOBJECT_CLASSES = [
    candidate
    for module in QT_MODULES
    for candidate in (getattr(module, name) for name in dir(module))
    if isinstance(candidate, type) and issubclass(candidate, QtCore.QObject)
]
# A few classes (QObject, QFile, …) look their attributes up in their own way and must keep doing so.
_LOOKUPS = {kind: kind.__dict__["__getattribute__"] for kind in QOBJECT_CLASSES if "__getattribute__" in kind.__dict__}


def plain_get(self: QtCore.QObject, name: str) -> Any:
    """The attribute as PySide6 alone would give it."""
    return _lookup(type(self))(self, name)


@functools.cache
def _lookup(kind: type) -> Callable[[QtCore.QObject, str], Any]:
    return next(_LOOKUPS[base] for base in kind.__mro__ if base in _LOOKUPS)
