"""A folder of prepared cases: volumes on one grid in 0 … 1, with reports, classes and splits.

``prepared.json`` (settings), ``cases.jsonl`` (a line a case), ``volumes/`` and ``regions/`` (NIfTI, in any viewer),
``pictures/``, ``quality.html``.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np
from pydantic import Field, ValidationError

from ccella_core import __version__
from ccella_core.cases.case import PiRads, ReportSource, Split, StructuredFields
from ccella_core.cases.intensity import scaled_range
from ccella_core.config import StrictModel
from ccella_core.errors import InputError
from ccella_core.files import whole_file
from ccella_core.phantom.findings import Pathology
from ccella_core.provenance import SequenceName

INDEX_NAME, CASES_NAME = "prepared.json", "cases.jsonl"
VOLUMES, REGIONS, PICTURES, STATE = "volumes", "regions", "pictures", "state"
GLAND, LESION = 1, 2
"""Labels in ``regions/``."""
WHITE = 65535
"""The stored number that stands for 1: sixteen bits keep more than any scanner measures."""


class PrepareSettings(StrictModel):
    """How cases are prepared. Defaults: the published grid."""

    sequences: tuple[SequenceName, ...] = Field(("t2w",), min_length=1)
    shape: tuple[int, int, int] = (256, 256, 128)
    spacing: tuple[float, float, float] = (0.5, 0.5, 0.5)
    centre: Literal["gland", "image"] = Field("gland", description="the gland's where there is a mask of it")
    scaling: Literal["published", "none"] = Field("published", description="none: voxels lie in 0 … 1 already")

    def intensity_range(self, sequence: SequenceName) -> tuple[float, float]:
        """What 0 and 1 stand for in a prepared volume."""
        return scaled_range(sequence) if self.scaling == "published" else (0.0, 1.0)


class PreparedCase(StrictModel):
    """A line of ``cases.jsonl``."""

    id: str
    patient: str
    split: Split
    pathology: Pathology
    pirads: PiRads | None
    reports: tuple[str, ...]
    report_source: ReportSource
    fields: StructuredFields | None
    source_spacing_mm: tuple[float, float, float]
    source_shape: tuple[int, int, int]
    has_regions: bool
    sha256: dict[str, str]
    """By path in the folder, with forward slashes."""


class PreparedIndex(StrictModel):
    """What ``prepared.json`` holds."""

    format: Literal["ccella-prepared"] = "ccella-prepared"
    format_version: Literal[1] = 1
    settings: PrepareSettings
    software: str = f"ccella-core {__version__}"


class PreparedSet:
    """The prepared cases of a folder."""

    def __init__(self, folder: Path, settings: PrepareSettings, cases: tuple[PreparedCase, ...]) -> None:
        self.folder, self.settings, self.cases = folder, settings, cases

    @classmethod
    def open(cls, folder: Path) -> PreparedSet:
        """Raises InputError where the folder was not prepared, or cannot be read."""
        if not (folder / CASES_NAME).is_file():
            raise InputError(f"{folder} holds no prepared cases; make them with `ccella prepare`.")
        try:
            index = PreparedIndex.model_validate_json((folder / INDEX_NAME).read_bytes())
            lines = (folder / CASES_NAME).read_text(encoding="utf-8").splitlines()
            cases = tuple(PreparedCase.model_validate_json(line) for line in lines if line.strip())
        except (OSError, UnicodeDecodeError, ValidationError) as error:
            raise InputError(f"The prepared cases in {folder} cannot be read ({error}); prepare them again.") from error
        return cls(folder, index.settings, cases)

    def split(self, name: Split) -> list[PreparedCase]:
        return [case for case in self.cases if case.split == name]

    def voxels(self, case: PreparedCase, sequence: SequenceName) -> np.ndarray:
        """(X, Y, Z) float32 in 0 … 1. Raises InputError where the file is missing, damaged or not prepared."""
        return self._read(volume_path(case.id, sequence), case).astype(np.float32) / WHITE

    def regions(self, case: PreparedCase) -> tuple[np.ndarray, np.ndarray] | None:
        """Gland (the lesion within it too) and lesion, (X, Y, Z) bool; ``None`` where there were no masks."""
        if not case.has_regions:
            return None
        labels = self._read(regions_path(case.id), case)
        return labels > 0, labels == LESION

    def _read(self, name: str, case: PreparedCase) -> np.ndarray:
        if name not in case.sha256:
            raise InputError(f"{case.id} was prepared without {name}; prepare the cases again with that sequence.")
        path = self.folder / name
        try:
            image = nib.Nifti1Image.from_filename(path, mmap=False)
            return np.asarray(image.dataobj.get_unscaled())  # type: ignore[attr-defined]
        except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
            raise InputError(f"{path} is missing or damaged ({error}); prepare the cases again.") from error

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the settings and with anything in any case."""
        digest = hashlib.sha256(self.settings.model_dump_json().encode())
        for case in sorted(self.cases, key=lambda each: each.id):
            digest.update(case.model_dump_json().encode())
        return digest.hexdigest()[:16]


def volume_path(case: str, sequence: SequenceName) -> str:
    return f"{VOLUMES}/{case}_{sequence}.nii.gz"


def regions_path(case: str) -> str:
    return f"{REGIONS}/{case}.nii.gz"


def picture_path(case: str) -> str:
    return f"{PICTURES}/{case}.png"


def write_index(folder: Path, settings: PrepareSettings) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / INDEX_NAME) as unfinished:
        unfinished.write_text(PreparedIndex(settings=settings).model_dump_json(indent=2) + "\n", encoding="utf-8")


def write_cases(folder: Path, cases: list[PreparedCase]) -> None:
    with whole_file(folder / CASES_NAME) as unfinished:
        unfinished.write_text("".join(case.model_dump_json() + "\n" for case in cases), encoding="utf-8", newline="\n")
