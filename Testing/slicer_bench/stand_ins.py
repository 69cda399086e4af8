"""Puts the stand-ins where code of the extension looks for them, for the time of one test."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import slicer

from . import ctk_module, dicom_lib, i18n, parameter_node, qmrml_widgets, qt_module, sample_data, scripted_module
from .application import qSlicerApplication
from .dialogs import Dialogs
from .installer import Installer
from .modules import ModuleManager, qSlicerScriptedLoadableModule, qSlicerScriptedLoadableModuleWidget

CLASSES_IN_SLICER = (
    qSlicerScriptedLoadableModule,
    qSlicerScriptedLoadableModuleWidget,
    dicom_lib.qSlicerDICOMExportable,
    qmrml_widgets.qMRMLWidget,
    qmrml_widgets.qMRMLNodeComboBox,
)


def install(
    monkeypatch: pytest.MonkeyPatch,
    *,
    app: qSlicerApplication,
    modules: ModuleManager,
    dialogs: Dialogs,
    installer: Installer,
) -> None:
    """Everything that Slicer has from its start; ``import PyTorchUtils`` fails as long as its extension is missing."""
    provide(monkeypatch, "qt", qt_module.make(dialogs))
    provide(monkeypatch, "ctk", ctk_module.make(dialogs))
    provide(monkeypatch, "slicer.i18n", i18n)
    provide(monkeypatch, "slicer.ScriptedLoadableModule", scripted_module)
    provide(monkeypatch, "slicer.parameterNodeWrapper", parameter_node)
    provide(monkeypatch, "slicer.packaging", installer.packaging())
    provide(monkeypatch, "slicer.modules", modules.namespace())
    provide(monkeypatch, "SampleData", sample_data)
    provide(monkeypatch, "DICOMLib", dicom_lib)
    slicer.modules.dicomPlugins = {"DICOMScalarVolumePlugin": dicom_lib.DICOMScalarVolumePluginClass}
    withhold(monkeypatch, "PyTorchUtils")
    for name, value in {"app": app, "mrmlScene": app.mrmlScene(), "selfTests": {}}.items():
        monkeypatch.setattr(slicer, name, value, raising=False)
    for kind in CLASSES_IN_SLICER:
        monkeypatch.setattr(slicer, kind.__name__, kind, raising=False)


def provide(monkeypatch: pytest.MonkeyPatch, name: str, module: Any) -> None:
    """``import name`` gives ``module``."""
    monkeypatch.setitem(sys.modules, name, module)
    if name.startswith("slicer."):
        monkeypatch.setattr(slicer, name.removeprefix("slicer."), module, raising=False)


def withhold(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """``import name`` fails."""
    monkeypatch.setitem(sys.modules, name, None)
    if name.startswith("slicer."):
        monkeypatch.delattr(slicer, name.removeprefix("slicer."))
