"""What a test gets: Slicer with an empty scene, its user and its clock. See the fixture ``slicer_bench``."""

from __future__ import annotations

import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import slicer
from patience import PATIENCE_SECONDS
from PySide6.QtCore import QEventLoop, QTimer
from PySide6.QtWidgets import QWidget

from . import application, pythonqt, stand_ins
from .dialogs import Dialogs, Message
from .heartbeat import Heartbeat
from .installer import Installer
from .io_manager import qSlicerIOManager
from .layout_manager import qSlicerLayoutManager
from .modules import ModuleManager, qSlicerScriptedLoadableModule
from .qt_module import QSettings
from .scene import SceneOfSlicer

MODULE_FILE = Path(__file__).parents[2] / "CCELLAGenerator" / "CCELLAGenerator.py"
EVENT_SLICE_MS = 5
QT_LARGEST = 2**24 - 1  # Qt's own QWIDGETSIZE_MAX


class Bench:
    """Slicer as it is after its start, with the doings of its user."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pythonqt.install()
        self.app = application.instance()
        self.dialogs = Dialogs()
        self._slot_errors: list[str] = []
        self._monkeypatch = monkeypatch
        monkeypatch.setattr(sys, "excepthook", self._keep_slot_error)
        self._keep_settings_in(folder)
        self._of_scene = SceneOfSlicer(folder)
        self.scene = self._of_scene.scene
        self._modules = ModuleManager(self._of_scene.logics)
        self._layout_manager = qSlicerLayoutManager(self._of_scene.application_logic, self.scene)
        self.installer = Installer()
        self.app.begin(
            folder,
            scene=self.scene,
            application_logic=self._of_scene.application_logic,
            layout_manager=self._layout_manager,
            module_manager=self._modules,
            io_manager=qSlicerIOManager(self.scene, self._of_scene.application_logic, self._of_scene.logics["volumes"]),
            extensions_model=self.installer.extensions_model,
        )
        stand_ins.install(
            monkeypatch, app=self.app, modules=self._modules, dialogs=self.dialogs, installer=self.installer
        )
        self.main_window = application.qSlicerMainWindow(self._modules)

    # What the user would see and say

    @property
    def messages(self) -> list[Message]:
        """Every popup so far: ``kind`` ("information", "warning", "critical", "question"), ``text``, ``details``."""
        return self.dialogs.messages

    @property
    def opened_urls(self) -> list[str]:
        """What was opened outside Slicer, in a browser or a file manager."""
        return self.dialogs.opened_urls

    def answer(self, *answers: bool) -> None:
        """Yes or No to the next questions, in their order."""
        self.dialogs.answers.extend(answers)

    def answer_file(self, *paths: Path | str) -> None:
        """What the next file dialogs give; "" is Cancel."""
        self.dialogs.files.extend(str(path) for path in paths)

    # Time

    def process_events(self, seconds: float = 0.0) -> None:
        """Let Slicer's event loop run for so long, at least once around."""
        loop = QEventLoop()
        QTimer.singleShot(round(1000 * seconds), loop.quit)
        loop.exec()

    def wait_until(self, condition: Callable[[], Any], timeout: float = PATIENCE_SECONDS) -> None:
        """Let the event loop run until ``condition()`` holds; AssertionError after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, f"did not come true within {timeout} s; messages: {self.messages}"
            self.process_events(EVENT_SLICE_MS / 1000)

    @contextlib.contextmanager
    def heartbeat(self) -> Iterator[Heartbeat]:
        """Measure how long the event loop stands still at most while the body runs."""
        beat = Heartbeat()
        yield beat
        beat.stop()

    # What is installed; see also ``installer``

    def add_pytorch_extension(self) -> None:
        """From now on ``import PyTorchUtils`` works."""
        self.installer.extensions.add("PyTorch")
        stand_ins.provide(self._monkeypatch, "PyTorchUtils", self.installer.pytorch_utils())

    def be_slicer_before_packaging(self) -> None:
        """Slicer up to 5.10 has no ``slicer.packaging``."""
        stand_ins.withhold(self._monkeypatch, "slicer.packaging")

    # Errors

    def take_slot_errors(self) -> list[str]:
        """Tracebacks of exceptions in slots and observers, which Slicer prints and swallows; each is taken once."""
        taken, self._slot_errors = self._slot_errors, []
        return taken

    # Modules

    def load_module(self, file: Path = MODULE_FILE) -> qSlicerScriptedLoadableModule:
        """Load a scripted module from its file, unmodified, as Slicer does at its start."""
        return self._modules.load(file)

    def open_module(self, name: str = MODULE_FILE.stem) -> Any:
        """The user selects the module; its Python widget is returned."""
        self.main_window.moduleSelector().selectModule(name)
        return slicer.util.getModuleWidget(name)

    def leave_module(self) -> None:
        """The user turns to another module."""
        self.main_window.moduleSelector().selectModule("")

    def unload_module(self, name: str = MODULE_FILE.stem) -> None:
        """Slicer quits as far as this module can tell."""
        self.leave_module()
        self._modules.unload(name)

    # Pictures

    def grab(self, widget: QWidget, path: Path, width: int | None = None) -> None:
        """Draw a widget (the panel, a button) into a PNG, ``width`` pixels wide and as high as it wishes."""
        if width is not None:
            layout = widget.layout()
            wraps = layout is not None and layout.hasHeightForWidth()
            widget.setFixedSize(width, layout.heightForWidth(width) if wraps else widget.sizeHint.height())
        self.process_events()
        if not widget.grab().save(str(path)):
            raise OSError(f"{path} cannot be written")
        if width is not None:  # as free to grow and shrink as before
            widget.setMinimumSize(0, 0)
            widget.setMaximumSize(QT_LARGEST, QT_LARGEST)

    def render_layout(self, path: Path, width: int = 1200, height: int = 800) -> None:
        """Draw all views of the current layout into one PNG."""
        self.process_events()
        self._layout_manager.resizeAll(width, height)
        self._layout_manager.draw(path)

    # Making and ending it

    def close(self) -> None:
        """Quit Slicer."""
        self.app.end()
        for name in [name for name in slicer.util.moduleNames() if hasattr(slicer.util.getModule(name), "path")]:
            self.unload_module(name)
        for widget in self.app.topLevelWidgets():
            widget.deleteLater()
        self.process_events()
        self._layout_manager.close()
        self._of_scene.close()

    def complaints(self) -> list[str]:
        """What should fail the test although it went through."""
        unanswered = [f"a question nobody prepared an answer for: {text}" for text in self.dialogs.unanswered]
        prepared = [*self.dialogs.answers, *self.dialogs.files]
        left = [f"answers that were never asked for: {prepared}"] if prepared else []
        return unanswered + left + self.take_slot_errors()

    def _keep_slot_error(self, kind: type, error: BaseException, trace: Any) -> None:
        traceback.print_exception(kind, error, trace)
        self._slot_errors.append("".join(traceback.format_exception(kind, error, trace)))

    def _keep_settings_in(self, folder: Path) -> None:
        self.app.organizationName = "SlicerBench"
        self.app.applicationName = "Slicer"
        QSettings.setDefaultFormat(QSettings.Format.IniFormat)
        QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(folder / "settings"))
