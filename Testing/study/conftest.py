"""What a whole study at a tiny size begins with: phantoms as examinations, and a phantom reader of random weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import nibabel as nib
import pytest
import torch

from ccella_core.cases.case import Case, Split
from ccella_core.cases.manifest import write_manifest
from ccella_core.evaluation.adherence.phantom_reader import PhantomReader, PhantomReaderConfig, PhantomReaderNetwork
from ccella_core.phantom.fields import StructuredFields
from ccella_core.phantom.patient import draw_patient
from ccella_core.phantom.render import render
from ccella_core.phantom.report import write_report

sys.path.append(str(Path(__file__).parent))  # made_up, tiny_study

from tiny_study import SHAPE, SPACING

SPLITS: dict[Split, range] = {"train": range(0, 8), "validation": range(8, 12), "test": range(12, 20)}


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The middle of twenty phantoms, positive and negative by turns, and a case whose image is none."""
    folder = tmp_path_factory.mktemp("phantoms")
    cases = []
    for split, seeds in SPLITS.items():
        for seed in seeds:
            patient = draw_patient(seed, pathology="positive" if seed % 2 else "negative")
            rendering = render(patient, "t2w", shape=SHAPE, spacing=SPACING)
            nib.save(nib.Nifti1Image(rendering.voxels, rendering.affine), folder / f"{seed}.nii.gz")
            cases.append(
                Case(
                    id=f"case{seed}",
                    patient=f"patient{seed}",
                    images={"t2w": folder / f"{seed}.nii.gz"},
                    reports=(write_report(patient.findings, seed=seed),),
                    report_source="given",
                    pathology=patient.findings.pathology,
                    pirads=patient.findings.pirads,
                    split=split,
                    fields=StructuredFields.from_findings(patient.findings),
                )
            )
    (folder / "broken.nii.gz").write_bytes(b"no image")
    cases.append(cases[0].model_copy(update={"id": "broken", "images": {"t2w": folder / "broken.nii.gz"}}))
    return write_manifest(cases, folder / "manifest.jsonl")


@pytest.fixture(scope="session")
def phantom_reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of random weights: what it reads is chance, which is as good as anything here."""
    torch.manual_seed(0)
    filters = (4, 4, 4)
    folder = tmp_path_factory.mktemp("phantom_reader") / "weights"
    PhantomReader(PhantomReaderNetwork(filters), PhantomReaderConfig(filters=filters)).save(folder)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _small_window() -> Iterator[None]:
    """The phantom reader looks at volumes that are smaller than the phantom's gland."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccella_core.evaluation.adherence.phantom_reader.WINDOW", SHAPE)
        yield
