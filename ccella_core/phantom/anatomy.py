"""The patient's anatomy on a grid: soft-edged layers, painted one over the other.

The arrangement follows McNeal's zonal anatomy (1981) and the axial T2 appearance described by Hricak et al.
(1987).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from .patient import Focus, Patient, transition_offset
from .shapes import Array, Grid, Window, ellipsoid, gland_radius, make_grid, soft

CAPSULE_MM = 0.9
SURGICAL_CAPSULE_MM = 1.2
BOWEL_WALL_MM = 3.2
LEVATOR_EXPONENT = 2.6  # flatter at the sides than an ellipse: the muscle runs along the obturator internus
LOBE_BLEND_MM = 8.0  # the two lobes of the transition zone merge smoothly


class Tissue(IntEnum):
    """What a voxel mostly holds; the value in the label map."""

    FAT = 0
    MUSCLE = 1
    BONE_CORTEX = 2
    BONE_MARROW = 3
    BLADDER_WALL = 4
    URINE = 5
    BOWEL_WALL = 6
    GAS = 7
    STOOL = 8
    SEMINAL_VESICLE = 9
    VENOUS_PLEXUS = 10
    CAPSULE = 11
    PERIPHERAL_ZONE = 12
    TRANSITION_ZONE = 13
    CENTRAL_ZONE = 14
    FIBROMUSCULAR_STROMA = 15
    GLANDULAR_NODULE = 16
    STROMAL_NODULE = 17
    SURGICAL_CAPSULE = 18
    URETHRA_WALL = 19
    URETHRA = 20
    BENIGN_WEDGE = 21
    LESION = 22


GLAND_TISSUES = tuple(tissue for tissue in Tissue if tissue >= Tissue.CAPSULE)


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One coat of paint: a tissue, where it lies, and how much of each voxel it covers."""

    tissue: Tissue
    window: Window
    opacity: Array


def layers(patient: Patient, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Iterator[Layer]:
    """Coats of paint over a background of fat, in order."""
    grid = make_grid(shape, spacing, patient.gland_centre)
    yield from _pelvic_wall(patient, grid)
    yield from _bowel(patient, grid)
    yield from _bladder(patient, grid)
    yield from _vesicles_and_veins(patient, grid)
    yield from _gland(patient, grid)


def label_map(painted: list[Layer], shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The tissue of every voxel, (X, Y, Z); a later layer covers those before it."""
    labels = np.full(shape, Tissue.FAT, np.uint8)
    for layer in painted:
        labels[layer.window][layer.opacity >= 0.5] = layer.tissue
    return labels


def _solid(
    tissue: Tissue,
    grid: Grid,
    centre: tuple[float, float, float],
    semi: tuple[float, float, float],
    tilt_xy: float = 0.0,
    tilt_xz: float = 0.0,
) -> Layer:
    reach = max(semi) + 1.5
    extent = (reach, reach, reach) if tilt_xy or tilt_xz else (semi[0] + 1.5, semi[1] + 1.5, semi[2] + 1.5)
    window, local = grid.around(centre, extent)
    return Layer(tissue, window, soft(ellipsoid(local, semi, tilt_xy, tilt_xz)))


def _everywhere(tissue: Tissue, opacity: Array) -> Layer:
    return Layer(tissue, (slice(None), slice(None), slice(None)), opacity)


def _pelvic_wall(patient: Patient, grid: Grid) -> Iterator[Layer]:
    wide, low = patient.pelvic_half_width, patient.pubis_height
    a, b, c = patient.gland_semi
    for side in (1, -1):
        yield _solid(Tissue.MUSCLE, grid, (side * (wide + 13), 4, -2), (14, 33, 48), side * 0.12, side * 0.1)
        yield _solid(Tissue.BONE_CORTEX, grid, (side * (wide + 21), -8, 6), (13.5, 22, 40), side * 0.15)
        yield _solid(Tissue.BONE_MARROW, grid, (side * (wide + 21), -8, 6), (11.5, 20, 38), side * 0.15)
        yield _solid(Tissue.BONE_CORTEX, grid, (side * 22, b + 20, low), (23, 10, 13), side * -0.4)
        yield _solid(Tissue.BONE_MARROW, grid, (side * 22, b + 20, low), (21.2, 8.2, 11.2), side * -0.4)
    # Levator ani: a funnel that is open in front and closes around the anal canal.
    bottom = -b - 2 * patient.rectum_semi[1] - 5
    middle, depth = (bottom + 12) / 2, (12 - bottom) / 2
    radius_x = np.clip(a + 5.5 + 0.45 * grid.z, 15, patient.pelvic_half_width - 1)
    radius_y = depth * np.clip(1 + 0.012 * grid.z, 0.5, 1.1)
    u, v = np.abs(grid.x / radius_x), (grid.y - middle) / radius_y
    p = np.float32(LEVATOR_EXPONENT)
    radius = (u**p + np.abs(v) ** p) ** (1 / p)
    # Thin beside the gland, thick where the sling passes behind the anal canal, thinning out towards its top.
    attached = np.clip((0.75 * c - grid.z) / 9, 0, 1)
    thickness = (2.5 + 0.7 * np.clip(-v, 0, 1) * (u < 1)) * attached - 1.2
    distance = np.abs(radius - 1) * np.minimum(radius_x, radius_y) - thickness.astype(np.float32)
    yield _everywhere(Tissue.MUSCLE, soft(np.maximum(distance, grid.y - np.float32(0.4 * b)), 2.0))
    yield _solid(Tissue.MUSCLE, grid, (0, -2, -c - 8), (7.5, 7.5, 13))  # external urethral sphincter


def _bowel(patient: Patient, grid: Grid) -> Iterator[Layer]:
    _, b, c = patient.gland_semi
    content = Tissue.GAS if patient.findings.rectum == "gas" else Tissue.STOOL
    semi_x, semi_y = patient.rectum_semi
    narrowing = 1 / (1 + np.exp(-(grid.z + np.float32(c + 4)) / 4))  # the anal canal is narrow and closed
    radius_x, radius_y = semi_x * (0.55 + 0.45 * narrowing), semi_y * (0.75 + 0.25 * narrowing)
    behind = b * np.sqrt(np.clip(1 - (grid.z / np.float32(1.25 * c)) ** 2, 0.45, 1))
    centre_y = -behind - semi_y - 1.5 - np.float32(0.12) * np.clip(grid.z, 0, 40)
    x, y = grid.x - np.float32(patient.rectum_shift), grid.y - centre_y
    radius = np.sqrt((x / radius_x) ** 2 + (y / radius_y) ** 2)
    yield _everywhere(Tissue.BOWEL_WALL, soft((radius - 1) * radius_y))
    lumen = patient.lumen_fraction * (0.15 + 0.85 * narrowing)
    yield _everywhere(content, soft((radius - lumen) * radius_y))
    loop = (patient.bowel_side * 30, -20.0, c + 26)
    yield _solid(Tissue.BOWEL_WALL, grid, loop, (15, 11, 11), 0.3, 0.4)
    yield _solid(Tissue.STOOL, grid, loop, (15 - BOWEL_WALL_MM, 11 - BOWEL_WALL_MM, 11 - BOWEL_WALL_MM), 0.3, 0.4)


def _bladder(patient: Patient, grid: Grid) -> Iterator[Layer]:
    x, y, z = patient.bladder_semi
    wall = patient.bladder_wall
    yield _solid(Tissue.BLADDER_WALL, grid, patient.bladder_centre, (x + wall, y + wall, z + wall))
    yield _solid(Tissue.URINE, grid, patient.bladder_centre, (x, y, z))


def _vesicles_and_veins(patient: Patient, grid: Grid) -> Iterator[Layer]:
    a, b, c = patient.gland_semi
    for side in (1, -1):
        yield _solid(
            Tissue.SEMINAL_VESICLE,
            grid,
            (side * 15, -0.62 * b - 1, c + 3.5),
            (15, 5.2, 6.5),
            0.0,
            side * 0.25,
        )
        yield _solid(Tissue.VENOUS_PLEXUS, grid, (side * 0.8 * a, -0.8 * b, 0), (4.2, 3.8, 0.85 * c))
        yield _solid(Tissue.VENOUS_PLEXUS, grid, (side * (0.9 * a + 2), 0.2 * b, 0), (3.5, 0.7 * b, 0.75 * c))
    yield _solid(Tissue.VENOUS_PLEXUS, grid, (0, b + 3, -0.2 * c), (0.6 * a, 5, 0.8 * c))


def _gland(patient: Patient, scanner: Grid) -> Iterator[Layer]:
    a, b, c = patient.gland_semi
    window, grid = scanner.around((0, 0, 0), (1.3 * a + 2, 1.3 * b + 2, 1.3 * c + 2))
    x, y, z = grid.x, grid.y, grid.z
    radius = np.maximum(gland_radius(x / a, y / b, z / c, patient.gland_warp), np.float32(0.05))
    depth = np.sqrt(x * x + y * y + z * z) * (1 - 1 / radius)
    gland = soft(depth)

    def inside(tissue: Tissue, distance: Array) -> Layer:
        return Layer(tissue, window, soft(distance) * gland)

    def body(centre: tuple[float, float, float], semi: tuple[float, float, float], tilt: float = 0.0) -> Array:
        shift = (np.float32(value) for value in centre)
        return ellipsoid(Grid(x - next(shift), y - next(shift), z - next(shift)), semi, tilt)

    def within_gland(layer: Layer) -> Layer:
        """A small solid, computed in its own window, less what would stick out of the gland."""
        i, j, k = (
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip(layer.window, window, strict=True)
        )
        return Layer(layer.tissue, layer.window, layer.opacity * gland[i, j, k])

    yield Layer(Tissue.CAPSULE, window, gland)
    yield inside(Tissue.PERIPHERAL_ZONE, depth + np.float32(CAPSULE_MM))
    angle = np.arctan2(y / b, x / a) if patient.wedges else None
    for wedge in patient.wedges:
        assert angle is not None
        across = (np.abs(angle - np.float32(wedge.angle)) - np.float32(wedge.half_angle)) * np.float32(0.8 * b)
        along = np.abs(z - np.float32(wedge.height * c)) - np.float32(0.3 * c)
        yield inside(Tissue.BENIGN_WEDGE, np.maximum(np.maximum(across, along), depth + np.float32(CAPSULE_MM)))

    yield inside(Tissue.CENTRAL_ZONE, body((0, -0.42 * b, 0.72 * c), (0.5 * a, 0.3 * b, 0.3 * c)))
    s = patient.transition_scale
    lobes = [
        body(
            (side * 0.33 * s * a, transition_offset(s) * b, (1 - s) * 0.62 * c),
            (0.63 * s * a, 0.86 * s * b, 0.86 * s * c),
        )
        for side in (1, -1)
    ]
    overlap = np.maximum(LOBE_BLEND_MM - np.abs(lobes[0] - lobes[1]), 0) / np.float32(LOBE_BLEND_MM)
    transition = np.minimum(lobes[0], lobes[1]) - overlap * overlap * np.float32(LOBE_BLEND_MM / 4)
    yield inside(Tissue.SURGICAL_CAPSULE, transition)
    core = transition + np.float32(SURGICAL_CAPSULE_MM)
    yield inside(Tissue.TRANSITION_ZONE, core)
    yield inside(Tissue.FIBROMUSCULAR_STROMA, body((0, 0.92 * b, 0.02 * c), (0.42 * a, 0.2 * b, 0.8 * c)))

    for nodule in patient.nodules:
        tissue = Tissue.GLANDULAR_NODULE if nodule.glandular else Tissue.STROMAL_NODULE
        p, q, r = nodule.semi
        yield within_gland(_solid(Tissue.SURGICAL_CAPSULE, scanner, nodule.centre, nodule.semi))
        yield within_gland(_solid(tissue, scanner, nodule.centre, (p - 1.3, q - 1.3, r - 1.3)))

    # The urethra leaves the bladder neck and leans backwards to the verumontanum, then forwards to the apex.
    bend = np.float32(0.12 * b) + np.float32(0.2 * b) * np.clip(z / c, -0.2, 1)
    radial = np.sqrt(x * x + (y - bend) ** 2)
    yield inside(Tissue.URETHRA_WALL, radial - np.float32(3.6))
    verumontanum = np.exp(-(((z + np.float32(0.1 * c)) / np.float32(0.25 * c)) ** 2))
    yield inside(Tissue.URETHRA, radial - np.float32(1.4) - np.float32(1.3) * verumontanum)

    for focus in patient.foci:
        yield _lesion(focus, window, grid, depth)


def _lesion(focus: Focus, window: Window, grid: Grid, depth: Array) -> Layer:
    x, y, z = (np.float32(value) for value in focus.centre)
    distance = ellipsoid(Grid(grid.x - x, grid.y - y, grid.z - z), focus.semi, focus.tilt_xy)
    bulge = 2.0 if focus.lesion.extraprostatic else 0.0
    return Layer(
        Tissue.LESION,
        window,
        soft(np.maximum(distance, depth - np.float32(bulge))) * np.float32(focus.conspicuity),
    )
