"""Hang like bpMRI: one press there and one back, what is found and what is chosen, and never beside a comparison."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from fake_client import save_volume


def add(name: str, top: float) -> Any:
    voxels = np.random.default_rng(1).random((6, 10, 12)) * top
    matrix = np.diag([1.0, 1.0, 3.0, 1.0])
    matrix[:3, 3] = -6.0, -5.0, -9.0
    return slicer.util.addVolumeFromArray(voxels, matrix, name)


def layout() -> int:
    return slicer.app.layoutManager().layoutLogic().GetLayoutNode().GetViewArrangement()


def shown(row: str) -> list[str | None]:
    names = [f"CCELLA_{row}_{sequence}" for sequence in ("t2w", "adc", "hbv")]
    ids = [slicer.mrmlScene.GetSingletonNode(n, "vtkMRMLSliceCompositeNode").GetBackgroundVolumeID() for n in names]
    return [None if each is None else slicer.mrmlScene.GetNodeByID(each).GetName() for each in ids]


def generate(panel: Any, day: int = 1) -> None:
    job = panel.generate()
    voxels = np.random.default_rng(0).random((12, 10, 6))
    facts = {"seed": 5, "created": f"2026-01-0{day}T00:00Z"}
    job.give(
        *[
            save_volume(job.folder, f"tiny_{name}", sequence=name, voxels=voxels * top, **facts)
            for name, top in (("t2w", 1), ("hbv", 1), ("adc", 2400))
        ]
    )


@pytest.mark.medium
def test_one_press_there_and_one_back(panel: Any) -> None:
    button = panel.ui.bpmriButton
    assert not button.enabled and button.toolTip.startswith("There is no synthetic volume yet")
    generate(panel)
    before = layout()
    button.click()
    names = [f"SYNTHETIC {name} seed 5 (tiny)" for name in ("t2w", "adc", "hbv")]
    assert layout() != before and shown("Synthetic") == names
    assert button.text == "Back to the former layout" and panel.ui.bpmriHint.text.startswith("From left to right T2")
    button.click()
    assert layout() == before and button.text == "Hang like bpMRI" and panel.ui.bpmriHint.text == ""


@pytest.mark.medium
def test_the_real_examination_is_found_or_chosen(panel: Any) -> None:
    generate(panel)
    scan, adc, _high_b = add("t2_tse", 800), add("ADC", 2400), add("b1400", 90)
    panel.ui.realScanBox.setCurrentNode(scan)
    panel.ui.bpmriButton.click()
    assert shown("Real") == ["t2_tse", "ADC", "b1400"]
    panel.ui.adcHighSpin.value = 1500
    assert adc.GetDisplayNode().GetWindow() == pytest.approx(1500)
    panel.ui.realAdcBox.setCurrentNode(add("my map", 2400))
    assert shown("Real") == ["t2_tse", "my map", "b1400"]
    slicer.mrmlScene.RemoveNode(slicer.util.getNode("my map"))
    assert not panel.ui.bpmriButton.checked and panel.parameters.realAdc is None
    panel.ui.realHighBBox.setCurrentNode(panel.parameters.result)
    assert panel.ui.bpmriButton.toolTip == "What is chosen as a real scan is synthetic: choose a real one."


@pytest.mark.medium
def test_comparison_and_hanging_give_way_to_each_other(panel: Any) -> None:
    generate(panel)
    panel.ui.realScanBox.setCurrentNode(add("t2_tse", 800))
    before = layout()
    panel.ui.compareButton.click()
    compared = layout()
    panel.ui.bpmriButton.click()
    assert layout() not in (before, compared) and not panel.ui.compareButton.checked
    panel.ui.compareButton.click()
    assert layout() == compared and not panel.ui.bpmriButton.checked
    panel.ui.compareButton.click()
    assert layout() == before


@pytest.mark.medium
def test_another_result_takes_the_place_of_the_first(panel: Any) -> None:
    generate(panel)
    panel.ui.bpmriButton.click()
    first = shown("Synthetic")
    generate(panel, day=2)
    assert shown("Synthetic") != first and panel.ui.bpmriButton.checked
    slicer.mrmlScene.Clear()
    assert not panel.ui.bpmriButton.checked


@pytest.mark.medium
def test_a_deleted_synthetic_volume_ends_it(panel: Any) -> None:
    generate(panel)
    before = layout()
    panel.ui.bpmriButton.click()
    slicer.mrmlScene.RemoveNode(panel.parameters.result)
    panel.settle()
    assert layout() == before and not panel.ui.bpmriButton.checked and panel.parameters.result is None
