"""bpMRI as readers hang it: a row of T2, ADC and high b, linked, the ADC in its unit, and everything back after it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import slicer
from compare_room import add_volume, composite, layout_node, oblique, slice_to_ras, window_level

SEQUENCES = ("t2w", "adc", "hbv")
SCALES = {"t2w": 800.0, "adc": 2400.0, "hbv": 90.0}


@pytest.fixture
def hanging(slicer_bench: Any) -> Iterator[Any]:
    from CCELLAGeneratorLib.comparison.hanging import Hanging

    made = Hanging()
    yield made
    made.stop()


@pytest.fixture
def error_class(slicer_bench: Any) -> type[Exception]:
    from CCELLAGeneratorLib.comparison.comparison import ComparisonError

    return ComparisonError


def synthetic(unit: float = 1.0, centre: tuple[float, ...] = (12.0, -30.0, 55.0)) -> dict[str, Any]:
    made = {}
    for number, name in enumerate(SEQUENCES):
        voxels = np.random.default_rng(number).random((48, 48, 12)) * SCALES[name] * (unit if name == "adc" else 1)
        made[name] = add_volume(f"SYNTHETIC {name} seed 7", voxels, oblique((1, 1, 3), centre))
        made[name].SetAttribute("CCELLA.Synthetic", "1")
    return made


def real() -> dict[str, Any]:
    """The T2 finer than the others, as it is in patients."""
    return {
        name: add_volume(
            name,
            (np.random.default_rng(9).random((size, size, 15)) * SCALES[name]).astype(np.int16),
            oblique((64 / size, 64 / size, 3)),
        )
        for name, size in zip(SEQUENCES, (96, 48, 48), strict=True)
    }


def view(row: str, sequence: str) -> Any:
    return slicer.mrmlScene.GetSingletonNode(f"CCELLA_{row}_{sequence}", "vtkMRMLSliceNode")


def test_one_row_of_three_on_one_plane(hanging: Any) -> None:
    drawn = synthetic()
    before = layout_node().GetViewArrangement()
    hanging.start({name: drawn[name] for name in reversed(SEQUENCES)}, {})
    assert hanging.active and layout_node().GetViewArrangement() != before
    planes = [slice_to_ras(view("Synthetic", name)) for name in SEQUENCES]
    for name, plane in zip(SEQUENCES, planes, strict=True):
        shown = composite(f"CCELLA_Synthetic_{name}")
        assert shown.GetBackgroundVolumeID() == drawn[name].GetID() and shown.GetLinkedControl()
        np.testing.assert_allclose(plane, planes[0])
        assert view("Synthetic", name).GetFieldOfView()[0] == view("Synthetic", "t2w").GetFieldOfView()[0]
    hanging.stop()
    assert layout_node().GetViewArrangement() == before and not hanging.active


def test_a_real_examination_hangs_below_and_moves_with_it(hanging: Any) -> None:
    drawn, scanned = synthetic(), real()
    hanging.start(drawn, scanned)
    assert hanging.overlap and hanging.volumes == (*drawn.values(), *scanned.values())
    views = [view(row, name) for row in ("Synthetic", "Real") for name in SEQUENCES]
    assert len({each.GetViewGroup() for each in views}) == 1
    for each in views:
        np.testing.assert_allclose(slice_to_ras(each), slice_to_ras(view("Real", "t2w")))
    for name in SEQUENCES:
        assert composite(f"CCELLA_Real_{name}").GetBackgroundVolumeID() == scanned[name].GetID()


def test_examinations_that_are_apart_do_not_move_together(hanging: Any) -> None:
    hanging.start(synthetic(centre=(800, 0, 0)), real())
    assert not hanging.overlap
    groups = [[view(row, name).GetViewGroup() for name in SEQUENCES] for row in ("Synthetic", "Real")]
    assert [len(set(group)) for group in groups] == [1, 1] and groups[0][0] != groups[1][0]


def test_what_is_missing_leaves_its_place_empty(hanging: Any) -> None:
    drawn = synthetic()
    hanging.start(drawn, {"adc": real()["adc"]})
    assert (
        composite("CCELLA_Real_adc").GetBackgroundVolumeID()
        and not composite("CCELLA_Real_t2w").GetBackgroundVolumeID()
    )
    np.testing.assert_allclose(slice_to_ras(view("Synthetic", "t2w")), slice_to_ras(view("Real", "adc")))


@pytest.mark.parametrize("unit", [1.0, 1e-3, 1e-6])
def test_the_adc_window_is_in_its_unit_whatever_a_map_is_written_in(hanging: Any, unit: float) -> None:
    drawn, scanned = synthetic(unit), real()
    before = window_level(drawn["adc"])
    hanging.start(drawn, scanned)
    assert hanging.has_adc
    assert window_level(scanned["adc"]) == pytest.approx((2000, 1000))
    assert window_level(drawn["adc"]) == pytest.approx((2000 * unit, 1000 * unit))
    hanging.set_adc_window(400, 1600)
    assert window_level(scanned["adc"]) == pytest.approx((1200, 1000))
    assert window_level(drawn["adc"]) == pytest.approx((1200 * unit, 1000 * unit))
    drawn["adc"].GetDisplayNode().SetWindowLevel(1000 * unit, 700 * unit)  # by the mouse
    assert window_level(scanned["adc"]) == pytest.approx((1000, 700))
    hanging.stop()
    assert window_level(drawn["adc"]) == pytest.approx(before)


def test_an_adc_of_no_unit_is_shown_by_its_percentiles(hanging: Any, error_class: type[Exception]) -> None:
    drawn = synthetic()
    drawn["adc"] = add_volume("SYNTHETIC adc", np.random.default_rng(0).random((8, 8, 8)), oblique((6, 6, 4)))
    hanging.start(drawn, {})
    assert not hanging.has_adc and window_level(drawn["adc"])[0] == pytest.approx(1, abs=0.05)
    with pytest.raises(error_class, match="No ADC map of a known unit"):
        hanging.set_adc_window(0, 1)


def test_t2_and_high_b_have_one_brightness_each(hanging: Any) -> None:
    drawn, scanned = synthetic(), real()
    hanging.start(drawn, scanned)
    for name in ("t2w", "hbv"):
        for volume in (drawn[name], scanned[name]):
            low, high = np.percentile(slicer.util.arrayFromVolume(volume), (1, 99.5))
            assert window_level(volume) == pytest.approx((high - low, (high + low) / 2))


def test_what_cannot_be_hung_changes_nothing(hanging: Any, error_class: type[Exception]) -> None:
    drawn, scanned, before = synthetic(), real(), layout_node().GetViewArrangement()
    for first, second, words in (
        ({}, {}, "Choose a synthetic volume or a real scan"),
        (scanned, {}, "is not a synthetic volume"),
        (drawn, {"t2w": drawn["t2w"]}, "is synthetic: choose a real scan"),
        ({"dwi": drawn["t2w"]}, {}, "dwi is no sequence of bpMRI"),
    ):
        with pytest.raises(error_class, match=words):
            hanging.start(first, second)
    assert layout_node().GetViewArrangement() == before and not hanging.active
    hanging.start(drawn, scanned)
    with pytest.raises(error_class, match="runs from a lower to a higher"):
        hanging.set_adc_window(900, 900)
