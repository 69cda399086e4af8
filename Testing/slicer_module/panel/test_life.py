"""The panel's life: leaving the module, closing and loading scenes, reloading and quitting, also in mid-run."""

import pytest

LABEL = "SYNTHETIC – not for diagnosis"


def test_leaving_the_module_lets_a_run_finish(panel):
    request = panel.generate()
    panel.bench.leave_module()
    request.finish()
    assert panel.parameters.result is not None
    panel.open()
    assert panel.ui.statusLabel.text.startswith("Done: ")


def test_closing_the_scene_cancels_and_starts_afresh(panel):
    panel.generate("A report of this scene.")
    panel.bench.scene.Clear()
    assert len(panel.door.cancelled) == 1
    assert "The scene was closed" in panel.ui.statusLabel.text
    assert panel.ui.generateButton.text == "Generate"
    assert panel.ui.reportEdit.plainText == ""
    assert panel.bench.messages == []
    panel.generate("A report of the new scene.").finish()
    assert panel.ui.statusLabel.text.startswith("Done: ")


def test_closing_the_scene_while_the_module_is_left(panel):
    panel.ui.reportEdit.plainText = "A report of this scene."
    panel.bench.leave_module()
    panel.bench.scene.Clear()
    panel.ui.countSpin.value = 5  # tied to no scene, and harmless
    panel.open()
    assert panel.ui.reportEdit.plainText == ""
    assert panel.ui.countSpin.value == 1


def test_closing_the_scene_while_packages_are_installed(panel, monkeypatch):
    from CCELLAGeneratorLib import dependencies

    monkeypatch.setattr(dependencies, "ensure", lambda _title: panel.bench.scene.Clear() or True)
    panel.ui.reportEdit.plainText = "A report of the closed scene."
    panel.ui.generateButton.click()
    assert panel.door.asked("generate") == []
    assert panel.ui.generateButton.toolTip == "Write a report first."


def test_reports_and_settings_come_back_with_the_scene(panel, tmp_path):
    import slicer

    panel.ui.reportEdit.plainText = 'Läsion "links" & rechts\nPI-RADS 4.'
    panel.ui.countSpin.value = 4
    panel.ui.newSeedCheck.checked = False
    panel.ui.seedSpin.value = 99
    panel.ui.guidanceSpin.value = 1.5
    panel.ui.pathologyBox.currentIndex = 2
    panel.ui.samplerBox.currentIndex = 3
    file = tmp_path / "scene.mrml"
    assert slicer.mrmlScene.Commit(str(file))
    slicer.mrmlScene.Clear()
    assert panel.ui.countSpin.value == 1
    slicer.mrmlScene.SetURL(str(file))
    slicer.mrmlScene.Connect()
    assert panel.ui.reportEdit.plainText == 'Läsion "links" & rechts\nPI-RADS 4.'
    assert (panel.ui.countSpin.value, panel.ui.seedSpin.value, panel.ui.guidanceSpin.value) == (4, 99, 1.5)
    assert (panel.ui.pathologyBox.currentIndex, panel.ui.samplerBox.currentIndex) == (2, 3)
    assert not panel.ui.newSeedCheck.checked


def test_a_result_comes_back_with_the_archive_and_is_labelled(panel, tmp_path):
    import slicer

    panel.bench.app.startupCompleted.emit()
    panel.generate("PI-RADS 4 lesion – left.").finish()
    name, seed = panel.parameters.result.GetName(), panel.parameters.result.GetAttribute("CCELLA.Seed")
    assert labelled_views() == {"Red", "Green", "Yellow"}
    archive = tmp_path / "Untersuchung.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(archive))
    slicer.mrmlScene.Clear(False)
    assert labelled_views() == set()
    assert slicer.mrmlScene.ReadFromMRB(str(archive))
    node = panel.parameters.result
    assert node.GetName() == name and name.startswith("SYNTHETIC") and node.GetAttribute("CCELLA.Seed") == seed
    assert labelled_views() == {"Red", "Green", "Yellow"}
    assert "PI-RADS 4 lesion – left." in node.GetNodeReference("CCELLA.Provenance").GetText()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    assert hierarchy.GetItemName(folder) == "SYNTHETIC – CCELLA"


def labelled_views():
    """The slice views in whose corner the words stand."""
    import slicer

    views = slicer.app.layoutManager()
    labelled = set()
    for name in views.sliceViewNames():
        window = views.sliceWidget(name).sliceView().renderWindow()
        window.Render()
        for renderer in window.GetRenderers():
            props = renderer.GetViewProps()
            actors = [props.GetItemAsObject(number) for number in range(props.GetNumberOfItems())]
            if any(each.IsA("vtkTextActor") and each.GetInput() == LABEL and each.GetVisibility() for each in actors):
                labelled.add(name)
    return labelled


@pytest.mark.parametrize("running", [False, True])
def test_at_its_end_nothing_reaches_the_widgets_any_more(panel, running):
    import slicer

    request = panel.generate() if running else None
    panel.ui.countSpin.value = 2  # an estimate is about to be asked for
    parameters = panel.parameters
    asked = len(panel.door.requests)
    panel.bench.unload_module()
    assert panel.door.closed >= 1
    if running:
        assert not request.folder.exists()
    parameters.report = "changed by a script"
    slicer.mrmlScene.Clear()
    panel.settle()
    assert len(panel.door.requests) == asked
    assert panel.bench.take_slot_errors() == []


def test_it_works_again_after_reloading(panel, monkeypatch):
    panel.generate()
    panel.ui.reportEdit.plainText = "Kept in the scene."
    panel.bench.unload_module()
    again = type(panel)(panel.bench, monkeypatch).open()
    assert again.ui.reportEdit.plainText == "Kept in the scene."
    again.ui.generateButton.click()
    again.door.job().finish()
    assert again.ui.statusLabel.text.startswith("Done: ")
