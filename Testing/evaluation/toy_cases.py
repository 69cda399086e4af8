"""Folders of prepared and of synthetic cases in which a positive one has a bright spot: easy to tell, small to read."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813
from prepared_cases import prepared_case

from ccella_core.cases.prepared import (
    VOLUMES,
    WHITE,
    PreparedSet,
    PrepareSettings,
    volume_path,
    write_cases,
    write_index,
)
from ccella_core.evaluation.data.synthetic_set import SynthesisSettings, SyntheticCase, write_settings, write_table
from ccella_core.files import sha256_of
from ccella_core.generation.options import GenerationOptions
from ccella_core.provenance import SequenceName

SIDE = 16
SPACING = (1.0, 1.0, 1.0)
SETTINGS = SynthesisSettings(
    model_name="tiny",
    model_version="1",
    model_sha256="0" * 64,
    source="0" * 16,
    split=None,
    per_case=1,
    pathology="report",
    options=GenerationOptions(seed=0, scheduler="dpm++", num_inference_steps=2),
)


def toy_volume(number: int, *, positive: bool) -> np.ndarray:
    """(SIDE, SIDE, SIDE) in 0 … 1."""
    rng = np.random.default_rng([number, positive])
    voxels = 0.3 + 0.1 * rng.random((SIDE, SIDE, SIDE))
    if positive:
        x, y, z = rng.integers(2, 9, size=3)
        voxels[x : x + 6, y : y + 6, z : z + 6] += 0.5  # more voxels than are clipped
    return voxels


def toy_prepared(folder: Path, counts: dict[str, int], sequences: tuple[SequenceName, ...] = ("t2w",)) -> Path:
    """Prepared cases ``train-0``, … of each split, every second of them positive; a patient each.

    Sequences after the first are without a spot, and darker one after the other.
    """
    (folder / VOLUMES).mkdir(parents=True)
    cases = []
    for split, count in counts.items():
        for number in range(count):
            name, positive = f"{split}-{number}", number % 2 == 0
            sha256 = {}
            for place, sequence in enumerate(sequences):
                path = volume_path(name, sequence)
                voxels = toy_volume(hash_of(name), positive=positive and place == 0) / (1 + place)
                nib.save(nib.Nifti1Image((voxels * WHITE).astype(np.uint16), np.eye(4)), folder / path)
                sha256[path] = sha256_of(folder / path)
            cases.append(
                prepared_case(
                    name,
                    split=split,
                    pathology="positive" if positive else "negative",
                    pirads=None,
                    sha256=sha256,
                )
            )
    write_index(folder, PrepareSettings(shape=(SIDE,) * 3, spacing=SPACING, sequences=sequences))
    write_cases(folder, cases)
    return folder


def toy_synthetic(
    folder: Path,
    prepared: Path,
    *,
    predicts: bool = True,
    sequences: tuple[SequenceName, ...] = ("t2w",),
    **changes: str,
) -> Path:
    """A volume of each training case; every fourth was read as the other class. ``changes`` are of each row."""
    (folder / VOLUMES).mkdir(parents=True)
    rows = []
    for number, case in enumerate(PreparedSet.open(prepared).split("train")):
        positive = case.pathology == "positive"
        read = positive != (number % 4 == 0)
        for place, sequence in enumerate(sequences):
            voxels = toy_volume(1000 + number, positive=positive and place == 0) / (1 + place)
            image = sitk.GetImageFromArray(voxels.transpose(2, 1, 0).astype(np.float32))
            image.SetDirection((-1, 0, 0, 0, -1, 0, 0, 0, 1))  # RAS+, in the LPS of SimpleITK
            path = f"{VOLUMES}/{case.id}{'' if place == 0 else f'-{sequence}'}.nii.gz"
            sitk.WriteImage(image, folder / path)
            row = SyntheticCase(
                id=case.id,
                case=case.id,
                patient=case.patient,
                split=case.split,
                sequence=sequence,
                pathology=case.pathology,
                predicted_pathology=("positive" if read else "negative") if predicts else None,
                predicted_positive_probability=float(read) if predicts else None,
                seed=number,
                path=path,
                sha256=sha256_of(folder / path),
            )
            rows.append(row.model_copy(update=changes))
    write_settings(folder, SETTINGS)
    write_table(folder, rows)
    return folder


def hash_of(name: str) -> int:
    """The same number for the same name, in every process."""
    return int.from_bytes(name.encode(), "big") % 2**31
