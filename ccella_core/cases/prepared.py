"""A folder of prepared cases: volumes on one grid in 0 … 1, with reports, classes and splits.

``prepared.json`` (settings), ``cases.jsonl`` (a line a case), ``volumes/`` and ``regions/`` (NIfTI, in any viewer),
``pictures/``, ``quality.html``.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import nibabel as nib
import numpy as np
from pydantic import Field, ValidationError, field_validator

from ccella_core import __version__
from ccella_core.cases.case import PiRads, PositiveMeans, ReportSource, Split, StructuredFields
from ccella_core.config import StrictModel, sentence_of
from ccella_core.errors import InputError
from ccella_core.files import read_bytes, read_text, sha256_of, write_json, write_text
from ccella_core.imaging.intensity import scaled_range
from ccella_core.limits import is_file_name
from ccella_core.phantom.findings import Pathology
from ccella_core.provenance import LabelName, SequenceName

INDEX_NAME, CASES_NAME = "prepared.json", "cases.jsonl"
VOLUMES, REGIONS, PICTURES, STATE = "volumes", "regions", "pictures", "state"
GLAND, LESION = 1, 2
"""Labels in ``regions/``."""
WHITE = 65535
"""The stored number that stands for 1: sixteen bits keep more than any scanner measures."""


Voxels = Annotated[int, Field(ge=1, le=1024)]
Spacing = Annotated[float, Field(ge=0.05, le=50, allow_inf_nan=False, description="mm")]


class PrepareSettings(StrictModel):
    """How cases are prepared. Defaults: the published grid."""

    sequences: tuple[SequenceName, ...] = Field(("t2w",), min_length=1)
    grid: Literal["crop", "whole"] = Field(
        "crop", description="crop: of `spacing`; whole: the whole field of view in `shape` voxels, a spacing a case"
    )
    shape: tuple[Voxels, Voxels, Voxels] = (256, 256, 128)
    spacing: tuple[Spacing, Spacing, Spacing] = (0.5, 0.5, 0.5)
    centre: Literal["gland", "image"] = Field("gland", description="the gland's where there is a mask of it")
    scaling: Literal["published", "none"] = Field("published", description="none: voxels lie in 0 … 1 already")

    @field_validator("sequences")
    @classmethod
    def _each_once(cls, value: tuple[SequenceName, ...]) -> tuple[SequenceName, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a sequence is named twice")
        return value

    def identity(self) -> str:
        """JSON of all that makes a difference: as before there was a choice of grids, where it is the first."""
        return self.model_dump_json(exclude={"grid"} if self.grid == "crop" else {"spacing", "centre"})

    def intensity_range(self, sequence: SequenceName) -> tuple[float, float]:
        """What 0 and 1 stand for in a prepared volume."""
        return scaled_range(sequence) if self.scaling == "published" else (0.0, 1.0)


PREPARE_PRESETS: dict[str, dict[str, Any]] = {
    "published": {"grid": "whole"},
    "published++": {"grid": "whole", "sequences": ("t2w", "hbv", "adc")},
}
"""How the cases of CCELLA and of CCELLA++ are prepared, where that differs from the defaults."""


class PreparedCase(StrictModel):
    """A line of ``cases.jsonl``."""

    id: str
    patient: str
    split: Split
    pathology: Pathology | None
    """``None``: unknown, which is not the same as negative."""
    pirads: PiRads | None
    reports: tuple[str, ...]
    report_source: ReportSource
    fields: StructuredFields | None
    source_spacing_mm: tuple[float, float, float]
    source_shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float] | None = None
    """Of its voxels, where each case has its own; ``None``: that of the settings."""
    has_regions: bool
    knows_lesion: bool = False
    """Whether a lesion was outlined, or an empty mask said that there is none."""
    sha256: dict[str, str]
    """By path in the folder, with forward slashes."""
    positive_means: PositiveMeans = "pirads"
    warnings: tuple[str, ...] = ()
    """What was odd about its scans or its line in the source, in sentences."""

    @field_validator("id")
    @classmethod
    def _id_is_a_file_name(cls, value: str) -> str:
        if not is_file_name(value):  # the table may have been altered by hand
            raise ValueError(f"{value[:60]!r} cannot be the name of a case: it could lead out of the folder")
        return value

    @property
    def positive(self) -> bool | None:
        """The class; ``None`` where it is unknown."""
        return None if self.pathology is None else self.pathology == "positive"


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
            index = PreparedIndex.model_validate_json(read_bytes(folder / INDEX_NAME))
            # Not splitlines: reports may hold rarer line ends.
            lines = read_text(folder / CASES_NAME).split("\n")
            cases = tuple(PreparedCase.model_validate_json(line) for line in lines if line.strip())
        except ValidationError as error:
            raise InputError(
                f"The prepared cases in {folder} cannot be read ({sentence_of(error, private=True)}); prepare "
                "them again."
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"The prepared cases in {folder} cannot be read ({error}); prepare them again.") from error
        names = Counter(case.id.casefold() for case in cases)
        if twice := [name for name, count in names.items() if count > 1]:
            raise InputError(f"The case {twice[0]} stands twice in {folder / CASES_NAME}; prepare the cases again.")
        return cls(folder, index.settings, cases)

    def spacing_of(self, case: PreparedCase) -> tuple[float, float, float]:
        """Of the voxels of a case, mm."""
        return case.spacing_mm or self.settings.spacing

    @property
    def spacing(self) -> tuple[float, float, float]:
        """That of all cases, mm; where each has its own, the median along each axis."""
        x, y, z = np.median([self.spacing_of(case) for case in self.cases] or [self.settings.spacing], axis=0).tolist()
        return x, y, z

    @property
    def one_spacing(self) -> tuple[float, float, float]:
        """That of all cases, mm. Raises InputError where each has its own."""
        if self.settings.grid == "whole":
            raise InputError(
                f"The cases in {self.folder} have a spacing each (`--grid whole`), and what is measured needs one for "
                "all; prepare them once more in another folder with `--grid crop` and the spacing of the volumes that "
                "they are compared with."
            )
        return self.settings.spacing

    @property
    def positive_means(self) -> tuple[PositiveMeans, ...]:
        """What the sources of the cases take for positive: one meaning, or a mixture."""
        known = [case for case in self.cases if case.pathology is not None]
        return tuple(sorted({case.positive_means for case in known or self.cases}))

    def split(self, name: Split) -> list[PreparedCase]:
        """The cases of a split."""
        return [case for case in self.cases if case.split == name]

    def has(self, case: PreparedCase, part: SequenceName | LabelName) -> bool:
        """Whether a case has a sequence, or its masks tell the truth about a label."""
        if part == "gland":
            return case.has_regions
        if part == "lesion":
            return case.knows_lesion
        return volume_path(case.id, part) in case.sha256

    def part(self, case: PreparedCase, part: SequenceName | LabelName) -> np.ndarray:
        """The volume of a sequence, or a label's mask as a volume: (X, Y, Z) float32 in 0 … 1.

        Raises:
            InputError: the file is missing or damaged, or the case does not have the part.
        """
        if part not in get_args(LabelName):
            return self.voxels(case, part)  # type: ignore[arg-type]
        regions = self.regions(case) if self.has(case, part) else None
        if regions is None:
            raise InputError(f"What is {part} in {case.id} is not known.")
        return regions[get_args(LabelName).index(part)].astype(np.float32)

    def voxels(self, case: PreparedCase, sequence: SequenceName) -> np.ndarray:
        """(X, Y, Z) float32 in 0 … 1. Raises InputError where the file is missing, damaged or not prepared."""
        return self._read(volume_path(case.id, sequence), case).astype(np.float32) / WHITE

    def check_volumes(self, cases: Iterable[PreparedCase], sequences: Iterable[SequenceName]) -> None:
        """Raises InputError unless a file is there for every case and sequence; none is read."""
        for case, sequence in itertools.product(cases, sequences):
            if not self._path(volume_path(case.id, sequence), case).is_file():
                raise InputError(f"{self.folder / volume_path(case.id, sequence)} is missing; prepare the cases again.")

    def regions(self, case: PreparedCase) -> tuple[np.ndarray, np.ndarray] | None:
        """Gland (the lesion within it too) and lesion, (X, Y, Z) bool; ``None`` where there were no masks."""
        if not case.has_regions:
            return None
        labels = self._read(regions_path(case.id), case)
        return labels > 0, labels == LESION

    def _read(self, name: str, case: PreparedCase) -> np.ndarray:
        path = self._path(name, case)
        try:
            altered = sha256_of(path) != case.sha256[name]
            image = nib.Nifti1Image.from_filename(path, mmap=False)
            stored = np.asarray(image.dataobj.get_unscaled())  # type: ignore[attr-defined]
        except Exception as error:  # nibabel raises whatever its parser meets
            raise InputError(f"{path} is missing or damaged ({error}); prepare the cases again.") from error
        if altered:
            raise InputError(f"{path} was altered since {case.id} was prepared; prepare the cases again.")
        if stored.shape != self.settings.shape:
            raise InputError(f"{path} has {stored.shape} voxels, not {self.settings.shape}; prepare the cases again.")
        return stored

    def _path(self, name: str, case: PreparedCase) -> Path:
        if name not in case.sha256:
            raise InputError(f"{case.id} was prepared without {name}; prepare the cases again with that sequence.")
        return self.folder / name

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with the settings and with anything in any case."""
        digest = hashlib.sha256(self.settings.identity().encode())
        for case in sorted(self.cases, key=lambda each: each.id):
            without = {"spacing_mm"} if case.spacing_mm is None else None
            digest.update(case.model_dump_json(exclude=without).encode())
        return digest.hexdigest()[:16]


def volume_path(case: str, sequence: SequenceName) -> str:
    """Where a case's volume lies in the folder."""
    return f"{VOLUMES}/{case}_{sequence}.nii.gz"


def regions_path(case: str) -> str:
    """Where a case's masks lie in the folder."""
    return f"{REGIONS}/{case}.nii.gz"


def picture_path(case: str) -> str:
    """Where a case's picture lies in the folder."""
    return f"{PICTURES}/{case}.png"


def write_index(folder: Path, settings: PrepareSettings) -> None:
    """Write the settings. Raises SaveError."""
    write_json(folder / INDEX_NAME, PreparedIndex(settings=settings))


def write_cases(folder: Path, cases: list[PreparedCase]) -> None:
    """Write a line a case, readable by the owner alone. Raises SaveError."""
    write_text(folder / CASES_NAME, "".join(case.model_dump_json() + "\n" for case in cases), private=True)
