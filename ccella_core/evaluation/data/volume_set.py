"""Sets of volumes to measure, wherever they come from: prepared cases, synthetic cases, or images in a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.cases.case import RejectedCase, Split
from ccella_core.cases.prepared import CASES_NAME, PreparedSet
from ccella_core.config import shorten
from ccella_core.errors import InputError
from ccella_core.evaluation.data.synthetic_set import is_synthetic_set, read_table
from ccella_core.files import sha256_of
from ccella_core.imaging.itk_files import meta_geometry
from ccella_core.imaging.label_map import is_label_map
from ccella_core.imaging.nifti import is_nifti, nifti_geometry
from ccella_core.imaging.nrrd import nrrd_geometry
from ccella_core.imaging.orientation import affine_of, is_upright
from ccella_core.imaging.raw_files import first_bytes
from ccella_core.imaging.scans import IMAGE_SUFFIXES, LENGTH_OF_START, SPACING_TOLERANCE, read_scan
from ccella_core.phantom.findings import Pathology
from ccella_core.progress import OnProgress
from ccella_core.provenance import SequenceName

INTENSITY_SLACK = 0.1
"""Beyond 0 … 1: what a network overshoots; more means other units."""
UPRIGHT_TOLERANCE = 1e-3
"""Of the directions: what a rounded header leaves."""
SPACING_DECIMALS = 2
"""Of millimetres, by which announced spacings are alike."""


@dataclass(frozen=True)
class VolumeRecord:
    """One volume of a set.

    ``case`` and ``patient`` say whose it is, or for a synthetic one from whose report it was made. ``pathology`` is the
    case's own class, ``predicted`` what a model read from the report; ``None`` where that is not known.
    """

    id: str
    case: str
    patient: str
    split: Split | None
    pathology: Pathology | None
    predicted: Pathology | None
    predicted_positive_probability: float | None
    seed: int | None
    read: Callable[[], np.ndarray]
    """Voxels (X, Y, Z), of several channels (C, X, Y, Z), float32 and RAS+, in 0 … 1 but for INTENSITY_SLACK."""


class VolumeSet:
    """Volumes of a sequence, or of several as channels, all of one shape and spacing; ``left_out``: the unusable.

    Where files differ in shape or spacing, what most of them have counts.
    """

    def __init__(
        self,
        name: str,
        members: list[VolumeRecord],
        shape: tuple[int, int, int],
        spacing: tuple[float, float, float],
        left_out: Sequence[RejectedCase] = (),
        channels: int = 1,
    ) -> None:
        self.name, self.members, self.shape, self.spacing = name, members, shape, spacing
        self.left_out, self.channels = tuple(left_out), channels

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[VolumeRecord]:
        return iter(self.members)

    @property
    def training_count(self) -> int:
        """Volumes of the split train."""
        return sum(member.split == "train" for member in self.members)

    def voxels(self, index: int) -> np.ndarray:
        """(X, Y, Z), of several channels (C, X, Y, Z), float32 in 0 … 1, a slight overshoot clipped.

        Raises:
            InputError: the file is missing or damaged, or holds NaN, another shape, or other units.
        """
        member = self.members[index]
        voxels = np.asarray(member.read(), dtype=np.float32)
        if voxels.shape[-3:] != self.shape:
            raise InputError(
                f"{member.id} has {format_shape(voxels.shape)} voxels and most of {self.name} "
                f"{format_shape(self.shape)}: the volumes of a set must have one shape; prepare them with "
                "`ccella prepare`."
            )
        if not np.isfinite(voxels).all():
            raise InputError(f"{member.id} in {self.name} holds NaN or infinite voxels; remove it.")
        if voxels.min() < -INTENSITY_SLACK or voxels.max() > 1 + INTENSITY_SLACK:
            raise InputError(
                f"{member.id} in {self.name} has intensities from {voxels.min():g} to {voxels.max():g} where 0 to 1 is "
                "expected; bring it there with `ccella prepare`."
            )
        return voxels.clip(0, 1)

    def checked(self, progress: OnProgress | None = None) -> VolumeSet:
        """The same set without volumes that cannot be used, after all have been read once.

        Raises:
            InputError: none is left.
        """
        usable, left_out = [], list(self.left_out)
        for index, member in enumerate(self.members):
            try:
                self.voxels(index)
                usable.append(member)
            except InputError as error:
                left_out.append(RejectedCase(member.id, str(error)))
            if progress is not None:
                progress(index + 1, len(self))
        if not usable:
            raise InputError(f"No volume in {self.name} can be used ({left_out[0].reason}).")
        return VolumeSet(self.name, usable, self.shape, self.spacing, left_out, self.channels)

    @property
    def left_out_words(self) -> tuple[str, ...]:
        """What to say of volumes that were left out, in a sentence where there are any."""
        if not self.left_out:
            return ()
        names = shorten([each.id for each in self.left_out])
        return (f"{len(self.left_out)} volumes in {self.name} cannot be used and were left out: {names}.",)

    @property
    def without(self) -> str:
        """Words for a sentence that says that there are too few: how many were left out, and why the first was."""
        count = len(self.left_out)
        return f"; {count} cannot be used, the first: {self.left_out[0].reason.rstrip('.')}" if count else ""

    def volumes(self) -> Iterator[np.ndarray]:
        """One after the other, as ``voxels`` gives them."""
        return (self.voxels(index) for index in range(len(self)))


def open_volume_set(folder: Path, *, sequence: SequenceName = "t2w", split: Split | None = None) -> VolumeSet:
    """The volumes in a folder of `ccella prepare`, of `ccella synthesize`, or of image files (upright, RAS+, 0 … 1).

    Args:
        folder: one of the three.
        sequence: of prepared or synthetic cases; files of a plain folder are all taken, but for label maps.
        split: only the cases of this split.

    Raises:
        InputError: nothing there, nothing of that split or sequence, or a volume that is not upright in RAS+.
    """
    if not folder.is_dir():
        raise InputError(f"There is no folder {folder}.")
    if (folder / CASES_NAME).is_file():
        return _of_prepared(folder, sequence, split)
    if is_synthetic_set(folder):
        return _of_synthetic(folder, sequence, split)
    if split is not None:
        raise InputError(f"{folder} holds plain images, which have no splits.")
    visible = (path for path in folder.iterdir() if not path.name.startswith("."))  # macOS leaves ._NAME beside files
    images = (path for path in visible if path.name.lower().endswith(IMAGE_SUFFIXES))
    return _of_images(folder, sorted(path for path in images if not is_label_map(path)))


def _of_prepared(folder: Path, sequence: SequenceName, split: Split | None) -> VolumeSet:
    prepared = PreparedSet.open(folder)
    members = [
        VolumeRecord(
            id=case.id,
            case=case.id,
            patient=case.patient,
            split=case.split,
            pathology=case.pathology,
            predicted=None,
            predicted_positive_probability=None,
            seed=None,
            read=lambda case=case: prepared.voxels(case, sequence),  # type: ignore[misc]
        )
        for case in prepared.cases
        if split in (None, case.split) and prepared.has(case, sequence)
    ]
    if not members:
        raise InputError(f"There are no cases{of_split(split)} with {sequence} in {folder}.")
    return VolumeSet(str(folder), members, prepared.settings.shape, prepared.one_spacing)


def _of_synthetic(folder: Path, sequence: SequenceName, split: Split | None) -> VolumeSet:
    rows = [row for row in read_table(folder) if row.sequence == sequence and split in (None, row.split)]
    if not rows:
        raise InputError(f"There are no {sequence} volumes{of_split(split)} in {folder}.")
    shape, spacing = _geometry_of_most([folder / row.path for row in rows])
    members = [
        VolumeRecord(
            id=row.id,
            case=row.case,
            patient=row.patient,
            split=row.split,
            pathology=row.pathology,
            predicted=row.predicted_pathology,
            predicted_positive_probability=row.predicted_positive_probability,
            seed=row.seed,
            read=lambda row=row: _read_made(folder / row.path, spacing, row.sha256),  # type: ignore[misc]
        )
        for row in rows
    ]
    return VolumeSet(str(folder), members, shape, spacing)


def _of_images(folder: Path, paths: list[Path]) -> VolumeSet:
    if not paths:
        raise InputError(f"There are no images in {folder}: {', '.join(IMAGE_SUFFIXES)} are read.")
    shape, spacing = _geometry_of_most(paths)
    members = [
        VolumeRecord(
            id=path.name,
            case=path.name,
            patient=path.name,
            split=None,
            pathology=None,
            predicted=None,
            predicted_positive_probability=None,
            seed=None,
            read=lambda path=path: _read_alike(path, spacing),  # type: ignore[misc]
        )
        for path in paths
    ]
    return VolumeSet(str(folder), members, shape, spacing)


def _geometry_of_most(paths: list[Path]) -> tuple[tuple[int, int, int], tuple[float, float, float]]:
    """Of the first file that can be read, those that announce what most do before others.

    Raises the InputError of the first that was tried where none can be read.
    """
    announced = [_announced(path) for path in paths]
    counts = Counter(announced)
    counts[None] = 0
    first: InputError | None = None
    for _, path in sorted(zip(announced, paths, strict=True), key=lambda each: -counts[each[0]]):
        try:
            voxels, spacing = _read_upright(path)
        except InputError as error:
            first = first or error
        else:
            return voxels.shape, spacing  # type: ignore[return-value]
    assert first is not None
    raise first


def _announced(path: Path) -> tuple[float, ...] | None:
    """Size and spacing by a file's header, which is read in a moment; ``None`` where that is not simple."""
    try:
        start = first_bytes(path, LENGTH_OF_START)
        read = nifti_geometry if is_nifti(start) else nrrd_geometry if start.startswith(b"NRRD") else meta_geometry
        size, spacing = read(path)
    except (InputError, ValueError):  # which the reading of its voxels says better
        return None
    return (*size, *(round(float(each), SPACING_DECIMALS) for each in spacing))


def _read_alike(path: Path, spacing: tuple[float, float, float]) -> np.ndarray:
    voxels, own = _read_upright(path)
    if not np.allclose(own, spacing, rtol=SPACING_TOLERANCE):
        raise InputError(f"{path} has a spacing of {format_shape(own)} mm and most of its set {format_shape(spacing)}.")
    return voxels


def _read_made(path: Path, spacing: tuple[float, float, float], sha256: str) -> np.ndarray:
    """The same of a file that was made with its table. Raises InputError too where it was altered since."""
    try:
        if sha256_of(path) != sha256:
            raise InputError(f"{path} is not the file that its set's table names: its SHA-256 differs; make it again.")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}; make it again.") from error
    return _read_alike(path, spacing)


def _read_upright(path: Path) -> tuple[np.ndarray, tuple[float, float, float]]:
    image = read_scan(path)
    affine = affine_of(image)
    spacing = image.GetSpacing()
    if not is_upright(affine, tolerance=UPRIGHT_TOLERANCE):
        raise InputError(f"The axes of {path} do not run to the right, front and top (RAS+); use `ccella prepare`.")
    return sitk.GetArrayFromImage(image).transpose(2, 1, 0), spacing


def of_split(split: Split | None) -> str:
    """Words for a sentence; none where all splits are meant."""
    return "" if split is None else f" of the split {split}"


def format_shape(numbers: Iterable[float]) -> str:
    """As in 256 x 256 x 128."""
    return " x ".join(f"{number:g}" for number in numbers)
