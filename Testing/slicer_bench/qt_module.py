# ruff: noqa: N802 - named as Slicer names it
"""``import qt``: Qt's classes in one flat module, as PythonQt offers them.

Classes come from PySide6 (see ``pythonqt.py``) except where PythonQt differs so much that code would pass here and
fail in Slicer: QSettings has no ``type=``, the static functions of QFileDialog give one string, QMessageBox is not to
be used. ``qt.Signal``, ``qt.Slot`` and ``qt.Property`` are PySide6's alone and do not exist here.
"""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtCore, QtWidgets

from .plain import QT_MODULES
from .ui_loader import QUiLoader


class QSettings(QtCore.QSettings):
    """``value(key, default=None)``; everything read from the file is a string, as it is from Slicer's."""

    def value(self, key: str, default: Any = None) -> Any:
        value = super().value(key)
        return default if value is None else value


def _refuse(*arguments: Any) -> None:
    raise AttributeError("this would wait for the user: messages and questions go through slicer.util")


class QMessageBox(QtWidgets.QMessageBox):
    """For its constants, which ``slicer.util`` needs."""

    about = critical = information = question = warning = staticmethod(_refuse)


class FileDialog:
    """``qt.QFileDialog``: the static functions only, answered by ``bench.answer_file``. An empty string is Cancel."""

    def __init__(self, dialogs: Any) -> None:
        self._dialogs = dialogs

    def getOpenFileName(self, parent: Any = None, caption: str = "", folder: str = "", filter: str = "") -> str:
        return self._dialogs.choose_file(caption)

    def getSaveFileName(self, parent: Any = None, caption: str = "", folder: str = "", filter: str = "") -> str:
        return self._dialogs.choose_file(caption)

    def getExistingDirectory(self, parent: Any = None, caption: str = "", folder: str = "") -> str:
        return self._dialogs.choose_file(caption)


class FlatModule(types.ModuleType):
    """A module whose names are looked up in PySide6 when they are asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("Q"):
            for module in QT_MODULES:
                if hasattr(module, name):
                    return getattr(module, name)
        raise AttributeError(f"qt.{name} is not known to the bench")


class DesktopServices:
    """``qt.QDesktopServices``: what the user's file manager or browser would open is kept in ``bench.opened_urls``."""

    def __init__(self, opened: list[str]) -> None:
        self._opened = opened

    def openUrl(self, url: QtCore.QUrl) -> bool:
        self._opened.append(url.toString())
        return url.isValid()


def make(dialogs: Any) -> types.ModuleType:
    """The module ``qt``; ``dialogs`` answers the file dialogs."""
    module = FlatModule("qt", __doc__)
    module.QSettings = QSettings
    module.QMessageBox = QMessageBox
    module.QFileDialog = FileDialog(dialogs)
    module.QDesktopServices = DesktopServices(dialogs.opened_urls)
    module.QUiLoader = QUiLoader
    return module
