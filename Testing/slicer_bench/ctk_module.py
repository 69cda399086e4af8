# ruff: noqa: N801 - named as the Common Toolkit names it
"""``import ctk``: the widgets of the Common Toolkit that the extension uses, and its message box."""

from __future__ import annotations

import types
from typing import Any

from PySide6.QtWidgets import QMessageBox

from .ctk_collapsible import ctkCollapsibleButton
from .ctk_widgets import ctkPathLineEdit, ctkSliderWidget

WIDGETS = (ctkCollapsibleButton, ctkPathLineEdit, ctkSliderWidget)


class CtkModule(types.ModuleType):
    """Says by name what the bench does not have of ctk."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"ctk.{name} is not known to the bench")


def make(dialogs: Any) -> types.ModuleType:
    """The module ``ctk``; ``dialogs`` answers its message boxes, which ``slicer.util`` asks the user with."""

    class ctkMessageBox(QMessageBox):
        def exec_(self) -> Any:
            return dialogs.ask(self)

    module = CtkModule("ctk", __doc__)
    module.ctkMessageBox = ctkMessageBox
    for kind in WIDGETS:
        setattr(module, kind.__name__, kind)
    return module
