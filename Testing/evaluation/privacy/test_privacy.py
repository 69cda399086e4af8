"""Copies of training cases: planted ones are found, whatever was done to them, and new volumes are not accused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.spatial import cKDTree
from scipy.stats import binom
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.evaluation.data.volume_set import VolumeRecord, VolumeSet
from ccella_core.evaluation.privacy.alignment import aligned_distances
from ccella_core.evaluation.privacy.neighbours import MOST, NEXT, find_neighbours, threshold
from ccella_core.evaluation.privacy.privacy import find_copies
from ccella_core.evaluation.privacy.report import PrivacyScores, privacy_markdown, save_privacy
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.phantom.patient import draw_patient
from ccella_core.phantom.render import render
from ccella_core.provenance import SYNTHETIC_LABEL

pytestmark = pytest.mark.medium

SHAPE, SPACING = (48, 48, 24), (2.0, 2.0, 4.0)
TRAINING, HELD_OUT, NEW = range(40), range(100, 130), range(200, 225)


@cache
def phantom(seed: int) -> np.ndarray:
    return render(draw_patient(seed), "t2w", shape=SHAPE, spacing=SPACING).voxels


def volume_set(volumes: dict[str, np.ndarray], name: str = "some", patients: list[str] | None = None) -> VolumeSet:
    members = [
        VolumeRecord(id=own, case=own, patient=patient, split=None, pathology=None, predicted=None,
               predicted_positive_probability=None, seed=None, read=lambda voxels=voxels: voxels)
        for (own, voxels), patient in zip(volumes.items(), patients or list(volumes), strict=True)
    ]  # fmt: skip
    return VolumeSet(name, members, next(iter(volumes.values())).shape, SPACING)


def phantoms(seeds: range, name: str) -> VolumeSet:
    return volume_set({f"phantom{seed}": phantom(seed) for seed in seeds}, name)


class Pooled:
    """Stands for a network: means of boxes."""

    name, dimension, fingerprint = "means of boxes", 6 * 6 * 3, "0"

    def __call__(self, voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
        return voxels.reshape(6, 8, 6, 8, 3, 8).mean(axis=(1, 3, 5), dtype=np.float64).ravel()


def noisy(voxels: np.ndarray, strength: float) -> np.ndarray:
    return voxels + strength * np.random.default_rng(0).normal(size=voxels.shape)


def moved(voxels: np.ndarray) -> np.ndarray:
    return ndimage.shift(voxels, (1.5, -0.5, 0.7), order=1, mode="nearest")


ALTERED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda voxels: voxels,
    "blurred by 3 mm": lambda voxels: ndimage.gaussian_filter(voxels, np.divide(3, SPACING)),
    "shifted by voxels": lambda voxels: ndimage.shift(voxels, (3, -2, 2), order=0, mode="nearest"),
    "shifted by parts of voxels": moved,
    "darker and flatter": lambda voxels: 0.3 + 0.4 * voxels,
    "with another curve": lambda voxels: voxels**1.8,
    "noisy": lambda voxels: noisy(voxels, 0.15),
    "mirrored": lambda voxels: voxels[::-1],
    "all at once": lambda voxels: noisy(
        0.2 + 0.6 * moved(ndimage.gaussian_filter(voxels, np.divide(2, SPACING))), 0.05
    ),
}


@pytest.fixture(scope="module")
def training() -> VolumeSet:
    return phantoms(TRAINING, "training")


@pytest.fixture(scope="module")
def planted() -> VolumeSet:
    """Twenty-five new phantoms, and among them two copies of each kind."""
    volumes = {f"new {seed}": phantom(seed) for seed in NEW}
    for number, (how, alter) in enumerate(ALTERED.items()):
        for original in (number, number + 20):
            volumes[f"copy of {original}, {how}"] = alter(phantom(original)).clip(0, 1).astype(np.float32)
    return volume_set(volumes, "planted")


@pytest.fixture(scope="module", params=["held out", "left out in turn"])
def scores(request: pytest.FixtureRequest, planted: VolumeSet, training: VolumeSet) -> PrivacyScores:
    held_out = phantoms(HELD_OUT, "held out") if request.param == "held out" else None
    return find_copies(planted, training, held_out, Pooled())


def test_copies_are_found_and_new_volumes_are_not_accused(scores: PrivacyScores):
    suspected = {each.synthetic for each in scores.closest if each.suspected}
    copies = {each.synthetic for each in scores.closest if each.synthetic.startswith("copy")}
    assert len(copies) == 2 * len(ALTERED)
    assert suspected == copies
    for each in scores.closest:
        if each.suspected:
            assert each.synthetic.startswith(f"copy of {each.training.removeprefix('phantom')},")
    assert scores.suspected.count == len(copies) and scores.suspected.n == len(scores.closest) == 43
    assert [each.suspicion for each in scores.closest] == sorted((e.suspicion for e in scores.closest), reverse=True)
    images, features = scores.comparisons
    assert images.suspected.count == len(copies) and images.real_suspected.count == 0
    assert images.by == "aligned voxels" and features.by == "means of boxes"
    assert scores.extractor_sha256 == Pooled.fingerprint
    assert scores.false_alarm_rate == pytest.approx(0.002) and not scores.warnings


@pytest.mark.slow
def test_new_volumes_alone_are_as_authentic_as_real_ones(training: VolumeSet):
    scores = find_copies(phantoms(NEW, "new"), training, phantoms(HELD_OUT, "held out"), Pooled())
    assert scores.suspected.count == 0 and scores.suspected.high == pytest.approx(1 - 0.025 ** (1 / 25))
    assert scores.real_authenticity is not None
    assert scores.real_authenticity.low < scores.authenticity.value < scores.real_authenticity.high
    copied = find_copies(phantoms(TRAINING, "copied"), training, None, Pooled())
    assert copied.authenticity.count == 0 and copied.suspected.value == 1 and copied.real_authenticity is None


def test_a_case_that_is_there_twice_does_not_hide_its_copy():
    names = [f"phantom{seed}" for seed in TRAINING] + ["again", "and again"]
    volumes = [*(phantom(seed) for seed in TRAINING), phantom(3), noisy(phantom(3), 0.02).clip(0, 1)]
    training = volume_set(dict(zip(names, volumes, strict=True)))
    copy = volume_set({"copy": ndimage.gaussian_filter(phantom(3), 0.8), "new": phantom(500)})
    scores = find_copies(copy, training, None, Pooled())
    assert [(each.synthetic, each.suspected) for each in scores.closest] == [("copy", True), ("new", False)]
    assert "3 of 42 real volumes are as near" in scores.warnings[0]


def test_the_law_of_nearest_neighbours_holds_where_points_lie_evenly():
    """Points in a box of six dimensions: as many new ones lie beyond the limit as it says."""
    rng = np.random.default_rng(0)
    training, real, new = rng.random((4000, 6)), rng.random((2000, 6)), rng.random((20_000, 6))

    def times_nearer(points: np.ndarray) -> np.ndarray:
        nearest = cKDTree(training).query(points, NEXT + 1)[0]
        return nearest[:, NEXT] / nearest[:, 0]

    for rate in (0.01, 0.001):
        beyond = int((times_nearer(new) > threshold(times_nearer(real), rate, NEXT)).sum())
        low, high = binom.interval(0.999, len(new), rate)
        assert 0.6 * low <= beyond <= 1.4 * high  # the limit itself follows from 2000 points


def test_neighbours_by_hand():
    distances = np.array([[4.0, 1.0, 2.0, 8.0, 6.0], [0.0, 3.0, 5.0, 6.0, 7.0]])
    found = find_neighbours(distances, ["a", "b", "b", "c", "d"])
    np.testing.assert_array_equal(found.nearest, [1, 0])
    np.testing.assert_array_equal(found.distance, [1, 0])
    np.testing.assert_array_equal(found.times_nearer, [6, MOST])  # of 4 patients, the third nearest
    own = find_neighbours(distances, ["a", "b", "b", "c", "d"], own=["b", "a"])
    np.testing.assert_array_equal(own.nearest, [0, 1])
    np.testing.assert_allclose(own.times_nearer, [8 / 4, 7 / 3])


def test_correlation_by_hand_and_after_a_shift():
    rng = np.random.default_rng(0)
    volumes = rng.random((3, 12, 10, 8)).astype(np.float32)
    at_rest = aligned_distances(volumes, volumes[:, ::-1], (0, 0, 0))
    expected = 1 - np.corrcoef(volumes.reshape(3, -1))  # mirrored back
    np.testing.assert_allclose(np.diag(at_rest), 0, atol=1e-6)
    assert (at_rest <= expected + 1e-6).all()
    shifted = np.roll(volumes, (2, -1, 1), axis=(1, 2, 3))
    np.testing.assert_allclose(np.diag(aligned_distances(shifted, volumes, (2, 2, 1))), 0, atol=1e-6)
    assert np.diag(aligned_distances(shifted, volumes, (1, 1, 1))).min() > 0.3
    flat = np.ones((1, 12, 10, 8), np.float32)
    np.testing.assert_array_equal(aligned_distances(flat, volumes, (1, 1, 1)), 1)


def test_intervals_are_exact():
    none = Estimate.of_share([False] * 30, method="exact")
    assert (none.count, none.low) == (0, 0) and none.high == pytest.approx(1 - 0.025 ** (1 / 30))
    assert Estimate.of_share([True, False], method="exact").as_share(1) == "50.0% (1/2; 95 % 1.3% to 98.7%)"


def test_files_and_pictures(scores: PrivacyScores, planted: VolumeSet, training: VolumeSet, tmp_path: Path):
    save_privacy(scores, planted, training, tmp_path / "out")
    saved = (tmp_path / "out" / "privacy.json").read_text(encoding="utf-8")
    assert PrivacyScores.model_validate_json(saved) == scores
    text = (tmp_path / "out" / "privacy.md").read_text(encoding="utf-8")
    assert text == privacy_markdown(scores)
    assert "Suspected copies: 41.9% (18/43" in text and "at most 0.20%" in text and "means of boxes" in text
    for name, width in (("privacy.png", 800), ("SYNTHETIC_closest_pairs.png", 1040)):
        with Image.open(tmp_path / "out" / name) as picture:
            assert picture.size[0] == width and picture.info["Description"] == SYNTHETIC_LABEL


def test_bad_input_is_explained(training: VolumeSet):
    new = phantoms(NEW, "new")
    with pytest.raises(InputError, match=r"volumes of 2 patients in few; .* 3 training patients at least"):
        find_copies(new, phantoms(range(2), "few"), None, Pooled())
    with pytest.raises(InputError, match=r"such as 0\.001, not 1\.5"):
        find_copies(new, training, None, Pooled(), false_alarm_rate=1.5)
    small = volume_set({"small": np.zeros((24, 48, 24), np.float32)}, "small")
    with pytest.raises(InputError, match=r"held-out volumes in small have 24 x 48 x 24 voxels .* prepare them alike"):
        find_copies(new, training, small, Pooled())
    few = find_copies(new, training, phantoms(range(35, 45), "mixed"), Pooled())
    assert "follow from 10 real volumes" in few.warnings[0]
    assert "5 held-out patients are among the training patients, phantom35 for one" in few.warnings[1]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import nibabel as nib

    monkeypatch.setattr("ccella_core.evaluation.features.features.load_extractor", lambda *_, **__: Pooled())
    for folder, seeds in (("training", range(12)), ("held", range(100, 110)), ("made", range(200, 204))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            image = nib.Nifti1Image(phantom(seed), np.diag([*SPACING, 1.0]))
            image.to_filename(tmp_path / folder / f"{seed}.nii.gz")
    sets = [str(tmp_path / "made"), str(tmp_path / "training")]
    arguments = ["evaluate", "privacy", *sets, "--held-out", str(tmp_path / "held"), "--out", str(tmp_path / "out"),
                 "--extractor", "medicalnet"]  # fmt: skip
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "Suspected copies: 0.0% (0/4" in result.stdout and (tmp_path / "out" / "privacy.png").is_file()
    printed = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert printed["suspected"]["n"] == 4 and printed["real"] == "10 held-out volumes"
    result = CliRunner().invoke(
        app, ["evaluate", "privacy", *sets, "--out", str(tmp_path), "--held-out-split", "train"]
    )
    assert result.exit_code == 2 and "was trained on; name another" in result.stderr
    (tmp_path / "training" / "3.nii.gz").write_bytes(b"damaged")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 3 and "Left out: 3.nii.gz" in result.stderr and "0/4" in result.stdout
    monkeypatch.setattr(
        "ccella_core.evaluation.features.features.load_extractor", lambda *_, **__: pytest.fail("it was loaded")
    )
    for changes, words in (
        (["--false-alarms", "1.5"], "such as 0.001, not 1.5"),
        (["--extractor", "phantom"], "The extractor phantom is a stand-in and cannot read these volumes"),
    ):
        result = CliRunner().invoke(app, [*arguments, *changes])
        assert result.exit_code == 2 and words in " ".join(result.stderr.split())


def test_features_come_before_the_long_alignment(training: VolumeSet, monkeypatch: pytest.MonkeyPatch):
    class Reads:
        name, dimension, fingerprint = "picky", 1, "0"

        def __call__(self, voxels: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
            raise InputError("not this grid")

    monkeypatch.setattr(
        "ccella_core.evaluation.privacy.privacy.aligned_distances", lambda *_, **__: pytest.fail("aligned")
    )
    with pytest.raises(InputError, match="not this grid"):
        find_copies(phantoms(NEW, "new"), training, None, Reads())
