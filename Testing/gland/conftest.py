"""Volumes with a bright gland, and the stand-in for lavlab-taps."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from ccella_core.imaging.label_map import label_map
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.provenance import Provenance, SequenceName

STAND_IN = Path(__file__).parent / "stand_in"
SHAPE, SPACING = (40, 44, 20), (1.5, 1.5, 3.0)

Volume = Callable[..., SyntheticVolume]


@pytest.fixture
def without_taps(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """As if lavlab-taps had never been imported."""
    from ccella_core.gland import crop

    for name in [name for name in sys.modules if name.partition(".")[0] == "taps"]:
        monkeypatch.delitem(sys.modules, name)
    crop.installed_taps.cache_clear()
    yield monkeypatch
    crop.installed_taps.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "taps"]:
        del sys.modules[name]


@pytest.fixture
def stand_in(without_taps: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The stand-in is what is installed."""
    without_taps.syspath_prepend(str(STAND_IN))
    return without_taps


@pytest.fixture
def volume() -> Volume:
    """A volume whose gland lies around a voxel."""

    def made(
        center: tuple[int, int, int], radius_mm: float = 18.0, sequence: SequenceName = "t2w", *, label: bool = False
    ) -> SyntheticVolume:
        affine = np.diag([*SPACING, 1.0])
        affine[:3, 3] = -np.multiply(SPACING, np.subtract(SHAPE, 1)) / 2
        away = (np.indices(SHAPE).T - center) * SPACING
        gland = (np.square(away).sum(axis=-1) <= radius_mm**2).T
        provenance = Provenance(
            model_name="fake", model_version="1", model_sha256="0" * 64, report="", pathology_requested=None,
            predicted_positive_probability=None, seed=1, scheduler="unipc", num_inference_steps=5, guidance_scale=1.0,
            shape=SHAPE, spacing=SPACING, device="cpu", dtype="float32",
        )  # fmt: skip
        labels = label_map({"gland": gland.astype(float)}, affine, provenance) if label else None
        return SyntheticVolume(np.where(gland, 0.75, 0.3).astype(np.float32), affine, sequence, provenance, labels)

    return made
