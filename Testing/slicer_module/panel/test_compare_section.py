"""Compare: when it can be pressed, what it shows, and that everything is as before after it."""

from typing import Any

import pytest


@pytest.fixture
def ready(panel):
    """A synthetic volume was made on a real scan."""
    scan = panel.add_scan()
    panel.ui.realScanBox.setCurrentNode(scan)
    panel.generate().finish()
    return panel


def layout(panel) -> int:
    return panel.bench.app.layoutManager().layoutLogic().GetLayoutNode().GetViewArrangement()


@pytest.mark.medium
def test_says_what_is_missing(panel):
    button = panel.ui.compareButton
    assert not button.enabled
    assert button.toolTip.startswith("There is no synthetic volume yet")
    panel.generate().finish()
    assert button.toolTip == "Choose a real scan first, in its section above."
    scan = panel.add_scan()
    panel.ui.realScanBox.setCurrentNode(scan)
    assert button.enabled
    scan.SetAttribute("CCELLA.Synthetic", "1")
    panel.ui.realScanBox.setCurrentNode(None)
    panel.ui.realScanBox.setCurrentNode(scan)
    assert not button.enabled
    assert panel.ui.scanHint.text == "This volume is synthetic, not a real scan."


def test_only_synthetic_volumes_are_offered_as_such(ready):
    ready.ui.syntheticBox.setCurrentNode(ready.parameters.realScan)
    assert ready.ui.syntheticBox.currentNode() is None


@pytest.mark.medium
def test_one_press_there_and_one_back(ready):
    before = layout(ready)
    for slider in (ready.ui.fadeSlider, ready.ui.windowSlider, ready.ui.levelSlider):
        assert not slider.enabled and slider.toolTip == "Press Compare first."
    ready.ui.compareButton.click()
    assert ready.ui.fadeSlider.toolTip == "From the real scan (0 %) to the synthetic volume (100 %)."
    assert layout(ready) != before
    assert ready.ui.compareButton.text == "Back to the former layout"
    assert ready.ui.fadeSlider.enabled and ready.ui.levelSlider.enabled
    ready.ui.compareButton.click()
    assert layout(ready) == before
    assert ready.ui.compareButton.text == "Compare"
    assert not ready.ui.fadeSlider.enabled


@pytest.mark.medium
def test_the_sliders_move_both_volumes(ready):
    ready.ui.compareButton.click()
    display = ready.parameters.realScan.GetDisplayNode()
    assert ready.ui.windowSlider.value == pytest.approx(display.GetWindow(), abs=1)
    assert ready.ui.levelSlider.maximum == 799
    ready.ui.windowSlider.value = 300
    ready.ui.levelSlider.value = 200
    assert (display.GetWindow(), display.GetLevel()) == (pytest.approx(300), pytest.approx(200))
    composites = ready.bench.scene.GetNodesByClass("vtkMRMLSliceCompositeNode")
    composites.UnRegister(None)
    ready.ui.fadeSlider.value = 25
    opacities = [composites.GetItemAsObject(i).GetForegroundOpacity() for i in range(composites.GetNumberOfItems())]
    assert opacities.count(pytest.approx(0.75)) == 3


@pytest.mark.parametrize(("span", "decimals"), [(4000, 0), (800, 0), (99, 1), (1.0, 2), (0.003, 5), (0.0, 0)])
def test_sliders_are_as_fine_as_the_scan(case, span, decimals):
    from CCELLAGeneratorLib.panel.compare_section import decimals_of

    assert decimals_of(span) == decimals


@pytest.mark.medium
def test_volumes_apart_cannot_be_faded(panel):
    panel.generate().finish()
    panel.ui.realScanBox.setCurrentNode(panel.add_scan(shift=500.0))
    panel.ui.compareButton.click()
    assert panel.ui.compareHint.text.startswith("They do not overlap")
    assert not panel.ui.fadeSlider.enabled
    assert panel.ui.fadeSlider.toolTip == "They do not overlap, so there is nothing to fade between."
    assert panel.ui.windowSlider.enabled


def test_what_cannot_be_compared_is_said_beside_the_button(panel):
    import slicer

    panel.generate().finish()
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    panel.ui.realScanBox.setCurrentNode(empty)
    before = layout(panel)
    panel.ui.compareButton.click()
    assert "empty has no scalar voxels" in panel.ui.compareHint.text
    assert layout(panel) == before
    assert not panel.ui.compareButton.checked
    assert panel.bench.messages == []


@pytest.mark.medium
def test_a_new_result_takes_the_old_one_s_place(ready):
    ready.ui.compareButton.click()
    arrangement = layout(ready)
    ready.generate().finish()
    assert layout(ready) == arrangement
    shown = [node for node in _composites(ready) if node.GetBackgroundVolumeID() == ready.parameters.result.GetID()]
    assert len(shown) == 3


@pytest.mark.medium
def test_a_scan_that_is_removed_ends_it(ready):
    before = layout(ready)
    ready.ui.compareButton.click()
    ready.bench.scene.RemoveNode(ready.parameters.realScan)
    assert layout(ready) == before
    assert not ready.ui.compareButton.checked
    assert not ready.ui.compareButton.enabled


@pytest.mark.parametrize("which", ["realScan", "result"])
def test_a_volume_that_is_removed_is_not_replaced_by_its_neighbour(ready, which):
    ready.add_scan()
    ready.generate().finish()  # another of each kind, to which the selectors could turn
    before = layout(ready)
    ready.ui.compareButton.click()
    ready.bench.scene.RemoveNode(getattr(ready.parameters, which))
    assert getattr(ready.parameters, which) is None
    assert layout(ready) == before and not ready.ui.compareButton.checked and not ready.ui.compareButton.enabled


@pytest.mark.medium
def test_closing_the_scene_ends_it(ready):
    ready.ui.compareButton.click()
    ready.bench.scene.Clear()
    assert ready.ui.compareButton.text == "Compare"
    assert not ready.ui.compareButton.enabled


def _composites(panel) -> list[Any]:
    import slicer

    return slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
