"""A scan from DICOM images, of a folder or of one file: one image a place, sorted by place, even and unsheared."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ccella_core.errors import InputError
from ccella_core.imaging.dicom.claims import not_borne_out
from ccella_core.imaging.dicom.files import (
    COMMON,
    DIRECTORY,
    Frame,
    dicom_files,
    frames_of,
    is_dicom,
    refuse_probabilities,
    segment_names,
)
from ccella_core.imaging.dicom.padding import as_background
from ccella_core.imaging.dicom.series import series_headers
from ccella_core.imaging.orientation import RAS_FROM_LPS
from ccella_core.imaging.raw_files import OnWarning, check_size

UNEVEN_SLICES = 0.05
"""Share of the slice spacing by which slices may lie off before a series counts as incomplete."""
SAME_PLACE_MM = 0.01
SAME_DIRECTION = 1e-3
SAME_SPACING = 1e-3
SHEAR_MM = 0.25
"""By which a slice may lie beside the first one's normal: headers round."""
NAMES = 3
MOST_LOOKED_AT = 5000
"""Files below a folder without a series, to say where one is: somebody may give the root of a disk."""

AGAIN = "get the series as the scanner stored it"
"""What to do where a header does not say what a scan is."""


def read_dicom(path: Path, on_warning: OnWarning) -> tuple[np.ndarray, np.ndarray]:
    """The scan in a folder of one series, or in a multi-frame file.

    Args:
        path: folder or file.
        on_warning: hears what is odd and usable, such as copies.

    Returns:
        Voxels (X, Y, Z), the slices from the lowest place along their normal up; and the affine (4, 4) to RAS+ mm.

    Raises:
        InputError: no or several series, images missing, damaged, or not forming one right-angled scan.
    """
    frames = _frames(path)
    if frames[1]:
        raise InputError(f"{path} is a segmentation, not a scan; give it as a mask.")
    return _stacked(frames[0], path, on_warning)


def read_dicom_mask(path: Path, on_warning: OnWarning) -> tuple[np.ndarray, np.ndarray]:
    """The same for a mask; of a DICOM segmentation all segments together, uint8."""
    frames, are_segments = _frames(path)
    if not are_segments:
        return _stacked(frames, path, on_warning)
    files = sorted({frame.file for frame in frames})
    for file in files:
        refuse_probabilities(file)
    if len(names := [name for file in files for name in segment_names(file)]) > 1:
        on_warning(f"{path.name} has {len(names)} segments ({', '.join(names)}), which are taken together.")
    _check_alike(frames, path)
    places = _places(frames)
    groups = _by_place(places)
    heights = [places[group[0]] for group in groups]
    images = [np.any([frames[index].voxels != 0 for index in group], axis=0) for group in groups]
    step = frames[0].claims.step or min(np.diff(heights), default=1.0)
    numbers = [(height - heights[0]) / step for height in heights]
    if any(abs(number - round(number)) > UNEVEN_SLICES for number in numbers):
        raise InputError(f"The slices of the segments in {path} are not evenly spaced.")
    shape = (round(numbers[-1]) + 1, *images[0].shape)
    check_size(path, shape)
    voxels = np.zeros(shape, np.uint8)  # slices without a segment are not stored
    for number, image in zip(numbers, images, strict=True):
        voxels[round(number)] = image
    return voxels.transpose(2, 1, 0), _affine(frames[groups[0][0]], step)


def _frames(path: Path) -> tuple[list[Frame], bool]:
    if not path.is_dir():
        _, frames, are_segments = frames_of(path)
        return frames, are_segments
    files = dicom_files(path)
    if not files:
        below = _folder_below(path)
        where = f"there is one in {below}" if below else "give an image file, or the folder that one series lies in"
        raise InputError(f"There is no DICOM series in {path}; {where}.")
    series: set[str] = set()
    frames, kinds = [], set()
    for file in files:
        uid, images, are_segments = frames_of(file)
        series.add(uid)
        frames += images
        kinds.add(are_segments)
    if len(series) > 1:
        names = ", ".join(each.description or each.uid for each in series_headers(path))
        raise InputError(f"There are {len(series)} DICOM series in {path} ({names}); keep one in a folder.")
    return frames, kinds == {True}


def _folder_below(folder: Path) -> Path | None:
    """One that holds DICOM."""
    for path in sorted(itertools.islice(folder.rglob("*"), MOST_LOOKED_AT)):
        with suppress(InputError, OSError):  # what may not be opened
            if path.is_file() and path.name.upper() != DIRECTORY and is_dicom(path):
                return path.parent
    return None


def _stacked(frames: list[Frame], path: Path, on_warning: OnWarning) -> tuple[np.ndarray, np.ndarray]:
    _check_alike(frames, path)
    frames = _one_a_place(frames, path, on_warning)
    if len(frames) < 2:
        where = "give the folder that its series lies in" if path.is_file() else "its other slices are missing"
        raise InputError(f"{path} is one slice, not a three-dimensional scan; {where}.")
    places = _places(frames)
    step = _step(frames, places, path)
    if any(frame.is_negative for frame in frames):
        on_warning(f"{path.name} says that its high numbers are dark (MONOCHROME1); look whether it is a negative.")
    for sentence in not_borne_out([frame.claims for frame in frames], step, path):
        on_warning(sentence)
    voxels = np.stack([frame.voxels for frame in frames])
    voxels = as_background(voxels, [frame.padding for frame in frames], path, on_warning)
    return voxels.transpose(2, 1, 0), _affine(frames[0], step)


def _affine(first: Frame, step: float) -> np.ndarray:
    assert first.axes is not None and first.position is not None and first.spacing is not None
    affine = np.eye(4)
    normal = np.cross(first.axes[0], first.axes[1])
    affine[:3, :3] = RAS_FROM_LPS @ np.column_stack([*first.axes, normal]) * [*first.spacing, step]
    affine[:3, 3] = RAS_FROM_LPS @ first.position
    return affine


def _check_alike(frames: Sequence[Frame], path: Path) -> None:
    """Every frame has a place, and all have one size, one direction and one spacing."""
    lost = [frame.file.name for frame in frames if frame.position is None or frame.axes is None]
    if lost:
        raise InputError(
            f"{path} does not say where {len(lost)} of its {len(frames)} images lie ({_few(lost)}: no Image Position "
            f"or Orientation (Patient)); {AGAIN}."
        )
    usual = Counter(frame.voxels.shape for frame in frames).most_common(1)[0][0]
    if other := [frame for frame in frames if frame.voxels.shape != usual]:
        one, all_ = (" x ".join(map(str, shape[::-1])) for shape in (other[0].voxels.shape, usual))
        raise InputError(
            f"{_few([each.file.name for each in other])} in {path} has {one} voxels, the others {all_}; "
            "keep one series."
        )
    for number, what in enumerate(COMMON):
        several = {frame.belongs_to[number] for frame in frames} - {""}
        if len(several) > 1:
            raise InputError(f"The images in {path} are of {len(several)} {what}; keep those of one scan.")
    unscaled = [frame.file.name for frame in frames if not frame.is_scaled]
    if 0 < len(unscaled) < len(frames):
        raise InputError(
            f"{len(unscaled)} of the {len(frames)} images in {path} do not say how their numbers are scaled "
            f"({_few(unscaled)}: no Rescale Slope), and the others do; get the series as the scanner stored it."
        )
    for frame in frames:
        if frame.spacing is None or min(frame.spacing) <= 0:
            raise InputError(f"{frame.file} does not say how large its voxels are (no Pixel Spacing); {AGAIN}.")
        if abs(np.linalg.norm(frame.axes, axis=1) - 1).max() > SAME_DIRECTION:  # type: ignore[arg-type]
            raise InputError(f"{frame.file} has a direction that is none: its vectors are not of length 1; {AGAIN}.")
        if abs(np.dot(*frame.axes)) > SAME_DIRECTION:  # type: ignore[misc]
            raise InputError(f"{frame.file} has rows and columns that are not at right angles; {AGAIN}.")
    first = frames[0]
    for what, same in (
        ("lie in another direction", lambda each: np.abs(each.axes - first.axes).max() < SAME_DIRECTION),
        ("have another spacing", lambda each: np.allclose(each.spacing, np.array(first.spacing), rtol=SAME_SPACING)),
    ):
        if other := [frame for frame in frames if not same(frame)]:
            names = _few([each.file.name for each in other])
            raise InputError(f"{len(other)} of the {len(frames)} images in {path} {what} ({names}); keep one series.")


def _places(frames: Sequence[Frame]) -> list[float]:
    """Along the normal of the first, in mm."""
    normal = np.cross(*frames[0].axes)  # type: ignore[misc]
    return [float(frame.position @ normal) for frame in frames]  # type: ignore[operator]


def _by_place(places: Sequence[float]) -> list[list[int]]:
    """Which frames share a place, from the lowest up."""
    groups: list[list[int]] = []
    for index in np.argsort(places, kind="stable").tolist():
        if groups and abs(places[index] - places[groups[-1][0]]) < SAME_PLACE_MM:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def _one_a_place(frames: list[Frame], path: Path, on_warning: OnWarning) -> list[Frame]:
    """Sorted by place; copies are left out."""
    groups = [[frames[index] for index in group] for group in _by_place(_places(frames))]
    single = [_without_copies(group) for group in groups]
    counts = sorted({len(group) for group in single})
    if counts[-1] > 1:
        even = f"{counts[-1]} images at each place"
        count = even if len(counts) == 1 else f"{counts[0]} to {counts[-1]} images at a place"
        raise InputError(f"{path} has {count} ({_difference(single)}); keep one.")
    if copies := len(frames) - len(single):
        words = "1 copy of a slice, which was" if copies == 1 else f"{copies} copies of its slices, which were"
        on_warning(f"{path.name} holds {words} left out.")
    return [group[0] for group in single]


def _without_copies(group: list[Frame]) -> list[Frame]:
    kept: list[Frame] = []
    for frame in group:
        if not any(_is_copy(frame, each) for each in kept):
            kept.append(frame)
    return kept


def _is_copy(frame: Frame, other: Frame) -> bool:
    moved = frame.position - other.position  # type: ignore[operator]
    return bool(np.abs(moved).max() < SAME_PLACE_MM and np.array_equal(frame.voxels, other.voxels))


def _difference(groups: list[list[Frame]]) -> str:
    """What tells the images at one place from each other."""
    group = max(groups, key=len)
    for name in dict.fromkeys(name for frame in group for name in frame.facts):
        values = {frame.facts.get(name) for frame in group}
        if len(values) > 1:
            known = sorted((value for value in values if value is not None), key=lambda each: (str(type(each)), each))
            return f"{name} {', '.join(f'{each:g}' if isinstance(each, float) else str(each) for each in known)}"
    return f"which differ in their voxels alone: {_few([frame.file.name for frame in group])}"


def _step(frames: list[Frame], places: list[float], path: Path) -> float:
    """The distance of neighbouring slices in mm, once they are even and stand straight above each other."""
    steps = [after - before for before, after in itertools.pairwise(places)]
    typical = sorted(steps)[len(steps) // 2]
    if max(abs(step - typical) for step in steps) > UNEVEN_SLICES * typical:
        raise InputError(
            f"The slices in {path} are not evenly spaced ({min(steps):.2f} to {max(steps):.2f} mm): some are missing."
        )
    normal = np.cross(*frames[0].axes)  # type: ignore[misc]
    moved = np.array([frame.position - frames[0].position for frame in frames])  # type: ignore[operator]
    beside = np.linalg.norm(moved - np.outer(moved @ normal, normal), axis=1)
    if beside.max() > SHEAR_MM:
        raise InputError(
            f"The slices in {path} are shifted against each other, by {beside.max():.1f} mm from the first to the "
            "farthest (a tilted gantry, or a wrong export): resample the series onto a right-angled grid first."
        )
    return (places[-1] - places[0]) / (len(places) - 1)


def _few(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    return ", ".join(names[:NAMES]) + (f" and {len(names) - NAMES} more" if len(names) > NAMES else "")
