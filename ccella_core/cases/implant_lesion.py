"""A lesion in a gland that is known by its mask: where it may lie, its shape, and how it looks in each sequence.

Zones are estimated from the mask alone, slice by slice: the peripheral zone is the rim of the posterior half, in
which cancers of it lie along the capsule; the transition zone is what lies inside and in front of it. What is said
of a lesion is then measured on its mask, and a mask of which the words are not true is not taken.
Appearance: PI-RADS v2.1 (Turkbey et al. 2019); ADC of cancer: Langer et al. 2009, Peng et al. 2013.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, label
from scipy.spatial.distance import pdist

from ccella_core.imaging.intensity import ADC_RANGE
from ccella_core.phantom.findings import PIRADS_5_SIZE_MM, Lesion, Level, Side, Zone
from ccella_core.provenance import SequenceName

Mask = NDArray[np.bool_]
Volume = NDArray[np.float32]
Spacing = tuple[float, float, float]

SCORES = (3, 4, 5)
SCORE_SHARES = (0.25, 0.4, 0.35)
SMALLEST_MM, LARGEST_MM = 5, 28
PERIPHERAL_SHARE = 0.7
LEVELS: tuple[Level, ...] = ("apex", "mid", "base")
"""From the gland's lowest third to its highest."""
RIM_MM, FRONT_RIM_MM = 9.0, 5.0
"""How deep the peripheral zone reaches into the gland, within a slice: behind, and where it ends in front."""
INNER_MM = 3.0
"""How far behind the border the transition zone begins: capsule and fibromuscular stroma lie between."""
THICK, FRONT = -0.3, 0.1
"""Where the rim begins to thin and where it ends, from the gland's middle forward, in halves of its depth."""
INNER_BEHIND, INNER_WIDTH = -0.4, 0.8
"""How far back and to the sides the transition zone reaches, likewise."""
WITHIN_ZONE, ON_SIDE = 0.65, 0.85
"""Shares of a lesion that lie in the zone and on the side that it is said to lie in."""
OFF_MIDDLE_MM, OFF_THIRD = 4.0, 0.03
"""How far its centre is from the middle line, and from another third (a share of the gland's height)."""
SIZE_TOLERANCE = 0.08
GAP_MM = 3.0
"""Between two lesions."""
IRREGULAR = 0.16
"""Standard deviation of the border's noise, as a share of the radius."""
PLACES, COMBINATIONS = 12, 60
"""Places that are tried for a combination of words, and combinations for a lesion."""
RIM_SIGMA_MM = {"t2w": 0.6, "hbv": 1.3, "adc": 1.3}
"""Half width of the soft rim: diffusion is acquired at about half the resolution."""
RIM_REACH = 3.0
"""Times that; nothing beyond is changed."""
TEXTURE_MM, SHADING_MM = 2.5, 8.0
"""What varies faster is texture, which the lesion keeps in part; what varies more slowly is the coil's sensitivity."""
KEPT_TEXTURE = {"t2w": 0.5, "hbv": 0.5, "adc": 0.4}
MOTTLE = 0.05
"""Relative standard deviation of the lesion's own unevenness."""


class _Look(NamedTuple):
    """Ranges to draw from: T2 and high b-value as shares of what was there, ADC in 10⁻⁶ mm²/s."""

    t2w: tuple[float, float]
    hbv: tuple[float, float]
    adc: tuple[float, float]
    t2w_quantile: float
    """Of the gland's T2: the level toward which it is moved."""


LOOKS = {
    3: _Look((0.62, 0.78), (1.3, 1.6), (900, 1100), 0.2),
    4: _Look((0.4, 0.55), (1.8, 2.4), (700, 950), 0.08),
    5: _Look((0.4, 0.52), (2.0, 2.8), (600, 850), 0.05),
}
MOST_ADC = 0.8
"""Of what was there: a lesion is darker than its surroundings, whatever these are."""
DARK_QUANTILE = 0.3
"""Of the gland's T2: where it is darker already, a dark lesion would not be seen, and none is placed."""


@dataclass(frozen=True)
class GlandMap:
    """What is where in a gland; arrays (X, Y, Z), RAS+: the first axis runs from left to right, the third upward.

    Args:
        gland: its mask; there is a voxel in it.
        spacing: mm.
    """

    gland: Mask
    spacing: Spacing
    x: Volume = field(init=False)
    """mm from the gland's middle, negative to the left."""
    height: Volume = field(init=False)
    """0 … 1 from the gland's lowest slice to its highest."""
    depth: Volume = field(init=False)
    """mm from the border, within the slice."""
    zones: dict[Zone, Mask] = field(init=False)

    def __post_init__(self) -> None:
        where = np.nonzero(self.gland)
        depth = np.zeros(self.gland.shape, np.float32)
        front = np.zeros(self.gland.shape, np.float32)
        width = np.ones(self.gland.shape, np.float32)
        for k in np.unique(where[2]):
            one = self.gland[:, :, k]
            depth[:, :, k] = distance_transform_edt(np.pad(one, 1), sampling=self.spacing[:2])[1:-1, 1:-1]
            across, along = (np.flatnonzero(one.any(axis=axis)) for axis in (1, 0))
            front[:, :, k] = _from_middle(along, self.gland.shape[1])[None, :]
            width[:, :, k] = np.abs(_from_middle(across, self.gland.shape[0]))[:, None]
        x = (np.arange(self.gland.shape[0]) - where[0].mean()) * self.spacing[0]
        low, high = where[2].min(), where[2].max() + 1
        height = (np.arange(self.gland.shape[2]) + 0.5 - low) / (high - low)
        rim = (depth <= np.interp(front, (THICK, FRONT), (RIM_MM, FRONT_RIM_MM))) & (front <= FRONT)
        inner = (depth > INNER_MM) & (front > INNER_BEHIND) & (width < INNER_WIDTH) & ~rim
        found = {
            "x": np.broadcast_to(x.astype(np.float32)[:, None, None], self.gland.shape),
            "height": np.broadcast_to(height.astype(np.float32), self.gland.shape),
            "depth": depth,
            "zones": {"peripheral": self.gland & rim, "transition": self.gland & inner},
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)

    def where(self, side: Side, zone: Zone, level: Level) -> Mask:
        """All that the words may mean."""
        on_side = self.x < 0 if side == "left" else self.x > 0
        third = np.clip(self.height * len(LEVELS), 0, len(LEVELS) - 1).astype(int) == LEVELS.index(level)
        return self.zones[zone] & on_side & third

    def is_true(self, lesion: Lesion, mask: Mask) -> bool:
        """Whether a mask lies where the lesion is said to lie, and is as large."""
        if not mask.any() or abs(largest_diameter(mask, self.spacing) / lesion.size_mm - 1) > SIZE_TOLERANCE:
            return False
        x = self.x[mask] * (-1 if lesion.side == "left" else 1)
        third = LEVELS.index(lesion.level) / len(LEVELS)
        height = float(self.height[mask].mean())
        return bool(
            self.zones[lesion.zone][mask].mean() >= WITHIN_ZONE
            and (x > 0).mean() >= ON_SIDE
            and x.mean() >= OFF_MIDDLE_MM
            and third + OFF_THIRD <= height <= third + 1 / len(LEVELS) - OFF_THIRD
        )


def _from_middle(inside: NDArray[np.intp], count: int) -> Volume:
    """-1 … 1 between the first and the last index of what is inside."""
    low, high = inside[0], inside[-1]
    return ((np.arange(count) - (low + high) / 2) / max(1, (high - low) / 2)).astype(np.float32)


def largest_diameter(mask: Mask, spacing: Spacing) -> float:
    """In mm within a slice, as PI-RADS measures in axial planes; voxels count from edge to edge."""
    longest = 0.0
    for k in np.flatnonzero(mask.any(axis=(0, 1))):
        one = np.pad(mask[:, :, k], 1)
        inside = one[1:-1, 1:-1] & one[:-2, 1:-1] & one[2:, 1:-1] & one[1:-1, :-2] & one[1:-1, 2:]
        border = np.argwhere(mask[:, :, k] & ~inside) * spacing[:2]
        longest = max(longest, float(pdist(border).max()) if len(border) > 1 else 0.0)
    return longest + min(spacing[:2])


def draw_lesion(
    gland: GlandMap, t2w: Volume | None, occupied: Mask, taken: frozenset[tuple[Side, Level]], rng: np.random.Generator
) -> tuple[Lesion, Mask] | None:
    """A lesion and its mask, drawn until one fits; ``None`` where none did.

    Args:
        gland: in which it lies.
        t2w: no lesion is placed where this is dark already.
        occupied: where others lie.
        taken: sides and levels where none may lie.
        rng: draws everything.
    """
    free = distance_transform_edt(~occupied, sampling=gland.spacing) > GAP_MM if occupied.any() else ~occupied
    darkest = -np.inf if t2w is None else float(np.quantile(t2w[gland.gland], DARK_QUANTILE))
    for _ in range(COMBINATIONS):
        lesion = _draw_words(rng)
        if (lesion.side, lesion.level) in taken:
            continue
        places = np.argwhere(gland.where(lesion.side, lesion.zone, lesion.level) & free)
        for _ in range(PLACES if len(places) else 0):
            mask = _grow(gland, tuple(places[rng.integers(len(places))]), lesion, rng)
            if mask is None or (mask & ~free).any() or (t2w is not None and t2w[mask].mean() < darkest):
                continue
            return lesion, mask
    return None


def _draw_words(rng: np.random.Generator) -> Lesion:
    pirads = int(rng.choice(SCORES, p=SCORE_SHARES))
    border = int(PIRADS_5_SIZE_MM)
    size = rng.integers(border, LARGEST_MM + 1) if pirads == 5 else rng.integers(SMALLEST_MM, border)
    return Lesion(
        side="left" if rng.random() < 0.5 else "right",
        zone="peripheral" if rng.random() < PERIPHERAL_SHARE else "transition",
        level=LEVELS[rng.integers(len(LEVELS))],
        size_mm=float(size),
        pirads=pirads,
    )


def _grow(gland: GlandMap, centre: tuple[int, ...], lesion: Lesion, rng: np.random.Generator) -> Mask | None:
    """A mask around a voxel of which the words are true, or ``None``.

    In the peripheral zone an ellipsoid bent along the capsule, across which it is flattened; in the transition zone
    the space between two bowls, a lens.
    """
    half = lesion.size_mm / 2
    x, y, z = (
        ((np.arange(count) - middle) * step).astype(np.float32)
        for count, middle, step in zip(gland.gland.shape, centre, gland.spacing, strict=True)
    )
    x, y, z = x[:, None, None], y[None, :, None], z[None, None, :]
    noise = gaussian_filter(
        rng.standard_normal(gland.gland.shape), [max(half, 3) / 2.5 / step for step in gland.spacing]
    )
    noise *= IRREGULAR / max(noise.std(), 1e-9)
    flat, tall = rng.uniform(0.5, 0.75), rng.uniform(0.65, 0.95)
    if lesion.zone == "peripheral":
        across = gland.depth - max(float(gland.depth[centre]), 0.6 * flat * min(half, RIM_MM))
        flat = min(flat, 0.6 * RIM_MM / half)
    else:
        turn = rng.uniform(-0.9, 0.9)
        across = np.cos(turn) * y - np.sin(turn) * x
    along = np.sqrt(np.maximum(x * x + y * y - across * across, 0))
    scale = 1.0
    for _ in range(5):
        a, b, c = scale * half, scale * flat * half, max(scale * tall * half, 0.6 * gland.spacing[2])
        spread = (along / a) ** 2 + (z / c) ** 2
        if lesion.zone == "peripheral":
            radius = np.sqrt(spread + (across / b) ** 2)
        else:
            radius = 0.5 * (np.abs(across) / b + spread) + 0.5 * np.sqrt(spread + (across / b) ** 2)
        mask = _around(centre, (radius + noise < 1) & (gland.depth > min(gland.spacing[:2])))
        if gland.is_true(lesion, mask):
            return mask
        found = largest_diameter(mask, gland.spacing)
        scale *= float(np.clip(lesion.size_mm / found, 0.7, 1.4)) if found else 1.4
    return None


def _around(centre: tuple[int, ...], mask: Mask) -> Mask:
    """The connected part with a voxel in it."""
    parts, _ = label(mask)
    return np.asarray((parts == parts[centre]) & mask)


def painted(
    volume: Volume, sequence: SequenceName, mask: Mask, pirads: int, gland: GlandMap, rng: np.random.Generator
) -> Volume:
    """A volume in 0 … 1 with the lesion in it; beyond its soft rim and outside the gland nothing is changed.

    Args:
        volume: (X, Y, Z).
        sequence: what it is.
        mask: of the lesion.
        pirads: how conspicuous it is.
        gland: in which it lies.
        rng: draws how dark or bright.
    """
    look, spacing, inside = LOOKS[pirads], gland.spacing, gland.gland
    before = float(volume[mask].mean())
    if sequence == "adc":
        level = min(rng.uniform(*look.adc) / ADC_RANGE[1], MOST_ADC * before)
    elif sequence == "t2w":
        low, high = look.t2w
        dark = float(np.quantile(volume[inside], look.t2w_quantile))
        level = float(np.clip(dark, low * before, high * before))
    else:
        level = before * rng.uniform(*look.hbv)
    shading = _smooth(volume, inside, SHADING_MM, spacing)
    texture = volume - _smooth(volume, inside, TEXTURE_MM, spacing)
    mottle = gaussian_filter(rng.standard_normal(volume.shape), [TEXTURE_MM / step for step in spacing])
    mottle *= MOTTLE / max(mottle.std(), 1e-9)
    # Half of the shading: it is the coil's in part only, the rest is the contrast of the zones.
    uneven = 1 + 0.5 * (shading / max(float(shading[mask].mean()), 1e-6) - 1) * (sequence != "adc")
    lesion = level * uneven * (1 + mottle) + KEPT_TEXTURE[sequence] * texture
    sigma = [RIM_SIGMA_MM[sequence] / step for step in spacing]
    opacity = gaussian_filter(mask.astype(np.float32), sigma, truncate=RIM_REACH) * inside
    return np.where(opacity > 0, np.clip(volume + opacity * (lesion - volume), 0, 1), volume).astype(np.float32)


def _smooth(volume: Volume, inside: Mask, mm: float, spacing: Spacing) -> Volume:
    """The volume within the gland without what varies faster; what lies outside does not count."""
    sigma = [mm / step for step in spacing]
    weight = gaussian_filter(inside.astype(np.float32), sigma)
    return np.where(inside, gaussian_filter(volume * inside, sigma) / np.maximum(weight, 1e-6), volume)
