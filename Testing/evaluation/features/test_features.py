"""Features of sets of volumes, their order and their cache; the phantom's phantom reader as an extractor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from volume_sets import ROW, SLICE, FirstVoxels, smooth_volumes, volume_set

from ccella_core.errors import InputError
from ccella_core.evaluation.adherence.phantom_reader import (
    WINDOW,
    PhantomReader,
    PhantomReaderConfig,
    PhantomReaderNetwork,
)
from ccella_core.evaluation.features import features
from ccella_core.evaluation.features.features import (
    PHANTOM_NAME,
    features_of,
    load_extractor,
    load_extractors,
    mean_per_volume,
)

FILTERS = (4, 4, 4)


def phantom_reader(seed: int = 0) -> PhantomReader:
    torch.manual_seed(seed)
    return PhantomReader(PhantomReaderNetwork(FILTERS), PhantomReaderConfig(filters=FILTERS))


def test_a_row_a_volume_in_order() -> None:
    volumes = smooth_volumes(3)
    told: list[tuple[int, int]] = []
    rows = features_of(volume_set(volumes), FirstVoxels(), progress=lambda done, total: told.append((done, total)))
    assert rows.shape == (3, 3) and rows.dtype == np.float64
    np.testing.assert_array_equal(rows, [volume[:3, ROW, SLICE] for volume in volumes])
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_slices_are_rows_volume_by_volume_and_have_a_mean() -> None:
    volumes = smooth_volumes(2)
    rows = features_of(volume_set(volumes), FirstVoxels(slices=4))
    assert rows.shape == (8, 3)
    np.testing.assert_array_equal(rows[4:], volumes[1][:3, ROW, :4].T)
    np.testing.assert_allclose(mean_per_volume(rows, 2)[1], volumes[1][:3, ROW, :4].mean(axis=1))


@pytest.mark.parametrize("slices", [0, 4])
def test_the_cache_is_used_and_belongs_to_voxels_spacing_and_weights(tmp_path: Path, slices: int) -> None:
    volumes = smooth_volumes(2)
    first = FirstVoxels(slices=slices)
    rows = features_of(volume_set(volumes), first, cache=tmp_path / "new")
    again, other, changed = FirstVoxels(slices=slices), FirstVoxels(slices=slices), FirstVoxels(slices=slices)
    np.testing.assert_array_equal(features_of(volume_set(volumes), again, cache=tmp_path / "new"), rows)
    assert (first.calls, again.calls) == (2, 0)
    other.fingerprint = "2"
    features_of(volume_set(volumes), other, cache=tmp_path / "new")
    assert other.calls == 2
    features_of(volume_set([volumes[0], 1 - volumes[1]]), changed, cache=tmp_path / "new")
    features_of(volume_set(volumes[:1], spacing=(2.0, 2.0, 3.0)), changed, cache=tmp_path / "new")
    assert changed.calls == 2


def test_bad_volumes_are_refused() -> None:
    volumes = smooth_volumes(2)
    volumes[1][3, 3, 3] = np.nan
    with pytest.raises(InputError, match="volumes 1 in volumes holds NaN"):
        features_of(volume_set(volumes), FirstVoxels())
    with pytest.raises(InputError, match="no volumes in volumes"):
        features_of(volume_set([]), FirstVoxels())


def test_the_phantom_reader_as_an_extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phantom_reader().save(tmp_path / "phantom_reader")
    extractor = load_extractor("phantom", tmp_path / "phantom_reader")
    assert (extractor.name, extractor.dimension) == (PHANTOM_NAME, 2 * FILTERS[-1])
    volume = np.random.default_rng(0).random(WINDOW, dtype=np.float32)
    found = extractor(volume, (1.0, 1.0, 3.0))
    np.testing.assert_array_equal(found, phantom_reader().features([volume])[0])
    with pytest.raises(InputError, match="1 x 1 x 3 mm"):
        extractor(volume, (0.5, 0.5, 0.5))
    asked: list[object] = []
    monkeypatch.setattr(
        features, "load_or_train_phantom_reader", lambda progress: asked.append(progress) or phantom_reader(1)
    )
    (trained,) = load_extractors("phantom", progress=print)
    assert asked == [print] and trained.fingerprint != extractor.fingerprint
