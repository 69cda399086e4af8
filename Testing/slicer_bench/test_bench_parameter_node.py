"""Typed parameters live in a real parameter node and follow their widgets."""

import enum
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated

import pytest
import slicer

pytestmark = pytest.mark.usefixtures("slicer_bench")


class Pathology(enum.Enum):
    FROM_REPORT = 1
    POSITIVE = 2

    def label(self):
        return self.name.replace("_", " ").capitalize()


@pytest.fixture
def node():
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")


@pytest.fixture
def kind(slicer_bench):
    from slicer.parameterNodeWrapper import Choice, Default, SingleStep, WithinRange, parameterNodeWrapper

    @parameterNodeWrapper
    class Parameters:
        report: str
        steps: Annotated[int, WithinRange(1, 1000), Default(30)]
        guidance: Annotated[float, WithinRange(0, 20), SingleStep(0.5)] = 1.5
        pathology: Pathology
        scheduler: Annotated[str, Choice(["ddim", "dpm++"])] = "dpm++"
        remember: bool = True
        folder: Path
        scan: slicer.vtkMRMLScalarVolumeNode

        def hint(self):
            return f"{self.steps} steps"

    return Parameters


def test_defaults_are_written_to_the_node_as_slicer_writes_them(node, kind):
    parameters = kind(node)
    assert {name: node.GetParameter(name) for name in node.GetParameterNames()} == {
        "report": "", "steps": "30", "guidance": "1.5", "pathology": "FROM_REPORT", "scheduler": "dpm++",
        "remember": "True", "folder": ".", "scan": "",
    }  # fmt: skip
    assert (parameters.steps, parameters.pathology, parameters.scan) == (30, Pathology.FROM_REPORT, None)
    assert parameters.hint() == "30 steps"


def test_values_are_typed_and_found_again_by_another_wrapper(node, kind):
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    parameters = kind(node)
    parameters.scan, parameters.pathology, parameters.folder = volume, Pathology.POSITIVE, Path("/models")
    other = kind(node)
    assert (other.scan, other.pathology, other.folder) == (volume, Pathology.POSITIVE, Path("/models"))
    assert node.GetNodeReferenceID("scan") == volume.GetID()
    slicer.mrmlScene.RemoveNode(volume)
    assert other.scan is None


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("steps", 0, ValueError), ("steps", 2.5, TypeError), ("report", None, TypeError),
        ("scheduler", "x", ValueError),
        ("folder", "/models", TypeError), ("stepz", 3, ValueError),
    ],
)  # fmt: skip
def test_what_is_not_allowed_is_refused(node, kind, name, value, error):
    parameters = kind(node)
    with pytest.raises(error):
        setattr(parameters, name, value)
    assert parameters.steps == 30


def test_widgets_and_parameters_follow_each_other(node, kind):
    import ctk
    import qt

    def named(widget, name):
        widget.setProperty("SlicerParameterName", name)
        return widget

    parameters = kind(node)
    selector = slicer.qMRMLNodeComboBox()
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    ui = SimpleNamespace(
        report=named(qt.QLineEdit(), "report"), steps=named(qt.QSpinBox(), "steps"),
        guidance=named(ctk.ctkSliderWidget(), "guidance"), pathology=named(qt.QComboBox(), "pathology"),
        scheduler=named(qt.QComboBox(), "scheduler"), remember=named(qt.QCheckBox(), "remember"),
        folder=named(ctk.ctkPathLineEdit(), "folder"), scan=named(selector, "scan"), button=qt.QPushButton(),
    )  # fmt: skip
    assert parameters.connectGui(ui) is None
    assert (ui.steps.value, ui.steps.maximum, ui.guidance.singleStep, ui.remember.checked) == (30, 1000, 0.5, True)
    assert [ui.pathology.itemText(index) for index in range(2)] == ["From report", "Positive"]

    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    ui.steps.value, ui.guidance.value, ui.pathology.currentIndex, ui.remember.checked = 50, 2.0, 1, False
    ui.report.text, ui.scheduler.currentIndex, ui.folder.currentPath = "PI-RADS 4", 0, "/b"
    selector.setCurrentNode(volume)
    assert [parameters.getValue(name) for name in parameters.allParameters] == [
        "PI-RADS 4", 50, 2.0, Pathology.POSITIVE, "ddim", False, Path("/b"), volume,
    ]  # fmt: skip
    parameters.steps, parameters.scan = 7, None
    assert (ui.steps.value, selector.currentNode()) == (7, None)


def test_disconnected_widgets_are_left_alone(node, kind):
    import qt

    parameters, box = kind(node), qt.QSpinBox()
    tag = parameters.connectParametersToGui({"steps": box})
    parameters.disconnectGui(tag)
    box.value = 9
    assert parameters.steps == 30
    parameters.steps = 8
    assert box.value == 9


def test_widgets_that_cannot_show_a_parameter_are_refused(node, kind):
    import qt

    parameters = kind(node)
    with pytest.raises(RuntimeError, match="QPlainTextEdit"):
        parameters.connectParametersToGui({"report": qt.QPlainTextEdit()})
    with pytest.raises(ValueError, match="stepz"):
        parameters.connectParametersToGui({"stepz": qt.QSpinBox()})


def test_types_the_bench_does_not_know_are_refused(slicer_bench):
    from slicer.parameterNodeWrapper import parameterNodeWrapper

    with pytest.raises(TypeError, match="list"):

        @parameterNodeWrapper
        class Parameters:
            names: list[str]
