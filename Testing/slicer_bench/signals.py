"""``sender.connect("signal(types)", function)`` and ``disconnect`` as PythonQt has them.

PythonQt hands a Python function as many of the signal's arguments as it takes by position, and all of them to a
callable that is not a plain function or method. It keeps the function alive. ``disconnect`` compares with ``==``.
Where PythonQt only warns (a signal or a connection that does not exist), the bench raises.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore

from .plain import plain_get

_connections: dict[int, list[tuple[str, Callable, Any]]] = defaultdict(list)


def connect(sender: QtCore.QObject, *arguments: Any) -> bool:
    """``connect("signal(types)", function)``; Qt's own form with a sender in front is handed on to Qt."""
    if arguments and isinstance(arguments[0], QtCore.QObject):
        return bool(plain_get(sender, "connect")(*arguments))
    signal, function = arguments
    if not callable(function):
        raise TypeError(f"connect({signal!r}): {function!r} cannot be called")
    known = _known_signature(sender, signal)
    connection = QtCore.QObject.connect(sender, QtCore.SIGNAL(known), _trimmed(function))
    address = shiboken6.getCppPointer(sender)[0]
    if address not in _connections and sender is not QtCore.QCoreApplication.instance():
        sender.destroyed.connect(lambda: _connections.pop(address, None))
    _connections[address].append((known, function, connection))
    return True


def disconnect(sender: QtCore.QObject, *arguments: Any) -> bool:
    """``disconnect("signal(types)", function)``; without a function every connection of that signal made by name."""
    if arguments and not isinstance(arguments[0], str):
        return bool(plain_get(sender, "disconnect")(*arguments))
    signal, *functions = arguments
    known = _known_signature(sender, signal)
    kept, ended = [], []
    for entry in _connections[shiboken6.getCppPointer(sender)[0]]:
        matches = entry[0] == known and (not functions or entry[1] == functions[0])
        (ended if matches and not (functions and ended) else kept).append(entry)
    if functions and not ended:
        raise AttributeError(f"disconnect({signal!r}): that function was not connected")
    for _, _, connection in ended:
        QtCore.QObject.disconnect(connection)
    _connections[shiboken6.getCppPointer(sender)[0]] = kept
    return bool(ended)


def forget(sender: QtCore.QObject) -> None:
    """End every connection that was made by name. The bench's own, for what outlives a test."""
    for _, _, connection in _connections.pop(shiboken6.getCppPointer(sender)[0], []):
        QtCore.QObject.disconnect(connection)


def _known_signature(sender: QtCore.QObject, signal: str) -> str:
    """The signature as Qt's meta-object spells it. VTK pointers travel as Python objects in the stand-ins' signals."""
    wanted = QtCore.QMetaObject.normalizedSignature(signal).data().decode()
    if wanted in getattr(type(sender), "VTK_SIGNALS", ()):
        name, types = wanted.rstrip(")").split("(")
        wanted = f"{name}({','.join('PyObject' for _ in types.split(','))})"
    meta_object = plain_get(sender, "metaObject")()
    if meta_object.indexOfSignal(wanted) < 0:
        raise AttributeError(f"signal {signal!r} does not exist on {meta_object.className()}")
    return wanted


def _trimmed(function: Callable) -> Callable:
    limit = _positional_count(function)
    return lambda *values: function(*values[:limit])


def _positional_count(function: Callable) -> int | None:
    """How many arguments PythonQt passes at most; None for all of them."""
    bound = inspect.ismethod(function)
    code = getattr(function.__func__ if bound else function, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS:
        return None
    return code.co_argcount - (1 if bound else 0)
