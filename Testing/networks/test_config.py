"""Sizes that the networks can make."""

from __future__ import annotations

from typing import Any

import pytest

from ccella_core.errors import InputError
from ccella_core.networks.config import check_volume_shape


@pytest.mark.parametrize("shape", [(32, 64, 32), [1024, 32, 96]])
def test_valid_volume_shapes(shape: Any) -> None:
    assert check_volume_shape(shape, multiples=(32, 32, 32)) == tuple(shape)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((100, 64, 32), "X = 100 .nearest: 96 or 128."),
        ((64, 64, 20), "Z = 20 .nearest: 32."),
        ((64, 0, 32), "Y = 0 .nearest: 32."),
        ((64, -5, 32), "Y = -5 .nearest: 32."),
        ((64, 64, 5000), "Z = 5000 .nearest: 1024."),
        ((100, 64, 20), "X = 100 .*Z = 20"),
        ((64, 64), "three whole numbers"),
        ((64.0, 64, 64), "three whole numbers"),
        ((True, 64, 64), "three whole numbers"),
    ],
)
def test_other_volume_shapes_are_refused_with_the_nearest(shape: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_volume_shape(shape, multiples=(32, 32, 32))
