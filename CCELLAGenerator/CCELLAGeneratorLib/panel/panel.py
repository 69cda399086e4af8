"""The whole panel: its sections, and the way news goes: widget → parameter node → `refresh` → sections."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any

import slicer
from slicer.i18n import tr as _

from .. import dependencies
from ..client.errors import ClientError
from ..scene.volumes import ATTRIBUTE_PREFIX, is_synthetic
from .compare_section import CompareSection
from .computer_section import ComputerSection
from .edit_section import EditSection
from .hanging_section import HangingSection
from .job_section import JobSection, LogPane
from .model_section import ModelSection, model_folders
from .parameters import (
    MAX_SEED,
    MODELS_OWN_GUIDANCE,
    MODELS_OWN_STEPS,
    CCELLAGeneratorParameterNode,
    connect_widgets,
    forget_node,
)
from .report_section import ReportSection, reads_report
from .settings_section import SettingsSection
from .widgets import set_text

WARNINGS_ATTRIBUTE = f"{ATTRIBUTE_PREFIX}Warnings"
PREDICTION_ATTRIBUTE = f"{ATTRIBUTE_PREFIX}PredictedPositiveProbability"


class Panel:
    """Wires the sections to each other, to the parameter node and to the logic.

    Args:
        ui: the widgets of ``CCELLAGenerator.ui``.
        logic: does the work.
        log: the pane that takes the log.
    """

    def __init__(self, ui: Any, logic: Any, log: LogPane) -> None:
        self._ui = ui
        self._logic = logic
        self._log = log
        self._parameters: CCELLAGeneratorParameterNode | None = None
        self._gui_tag: int | None = None
        self.job = JobSection(ui, log.write, self._generate, self.refresh)
        self.report = ReportSection(ui, logic)
        self.model = ModelSection(ui, logic, self.job, self.describe, self._update_buttons)
        self.settings = SettingsSection(ui)
        self.computer = ComputerSection(ui, logic, self.job, self._switched)
        self.hanging = HangingSection(ui, lambda: self.compare.end())  # before the next, see there
        self.compare = CompareSection(ui)
        self.edit = EditSection(ui, self.report.composer, self._edit)
        self.report.show_prediction(None)

    def set_parameters(self, parameters: CCELLAGeneratorParameterNode | None) -> None:
        """Show another scene's parameters; with ``None`` the panel is tied to no scene."""
        if self._parameters is not None:
            self._parameters.disconnectGui(self._gui_tag)
        self._parameters = parameters
        if parameters is not None:
            self._gui_tag = connect_widgets(parameters, self._ui)
        self.refresh()

    def describe(self) -> None:
        """Ask the worker for models and devices, once what it needs is installed."""
        missing = [] if self._logic.host else dependencies.missing()
        if missing:
            names = ", ".join(requirement.split(">=")[0] for requirement in missing)
            sentence = _("The first press of Generate installs what is missing, after asking: {names}.")
            self.job.show_status(sentence.format(names=names))
            return
        folders = [] if self._logic.host else model_folders()  # which are on this computer
        self._logic.describe(folders, onResult=self._described, onError=self._not_described)

    def refresh(self, _caller: Any = None, _event: Any = None) -> None:
        """A parameter or what it refers to changed."""
        parameters = self._parameters
        if parameters is None:
            self.compare.refresh(None, None)
            self.hanging.refresh(None)
            self._update_buttons()
            return
        self._ask_about_model()
        self.report.refresh(parameters.report, parameters.model, self.model.chosen)
        self.settings.refresh(self.model.chosen, parameters.newSeed)
        self.compare.refresh(parameters.result, parameters.realScan)
        self.hanging.refresh(parameters)
        not_real = is_synthetic(parameters.realScan)
        set_text(self._ui.scanHint, _("This volume is synthetic, not a real scan.") if not_real else "")
        self._update_buttons()

    def forget(self, node: slicer.vtkMRMLNode) -> None:
        """A node is about to leave the scene: a comparison with it ends, and it is no longer chosen for anything."""
        self.compare.forget(node)
        self.hanging.forget(node)
        forget_node(self._parameters, node)

    def leave_views(self) -> None:
        """Something else needs the views."""
        self.compare.end()
        self.hanging.end()

    def close(self) -> None:
        """Let go of everything; no callback reaches the widgets after this."""
        self.set_parameters(None)
        self.report.close()
        self.model.close()
        self.compare.close()
        self.hanging.close()
        self._log.close()

    def _ask_about_model(self, *, again: bool = False) -> None:
        parameters = self._parameters
        requested = {
            "device": parameters.device,
            "numInferenceSteps": _steps(parameters),
            "count": parameters.count,
            "guidanceScale": _guidance(parameters),
        }
        self.model.refresh(parameters.model, requested, again=again)

    def _described(self, value: dict[str, Any]) -> None:
        self.model.set_models(value["models"])
        self.settings.set_devices(value["devices"])
        self.refresh()

    def _switched(self, value: dict[str, Any] | None) -> None:
        """Another computer generates: it has other models and devices, which it has told already or is asked now."""
        self.model.computer = self._logic.host
        if value is None:
            self.describe()
        else:
            self._described(value)

    def _not_described(self, error: ClientError) -> None:
        self.job.show_status(str(error))
        self._log.write(str(error))

    def _why_not(self) -> str:
        if self._parameters is None:
            return _("There is no scene.")
        if reads_report(self.model.chosen) and not self._parameters.report.strip():
            return _("Write a report first.")
        return self.model.why_not

    def _update_buttons(self) -> None:
        why_not = self._why_not()
        self.job.update_button(why_not)
        self.computer.refresh()
        self.edit.refresh(self._parameters, self._why_no_edit(why_not))

    def _why_no_edit(self, why_not: str) -> str:
        if self.job.running:
            return _("Something is under way.")
        return why_not

    def _generate(self) -> None:
        self._run(self._start_generation, sends_scan=False)

    def _edit(self) -> None:
        self._run(self._start_edit, sends_scan=True)

    def _run(
        self, start: Callable[[CCELLAGeneratorParameterNode, dict[str, Any]], object], *, sends_scan: bool
    ) -> None:
        """Begin a run with ``start``, which takes the parameters and what all runs have in common of them."""
        installed = bool(self._logic.host) or dependencies.ensure(_("CCELLA"))
        if not self.model.known:
            self.describe()
        if not installed or self._why_not():  # much can happen while that takes its time
            return
        if not self.computer.may_send(scan=sends_scan):
            self.job.show_status(_("Nothing was sent to {host}.").format(host=self._logic.host))
            return
        parameters = self._parameters
        if parameters.newSeed:
            parameters.seed = secrets.randbelow(MAX_SEED + 1)
        self.report.history.remember(parameters.report)
        self.report.show_prediction(None)
        self.job.begin(_("Starting…"), self._logic.cancel)
        common = {
            "report": parameters.report if reads_report(self.model.chosen) and parameters.report.strip() else None,
            "pathology": parameters.pathology.value,
            "model": parameters.model,
            "seed": parameters.seed,
            "count": parameters.count,
            "scheduler": parameters.scheduler.value,
            "device": parameters.device,
            "outputVolume": parameters.outputVolume,
            "wait": False,
            "onProgress": self.job.show_progress,
            "onPreview": self.job.show_preview,
            "onError": self._failed,
        }
        try:
            start(parameters, common)
        except ClientError as error:
            self._failed(error)

    def _start_generation(self, parameters: CCELLAGeneratorParameterNode, common: dict[str, Any]) -> None:
        self._logic.process(
            numInferenceSteps=_steps(parameters),
            guidanceScale=_guidance(parameters),
            sequences=self.settings.sequences(self.model.chosen, parameters.sequence),
            crop_mm=self.settings.crop_mm(self.model.chosen, crop=parameters.crop),
            referenceVolume=parameters.realScan,
            onFinished=partial(self._finished, parameters.report),
            **common,
        )

    def _start_edit(self, parameters: CCELLAGeneratorParameterNode, common: dict[str, Any]) -> None:
        self._logic.edit(
            parameters.editScan,
            where=self.edit.where,
            radius=self.edit.radius,
            strength=parameters.editStrength,
            num_inference_steps=_steps(parameters),
            guidance_scale=_guidance(parameters),
            onFinished=partial(self._edited, parameters.report, parameters.editScan),
            **common,
        )

    def _edited(
        self, report: str, scan: slicer.vtkMRMLScalarVolumeNode, nodes: list[slicer.vtkMRMLScalarVolumeNode]
    ) -> None:
        """Before and after, in linked views."""
        if self._parameters is not None:
            self._parameters.realScan = scan
        self._finished(report, nodes)
        self.compare.begin()

    def _finished(self, report: str, nodes: list[slicer.vtkMRMLScalarVolumeNode]) -> None:
        done = _("Done: {names}.").format(names=", ".join(node.GetName() for node in nodes))
        # Of a run, all volumes have the same.
        self.job.end(" ".join([done, *json.loads(nodes[0].GetAttribute(WARNINGS_ATTRIBUTE) or "[]")]))
        probability = nodes[0].GetAttribute(PREDICTION_ATTRIBUTE)
        if self._parameters is not None:
            self._parameters.result = nodes[0]
            if report == self._parameters.report:
                self.report.show_prediction(None if probability is None else float(probability), report)
        if not (self.compare.active or self.hanging.active):
            slicer.util.setSliceViewerLayers(background=nodes[0], fit=True, rotateToVolumePlane=True)
        self._ended()

    def _failed(self, error: ClientError) -> None:
        self._ended()
        self.job.fail(error)

    def _ended(self) -> None:
        """A run changes what memory is free and how long the next one will take."""
        if self._parameters is not None:
            self._ask_about_model(again=True)


def _guidance(parameters: CCELLAGeneratorParameterNode) -> float | None:
    return None if parameters.guidance == MODELS_OWN_GUIDANCE else parameters.guidance


def _steps(parameters: CCELLAGeneratorParameterNode) -> int | None:
    return None if parameters.steps == MODELS_OWN_STEPS else parameters.steps
