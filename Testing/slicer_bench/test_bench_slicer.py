"""The application, messages and modules of the bench, through the unmodified ``slicer.util``."""

import logging
from pathlib import Path

import pytest
import slicer
import vtk

MODULE = """
import logging
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import *

class Toy(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("Toy")

class ToyWidget(ScriptedLoadableModuleWidget, slicer.util.VTKObservationMixin):
    calls = []
    def setup(self):
        self.logic = ToyLogic()
    def enter(self):
        self.calls.append("enter")
    def exit(self):
        self.calls.append("exit")
    def cleanup(self):
        self.calls.append("cleanup")

class ToyLogic(ScriptedLoadableModuleLogic):
    pass

class ToyTest(ScriptedLoadableModuleTest):
    def runTest(self):
        self.delayDisplay("tested")
"""


@pytest.fixture
def toy(slicer_bench, tmp_path):
    file = tmp_path / "module" / "Toy.py"
    file.parent.mkdir()
    file.write_text(MODULE, encoding="utf-8")
    return slicer_bench.load_module(file)


def test_messages_are_kept_and_questions_answered(slicer_bench):
    slicer_bench.answer(True, False)
    slicer.util.errorDisplay("It did not work", detailedText="why")
    assert slicer.util.confirmOkCancelDisplay("Go on?")
    assert not slicer.util.confirmYesNoDisplay("Really?")
    assert [(message.kind, message.text, message.details) for message in slicer_bench.messages] == [
        ("critical", "It did not work", "why"), ("question", "Go on?", ""), ("question", "Really?", ""),
    ]  # fmt: skip


def test_an_unanswered_question_is_an_error(slicer_bench):
    with pytest.raises(RuntimeError, match="Go on"):
        slicer.util.confirmOkCancelDisplay("Go on?")
    assert slicer_bench.complaints() == ["a question nobody prepared an answer for: Go on?"]
    slicer_bench.dialogs.unanswered.clear()


def test_try_with_error_display_shows_the_error_and_raises_it(slicer_bench):
    with pytest.raises(ValueError, match="broken"), slicer.util.tryWithErrorDisplay("Failed.", waitCursor=True):
        raise ValueError("broken")
    assert slicer_bench.messages[0].text == "Failed.\n\nbroken"
    assert slicer_bench.app.overrideCursor() is None


def test_a_scripted_module_is_loaded_entered_left_and_unloaded(slicer_bench, toy):
    assert toy.title == "Toy"
    assert "Toy" in slicer.util.moduleNames()
    widget = slicer_bench.open_module("Toy")
    calls = widget.calls
    assert slicer.util.getModuleLogic("Toy") is widget.logic
    assert slicer.util.modulePath("Toy") == toy.path
    assert Path(widget.resourcePath("UI/Toy.ui")) == Path(toy.path).parent / "Resources" / "UI" / "Toy.ui"
    slicer_bench.leave_module()
    slicer_bench.open_module("Toy")
    slicer_bench.unload_module("Toy")
    assert calls == ["enter", "exit", "enter", "exit", "cleanup"]
    assert "Toy" not in slicer.util.moduleNames()
    with pytest.raises(RuntimeError, match="Toy"):
        slicer.util.getModule("Toy")


def test_a_module_is_reloaded(slicer_bench, toy):
    before = slicer_bench.open_module("Toy")
    Path(toy.path).write_text(MODULE.replace('_("Toy")', '_("New")') + "\nVERSION = 2\n", encoding="utf-8")
    module = slicer.util.reloadScriptedModule("Toy")
    after = slicer.util.getModuleWidget("Toy")
    assert (module.VERSION, before.calls[-1]) == (2, "cleanup")
    assert after is slicer.modules.ToyWidget is not before
    assert after.parent is before.parent
    slicer_bench.unload_module("Toy")
    assert before.calls.count("cleanup") == 1


@pytest.mark.parametrize("by_name", [True, False])
def test_nobody_hears_of_the_application_after_a_test(slicer_bench, by_name):
    heard = []
    if by_name:
        slicer.app.connect("startupCompleted()", lambda: heard.append(1))
    else:
        slicer.app.startupCompleted.connect(lambda: heard.append(1))
    slicer.app.startupCompleted.emit()
    slicer.app.end()
    slicer.app.startupCompleted.emit()
    assert heard == [1]


def test_a_modules_test_is_run_by_its_name(slicer_bench, toy, caplog):
    caplog.set_level(logging.INFO)
    slicer.selfTests["Toy"](msec=1)
    assert "tested" in caplog.messages


def test_the_parameter_node_is_one_a_scene(slicer_bench, toy):
    logic = slicer_bench.open_module("Toy").logic
    node = logic.getParameterNode()
    assert (node.GetSingletonTag(), node.GetAttribute("ModuleName")) == ("Toy", "Toy")
    assert logic.getParameterNode() is node
    assert logic.getAllParameterNodes() == [node]


def test_text_to_translate_has_to_be_a_literal(slicer_bench):
    from slicer.i18n import tr as _

    count = 3
    assert _("{count} volumes").format(count=count) == "3 volumes"
    with pytest.raises(TypeError, match="no literal"):
        _(f"{count} synthetic volumes")


def test_the_subject_hierarchy_follows_the_scene(slicer_bench):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    volume = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Volume")
    item = hierarchy.GetItemByDataNode(volume)
    assert hierarchy.GetItemOwnerPluginName(item) == "Volumes"
    assert hierarchy.GetItemParent(item) == hierarchy.GetSceneItemID()
    slicer.mrmlScene.RemoveNode(volume)
    assert hierarchy.GetItemByDataNode(volume) == 0


def test_an_exception_in_an_observer_is_kept(slicer_bench):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda caller, event: 1 / 0)
    node.Modified()
    assert "ZeroDivisionError" in slicer_bench.take_slot_errors()[0]


def test_what_slicer_has_and_the_bench_not_says_its_name(slicer_bench, toy):
    with pytest.raises(AttributeError, match="revisionUserSettings"):
        slicer.app.revisionUserSettings()
    with pytest.raises(AttributeError, match="iconn"):
        toy.iconn = None
