"""Which volumes belong to one examination, by what they say, by their DICOM description, or by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from fake_client import save_volume


@pytest.fixture
def sequences(slicer_bench: Any) -> Any:
    from CCELLAGeneratorLib.scene import sequences

    return sequences


def add(name: str, described: str = "", study: str = "", shift: float = 0.0) -> Any:
    matrix = np.eye(4)
    matrix[0, 3] = shift
    node = slicer.util.addVolumeFromArray(np.ones((6, 20, 20)), matrix, name)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    item = hierarchy.GetItemByDataNode(node)
    if described:
        hierarchy.SetItemAttribute(item, "DICOM.SeriesDescription", described)
    if study:
        root = hierarchy.GetSceneItemID()
        folder = hierarchy.GetItemChildWithName(root, study) or hierarchy.CreateStudyItem(root, study)
        hierarchy.SetItemParent(item, folder)
    return node


@pytest.mark.parametrize(
    ("text", "sequence"),
    [
        ("t2_tse_tra", "t2w"), ("Ax T2 FRFSE", "t2w"), ("T2W_TSE_ax", "t2w"),
        ("ep2d_diff_tra_DYNDIST_ADC", "adc"), ("ADC (10^-6 mm²/s)", "adc"), ("Apparent Diffusion Coefficient", "adc"),
        ("diff b50 400 800 ADC", "adc"),
        ("ep2d_diff_tra_CALC_BVAL", "hbv"), ("DWI b1400", "hbv"), ("b = 2000", "hbv"), ("hbv", "hbv"),
        ("high b-value", "hbv"), ("case_hbv", "hbv"),
        ("dce", None), ("localizer", None), ("b50", None), ("subtraction 1400", None), ("arcadcx", None),
    ],
)  # fmt: skip
def test_descriptions(sequences: Any, text: str, sequence: str | None) -> None:
    assert sequences.sequence_of(add("volume", described=text)) == sequence
    assert sequences.sequence_of(add(text)) == sequence


def test_the_description_goes_before_the_name(sequences: Any) -> None:
    assert sequences.sequence_of(add("5: t2_tse", described="ADC")) == "adc"
    assert sequences.sequence_of(add("5: t2_tse", described="series 5")) == "t2w"


def test_a_real_examination_is_found_in_its_study(sequences: Any) -> None:
    add("4: ADC", study="yesterday")
    chosen = add("volume", described="t2_tse_tra", study="today")
    adc = add("6: ADC", study="today")
    add("7: ADC", study="today")
    add("SYNTHETIC adc seed 7", study="today")
    high_b = add("b1400", study="today")
    found = sequences.examination_of(chosen)
    assert list(found.items()) == [("t2w", chosen), ("adc", adc), ("hbv", high_b)]
    assert sequences.examination_of(adc)["adc"] is adc


def test_volumes_without_a_study_must_lie_on_each_other(sequences: Any) -> None:
    add("ADC of another place", shift=500)
    adc = add("ADC")
    chosen = add("my scan")
    assert sequences.examination_of(chosen) == {"t2w": chosen, "adc": adc}
    assert sequences.examination_of(None) == {}


def test_a_synthetic_examination_says_what_belongs_to_it(sequences: Any, tmp_path: Path) -> None:
    from CCELLAGeneratorLib.scene.volumes import add_volumes

    def drawn(created: str) -> list[Any]:
        entries = [
            save_volume(tmp_path, f"{created[:4]}{name}", sequence=name, created=created)
            for name in ("t2w", "hbv", "adc")
        ]
        return add_volumes({"volumes": entries, "seconds": 1.0, "load_seconds": 0.0})

    first, second = drawn("2026-01-01T00:00:00Z"), drawn("2027-01-01T00:00:00Z")
    for made in (first, second):
        t2w, hbv, adc = made
        assert all(sequences.examination_of(node) == {"t2w": t2w, "adc": adc, "hbv": hbv} for node in made)
    assert sequences.adc_unit(first[2]) is None
