# ruff: noqa: N801, N802, N815 - named as Slicer names it
"""``slicer.modules`` and the module manager: a scripted module is found, made and unloaded as Slicer does it.

Slicer imports the module's file under the module's name, makes the class of that name with the module object, makes the
widget class when the panel is first needed, and calls ``enter`` and ``exit`` as the user comes and goes.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import slicer
from PySide6.QtCore import Property, QObject, Signal
from PySide6.QtWidgets import QVBoxLayout

from .qmrml_widgets import qMRMLWidget


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The panel; ``self()`` is the module's Python widget."""

    isEntered = Property(bool, lambda self: self._entered)

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.setLayout(QVBoxLayout())
        self.setMRMLScene(slicer.mrmlScene)
        self._module = module
        self._entered = False
        self.reload()

    def self(self) -> Any:
        return self._python_widget

    def reload(self) -> None:
        self._python_widget = getattr(sys.modules[self._module.name], f"{self._module.name}Widget")(self)
        setattr(slicer.modules, f"{self._module.name}Widget", self._python_widget)
        self._python_widget.setup()

    def enter(self) -> None:
        self._entered = True
        if hasattr(self._python_widget, "enter"):
            self._python_widget.enter()

    def exit(self) -> None:
        if self._entered and hasattr(self._python_widget, "exit"):
            self._python_widget.exit()
        self._entered = False


class qSlicerScriptedLoadableModule:
    """The object that a module describes itself on: title, categories, dependencies, contributors, texts, icon."""

    DESCRIPTION = (
        "acknowledgementText", "associatedNodeTypes", "categories", "contributors", "dependencies", "helpText",
        "hidden", "icon", "index", "title", "widgetRepresentationCreationEnabled",
    )  # fmt: skip

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = str(path)
        self.hidden = False
        self._widget: qSlicerScriptedLoadableModuleWidget | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.DESCRIPTION and name not in ("name", "path") and not name.startswith("_"):
            raise AttributeError(f"{name!r} does not exist on qSlicerScriptedLoadableModule")
        super().__setattr__(name, value)

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget(self)
        return self._widget

    def isWidgetMade(self) -> bool:
        """The bench's own."""
        return self._widget is not None


class LoadableModule:
    """One of Slicer's own modules: only its logic is there."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = name
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


class FactoryManager:
    """``moduleManager().factoryManager()``."""

    def __init__(self, modules: dict[str, Any]) -> None:
        self._modules = modules

    def loadedModuleNames(self) -> list[str]:
        return [module.name for module in self._modules.values()]


class ModuleManager(QObject):
    """``slicer.app.moduleManager()``."""

    moduleLoaded = Signal(str)
    moduleAboutToBeUnloaded = Signal(str)

    def __init__(self, logics: dict[str, Any]) -> None:
        super().__init__()
        self._namespace = ModuleType("slicer.modules")
        self._modules: dict[str, Any] = {}
        for name, logic in logics.items():
            self._add(LoadableModule(name, logic))

    def namespace(self) -> ModuleType:
        """``slicer.modules``. The bench's own."""
        return self._namespace

    def module(self, name: str) -> Any:
        return self._modules.get(name)

    def factoryManager(self) -> FactoryManager:
        return FactoryManager(self._modules)

    def load(self, file: Path) -> qSlicerScriptedLoadableModule:
        """Import ``file`` under its own name and make the class of that name. The bench's own."""
        module = qSlicerScriptedLoadableModule(file.stem, file)
        sys.path.insert(0, str(file.parent))
        spec = importlib.util.spec_from_file_location(file.stem, file)
        sys.modules[file.stem] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[file.stem])
        self._add(module)
        instance = getattr(sys.modules[file.stem], file.stem)(module)
        setattr(self._namespace, f"{file.stem}Instance", instance)
        self.moduleLoaded.emit(file.stem)
        return module

    def unload(self, name: str) -> None:
        """What Slicer does with a module when it quits. The bench's own."""
        module = self._modules.pop(name)
        if module.isWidgetMade():
            module.widgetRepresentation().exit()
        self.moduleAboutToBeUnloaded.emit(name)
        if module.isWidgetMade():
            module.widgetRepresentation().delete()
        sys.path.remove(str(Path(module.path).parent))
        for imported in [key for key in sys.modules if key.split(".")[0] in (name, f"{name}Lib")]:
            del sys.modules[imported]

    def _add(self, module: Any) -> None:
        self._modules[module.name] = module
        setattr(self._namespace, module.name.lower(), module)
