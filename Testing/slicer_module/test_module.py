"""The module as Slicer sees it: its texts, its start, its logic, its own test, and the real worker behind it."""

from typing import Any

import pytest

REPORT = "PI-RADS 5 lesion in the left peripheral zone at mid-gland, 20 mm. The prostate volume is 45 ml."


@pytest.fixture
def module(slicer_bench) -> Any:
    return slicer_bench.load_module()


@pytest.fixture
def widget(slicer_bench, module) -> Any:
    return slicer_bench.open_module()


def synthetic_volumes() -> list[Any]:
    import slicer

    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if "SYNTHETIC" in node.GetName()]


def test_says_what_it_is_and_whose_method(module):
    assert module.title == "CCELLA Generator"
    assert module.categories == ["Image Synthesis"]
    assert "not for diagnosis" in module.helpText
    for name in ("Grabke", "Taati", "Haider", "arXiv:2506.10230"):
        assert name in module.acknowledgementText


def test_loading_and_opening_it_asks_nothing_of_the_user(slicer_bench, widget):
    assert slicer_bench.messages == []
    assert widget.ui.generateButton.text == "Generate"


def test_the_logic_is_found_by_its_module(widget):
    import slicer

    assert slicer.util.getModuleLogic("CCELLAGenerator") is widget.logic


def test_every_public_method_of_the_generator_is_the_logic_s(widget):
    from CCELLAGeneratorLib.generation.generator import Generator

    for name in (name for name in dir(Generator) if not name.startswith("_")):
        assert callable(getattr(widget.logic, name))


def test_every_widget_with_a_parameter_is_bound_to_one(widget):
    from CCELLAGeneratorLib.panel.parameters import CCELLAGeneratorParameterNode

    named = {child.property("SlicerParameterName") for child in vars(widget.ui).values()} - {None}
    assert named == set(CCELLAGeneratorParameterNode.allParameters)


def test_the_panel_is_no_wider_than_slicer_s(widget):
    assert widget.parent.minimumSizeHint.width() <= 420


@pytest.mark.slow
def test_the_real_worker_generates_twice_is_cancelled_and_works_again(slicer_bench, widget):
    def run() -> None:
        ui.generateButton.click()
        assert ui.generateButton.text == "Cancel"
        slicer_bench.wait_until(lambda: ui.generateButton.text == "Generate")

    ui = widget.ui
    slicer_bench.wait_until(lambda: "digital prostates" in ui.modelDetails.text)
    ui.reportEdit.plainText = REPORT
    slicer_bench.wait_until(lambda: "of 256 tokens" in ui.tokensLabel.text)
    ui.stepsSpin.value = 2
    slicer_bench.wait_until(lambda: ui.estimateLabel.text)
    seeds = []
    for _run in range(2):
        run()
        assert ui.statusLabel.text.startswith("Done: SYNTHETIC t2w seed"), ui.statusLabel.text
        assert "% positive" in ui.predictionLabel.text
        seeds.append(ui.seedSpin.value)

    ui.stepsSpin.value = 1000
    ui.generateButton.click()
    slicer_bench.wait_until(lambda: "Drawing" in ui.progressLabel.text)
    ui.generateButton.click()
    slicer_bench.wait_until(lambda: ui.generateButton.text == "Generate")
    assert ui.statusLabel.text == "Generation was cancelled."

    ui.stepsSpin.value = 2
    run()
    seeds.append(ui.seedSpin.value)
    assert [int(node.GetAttribute("CCELLA.Seed")) for node in synthetic_volumes()] == seeds
    assert slicer_bench.messages == []


@pytest.mark.medium
def test_its_own_test_passes(slicer_bench, widget):
    import slicer

    slicer.selfTests["CCELLAGenerator"](msec=0)
    assert len(synthetic_volumes()) == 1
