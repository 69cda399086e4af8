"""The module as Slicer sees it: its texts, its start, its logic, its own test, and the real worker behind it."""

import pydoc
import sys
import unittest
from typing import Any

import pytest
from fake_client import FakeClient

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


@pytest.mark.medium
def test_loading_and_opening_it_asks_nothing_of_the_user(slicer_bench, widget):
    assert slicer_bench.messages == []
    assert widget.ui.generateButton.text == "Generate"


@pytest.mark.medium
def test_the_logic_is_found_by_its_module(widget):
    import slicer

    assert slicer.util.getModuleLogic("CCELLAGenerator") is widget.logic


def test_python_s_help_says_how_every_method_of_the_logic_is_called(widget):
    methods = ["process", "processBatch", "cancel", "cancelRequest", "close", "describe", "countTokens", "estimate"]
    for name in [*methods, "download", "deleteModel", "getParameterNode"]:
        method = getattr(type(widget.logic), name)
        assert method.__doc__
    text = pydoc.render_doc(widget.logic.process, renderer=pydoc.plaintext)
    assert "report: 'str | None' = None" in text and "referenceVolume: the real scan" in text and "Returns:" in text


def test_the_logic_needs_no_worker_where_it_is_given_a_client(widget):
    client = FakeClient()
    logic = type(widget.logic)(client=client)
    logic.countTokens("PI-RADS 2.", onResult=print, onError=print)
    assert client.last.method == "count_tokens"
    logic.close()
    assert client.closed == 1


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
    slicer_bench.wait_until(lambda: "MB on disk" in ui.modelDetails.text)
    ui.reportEdit.plainText = REPORT
    slicer_bench.wait_until(lambda: "of 320 tokens" in ui.tokensLabel.text)
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
    assert [int(node.GetAttribute("CCELLA.Seed")) for node in synthetic_volumes()] == [
        s for s in seeds for _ in range(3)
    ]
    assert slicer_bench.messages == []


def test_its_own_test_is_skipped_where_packages_are_missing(slicer_bench, widget, monkeypatch):
    import slicer
    from CCELLAGeneratorLib import dependencies

    monkeypatch.setattr(dependencies, "missing", lambda: ["torch>=2.4", "monai>=1.5"])
    tests = unittest.TestLoader().loadTestsFromTestCase(sys.modules["CCELLAGenerator"].CCELLAGeneratorTest)
    result = unittest.TestResult()
    tests.run(result)
    ((_test, reason),) = result.skipped
    assert reason == "Nothing is generated, because packages are missing: torch>=2.4, monai>=1.5"
    assert result.testsRun == 2 and result.wasSuccessful()
    slicer.selfTests["CCELLAGenerator"](msec=0)  # Reload and Test, which knows of no skipping
    assert synthetic_volumes() == []


@pytest.mark.medium
def test_its_own_test_passes(slicer_bench, widget):
    import slicer

    slicer.selfTests["CCELLAGenerator"](msec=0)
    assert len(synthetic_volumes()) == 3  # of each sequence one
