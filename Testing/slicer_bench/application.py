# ruff: noqa: N801, N802, N815 - named as Slicer names it
"""``slicer.app`` and the main window: the parts of qSlicerApplication and qSlicerMainWindow that Python code uses.

The application lives as long as the process, as Qt demands; what belongs to a scene (logic, layout manager, module
manager) is given to it anew for each test by ``begin``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import slicer
from PySide6.QtCore import SIGNAL, QProcessEnvironment, Signal
from PySide6.QtWidgets import QApplication, QMainWindow

from . import signals
from .qt_module import QSettings


class qSlicerApplication(QApplication):
    """``slicer.app``. ``applicationName``, ``processEvents``, cursors and the like are Qt's own."""

    startupCompleted = Signal()
    MAJOR_VERSION, MINOR_VERSION = 5, 13

    def begin(
        self,
        folder: Path,
        *,
        scene: Any,
        application_logic: Any,
        layout_manager: Any,
        module_manager: Any,
        io_manager: Any,
        extensions_model: Any,
    ) -> None:
        """Everything of the test before is forgotten; ``folder`` is where Slicer would keep temporary files."""
        self._folder = folder
        self._scene = scene
        self._application_logic = application_logic
        self._layout_manager = layout_manager
        self._module_manager = module_manager
        self._io_manager = io_manager
        self._extensions_model = extensions_model
        self._testing = False
        self._paused_renderings = 0

    @property
    def majorVersion(self) -> int:
        return self.MAJOR_VERSION

    @property
    def minorVersion(self) -> int:
        return self.MINOR_VERSION

    @property
    def temporaryPath(self) -> str:
        return str(self._folder / "temporary")

    @property
    def slicerHome(self) -> str:
        return str(self._folder / "Slicer")

    def end(self) -> None:
        """Nobody of this test hears of the application any more."""
        signals.forget(self)
        if self.receivers(SIGNAL("startupCompleted()")):
            self.startupCompleted.disconnect()

    def mrmlScene(self) -> Any:
        return self._scene

    def applicationLogic(self) -> Any:
        return self._application_logic

    def layoutManager(self) -> Any:
        return self._layout_manager

    def moduleManager(self) -> Any:
        return self._module_manager

    def coreIOManager(self) -> Any:
        return self._io_manager

    def ioManager(self) -> Any:
        return self._io_manager

    def extensionsManagerModel(self) -> Any:
        return self._extensions_model

    def userSettings(self) -> QSettings:
        return QSettings()

    def testingEnabled(self) -> bool:
        return self._testing

    def setTestingEnabled(self, enabled: bool) -> None:
        """The bench's own: as if Slicer had been started with ``--testing``."""
        self._testing = enabled

    def startupEnvironment(self) -> Any:
        environment = QProcessEnvironment()
        for name, value in os.environ.items():
            environment.insert(name, value)
        return environment

    def pauseRender(self) -> None:
        self._paused_renderings += 1

    def resumeRender(self) -> None:
        if not self._paused_renderings:
            raise RuntimeError("resumeRender without pauseRender")
        self._paused_renderings -= 1


class ModuleSelector:
    """``mainWindow().moduleSelector()``: entering a module leaves the one before."""

    def __init__(self, module_manager: Any) -> None:
        self._module_manager = module_manager
        self.selectedModule = ""

    def selectModule(self, name: str) -> None:
        if name == self.selectedModule:
            return
        module = slicer.util.getModule(name) if name else None
        if self.selectedModule:
            self._module_manager.module(self.selectedModule).widgetRepresentation().exit()
        self.selectedModule = name
        if module:
            module.widgetRepresentation().enter()


class qSlicerMainWindow(QMainWindow):
    """The main window with nothing in it but a status bar and the module selector."""

    def __init__(self, module_manager: Any) -> None:
        super().__init__()
        self.objectName = "qSlicerMainWindow"
        self._selector = ModuleSelector(module_manager)

    def moduleSelector(self) -> ModuleSelector:
        return self._selector


def instance() -> qSlicerApplication:
    """The one application of the process."""
    existing = QApplication.instance()
    if existing is not None and not isinstance(existing, qSlicerApplication):
        raise RuntimeError(f"another QApplication is running: {existing}")
    return existing or qSlicerApplication([])
