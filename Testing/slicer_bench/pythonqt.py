"""Makes PySide6's objects behave as PythonQt's do, for everything that runs in the test process.

- A Qt property is an attribute: ``button.enabled = False``, ``edit.plainText``. Calling one (``button.text()``) fails.
- ``connect``/``disconnect`` take a signature by name (see ``signals.py``); ``name`` is the object's name.
- Setting an attribute that the C++ class does not have raises AttributeError, as PythonQt does; classes derived in
  Python may have their own.

``sys.modules`` is left to ``stand_ins.py``; only the classes of PySide6 are changed here, once a process.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore, QtWidgets

from . import signals
from .plain import QOBJECT_CLASSES, plain_get

C_PLUS_PLUS_IN_SLICER = ("PySide6.", f"{__package__}.")
SPARE_REFERENCES_TO_NONE = 1 << 40


@functools.cache
def install() -> None:
    """Change the classes of PySide6. Nothing changes at a second call."""
    if sys.version_info < (3, 12):
        # PySide6 6.12 takes None for immortal, as it is from Python 3.12 on, and releases it without having held it:
        # an older Python ends with "deallocating None" after some thousand calls.
        ctypes.c_ssize_t.from_address(id(None)).value += SPARE_REFERENCES_TO_NONE
    for kind in QOBJECT_CLASSES:
        kind.__getattribute__ = _get_attribute
        kind.__setattr__ = _set_attribute


def _get_attribute(self: QtCore.QObject, name: str) -> Any:
    if name.startswith("_"):
        return plain_get(self, name)
    if name in _EXTRA:
        return _EXTRA[name](self)
    if name in _property_names(type(self)) and not _is_python_property(type(self), name):
        getter = getattr(type(self), name, None)
        return plain_get(self, name)() if callable(getter) else plain_get(self, "property")(name)
    return plain_get(self, name)


def _set_attribute(self: QtCore.QObject, name: str, value: Any) -> None:
    if isinstance(value, QtCore.SignalInstance):
        plain_get(self, "__dict__")[name] = value  # PySide6 keeps a signal there when it is first asked for
        return
    if name == "name":
        name = "objectName"
    kind = type(self)
    if name in _property_names(kind):
        if not plain_get(self, "setProperty")(name, value):
            raise AttributeError(f"property {name!r} of {kind.__name__} cannot be set to {value!r}")
    elif kind.__module__.startswith(C_PLUS_PLUS_IN_SLICER) and not name.startswith("_"):
        if isinstance(value, QtCore.QObject) and plain_get(value, "objectName")() == name:
            return  # PySide6's QUiLoader makes every child an attribute of the root, PythonQt's does not
        raise AttributeError(f"{name!r} does not exist on {kind.__name__} and cannot be created on a C++ object")
    elif hasattr(type(getattr(kind, name, None)), "__set__"):
        getattr(kind, name).__set__(self, value)
    else:
        plain_get(self, "__dict__")[name] = value


@functools.cache
def _property_names(kind: type) -> frozenset[str]:
    meta_object = kind.staticMetaObject
    return frozenset(meta_object.property(index).name() for index in range(meta_object.propertyCount()))


@functools.cache
def _is_python_property(kind: type, name: str) -> bool:
    return isinstance(getattr(kind, name, None), QtCore.Property)


def _exec(self: QtCore.QObject) -> Callable:
    if getattr(type(self), "exec_", None).__class__.__name__ == "function":
        return plain_get(self, "exec_")
    if isinstance(self, QtWidgets.QDialog):
        return functools.partial(_refuse_to_wait, type(self).__name__)
    return plain_get(self, "exec")


def _refuse_to_wait(kind: str) -> None:
    raise AttributeError(f"{kind}.exec_ would wait for the user; ask through slicer.util")


_EXTRA = {
    "connect": lambda self: functools.partial(signals.connect, self),
    "disconnect": lambda self: functools.partial(signals.disconnect, self),
    "name": lambda self: plain_get(self, "objectName")(),
    "className": lambda self: plain_get(self, "metaObject")().className,
    "exec": _exec,
    "exec_": _exec,
    "delete": lambda self: functools.partial(shiboken6.delete, self),
}
