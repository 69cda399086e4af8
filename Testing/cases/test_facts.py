"""Numbers of a table: what cannot be is left out, and what can be read in two ways is said."""

from __future__ import annotations

import pytest

from ccella_core.cases.facts import usable_fact


@pytest.mark.parametrize(
    ("cell", "value", "warned"),
    [
        ("7.3", 7.3, False),
        ("7,3", 7.3, False),
        ("1,234", 1.234, True),
        ("12,345", 12.345, True),
        ("0,234", 0.234, False),
        ("1,2345", 1.2345, False),
        (1.234, 1.234, False),
    ],
)
def test_a_comma_is_a_decimal_point_and_said_where_it_may_part_thousands(cell, value: float, warned: bool) -> None:
    told: list[str] = []
    assert usable_fact("psa_ng_ml", cell, told.append) == value
    assert bool(told) == warned
    if warned:
        assert told == [f"psa_ng_ml is {cell!r} and was read as {value:g}; a comma there is a decimal point"]


def test_what_cannot_be_is_not_known() -> None:
    told: list[str] = []
    assert usable_fact("gland_volume_ml", "1.234,5", told.append) is None
    assert len(told) == 1 and "is taken as not known" in told[0]
