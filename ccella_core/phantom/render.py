"""Renders a patient as T2-weighted, apparent-diffusion and high-b-value volumes.

T2 contrast follows the usual appearance (Hricak et al. 1987; PI-RADS v2.1, Turkbey et al. 2019): bright
peripheral zone, urine and vesicles, mixed transition zone, dark stroma and muscle, moderately dark lesions.
Diffusion coefficients are of the order that Langer et al. 2009 and Peng et al. 2013 report: about 1650 in the
peripheral zone, 1350 in the transition zone and 800 in cancer, in 1e-6 mm2/s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from .anatomy import Layer, Tissue, label_map, layers
from .patient import Patient
from .shapes import Array, Grid, grid_affine, make_grid, texture

Sequence = Literal["t2w", "hbv", "adc"]
Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

DEFAULT_SHAPE: Shape = (96, 96, 32)
DEFAULT_SPACING: Spacing = (1.0, 1.0, 3.0)
BLUR_MM = {"t2w": 0.45, "hbv": 1.1, "adc": 1.1}  # diffusion is acquired at about half the resolution
ADC_MAX = 3000.0
ADC_NOISE = 45.0
SHADING = 0.05  # relative change of sensitivity per coil mode across the pelvis
TEXTURE_STREAM = 10
NOISE_STREAM = {"t2w": 11, "hbv": 13, "adc": 12}


class Look(NamedTuple):
    """Mean signal of a tissue and the relative strength of its textures."""

    t2w: float
    adc: float
    hbv: float
    fine: float = 0.0
    coarse: float = 0.0
    septa: float = 0.0


LOOKS: dict[Tissue, Look] = {
    Tissue.FAT: Look(0.68, 250, 0.06, fine=0.05, coarse=0.06, septa=0.30),
    Tissue.MUSCLE: Look(0.16, 1250, 0.20, fine=0.14, coarse=0.10),
    Tissue.BONE_CORTEX: Look(0.05, 200, 0.03),
    Tissue.BONE_MARROW: Look(0.42, 400, 0.10, fine=0.06, coarse=0.12),
    Tissue.BLADDER_WALL: Look(0.17, 1350, 0.22, fine=0.15),
    Tissue.URINE: Look(0.92, 2900, 0.05, coarse=0.01),
    Tissue.BOWEL_WALL: Look(0.24, 1300, 0.30, fine=0.20, coarse=0.10),
    Tissue.GAS: Look(0.03, 100, 0.02),
    Tissue.STOOL: Look(0.38, 900, 0.12, fine=0.25, coarse=0.15),
    Tissue.SEMINAL_VESICLE: Look(0.80, 1900, 0.28, fine=0.06, septa=0.75),
    Tissue.VENOUS_PLEXUS: Look(0.78, 1700, 0.22, fine=0.15, septa=0.70),
    Tissue.CAPSULE: Look(0.36, 1100, 0.22),
    Tissue.PERIPHERAL_ZONE: Look(0.80, 1650, 0.30, fine=0.06, coarse=0.05, septa=0.22),
    Tissue.TRANSITION_ZONE: Look(0.48, 1350, 0.32, fine=0.11, coarse=0.08, septa=0.15),
    Tissue.CENTRAL_ZONE: Look(0.33, 1200, 0.33, fine=0.12),
    Tissue.FIBROMUSCULAR_STROMA: Look(0.17, 1050, 0.20, fine=0.12),
    Tissue.GLANDULAR_NODULE: Look(0.68, 1550, 0.32, fine=0.14, coarse=0.10, septa=0.35),
    Tissue.STROMAL_NODULE: Look(0.38, 1150, 0.36, fine=0.10),
    Tissue.SURGICAL_CAPSULE: Look(0.23, 1100, 0.24, fine=0.08),
    Tissue.URETHRA_WALL: Look(0.27, 1250, 0.25, fine=0.08),
    Tissue.URETHRA: Look(0.82, 1800, 0.25),
    Tissue.BENIGN_WEDGE: Look(0.52, 1400, 0.34, fine=0.08, septa=0.15),
    Tissue.LESION: Look(0.19, 800, 0.80, fine=0.06, coarse=0.05),
}


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """One sequence: voxels (X, Y, Z) in RAS+, their affine in mm, and the label map they were made from."""

    voxels: NDArray[np.float32]
    affine: NDArray[np.float64]
    labels: NDArray[np.uint8]


def render(
    patient: Patient, sequence: str, *, shape: Shape = DEFAULT_SHAPE, spacing: Spacing = DEFAULT_SPACING
) -> Rendering:
    """The patient as `sequence`: t2w and hbv in [0, 1], adc in 1e-6 mm2/s."""
    if sequence not in get_args(Sequence):
        raise ValueError(f"sequence must be one of {', '.join(get_args(Sequence))}; got {sequence!r}")
    affine = grid_affine(shape, spacing)
    grid = make_grid(shape, spacing, patient.gland_centre)
    painted = list(layers(patient, shape, spacing))
    image = _paint(patient, sequence, painted, grid)
    for axis in (0, 1):
        image = gaussian_filter1d(image, BLUR_MM[sequence] / spacing[axis], axis=axis, truncate=3.0)
    rng = np.random.default_rng([patient.seed, NOISE_STREAM[sequence]])
    if sequence == "adc":
        image += np.float32(ADC_NOISE) * rng.standard_normal(image.shape, dtype=np.float32)
        voxels = np.clip(image, 0, ADC_MAX)
    else:
        image *= _shading(patient, grid)
        voxels = np.minimum(_rician(image, patient.noise_sd, rng), 1)
    return Rendering(voxels.astype(np.float32, copy=False), affine, label_map(painted, shape))


def _paint(patient: Patient, sequence: str, painted: list[Layer], grid: Grid) -> Array:
    rng = np.random.default_rng([patient.seed, TEXTURE_STREAM])
    fine = texture(rng, grid, (2.4, 2.4, 4.0))
    coarse = texture(rng, grid, (8.0, 8.0, 8.0))
    # Thin sheets, like septa, run where a smooth noise passes through zero.
    septa = np.maximum(1 - np.abs(texture(rng, grid, (4.0, 4.0, 5.0))) / np.float32(0.4), 0)
    septa *= np.clip(np.float32(0.6) + np.float32(0.6) * coarse, 0, 1)
    strength = 1.0 if sequence == "t2w" else 0.5

    def signal(tissue: Tissue, window: tuple[slice, slice, slice]) -> Array:
        look = LOOKS[tissue]
        variation = 1.0 if tissue in (Tissue.LESION, Tissue.GAS) else patient.tissue_factor[tissue]
        mean = getattr(look, sequence) * variation
        value = np.full(fine[window].shape, mean, np.float32)
        for field, amount in ((fine, look.fine), (coarse, look.coarse), (septa, -look.septa)):
            if amount:
                value += field[window] * np.float32(mean * amount * strength)
        return value

    image = signal(Tissue.FAT, (slice(None), slice(None), slice(None)))
    for layer in painted:
        if layer.opacity.size:
            canvas = image[layer.window]
            canvas += layer.opacity * (signal(layer.tissue, layer.window) - canvas)
    return image


def _shading(patient: Patient, grid: Grid) -> Array:
    """Receive sensitivity of a pelvic phased array: smooth, stronger near the coil in front and behind."""
    x, y, z = (axis / np.float32(48) for axis in (grid.x, grid.y, grid.z))
    a, b, c, d = (np.float32(SHADING * value) for value in patient.shading)
    return (
        (1 + a * np.clip(x, -2, 2))
        * (1 + b * np.clip(y, -2, 2) + np.float32(SHADING) * np.clip(y, -2, 2) ** 2)
        * (1 + c * np.clip(z, -2, 2) + d * np.clip(x * y, -2, 2) / 2)
    )


def _rician(image: Array, sd: float, rng: np.random.Generator) -> Array:
    real = image + np.float32(sd) * rng.standard_normal(image.shape, dtype=np.float32)
    imaginary = np.float32(sd) * rng.standard_normal(image.shape, dtype=np.float32)
    return np.sqrt(real * real + imaginary * imaginary)
