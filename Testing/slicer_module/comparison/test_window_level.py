"""One window and level for both volumes: where it starts, who follows whom, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import slicer
from compare_room import Room, window_level


@pytest.fixture
def room(slicer_bench: Any) -> Iterator[Room]:
    with Room(slicer_bench) as room:
        yield room


def test_robust_range_leaves_out_the_extremes(slicer_bench: Any) -> None:
    from CCELLAGeneratorLib.comparison.window_level import robust_range

    assert robust_range(np.concatenate([np.arange(1001.0), [1e6]])) == pytest.approx((10.01, 995.995))


def test_equal_values_get_a_range_that_can_be_divided_by(slicer_bench: Any) -> None:
    from CCELLAGeneratorLib.comparison.window_level import robust_range

    assert robust_range(np.full(50, 7.0)) == (7.0, 8.0)


def test_both_are_shown_between_the_same_percentiles_of_what_they_share(room: Room) -> None:
    room.start()
    shared = slicer.util.arrayFromVolume(room.real)[1:-1, 8:-8, 8:-8]  # where the synthetic volume is, too
    for volume, values in ((room.synthetic, slicer.util.arrayFromVolume(room.synthetic)), (room.real, shared)):
        low, high = np.percentile(values, (1, 99.5))
        assert window_level(volume) == pytest.approx((high - low, (high + low) / 2), rel=0.02)
        assert not volume.GetDisplayNode().GetAutoWindowLevel()
    assert room.comparison.window_level == window_level(room.real)


def test_one_pair_of_values_drives_both(room: Room) -> None:
    room.start()
    (window, level), (own_window, own_level) = window_level(room.real), window_level(room.synthetic)
    room.comparison.set_window_level(window / 2, level + window / 4)
    assert window_level(room.real) == pytest.approx((window / 2, level + window / 4))
    assert window_level(room.synthetic) == pytest.approx((own_window / 2, own_level + own_window / 4))


@pytest.mark.parametrize("changed, other", [("synthetic", "real"), ("real", "synthetic")])
def test_dragging_the_window_of_one_in_a_view_changes_the_other(room: Room, changed: str, other: str) -> None:
    room.start()
    changed_volume, other_volume = getattr(room, changed), getattr(room, other)
    (window, level), (other_window, other_level) = window_level(changed_volume), window_level(other_volume)
    display = changed_volume.GetDisplayNode()
    display.SetWindowLevel(window * 3, level - window)
    assert window_level(other_volume) == pytest.approx((other_window * 3, other_level - other_window))
    assert window_level(changed_volume) == pytest.approx((window * 3, level - window))
    display.SetAutoWindowLevel(True)
    assert not display.GetAutoWindowLevel()


def test_both_are_put_back_and_let_go(room: Room) -> None:
    room.real.GetDisplayNode().SetAutoWindowLevel(False)
    room.real.GetDisplayNode().SetWindowLevel(321, 123)
    automatic = window_level(room.synthetic)
    room.start()
    room.comparison.stop()
    assert window_level(room.real) == (321, 123) and not room.real.GetDisplayNode().GetAutoWindowLevel()
    assert window_level(room.synthetic) == automatic and room.synthetic.GetDisplayNode().GetAutoWindowLevel()
    room.real.GetDisplayNode().SetWindowLevel(50, 60)
    assert window_level(room.synthetic) == automatic
