"""What moves between two volumes, with lesions whose places are known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from drawn_glands import SPACING, ellipsoid, examination

from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.difference import MovedLesion, check_moved_facts, measure_moved_lesion
from ccella_core.evaluation.adherence.measurements import MeasuredPlace, place_of, region_of

PLACES = list(itertools.product(("left", "right"), ("peripheral", "transition"), ("base", "mid", "apex")))


def place(words) -> MeasuredPlace:
    return MeasuredPlace(**dict(zip(("side", "zone", "level"), words, strict=True)))


def moved(before, after, stated=None, fact="side") -> MovedLesion:
    drawn = [examination(3, place=each) for each in (before, after)]
    return measure_moved_lesion(
        (drawn[0].volumes, drawn[1].volumes), (drawn[0].gland_label, drawn[1].gland_label),
        tuple(place(each) for each in stated or (before, after)), SPACING, fact=fact, report="changed",
    )  # fmt: skip


@pytest.mark.parametrize("before", PLACES)
def test_every_place_is_seen_where_it_is(before) -> None:
    after = ("right" if before[0] == "left" else "left", *before[1:])
    pair = moved(before, after)
    assert pair.seen == (place(before), place(after)) == pair.stated and pair.is_followed
    assert pair.contrast["t2w"] < -0.2 and pair.contrast["adc"] < -0.2 and pair.contrast["hbv"] > 0.2
    assert all(pair.looks_like_a_lesion(each) for each in ("t2w", "adc", "hbv"))


def test_both_times_must_fit() -> None:
    left, right = ("left", "peripheral", "mid"), ("right", "peripheral", "mid")
    assert not moved(left, left, (left, right)).is_followed
    assert not moved(right, left, (left, right)).is_followed
    gone = moved(left, None, (left, right))
    assert gone.seen[0] == place(left) and not gone.is_followed


def test_the_same_volume_twice_shows_nothing() -> None:
    same = moved(PLACES[0], PLACES[0], (PLACES[0], PLACES[6]))
    assert same.seen == (None, None) and not same.is_followed
    assert same.looks_like_a_lesion("t2w") is False and same.looks_like_a_lesion("hbv") is False


def test_without_a_gland_nothing_is_seen() -> None:
    one = examination(1)
    pair = measure_moved_lesion(
        (one.volumes, one.volumes), (one.gland_label, np.zeros_like(one.gland_label)),
        (place(PLACES[0]), place(PLACES[1])), SPACING, fact="level", report="",
    )  # fmt: skip
    assert pair.seen == (None, None) and pair.contrast == {} and pair.looks_like_a_lesion("t2w") is None


def test_places_share_out_the_gland() -> None:
    gland = ellipsoid(40)
    parts = [region_of(place(each), gland) for each in PLACES]
    assert (np.sum(parts, axis=0) == gland).all()
    for words, part in zip(PLACES, parts, strict=True):
        assert all(place_of(point, gland) == place(words) for point in np.argwhere(part)[::97])


def test_facts_that_move_nothing_are_refused() -> None:
    assert check_moved_facts(("pathology", "level", "side")) == ("side", "level")
    assert check_moved_facts(()) == ()
    with pytest.raises(InputError, match="side, zone, level are measured, not size, volume"):
        check_moved_facts(("size", "volume"))
