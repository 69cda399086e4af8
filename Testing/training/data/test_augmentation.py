"""Random copies: what they change, what they must leave, and that they are the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from ccella_core.training.data.augmentation import RandomCopies, random_copy

SPACING = (0.75, 0.75, 3.0)
STILL = {"rotation": 0.0, "stretch": 0.0, "shift": 0.0, "shift_slices": 0, "bias": 0.0, "contrast": 0.0, "noise": 0.0}


def ellipsoid(shape=(64, 64, 12), radii=(12.0, 9.0, 3.0)) -> np.ndarray:
    axes = np.meshgrid(*(np.arange(size) - (size - 1) / 2 for size in shape), indexing="ij")
    return sum((axis / radius) ** 2 for axis, radius in zip(axes, radii, strict=True)) < 1


@pytest.fixture(scope="module")
def case():
    gland = ellipsoid()
    texture = np.random.default_rng(0).random(gland.shape).astype(np.float32) * 0.2
    t2w = np.where(gland, 0.6, 0.3).astype(np.float32) + texture
    return {"t2w": t2w, "adc": t2w * np.float32(0.5)}, np.stack([gland, ellipsoid(radii=(3.0, 3.0, 1.5))])


def copy_of(case, seed=0, **settings):
    volumes, masks = case
    augmentation = RandomCopies(copies=1, **{**STILL, **settings})
    return random_copy(volumes, masks, augmentation, SPACING, np.random.default_rng(seed))


def centre(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)


def test_nothing_drawn_is_the_case_itself(case):
    volumes, masks = copy_of(case)
    for name, volume in volumes.items():
        np.testing.assert_allclose(volume, case[0][name], atol=2e-5)
    assert np.array_equal(masks, case[1])


def test_images_and_masks_move_together(case):
    volumes, masks = copy_of(case, seed=3, rotation=20.0, shift=6.0, shift_slices=2)
    moved = centre(masks[0]) - centre(case[1][0])
    assert np.abs(moved[:2]).max() > 1 and abs(moved[2]) in (1.0, 2.0, 0.0)
    for volume in volumes.values():
        inside, outside = volume[masks[0]].mean(), volume[~masks[0]].mean()
        of_case = case[0]["t2w" if volume is volumes["t2w"] else "adc"]
        assert inside == pytest.approx(of_case[case[1][0]].mean(), rel=0.03) and outside < 0.8 * inside


def test_the_volume_that_a_report_states_stays(case):
    for seed in range(6):
        _, masks = copy_of(case, seed, rotation=10.0, stretch=0.15)
        assert masks[0].sum() == pytest.approx(case[1][0].sum(), rel=0.02)
        spans = np.ptp(np.argwhere(masks[0]), axis=0)
        assert spans[2] == np.ptp(np.argwhere(case[1][0]), axis=0)[2], "slices are not stretched"


def test_detail_survives_the_move(case):
    volumes, _ = copy_of(case, seed=1, rotation=6.0, shift=3.0)
    region = (slice(20, 44), slice(20, 44), slice(4, 8))
    moved, still = (np.diff(each["t2w"][region], axis=0).std() for each in (volumes, case[0]))
    assert moved > 0.75 * still, "a linear interpolation leaves about 0.6"


def test_only_what_has_no_unit_changes_its_contrast(case):
    volumes, _ = copy_of(case, seed=2, bias=0.2, contrast=0.4)
    assert np.abs(volumes["t2w"] - case[0]["t2w"]).max() > 0.05
    np.testing.assert_allclose(volumes["adc"], case[0]["adc"], atol=2e-5)


def test_air_outside_the_scan_stays_empty_and_all_stays_in_range(case):
    volume = case[0]["t2w"].copy()
    volume[:8] = 0
    volumes, _ = copy_of(({"t2w": volume}, None), noise=0.2, bias=0.3, contrast=0.5)
    assert not volumes["t2w"][:8].any() and volumes["t2w"].min() >= 0 and volumes["t2w"].max() <= 1
    assert volumes["t2w"].dtype == np.float32


def test_the_same_seed_gives_the_same_copy(case):
    settings = RandomCopies(copies=1)
    a, b, c = (random_copy(*case, settings, SPACING, np.random.default_rng(seed))[0]["t2w"] for seed in (5, 5, 6))
    assert np.array_equal(a, b) and not np.allclose(a, c, atol=1e-2)
