"""The phantom reader's plumbing, with a tiny network that has learnt nothing."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
import torch

from ccella_core.errors import InputError, ModelError
from ccella_core.evaluation.adherence import phantom_reader_training as training
from ccella_core.evaluation.adherence.measurements import Region
from ccella_core.evaluation.adherence.phantom_reader import (
    WINDOW,
    PhantomReader,
    PhantomReaderConfig,
    PhantomReaderNetwork,
    central_window,
    reader_window,
)
from ccella_core.evaluation.adherence.phantom_reader_training import PhantomReaderTraining
from ccella_core.phantom.patient import draw_patient
from ccella_core.phantom.render import DEFAULT_SHAPE, Rendering, render

FILTERS = (4, 4, 4)
TINY = PhantomReaderTraining(
    filters=FILTERS, steps=2, batch_size=1, calibration_patients=1, validation_patients=1, checkpoint_every=1
)


@pytest.fixture(scope="module")
def phantom() -> Rendering:
    return render(draw_patient(2_700_000), "t2w")


@pytest.fixture
def phantom_reader() -> PhantomReader:
    torch.manual_seed(0)
    return PhantomReader(PhantomReaderNetwork(FILTERS), PhantomReaderConfig(filters=FILTERS))


class Stopped(Exception):
    pass


def test_the_map_covers_the_window_and_sums_to_one(phantom_reader: PhantomReader, phantom: Rendering) -> None:
    probability = phantom_reader.probability(phantom.voxels)
    assert probability.shape == (len(Region), *WINDOW)
    np.testing.assert_allclose(probability.sum(axis=0), 1, atol=1e-5)


def test_the_window_lies_in_the_middle() -> None:
    volume = np.arange(np.prod(DEFAULT_SHAPE)).reshape(DEFAULT_SHAPE)
    assert central_window(volume)[0, 0, 0] == volume[8, 16, 2]


def test_features_are_told_apart_and_do_not_depend_on_company(
    phantom_reader: PhantomReader, phantom: Rendering
) -> None:
    both = phantom_reader.features([phantom.voxels, 1 - phantom.voxels])
    assert both.shape == (2, 2 * FILTERS[-1])
    assert both.dtype == np.float64
    np.testing.assert_array_equal(both[:1], phantom_reader.features([phantom.voxels]))
    assert not np.allclose(both[0], both[1])


def test_its_fingerprint_changes_with_weights_and_threshold(phantom_reader: PhantomReader, tmp_path: Path) -> None:
    phantom_reader.save(tmp_path)
    assert PhantomReader.load(tmp_path).fingerprint == phantom_reader.fingerprint
    stricter = PhantomReader(
        phantom_reader.network, phantom_reader.config.model_copy(update={"lesion_threshold_ml": 0.5})
    )
    other = PhantomReader(PhantomReaderNetwork(FILTERS), phantom_reader.config)
    assert len({each.fingerprint for each in (phantom_reader, stricter, other)}) == 3


def test_saved_and_loaded_it_reads_the_same(phantom_reader: PhantomReader, phantom: Rendering, tmp_path: Path) -> None:
    phantom_reader.save(tmp_path / "phantom_reader")
    loaded = PhantomReader.load(tmp_path / "phantom_reader")
    assert loaded.config == phantom_reader.config
    np.testing.assert_array_equal(loaded.probability(phantom.voxels), phantom_reader.probability(phantom.voxels))
    assert loaded.validation is None
    with pytest.raises(ModelError, match="missing"):
        PhantomReader.load(tmp_path / "nowhere")
    (tmp_path / "phantom_reader" / "validation.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match=r"validation\.json does not fit"):
        PhantomReader.load(tmp_path / "phantom_reader")


@pytest.mark.medium
def test_a_run_that_was_stopped_ends_like_one_that_was_not(tmp_path: Path) -> None:
    def stop(step: int, steps: int) -> None:
        if step == 2:
            raise Stopped

    with pytest.raises(Stopped):
        training.train_phantom_reader(TINY, tmp_path / "stopped", stop)
    steps = []
    resumed = training.train_phantom_reader(TINY, tmp_path / "stopped", lambda step, of: steps.append((step, of)))
    assert steps == [(2, 2)]
    whole = training.train_phantom_reader(TINY, tmp_path / "whole")
    assert resumed.config == whole.config
    for one, other in zip(resumed.network.parameters(), whole.network.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.medium
def test_the_first_use_trains_and_the_second_reads_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = training.load_or_train_phantom_reader(tmp_path, config=TINY)
    (folder,) = tmp_path.iterdir()
    assert folder.name == f"phantom_reader-{training.phantom_reader_fingerprint(TINY)}"
    assert sorted(path.name for path in folder.iterdir()) == ["weights"]
    monkeypatch.setattr(training, "train_phantom_reader", None)
    with monkeypatch.context() as once:
        once.setattr(training, "validate_phantom_reader", None)
        second = training.load_or_train_phantom_reader(tmp_path, config=TINY)
    assert second.config == first.config
    assert second.validation == first.validation is not None and first.validation.sharp.pathology.n == 1
    (folder / "weights" / "validation.json").unlink()  # stopped before it was validated
    assert training.load_or_train_phantom_reader(tmp_path, config=TINY).validation == first.validation
    assert training.phantom_reader_fingerprint(TINY.model_copy(update={"validation_patients": 9})) in folder.name
    assert training.phantom_reader_fingerprint(TINY.model_copy(update={"steps": 3})) not in folder.name


def test_of_several_that_want_it_at_once_one_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread opens the lock for itself, as processes do."""
    trained = []
    together = Barrier(3, timeout=60)

    def train(config: PhantomReaderTraining, *_: object) -> PhantomReader:
        trained.append(config)
        return PhantomReader(PhantomReaderNetwork(config.filters), PhantomReaderConfig(filters=config.filters))

    def load(_: int) -> str:
        together.wait()
        return training.load_or_train_phantom_reader(tmp_path, config=TINY).fingerprint

    monkeypatch.setattr(training, "train_phantom_reader", train)
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(load, range(3)))
    assert len(trained) == 1 and len(set(found)) == 1


def test_disturbances_keep_the_range_and_none_means_none(phantom: Rendering) -> None:
    rng = np.random.default_rng(0)
    disturbed = training._disturbed(phantom.voxels, PhantomReaderTraining(), rng)
    assert disturbed.dtype == np.float32
    assert disturbed.min() >= 0 and disturbed.max() <= 1
    assert not np.allclose(disturbed, phantom.voxels, atol=0.01)
    none = PhantomReaderTraining(most_blur=0, most_noise=0, most_gain=0, most_offset=0)
    np.testing.assert_allclose(training._disturbed(phantom.voxels, none, rng), phantom.voxels, atol=1e-6)


def test_the_threshold_is_the_middle_of_the_gap() -> None:
    volumes = np.array([0.0, 0.01, 0.05, 0.2, 0.9, 0.6])
    positive = np.array([False, False, False, True, True, True])
    assert training.best_threshold(volumes, positive) == pytest.approx(0.1, rel=0.05)


def test_the_patients_of_each_use_are_their_own() -> None:
    uses = (training.TRAINING_PATIENTS, training.CALIBRATION_PATIENTS, training.VALIDATION_PATIENTS)
    assert all(a.stop <= b.start for a, b in itertools.pairwise(uses))
    assert uses[0].start >= 2_000_000
    assert PhantomReaderTraining().steps * PhantomReaderTraining().batch_size < len(training.TRAINING_PATIENTS)


@pytest.mark.medium
def test_validation_scores_every_patient(phantom_reader: PhantomReader) -> None:
    told = []
    patients = range(2_600_000, 2_600_004)
    validation = training.validate_phantom_reader(phantom_reader, patients, lambda *at: told.append(at))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert validation.sharp.pathology.n == validation.blurred.pathology.n == 4
    assert validation.sharp.gland_volume_ml != validation.blurred.gland_volume_ml
    with pytest.raises(InputError, match="at least one patient"):
        training.validate_phantom_reader(phantom_reader, [])


def test_what_it_was_not_trained_on_is_refused(phantom_reader: PhantomReader, phantom: Rendering) -> None:
    with pytest.raises(InputError, match="1 x 1 x 3 mm"):
        phantom_reader.read(phantom.voxels, np.diag([2.0, 2.0, 3.0, 1.0]))
    with pytest.raises(InputError, match="RAS"):
        phantom_reader.read(phantom.voxels, np.diag([-1.0, -1.0, 3.0, 1.0]))
    with pytest.raises(InputError, match="at least"):
        phantom_reader.read(phantom.voxels[:40], phantom.affine)
    with pytest.raises(InputError, match="NaN"):
        phantom_reader.read(np.full(DEFAULT_SHAPE, np.nan), phantom.affine)
    with pytest.raises(InputError, match="0 … 1"):
        phantom_reader.read(phantom.voxels * 1000, phantom.affine)
    with pytest.raises(InputError, match="no volumes"):
        phantom_reader.features([])


def test_finer_planes_and_fewer_slices_are_brought_to_its_grid() -> None:
    """A ramp along each axis keeps its places in mm; slices that are not there are said."""
    x, y, z = np.meshgrid(np.arange(128) * 0.75, np.arange(128) * 0.75, np.arange(20) * 3.0, indexing="ij")
    for axis, ramp in enumerate((x, y, z)):
        window, has_slice = reader_window(ramp, (0.75, 0.75, 3.0))
        assert window.shape == WINDOW
        np.testing.assert_array_equal(np.flatnonzero(has_slice), np.arange(4, 24))
        lines = np.moveaxis(window, axis, 0)[:, 30, 12]
        middle = (ramp.max() + ramp.min()) / 2
        inside = lines[has_slice] if axis == 2 else lines
        np.testing.assert_allclose(inside.mean(), middle, atol=1e-3)
        np.testing.assert_allclose(np.diff(inside), (1, 1, 3)[axis], atol=1e-3)


def test_a_patient_on_a_finer_grid_is_mapped_alike(phantom_reader: PhantomReader) -> None:
    patient, fine = draw_patient(2_600_001), (0.75, 0.75, 3.0)
    own = phantom_reader.probability(render(patient, "t2w").voxels)
    again = phantom_reader.probability(render(patient, "t2w", shape=(128, 128, 32), spacing=fine).voxels, fine)
    assert np.corrcoef(own.ravel(), again.ravel())[0, 1] > 0.9


def test_nothing_is_found_where_there_is_no_slice(phantom_reader: PhantomReader) -> None:
    found = phantom_reader.probability(np.random.default_rng(0).random((128, 128, 20)), (0.75, 0.75, 3.0))
    assert (found[Region.OTHER][:, :, [0, 3, 24, 27]] == 1).all()
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
