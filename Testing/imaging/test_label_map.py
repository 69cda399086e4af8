"""A label map: what it holds, how it is saved, and that it is never taken for a volume."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from test_volume import FORMATS, make, provenance, reference

from ccella_core.errors import InputError
from ccella_core.imaging.label_map import LabelMap, is_label_map, label_map
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.provenance import SYNTHETIC_LABEL


def drawn() -> LabelMap:
    volume = make()
    generator = np.random.default_rng(1)
    gland, lesion = (generator.uniform(0, 1, volume.voxels.shape) for _ in range(2))
    return label_map({"gland": gland, "lesion": lesion}, volume.affine, provenance())


def test_a_lesion_is_written_over_the_gland() -> None:
    gland, lesion = np.array([0, 0.5, 0.9, 0.2]), np.array([0.49, 0.1, 0.5, 0.7])
    shape = (4, 1, 1)
    labels = label_map({"lesion": lesion.reshape(shape), "gland": gland.reshape(shape)}, np.eye(4), provenance())
    assert labels.voxels.ravel().tolist() == [0, 1, 2, 2] and labels.voxels.dtype == np.uint8
    assert labels.mask("gland").ravel().tolist() == [False, True, True, True]
    assert labels.mask("lesion").ravel().tolist() == [False, False, True, True]
    gland_only = label_map({"gland": gland.reshape(shape)}, np.eye(4), provenance())
    assert gland_only.values == {"gland": 1}
    with pytest.raises(InputError, match="no label lesion; there are gland"):
        gland_only.mask("lesion")


@pytest.mark.parametrize("suffix", FORMATS)
def test_saved_and_read_back(suffix: str, tmp_path: Path) -> None:
    labels = drawn()
    path = labels.save(tmp_path / f"case-labels{suffix}")
    assert path.name == f"SYNTHETIC_case-labels{suffix}" and is_label_map(path)
    again = LabelMap.load(path)
    np.testing.assert_array_equal(again.voxels, labels.voxels)
    np.testing.assert_allclose(again.affine, labels.affine, atol=1e-5)
    assert (again.values, again.provenance) == (labels.values, labels.provenance)
    image = sitk.ReadImage(str(path))
    assert image.GetPixelIDTypeAsString() == "8-bit unsigned integer"
    sidecar = json.loads((tmp_path / "SYNTHETIC_case-labels.json").read_text(encoding="utf-8"))
    assert sidecar["synthetic"] is True and sidecar["sequence"] is None
    assert sidecar["labels"] == {"gland": 1, "lesion": 2}


def test_a_nifti_header_says_that_it_is_a_synthetic_label(tmp_path: Path) -> None:
    header = nib.Nifti1Image.from_filename(drawn().save(tmp_path / "case-labels.nii")).header
    assert header.get_intent()[0] == "label"
    assert header["descrip"].item().decode().startswith(f"{SYNTHETIC_LABEL}; labels, tiny")


def test_volume_and_labels_are_not_taken_for_each_other(tmp_path: Path) -> None:
    labels, volume = drawn().save(tmp_path / "case-labels.nii"), make().save(tmp_path / "case.nii")
    with pytest.raises(InputError, match="is a label map, not a volume"):
        SyntheticVolume.load(labels)
    with pytest.raises(InputError, match="is a volume, not a label map"):
        LabelMap.load(volume)
    assert not is_label_map(volume)


def test_labels_are_laid_where_their_volume_is() -> None:
    volume = replace(make(), labels=drawn())
    placed = volume.place_on(reference(np.diag([-1.0, -1.0, 1.0])))
    assert placed.labels is not None and np.abs(placed.affine - volume.affine).max() > 0.1
    np.testing.assert_array_equal(placed.labels.affine, placed.affine)
    np.testing.assert_array_equal(placed.labels.voxels, drawn().voxels)


def test_unknown_values_and_sidecars_of_both_or_neither_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="A label map of gland, lesion has no value 3"):
        replace(drawn(), voxels=np.full((2, 2, 2), 3))
    path = drawn().save(tmp_path / "case-labels.nii")
    sidecar = path.with_suffix(".json")
    content = json.loads(sidecar.read_text(encoding="utf-8"))
    for change in ({"sequence": "t2w"}, {"labels": None}):
        sidecar.write_text(json.dumps(content | change), encoding="utf-8")
        with pytest.raises(InputError, match="a sequence or labels, one of the two"):
            LabelMap.load(path)
