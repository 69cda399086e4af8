"""Draws a patient: findings first, then an anatomy that shows exactly those findings.

Sources: gland zones, McNeal 1981; growth of the transition zone with total volume, as in benign
prostatic hyperplasia (Berry et al. 1984); scores, PI-RADS v2.1 (Turkbey et al. 2019); about 70 % of cancers
arise in the peripheral zone (McNeal et al. 1988).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from .findings import Findings, Hyperplasia, Lesion, Level, Pathology, Side, Zone
from .shapes import Vector, gland_unit_volume

MEDIAN_VOLUME_ML = 45.0
VOLUME_LOG_SD = 0.42
VOLUME_RANGE_ML = (20.0, 120.0)
HYPERPLASIA_FROM_ML = (28, 48, 75)  # the gland's volume from which mild, moderate and marked are usual
TWO_LESIONS = 0.15
PERIPHERAL_LESION = 0.70
PIRADS_ODDS = {3: 0.3, 4: 0.35, 5: 0.35}
SIZE_RANGE_MM = {3: (9, 14), 4: (9, 14), 5: (15, 26)}
SMALLEST_TRANSITION_MM = 12  # anything smaller would pass for a stromal nodule
LEVEL_HEIGHT = {"base": 0.48, "mid": 0.0, "apex": -0.48}  # in units of the gland's half height
MIDLINE_CLEARANCE_MM = 8.5
TISSUE_SLOTS = 32  # one contrast factor for each tissue, with room to spare


@dataclass(frozen=True, slots=True)
class Nodule:
    """A nodule of hyperplasia: glandular (bright) or stromal (dark), always encapsulated."""

    centre: Vector
    semi: Vector
    glandular: bool


@dataclass(frozen=True, slots=True)
class Focus:
    """Where a lesion lies, in mm from the gland's centre (+x is the patient's right), and how dark it is."""

    lesion: Lesion
    centre: Vector
    semi: Vector
    tilt_xy: float
    conspicuity: float


@dataclass(frozen=True, slots=True)
class Wedge:
    """A benign wedge of the peripheral zone: a direction in the axial plane, a half-angle and a height."""

    angle: float
    half_angle: float
    height: float


@dataclass(frozen=True, slots=True, eq=False)
class Patient:
    """Anatomy and contrast of one patient; lengths in mm, positions relative to the gland's centre."""

    seed: int
    findings: Findings
    gland_centre: Vector
    gland_semi: Vector
    gland_warp: NDArray[np.float64]
    transition_scale: float
    nodules: tuple[Nodule, ...]
    foci: tuple[Focus, ...]
    wedges: tuple[Wedge, ...]
    bladder_semi: Vector
    bladder_centre: Vector
    bladder_wall: float
    rectum_semi: tuple[float, float]
    rectum_shift: float
    lumen_fraction: float
    pelvic_half_width: float
    pubis_height: float
    bowel_side: float
    tissue_factor: NDArray[np.float64]
    shading: NDArray[np.float64]
    noise_sd: float


def draw_findings(seed: int, *, pathology: str | None = None) -> Findings:
    """What the patient that belongs to `seed` has, without the anatomy; a thousand times faster than the patient."""
    if pathology is not None and pathology not in get_args(Pathology):
        raise ValueError(f"pathology must be 'negative', 'positive' or None; got {pathology!r}")
    if seed < 0:
        raise ValueError(f"seed must not be negative; got {seed!r}")
    return _draw_findings(_stream(seed, 0), pathology)


def draw_patient(seed: int, *, pathology: str | None = None) -> Patient:
    """The patient that belongs to `seed`; about half are positive unless `pathology` asks for one kind."""
    return _draw_anatomy(seed, draw_findings(seed, pathology=pathology), _stream(seed, 1), _stream(seed, 2))


def _stream(seed: int, number: int) -> np.random.Generator:
    """Separate streams, so that adding a detail to the anatomy never changes anybody's findings."""
    return np.random.default_rng([seed, number])


def usual_hyperplasia(gland_volume_ml: float) -> Hyperplasia:
    """The grade that goes with a gland of this volume."""
    return get_args(Hyperplasia)[int(np.digitize(gland_volume_ml, HYPERPLASIA_FROM_ML))]


def size_range_mm(pirads: int, zone: Zone, gland_volume_ml: float) -> tuple[int, int]:
    """The smallest and the largest lesion of a score (3 to 5) that is drawn in this zone of such a gland."""
    smallest, largest = SIZE_RANGE_MM[pirads]
    if zone == "transition":
        smallest = max(smallest, SMALLEST_TRANSITION_MM)
    one_side = int(5.4 * gland_volume_ml ** (1 / 3))
    return smallest, min(largest, max(smallest, one_side))


def _draw_findings(rng: np.random.Generator, pathology: str | None) -> Findings:
    coin = rng.random()  # drawn even where the caller decides, to keep the stream in step
    positive = pathology == "positive" if pathology else coin < 0.5
    low, high = VOLUME_RANGE_ML
    volume = float(np.clip(MEDIAN_VOLUME_ML * np.exp(VOLUME_LOG_SD * rng.standard_normal()), low, high))
    hyperplasia = usual_hyperplasia(volume + 8 * rng.standard_normal())
    lesions = _draw_lesions(rng, volume) if positive else ()
    if lesions:
        pirads = max(lesion.pirads for lesion in lesions)
        change = "both" if rng.random() < 0.15 else "none"
    else:
        pirads = int(rng.choice([1, 2]))
        change = str(rng.choice(["left", "right", "both", "none"], p=[0.3, 0.3, 0.25, 0.15])) if pirads == 2 else "none"
    density = rng.lognormal(np.log(0.18 if lesions else 0.11), 0.35)
    return Findings(
        gland_volume_ml=round(volume, 1),
        psa_ng_ml=round(float(np.clip(density * volume, 0.5, 60)), 1),
        age_years=int(np.clip(rng.normal(65, 7), 45, 84)),
        pirads=pirads,
        lesions=lesions,
        hyperplasia=hyperplasia,
        peripheral_change=change,  # type: ignore[arg-type]
        bladder=str(rng.choice(["low", "moderate", "full"], p=[0.3, 0.45, 0.25])),  # type: ignore[arg-type]
        rectum=str(rng.choice(["empty", "gas", "stool"], p=[0.45, 0.3, 0.25])),  # type: ignore[arg-type]
    )


def _draw_lesions(rng: np.random.Generator, volume: float) -> tuple[Lesion, ...]:
    count = 2 if rng.random() < TWO_LESIONS else 1
    lesions: list[Lesion] = []
    while len(lesions) < count:
        score = int(rng.choice(list(PIRADS_ODDS), p=list(PIRADS_ODDS.values())))
        zone: Zone = "peripheral" if rng.random() < PERIPHERAL_LESION else "transition"
        smallest, largest = size_range_mm(score, zone, volume)
        lesion = Lesion(
            side=rng.choice(get_args(Side)).item(),
            zone=zone,
            level=rng.choice(get_args(Level)).item(),
            size_mm=float(rng.integers(smallest, largest + 1)),
            pirads=score,
            extraprostatic=score == 5 and rng.random() < 0.3,
        )
        apart = all(lesion.side != other.side or {lesion.level, other.level} == {"base", "apex"} for other in lesions)
        if apart:
            lesions.append(lesion)
    return tuple(lesions)


def _draw_anatomy(seed: int, findings: Findings, rng: np.random.Generator, contrast: np.random.Generator) -> Patient:
    warp = rng.normal(0, 0.035, 4)
    proportions = np.array([1.22, 0.90, 1.02]) * np.exp(rng.normal(0, 0.045, 3))
    scale = (findings.gland_volume_ml * 1000 / (gland_unit_volume(warp) * np.prod(proportions))) ** (1 / 3)
    a, b, c = (float(value) for value in proportions * scale)
    growth = np.clip(np.log(findings.gland_volume_ml / 20) / np.log(6), 0, 1)
    transition = float((0.34 + 0.36 * growth + rng.normal(0, 0.025)) ** (1 / 3))
    filling = {"low": 0.8, "moderate": 1.0, "full": 1.2}[findings.bladder]
    bladder_semi = (
        float(rng.uniform(29, 34) * filling),
        float(rng.uniform(19, 23) * filling),
        float(rng.uniform(16, 19) * filling**1.5),
    )
    lumen = {"empty": 0.25, "gas": 0.72, "stool": 0.68}[findings.rectum] + rng.uniform(-0.05, 0.05)
    distension = 0.85 if findings.rectum == "empty" else 1.1
    return Patient(
        seed=seed,
        findings=findings,
        gland_centre=tuple(rng.normal(0, (1.5, 2.0, 2.0)).tolist()),
        gland_semi=(a, b, c),
        gland_warp=warp,
        transition_scale=transition,
        nodules=_draw_nodules(rng, findings, (a, b, c), transition),
        foci=tuple(_place_lesion(rng, lesion, (a, b, c)) for lesion in findings.lesions),
        wedges=_draw_wedges(rng, findings.peripheral_change),
        bladder_semi=bladder_semi,
        bladder_centre=(float(rng.normal(0, 1.5)), float(rng.uniform(7, 11)), c * 0.84 + bladder_semi[2]),
        bladder_wall=float(rng.uniform(2.6, 3.6)) + (1.2 if findings.hyperplasia == "marked" else 0.0),
        rectum_semi=(float(rng.uniform(14, 17) * distension), float(rng.uniform(10, 12) * distension)),
        rectum_shift=float(rng.normal(0, 1.5)),
        lumen_fraction=float(lumen),
        pelvic_half_width=float(max(rng.normal(35, 1.5), a + 8)),
        pubis_height=float(rng.normal(-16, 2)),
        bowel_side=float(rng.choice([-1.0, 1.0])),
        tissue_factor=np.exp(contrast.normal(0, 0.045, TISSUE_SLOTS)),
        shading=contrast.normal(0, 1, 4),
        noise_sd=float(contrast.uniform(0.014, 0.026)),
    )


def transition_offset(scale: float) -> float:
    """How far the transition zone lies in front of the gland's centre, in units of its half depth.

    The peripheral zone is a horseshoe: thick behind, thinning out at the sides, absent in front (McNeal 1981).
    """
    return (1 - scale) * 1.05 + 0.06


def _draw_nodules(rng: np.random.Generator, findings: Findings, semi: Vector, scale: float) -> tuple[Nodule, ...]:
    count = {"none": 0, "mild": 3, "moderate": 7, "marked": 12}[findings.hyperplasia]
    largest = scale * semi[1] * 0.5
    nodules: list[Nodule] = []
    for _ in range(count * 12):
        if len(nodules) == count:
            break
        glandular = bool(rng.random() < 0.7)
        radius = rng.uniform(3.5, max(4.5, largest)) if glandular else rng.uniform(3.0, 3.8)
        side = rng.choice([-1, 1])
        spot = np.array([side * scale * 0.42, transition_offset(scale), (1 - scale) * 0.5])
        centre = (spot + scale * rng.uniform((-0.28, -0.45, -0.6), (0.28, 0.4, 0.6))) * semi
        if all(np.linalg.norm(centre - n.centre) > 0.8 * (radius + max(n.semi)) for n in nodules):
            shape = radius * np.exp(rng.normal(0, 0.12, 3))
            nodules.append(Nodule(tuple(centre.tolist()), tuple(shape.tolist()), glandular))
    return tuple(nodules)


def _place_lesion(rng: np.random.Generator, lesion: Lesion, semi: Vector) -> Focus:
    a, b, c = semi
    sign = 1.0 if lesion.side == "right" else -1.0
    height = LEVEL_HEIGHT[lesion.level] + rng.uniform(-0.06, 0.06)
    girth = np.sqrt(1 - height**2) * (1 + 0.14 * height)
    half = lesion.size_mm / 2
    if lesion.zone == "peripheral":
        angle = np.deg2rad(rng.uniform(-62, -28))
        # Its outer edge rests against the capsule, whatever its size.
        radius = girth * (1 - 0.5 * half / b + (0.12 if lesion.extraprostatic else 0.0))
        x, y = a * radius * np.cos(angle), b * radius * np.sin(angle)
        shape = (half, 0.75 * half, 0.95 * half)
        tilt = float(np.arctan2(b * np.cos(angle), -a * np.sin(angle)))
    else:
        x, y = a * girth * rng.uniform(0.36, 0.46), b * girth * rng.uniform(0.3, 0.45)
        shape, tilt = (half, 0.72 * half, 0.95 * half), float(rng.uniform(-0.5, -0.2))
    x = max(x, MIDLINE_CLEARANCE_MM, 0.72 * half)
    conspicuity = float({3: 0.86, 4: 1.0, 5: 1.0}[lesion.pirads])
    return Focus(lesion, (sign * float(x), float(y), float(height * c)), shape, sign * tilt, conspicuity)


def _draw_wedges(rng: np.random.Generator, change: str) -> tuple[Wedge, ...]:
    signs = {"none": (), "right": (1.0,), "left": (-1.0,), "both": (1.0, -1.0)}[change]
    wedges = []
    for sign in signs:
        angle = float(np.deg2rad(rng.uniform(-65, -30)))
        wedges.append(
            Wedge(
                angle if sign > 0 else -np.pi - angle,
                float(np.deg2rad(rng.uniform(9, 13))),
                float(rng.uniform(-0.3, 0.4)),
            )
        )
    return tuple(wedges)
