"""The demonstration model as it is shipped."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.models.model import ModelFolder

pytestmark = pytest.mark.medium

REPOSITORY = Path(__file__).parent.parent
DEMO = REPOSITORY / "Resources" / "Models" / "ccella-demo"
MOST_BYTES_IN_GIT = 25_000_000  # the repository travels through the Extension Manager, history and all
LEAST_VOXELS = (128, 128, 20)
ONLY_T2 = {"sequences": ["t2w"], "labels": False}
REPORT = (REPOSITORY / "Resources" / "Examples" / "report_positive.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pipeline() -> CCELLAPipeline:
    return CCELLAPipeline.from_pretrained(DEMO, device="cpu", dtype="float32")


def test_is_whole_and_small():
    ModelFolder.open(DEMO).verify()
    packed = sum(len(zlib.compress(file.read_bytes())) for file in DEMO.rglob("*") if file.is_file())
    assert packed <= MOST_BYTES_IN_GIT


def test_says_what_it_is():
    index = ModelFolder.open(DEMO).index
    assert index.variant == "ccella"
    assert list(index.calibration) == ["t2w"]
    assert index.licence == "Apache-2.0"
    assert "Not for diagnosis" in index.intended_use
    assert all(size >= least for size, least in zip(index.native_shape, LEAST_VOXELS, strict=True))


def test_draws_an_examination_of_a_pelvis(pipeline):
    volumes = {volume.sequence: volume for volume in pipeline(REPORT, seed=7, num_inference_steps=8)}
    assert tuple(volumes) == ("t2w", "hbv", "adc")
    t2w = volumes["t2w"]
    assert t2w.voxels.shape == pipeline.index.native_shape
    muscle = t2w.voxels[[4, -5], 50:75].mean()  # the obturator internus, at both sides of the picture
    fat = np.r_[t2w.voxels[20:36, 8:24, 8:12].ravel(), t2w.voxels[-36:-20, 8:24, 8:12].ravel()].mean()  # ischioanal
    assert muscle + 0.15 < fat
    assert t2w.provenance.predicted_positive_probability > 0.9
    low, high = pipeline.index.intensity_range["adc"]
    assert low <= volumes["adc"].voxels.min() < volumes["adc"].voxels.max() <= high


def test_labels_lie_where_the_report_says(pipeline):
    """48 ml, and a lesion in the left peripheral zone."""
    labels = pipeline(REPORT, seed=7, num_inference_steps=8, sequences=["t2w"])[0].labels
    gland, lesion = (np.argwhere(labels.mask(name)) for name in ("gland", "lesion"))
    assert 25 < len(gland) * np.prod(pipeline.index.native_spacing_mm) / 1000 < 75
    assert (lesion.mean(0) < gland.mean(0))[:2].all()  # to the left, and behind


def test_seeds_differ_and_repeat(pipeline):
    first, again, other = (
        pipeline(REPORT, seed=seed, num_inference_steps=2, **ONLY_T2)[0].voxels for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.02


def test_reads_a_negative_report_as_negative(pipeline):
    report = (REPOSITORY / "Resources" / "Examples" / "report_negative.txt").read_text(encoding="utf-8")
    (volume,) = pipeline(report, seed=7, num_inference_steps=2, **ONLY_T2)
    assert volume.provenance.predicted_positive_probability < 0.5


def test_what_was_measured_is_of_this_model():
    """The documentation's generated blocks show these numbers."""
    model = ModelFolder.open(DEMO)
    assert model.sha256[:12] in model.index.measured["adherence"]["model"]
