"""Small examinations that are drawn as their report says: an ellipsoid, a dark spot, a black disc."""

from __future__ import annotations

import re

import numpy as np

from ccella_core.evaluation.adherence.gland import GeneratedExamination
from ccella_core.provenance import Provenance

SHAPE, SPACING = (48, 56, 16), (1.5, 1.5, 3.0)
CENTRE = np.array([24.0, 36.0, 8.0])
HEIGHTS = {"base": 0.48, "mid": 0.0, "apex": -0.48}
COIL_RADIUS_MM = 20.0


def grid_mm() -> np.ndarray:
    """(3, X, Y, Z): millimetres from the gland's centre."""
    return (np.indices(SHAPE) - CENTRE.reshape(3, 1, 1, 1)) * np.reshape(SPACING, (3, 1, 1, 1))


def ellipsoid(volume_ml: float) -> np.ndarray:
    radius = (volume_ml * 1000 * 3 / (4 * np.pi)) ** (1 / 3)
    return (grid_mm() ** 2).sum(axis=0) <= radius**2


def spot(side: str, zone: str, level: str, gland: np.ndarray) -> np.ndarray:
    half = np.argwhere(gland).ptp(axis=0) / 2 * SPACING if hasattr(np.ndarray, "ptp") else np.ptp(
        np.argwhere(gland), axis=0) / 2 * np.array(SPACING)  # fmt: skip
    centre = half * [0.45 * (1 if side == "right" else -1), 0.45 * (1 if zone == "transition" else -1), HEIGHTS[level]]
    return ((grid_mm() - centre.reshape(3, 1, 1, 1)) ** 2).sum(axis=0) <= 6.0**2


def disc(radius_mm: float = COIL_RADIUS_MM, stretch: float = 1.0) -> np.ndarray:
    x, y, _ = grid_mm()
    return (x / stretch) ** 2 + (y + 22.0 + radius_mm) ** 2 <= radius_mm**2


def examination(
    seed: int, *, volume_ml: float = 45.0, place: tuple[str, str, str] | None = None, coil: bool = False,
    sequences=("t2w", "adc", "hbv"), label: bool = True,
) -> GeneratedExamination:  # fmt: skip
    rng = np.random.default_rng(seed)
    gland = ellipsoid(volume_ml)
    lesion = spot(*place, gland) if place else np.zeros(SHAPE, bool)
    volumes = {}
    for sequence in sequences:
        voxels = np.where(gland, 0.75, 0.3) + 0.03 * rng.standard_normal(SHAPE)
        voxels[lesion] += 0.2 if sequence == "hbv" else -0.2
        if coil:
            voxels[disc()] = 0.0
        volumes[sequence] = np.clip(voxels, 0, 1).astype(np.float32)
    provenance = Provenance(
        model_name="fake", model_version="1", model_sha256="0" * 64, report="", pathology_requested=None,
        predicted_positive_probability=None, seed=seed, scheduler="unipc", num_inference_steps=5, guidance_scale=1.0,
        shape=SHAPE, spacing=SPACING, device="cpu", dtype="float32",
    )  # fmt: skip
    return GeneratedExamination(volumes, np.diag([*SPACING, 1.0]), gland if label else None, provenance)


def stated_in(report: str) -> dict:
    """What a report in the patients' style says, for a generator that reads."""
    volume = re.search(r"(\d+) (?:mL|cc|ml)\b", report)
    text = report.lower()
    side = re.search(r"\b(left|right)\b", text)
    place = None
    if side:
        zone = "transition" if re.search(r"transition|\btz\b", text) else "peripheral"
        level = re.search(r"\b(bas|mid|apex|apical)", text)
        place = (side[1], zone, {"bas": "base", "mid": "mid", "ape": "apex", "api": "apex"}[level[1][:3]])
    return {"volume_ml": float(volume[1]), "place": place, "coil": "with endorectal coil" in report}
