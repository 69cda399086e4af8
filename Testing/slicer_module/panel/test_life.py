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


@pytest.mark.medium
def test_closing_the_scene_cancels_and_starts_afresh(panel):
    panel.generate("A report of this scene.")
    panel.bench.scene.Clear()
    assert len(panel.client.cancelled) == 1
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
    assert panel.client.asked("generate") == []
    assert panel.ui.generateButton.toolTip == "Write a report first."


@pytest.mark.medium
def test_reports_and_settings_come_back_with_the_scene(panel, tmp_path):
    import slicer

    panel.ui.reportEdit.plainText = 'Läsion "links" & rechts\nPI-RADS 4.'
    panel.ui.countSpin.value = 4
    panel.ui.newSeedCheck.checked = False
    panel.ui.seedSpin.value = 99
    panel.ui.guidanceSpin.value = 1.5
    panel.ui.pathologyBox.currentIndex = 2
    panel.ui.schedulerBox.currentIndex = 3
    file = tmp_path / "scene.mrml"
    assert slicer.mrmlScene.Commit(str(file))
    slicer.mrmlScene.Clear()
    assert panel.ui.countSpin.value == 1
    slicer.mrmlScene.SetURL(str(file))
    slicer.mrmlScene.Connect()
    assert panel.ui.reportEdit.plainText == 'Läsion "links" & rechts\nPI-RADS 4.'
    assert (panel.ui.countSpin.value, panel.ui.seedSpin.value, panel.ui.guidanceSpin.value) == (4, 99, 1.5)
    assert (panel.ui.pathologyBox.currentIndex, panel.ui.schedulerBox.currentIndex) == (2, 3)
    assert not panel.ui.newSeedCheck.checked


@pytest.mark.medium
def test_a_result_comes_back_with_the_archive_and_is_labelled(panel, tmp_path):
    import slicer

    panel.bench.app.startupCompleted.emit()
    panel.ui.realScanBox.setCurrentNode(panel.add_scan())
    panel.generate("PI-RADS 4 lesion – left.").finish()
    name, seed = panel.parameters.result.GetName(), panel.parameters.result.GetAttribute("CCELLA.Seed")
    assert labelled_views() == {"Red", "Green", "Yellow"}
    archive = tmp_path / "Untersuchung.mrb"
    assert slicer.mrmlScene.WriteToMRB(str(archive))
    slicer.mrmlScene.Clear(False)
    assert labelled_views() == set()
    assert slicer.mrmlScene.ReadFromMRB(str(archive))
    node = panel.parameters.result
    assert panel.ui.syntheticBox.currentNode() is node
    assert panel.ui.realScanBox.currentNode() is panel.parameters.realScan is not None
    assert panel.ui.compareButton.enabled
    assert node.GetName() == name and name.startswith("SYNTHETIC") and node.GetAttribute("CCELLA.Seed") == seed
    assert labelled_views() == {"Red", "Green", "Yellow"}
    assert "PI-RADS 4 lesion – left." in node.GetNodeReference("CCELLA.Provenance").GetText()
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node))
    assert hierarchy.GetItemName(folder) == "SYNTHETIC – CCELLA"


@pytest.mark.medium
def test_a_module_that_is_added_to_a_running_slicer_labels_too(panel):
    panel.generate().finish()  # there was no start of Slicer to hear of
    assert labelled_views() == {"Red", "Green", "Yellow"}


def labels_of(view):
    """The actors with the words that a slice view holds, shown or not."""
    import slicer

    window = slicer.app.layoutManager().sliceWidget(view).sliceView().renderWindow()
    window.Render()
    props = [renderer.GetViewProps() for renderer in window.GetRenderers()]
    actors = [each.GetItemAsObject(number) for each in props for number in range(each.GetNumberOfItems())]
    return [each for each in actors if each.IsA("vtkTextActor") and each.GetInput() == LABEL]


def labelled_views():
    """The slice views in whose corner the words stand."""
    import slicer

    views = slicer.app.layoutManager().sliceViewNames()
    return {view for view in views if any(label.GetVisibility() for label in labels_of(view))}


@pytest.mark.parametrize("running", [False, True])
def test_at_its_end_nothing_reaches_the_widgets_any_more(panel, running):
    import slicer

    request = panel.generate() if running else None
    panel.ui.countSpin.value = 2  # an estimate is about to be asked for
    parameters = panel.parameters
    asked = len(panel.client.requests)
    panel.bench.unload_module()
    assert panel.client.closed >= 1
    if running:
        assert not request.folder.exists()
    parameters.report = "changed by a script"
    slicer.mrmlScene.Clear()
    panel.settle()
    assert len(panel.client.requests) == asked
    assert panel.bench.take_slot_errors() == []


@pytest.mark.medium
def test_it_works_again_after_reloading(panel):
    """As Slicer's own button does it: the panel is made anew in its place, and nobody enters the module again."""
    import slicer

    panel.bench.app.startupCompleted.emit()
    panel.generate("Before the reload.").finish()
    request, client = panel.generate("Kept in the scene."), panel.client
    slicer.util.reloadScriptedModule("CCELLAGenerator")
    assert not request.folder.exists() and client.closed >= 1
    assert {len(labels_of(view)) for view in ("Red", "Green", "Yellow")} == {1}

    again = panel.look_again()
    assert again.ui.reportEdit.plainText == "Kept in the scene."
    assert "A small model." in again.ui.modelDetails.text
    again.ui.generateButton.click()
    again.client.job().finish()
    assert again.ui.statusLabel.text.startswith("Done: ")
    assert labelled_views() == {"Red", "Green", "Yellow"}
    slicer.mrmlScene.Clear()
    assert again.ui.reportEdit.plainText == ""
    again.generate("A report of the new scene.").finish()
    assert again.ui.statusLabel.text.startswith("Done: ")
    assert panel.bench.take_slot_errors() == []


@pytest.mark.medium
def test_quitting_takes_the_labels_away(panel):
    panel.bench.app.startupCompleted.emit()
    panel.generate().finish()
    assert len(labels_of("Red")) == 1
    panel.bench.unload_module()
    assert labels_of("Red") == []
    panel.bench.app.layoutManager().setLayout(1)  # nobody watches any more
    assert labels_of("Red") == [] and panel.bench.take_slot_errors() == []
