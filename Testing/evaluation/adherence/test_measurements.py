"""Readings of maps whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.measurements import REGION_OF_TISSUE, MeasuredFinding, Region, measure
from ccella_core.phantom.patient import draw_patient
from ccella_core.phantom.render import DEFAULT_SPACING, render

SHAPE = (60, 50, 20)
GLAND = (slice(10, 50), slice(10, 40), slice(4, 16))  # 40 x 30 x 12 voxels of 3 mm3: 43.2 ml


def one_hot(regions: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.eye(len(Region), dtype=np.float32)[regions], -1, 0)


def read(*lesions: tuple[slice, slice, slice], threshold_ml: float = 0.2) -> MeasuredFinding:
    regions = np.zeros(SHAPE, np.uint8)
    regions[GLAND] = Region.GLAND
    for lesion in lesions:
        regions[lesion] = Region.LESION
    return measure(one_hot(regions), DEFAULT_SPACING, threshold_ml)


def test_a_gland_alone_has_its_volume_and_no_lesion() -> None:
    assert read() == MeasuredFinding(has_lesion=False, gland_volume_ml=43.2, lesion_volume_ml=0)


def test_a_lesion_has_side_zone_level_size_and_volume() -> None:
    reading = read((slice(40, 50), slice(12, 18), slice(14, 16)))
    assert (reading.side, reading.zone, reading.level) == ("right", "peripheral", "base")  # +x is the patient's right
    assert reading.lesion_volume_ml == pytest.approx(10 * 6 * 2 * 0.003)
    assert reading.gland_volume_ml == pytest.approx(43.2)  # the lesion belongs to the gland
    assert reading.size_mm == pytest.approx(np.hypot(9, 5) + 1, abs=0.1)


@pytest.mark.parametrize(
    ("lesion", "expected"),
    [
        ((slice(12, 20), slice(30, 38), slice(8, 12)), ("left", "transition", "mid")),
        ((slice(12, 20), slice(12, 18), slice(4, 7)), ("left", "peripheral", "apex")),
        ((slice(40, 48), slice(30, 38), slice(13, 16)), ("right", "transition", "base")),
    ],
)
def test_places(lesion: tuple[slice, slice, slice], expected: tuple[str, str, str]) -> None:
    reading = read(lesion)
    assert (reading.side, reading.zone, reading.level) == expected


def test_the_larger_of_two_lesions_counts_and_specks_do_not() -> None:
    large, small = (slice(12, 20), slice(12, 20), slice(8, 12)), (slice(40, 44), slice(12, 16), slice(8, 12))
    assert read(large, small).side == "left"
    speck = (slice(40, 43), slice(12, 15), slice(8, 10))
    assert not read(speck).has_lesion
    assert read(speck).lesion_volume_ml == pytest.approx(0.054)


def test_a_lesion_away_from_the_gland_is_none_of_it() -> None:
    reading = read((slice(54, 60), slice(0, 8), slice(0, 4)))
    assert not reading.has_lesion
    assert reading.gland_volume_ml == pytest.approx(43.2)


def test_probability_weighs_the_lesion() -> None:
    regions = np.zeros(SHAPE, np.uint8)
    regions[GLAND] = Region.GLAND
    regions[12:20, 12:20, 8:12] = Region.LESION
    probability = 0.6 * one_hot(regions) + 0.4 * one_hot(np.zeros_like(regions))
    reading = measure(probability, DEFAULT_SPACING, 0.2)
    assert reading.lesion_volume_ml == pytest.approx(0.6 * 8 * 8 * 4 * 0.003, rel=1e-5)


def test_an_empty_map_reads_as_nothing() -> None:
    reading = measure(one_hot(np.zeros(SHAPE, np.uint8)), DEFAULT_SPACING, 0.2)
    assert reading == MeasuredFinding(has_lesion=False, gland_volume_ml=0, lesion_volume_ml=0)


@pytest.mark.parametrize("seed", [2_700_000, 2_700_003, 2_700_004, 2_700_007])
def test_true_maps_of_phantoms_read_as_their_findings(seed: int) -> None:
    findings = draw_patient(seed).findings
    rendering = render(draw_patient(seed), "t2w")
    reading = measure(one_hot(REGION_OF_TISSUE[rendering.labels]), DEFAULT_SPACING, 0.1)
    assert reading.has_lesion == (findings.pathology == "positive")
    assert reading.gland_volume_ml == pytest.approx(findings.gland_volume_ml, rel=0.02)
    if len(findings.lesions) == 1:
        (lesion,) = findings.lesions
        assert (reading.side, reading.zone, reading.level) == (lesion.side, lesion.zone, lesion.level)
        assert reading.size_mm == pytest.approx(lesion.size_mm, abs=2)


def test_bad_maps_are_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        measure(np.zeros((3, 4, 4, 4)), DEFAULT_SPACING, 0.2)
    with pytest.raises(InputError, match="NaN"):
        measure(np.full((len(Region), 4, 4, 4), np.nan), DEFAULT_SPACING, 0.2)
