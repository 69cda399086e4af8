"""Random copies: what they change, what they must leave, and that they are the same every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ccella_core.training.data.augmentation import LARGEST_WARP, RandomCopies, area_keeping_warp, random_copy

SPACING = (0.75, 0.75, 3.0)
STILL = {"rotation": 0.0, "stretch": 0.0, "shift": 0.0, "shift_slices": 0, "warp": 0.0,
         "bias": 0.0, "contrast": 0.0, "noise": 0.0}  # fmt: skip


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
    stacked = torch.from_numpy(np.stack(list(volumes.values())))
    copied, moved = random_copy(
        stacked, list(volumes), None if masks is None else torch.from_numpy(masks),
        RandomCopies(copies=1, **{**STILL, **settings}), SPACING, np.random.default_rng(seed),
    )  # fmt: skip
    return dict(zip(volumes, copied.numpy(), strict=True)), None if moved is None else moved.numpy()


def warp(seed: int, deviation: float) -> tuple[np.ndarray, np.ndarray]:
    """Displacements (2, Z, X, Y) in mm and their derivatives (2, 2, Z, X, Y), those of X first."""
    rng = np.random.default_rng(seed)
    along = np.stack(area_keeping_warp((96, 96, 10), deviation, SPACING, rng, torch.device("cpu")))
    return along, np.stack([np.gradient(each, *SPACING[:2], axis=(1, 2)) for each in along])


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


def test_the_warp_bends_outlines_and_keeps_volumes():
    ball = ellipsoid((96, 96, 12), (20.0, 20.0, 5.0))
    for seed in range(8):
        _, masks = copy_of(({"adc": ball * np.float32(0.5)}, ball[None]), seed, warp=1.5)
        assert masks[0].sum() == pytest.approx(ball.sum(), rel=0.03)
        assert (masks[0] & ball).sum() < 0.985 * ball.sum(), "it is no ball any more"


def test_the_warp_is_as_large_as_asked_for_and_smooth():
    found = [warp(seed, 1.5) for seed in range(24)]
    along, slopes = (np.stack(each) for each in zip(*found, strict=True))
    assert along.std(axis=(0, 2, 3, 4)) == pytest.approx([1.5, 1.5], rel=0.1)
    assert np.diff(along, axis=2).std() < 0.3, "neighbouring slices move alike"
    divergence = (slopes[:, 0, 0] + slopes[:, 1, 1])[..., 1:-1, 1:-1]
    assert np.abs(divergence).max() < 0.01 * np.abs(slopes).max()


def test_the_largest_warp_does_not_fold():
    with pytest.raises(ValidationError, match=r"less than or equal to 2\.5"):
        RandomCopies(copies=1, warp=LARGEST_WARP + 0.1)
    for seed in range(10):
        _, ((xx, xy), (yx, yy)) = warp(seed, LARGEST_WARP)
        area = (1 + xx) * (1 + yy) - xy * yx
        assert area.min() > 0.28 and area.mean() == pytest.approx(1, abs=0.02)


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
    outside = (volume == 0)[None]
    moved, masks = copy_of(({"t2w": volume}, outside), seed=4, rotation=8.0, warp=1.5, shift=3.0, noise=0.2)
    assert 0.05 < masks[0].mean() < 0.3 and not moved["t2w"][masks[0]].any(), "nothing is left beside the edge"


def test_a_case_without_images_or_of_one_slice(case):
    settings, rng = RandomCopies(copies=1), np.random.default_rng(0)
    masks = torch.from_numpy(case[1])
    none, moved = random_copy(torch.zeros(0, *masks.shape[1:]), [], masks, settings, SPACING, rng)
    assert none.shape == (0, *masks.shape[1:]) and moved.dtype == torch.bool and 0 < moved.sum() < moved.numel()
    single = torch.full((1, 32, 24, 1), 0.5)
    assert random_copy(single, ["t2w"], None, settings, SPACING, rng)[0].shape == single.shape


def test_the_same_seed_gives_the_same_copy(case):
    drawn = RandomCopies(copies=1).model_dump(exclude={"copies", "seed"})
    a, b, c = (copy_of(case, seed, **drawn)[0]["t2w"] for seed in (5, 5, 6))
    assert np.array_equal(a, b) and not np.allclose(a, c, atol=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_another_device_makes_the_same_copy_but_for_rounding(case):
    stacked, masks = torch.from_numpy(np.stack(list(case[0].values()))), torch.from_numpy(case[1])
    copies = [
        random_copy(stacked.to(device), list(case[0]), masks.to(device), RandomCopies(copies=1), SPACING,
                    np.random.default_rng(1))
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    (volumes, moved), (on_card, moved_on_card) = copies
    assert on_card.is_cuda and (volumes - on_card.cpu()).abs().mean() < 1e-4
    assert (moved != moved_on_card.cpu()).float().mean() < 1e-3
