"""A batch's folder takes the label map of an examination with its volumes, and lists the volumes alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fake_client import save_labels, save_volume


def test_labels_lie_beside_their_volumes(slicer_bench: Any, tmp_path: Path) -> None:
    from CCELLAGeneratorLib.generation.batch import BatchRow
    from CCELLAGeneratorLib.generation.batch_folder import BatchFolder

    made, kept = tmp_path / "made", tmp_path / "kept"
    made.mkdir()
    labels = save_labels(made, "one_seed7-labels", seed=7)
    for path in made.glob("*scratch*"):
        path.unlink()
    entries = [
        {**save_volume(made, f"one_seed7_{name}", sequence=name, seed=7), "labels": labels} for name in ("t2w", "adc")
    ]
    images = BatchFolder(kept).take({"volumes": entries})
    assert [path.name for path in images] == ["SYNTHETIC_one_seed7_t2w.nii", "SYNTHETIC_one_seed7_adc.nii"]
    stems = ("one_seed7_t2w", "one_seed7_adc", "one_seed7-labels")
    assert sorted(path.name for path in kept.iterdir()) == sorted(
        f"SYNTHETIC_{stem}{ending}" for stem in stems for ending in (".nii", ".json")
    )
    assert list(made.iterdir()) == []
    row = BatchRow(2, "one", "PI-RADS 4.", seed=7, count=1)
    assert BatchFolder(kept).volumes_of(row) == sorted(images)
