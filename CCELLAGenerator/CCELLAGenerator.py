# ruff: noqa: N802 - what Slicer calls is named as Slicer names it
"""CCELLA in 3D Slicer: a radiology report in, a synthetic prostate MRI beside the real scan."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
import vtk
from CCELLAGeneratorLib import dependencies
from CCELLAGeneratorLib.client.client import WorkerClient
from CCELLAGeneratorLib.client.command import default_command
from CCELLAGeneratorLib.client.errors import checked_host
from CCELLAGeneratorLib.client.interface import Client
from CCELLAGeneratorLib.generation.editing import EditingGenerator
from CCELLAGeneratorLib.panel.job_section import LogPane
from CCELLAGeneratorLib.panel.panel import Panel
from CCELLAGeneratorLib.panel.parameters import CCELLAGeneratorParameterNode
from CCELLAGeneratorLib.scene import dicom_export, sample_data
from CCELLAGeneratorLib.scene.synthetic_label import SyntheticLabel
from CCELLAGeneratorLib.scene.volumes import is_synthetic
from CCELLAGeneratorLib.study.page import StudyPage
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class CCELLAGenerator(ScriptedLoadableModule):
    """What Slicer shows of the module in its lists, and what it does for the whole application."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        parent.title = _("CCELLA Generator")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Image Synthesis")]
        parent.dependencies = []
        parent.contributors = ["The contributors to CCELLA for 3D Slicer"]
        parent.helpText = _(
            "Draws a synthetic three-dimensional MRI of a prostate that fits a radiology report, and shows it beside a "
            "real scan. What it draws shows nobody: for research, teaching and the testing of software, "
            "<b>not for diagnosis</b>."
        )
        parent.acknowledgementText = _(
            "The method is that of Emerson P. Grabke, Babak Taati and Masoom A. Haider: <i>Leveraging Clinical Text "
            "and Class Conditioning for 3D Prostate MRI Generation</i>, IEEE Transactions on Biomedical Engineering, "
            '2026, <a href="https://arxiv.org/abs/2506.10230">arXiv:2506.10230</a>. Please cite its authors.'
        )
        self._label: SyntheticLabel | None = None
        slicer.app.connect("startupCompleted()", self._on_startup_completed)
        slicer.app.moduleManager().connect("moduleAboutToBeUnloaded(QString)", self._on_module_about_to_be_unloaded)

    def label_views(self) -> None:
        """Label what is synthetic in the slice views, from now until Slicer quits; once, however often it is called.

        The labels belong to the application and not to the panel: they outlive a reload, and need no open panel.
        """
        if self._label is None:
            self._label = SyntheticLabel()
        self._label.start()

    def _on_startup_completed(self) -> None:
        sample_data.register(Path(self.parent.path).parent)
        dicom_export.register()
        self.label_views()

    def _on_module_about_to_be_unloaded(self, name: str) -> None:
        if name != self.moduleName:
            return
        dicom_export.unregister()
        if self._label is not None:
            self._label.stop()


class CCELLAGeneratorWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel's life: it is tied to the scene's parameters while there is a scene, and lets go of all at its end.

    A run goes on when the user turns to another module; closing the scene cancels it, reloading and quitting end it.
    """

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: CCELLAGeneratorLogic | None = None
        self._parameters: CCELLAGeneratorParameterNode | None = None

    def setup(self) -> None:
        """Build the panel, once, when the module is first opened or reloaded."""
        ScriptedLoadableModuleWidget.setup(self)
        ui_widget = slicer.util.loadUI(self.resourcePath("UI/CCELLAGenerator.ui"))
        study_widget = slicer.util.loadUI(self.resourcePath("UI/ReaderStudy.ui"))
        self.pages = qt.QTabWidget()
        self.pages.documentMode = True  # no frame, which would make the panel wider
        self.pages.addTab(ui_widget, _("Generate"))
        self.pages.addTab(study_widget, _("Reader study"))
        self.layout.addWidget(self.pages)
        self.ui = slicer.util.childWidgetVariables(ui_widget)
        ui_widget.setMRMLScene(slicer.mrmlScene)
        study_widget.setMRMLScene(slicer.mrmlScene)
        log = LogPane(self.ui)
        self.logic = CCELLAGeneratorLogic(log=log.write)
        self.panel = Panel(self.ui, self.logic, log)
        self.study = StudyPage(slicer.util.childWidgetVariables(study_widget), self.logic, self.panel.leave_views)
        scene = slicer.mrmlScene
        for begins, ends in (
            (scene.StartCloseEvent, scene.EndCloseEvent),
            (scene.StartImportEvent, scene.EndImportEvent),
        ):
            self.addObserver(scene, begins, self.onSceneStartChange)
            self.addObserver(scene, ends, self.onSceneEndChange)
        # Before the node selectors, which have a priority of 10, move on to another node.
        self.addObserver(scene, scene.NodeAboutToBeRemovedEvent, self.onNodeAboutToBeRemoved, priority=100.0)
        self._use_scene()
        slicer.modules.CCELLAGeneratorInstance.label_views()  # of a module that was added when Slicer ran already
        if self.parent.isEntered:  # after a reload, when enter() is not called
            self.panel.describe()

    def cleanup(self) -> None:
        """Let go of everything, when the module is reloaded or Slicer quits."""
        if self.logic is None:  # the panel was never made
            return
        self.removeObservers()
        self.logic.close()
        self.study.close()
        self.panel.close()

    def enter(self) -> None:
        """The user turns to the module."""
        self._use_scene()
        self.panel.describe()

    def onSceneStartChange(self, _caller: Any, _event: Any) -> None:
        """The scene is closed, or another one loaded into it: until that is over, nodes may not be what they seem."""
        self.study.stop()
        self._use_parameters(None)

    def onSceneEndChange(self, _caller: Any, _event: Any) -> None:
        """The scene is closed, or another one is loaded into it: the nodes are what they seem again."""
        if self.parent.isEntered:  # else when the user comes back
            self._use_scene()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def onNodeAboutToBeRemoved(self, _caller: Any, _event: Any, node: slicer.vtkMRMLNode) -> None:
        """A volume is deleted: what it was chosen for is chosen no longer."""
        if self._parameters is not None:
            self.panel.forget(node)

    def _use_scene(self) -> None:
        if self._parameters is None:
            self._use_parameters(self.logic.getParameterNode())

    def _use_parameters(self, parameters: CCELLAGeneratorParameterNode | None) -> None:
        if self._parameters is not None:
            self.removeObserver(self._parameters, vtk.vtkCommand.ModifiedEvent, self.panel.refresh)
        self._parameters = parameters
        self.panel.set_parameters(parameters)
        if parameters is not None:
            self.addObserver(parameters, vtk.vtkCommand.ModifiedEvent, self.panel.refresh)


class CCELLAGeneratorLogic(EditingGenerator, ScriptedLoadableModuleLogic):
    """All that the module does, for scripts: ``slicer.util.getModuleLogic("CCELLAGenerator").process(report=…)``.

    Args:
        parent: of Slicer's logics; not used.
        client: sends requests to the worker; by default to one in Slicer's own Python, started when it is needed.
        log: takes a line of the log.
    """

    def __init__(self, parent: Any = None, client: Client | None = None, log: Callable[[str], None] = print) -> None:
        ScriptedLoadableModuleLogic.__init__(self, parent)
        EditingGenerator.__init__(self, client or WorkerClient(*default_command(), log), log)

    @property
    def host(self) -> str:
        """The other computer that generates; empty for this one."""
        return self._client.host

    def generateOn(self, host: str = "") -> None:
        """Generate on another computer from now on, by the user's own SSH, or on this one again.

        What runs is ended first. The reports that volumes are generated from and the scans that are edited are sent
        there, and for a script this call is the consent; nothing is left there.

        Args:
            host: ``user@host``, or a name of the SSH configuration, in which port and key can be given; empty for this
                computer.

        Raises:
            ClientError: no name of a host. Whether it can be reached shows with the next request.
        """
        self.close()
        self._client.use(checked_host(host) if host else "")

    def exportDicom(
        self, volumes: Sequence[slicer.vtkMRMLScalarVolumeNode], folder: str | Path, overwrite: bool = False
    ) -> list[Path]:
        """Write synthetic volumes as DICOM, a series each, those of one examination in one study.

        Args:
            volumes: nodes that this module generated, or one of them.
            folder: takes a folder a study.
            overwrite: replace series that are there.

        Returns:
            The folder of each series.

        Raises:
            ClientError: a volume that cannot be exported, before anything is written; or the disk refuses.
        """
        nodes = [volumes] if isinstance(volumes, slicer.vtkMRMLNode) else list(volumes)
        return dicom_export.export_volumes(nodes, Path(folder), overwrite=overwrite)

    def getParameterNode(self) -> CCELLAGeneratorParameterNode:
        """The scene's parameters of this module, which the panel's widgets show."""
        return CCELLAGeneratorParameterNode(super().getParameterNode())


class CCELLAGeneratorTest(ScriptedLoadableModuleTest):
    """Slicer's "Reload and Test": a small volume of a report, from the panel's parameters to the scene."""

    def setUp(self) -> None:
        """Begin each test with an empty scene."""
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        """Run all tests; what is skipped is said."""
        for test in (self.test_parameters_are_kept_in_the_scene, self.test_generate):
            self.setUp()
            try:
                test()
            except unittest.SkipTest as reason:
                self.delayDisplay(_("Skipped: {reason}").format(reason=reason))

    def test_parameters_are_kept_in_the_scene(self) -> None:
        """A parameter is found again in the scene."""
        logic = CCELLAGeneratorLogic()
        logic.getParameterNode().report = "PI-RADS 2."
        self.assertEqual(logic.getParameterNode().report, "PI-RADS 2.")
        self.delayDisplay(_("The report is kept in the scene"))

    def test_generate(self) -> None:
        """A report becomes a synthetic volume."""
        missing = dependencies.missing()
        if missing:  # a test installs nothing
            sentence = _("Nothing is generated, because packages are missing: {names}")
            self.skipTest(sentence.format(names=", ".join(missing)))
        logic = CCELLAGeneratorLogic()
        try:
            volumes = logic.process(
                report="PI-RADS 5 lesion in the left peripheral zone, 20 mm.", seed=1, numInferenceSteps=2
            )
        finally:
            logic.close()
        self.assertTrue(volumes)
        for volume in volumes:
            self.assertTrue(is_synthetic(volume))
            self.assertTrue(volume.GetName().startswith("SYNTHETIC"))
            self.assertGreater(slicer.util.arrayFromVolume(volume).std(), 0.0)
        self.delayDisplay(_("A synthetic volume was generated"))
