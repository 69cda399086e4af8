"""A coil is a large, round, black disc behind the gland, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_glands import SPACING, disc, ellipsoid, examination

from ccella_core.evaluation.adherence.coil import dark_disc, shows_coil


def t2w(**drawn) -> tuple[np.ndarray, np.ndarray]:
    one = examination(5, **drawn)
    return one.volumes["t2w"].copy(), one.gland_label


@pytest.mark.parametrize("volume_ml", [25, 45, 90])
def test_a_balloon_is_seen_behind_glands_of_any_size(volume_ml) -> None:
    assert shows_coil(*t2w(volume_ml=volume_ml, coil=True), SPACING)
    assert not shows_coil(*t2w(volume_ml=volume_ml), SPACING)


def test_its_size_and_form_are_measured() -> None:
    found = dark_disc(*t2w(coil=True), SPACING)
    assert found.area_mm2 == pytest.approx(np.pi * 20**2, rel=0.15)
    assert found.unroundness < 0.06 and found.blackness < 0.06
    none = dark_disc(*t2w(), SPACING)
    assert none.area_mm2 == 0


@pytest.mark.parametrize(
    ("radius_mm", "stretch", "grey"),
    [(20, 1, 0.14), (8, 1, 0.0), (10, 3, 0.0)],
    ids=["gas is greyer", "a small vessel", "a flat rectum"],
)
def test_other_dark_things_are_no_coil(radius_mm, stretch, grey) -> None:
    voxels, gland = t2w()
    voxels[disc(radius_mm, stretch)] = grey
    assert not shows_coil(voxels, gland, SPACING)


def test_a_balloon_at_the_edge_of_the_picture_is_still_one() -> None:
    voxels, gland = t2w(coil=True)
    cut = 8  # rows: half of the balloon
    assert shows_coil(voxels[:, cut:], gland[:, cut:], SPACING)


def test_a_dark_gland_alone_is_no_coil() -> None:
    gland = ellipsoid(40)
    assert not shows_coil(np.where(gland, 0.2, 0.4).astype(np.float32), gland, SPACING)
