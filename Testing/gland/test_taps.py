"""What finds the gland in T2, with a stand-in for its package."""

from __future__ import annotations

import logging
import sys

import numpy as np
import pytest

from ccella_core.errors import InputError
from ccella_core.gland.taps import Taps


@pytest.mark.parametrize("radius_mm", [12.0, 18.0, 28.0])
def test_the_gland_is_found_also_one_of_an_odd_size(stand_in, volume, radius_mm: float) -> None:
    t2w = volume((20, 20, 10), radius_mm)
    taps = Taps()
    found = taps.find(t2w.voxels, t2w.affine)
    assert taps.name == "taps 1.1.2" and found.dtype == bool
    assert (found == (t2w.voxels > 0.5)).mean() > 0.999


def test_where_there_is_none_nothing_is_found(stand_in, volume) -> None:
    t2w = volume((20, 20, 10))
    found = Taps().find(t2w.voxels / 3, t2w.affine)
    assert found.shape == t2w.voxels.shape and not found.any()


def test_what_it_cannot_read_is_said(stand_in, volume) -> None:
    t2w = volume((20, 20, 10))
    t2w.voxels[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="TAPS could not segment a volume: RuntimeError: the network met"):
        Taps().find(t2w.voxels, t2w.affine)


def test_logging_is_left_as_it_was(stand_in) -> None:
    root = logging.getLogger()
    before = root.level
    stand_in.setattr(root, "handlers", [])
    Taps()
    assert root.handlers == [] and root.level == before


def test_without_the_package_it_is_said_how_to_get_it(without_taps) -> None:
    without_taps.setitem(sys.modules, "taps", None)
    with pytest.raises(InputError, match=r'lavlab-taps.*not installed.*pip install "ccella-core\[judges\]".*MIT'):
        Taps()
