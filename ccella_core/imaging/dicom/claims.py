"""What DICOM images say of their series that their places and voxels do not bear out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

FITTING_MODALITIES = ("MR", "OT", "SEG", "")
"""OT: what a program converted says of itself."""
TOLERANCE = 0.05
"""Share of a distance by which another one may differ from it: headers round."""
WIDE_GAP = 1.95
"""Slice thicknesses between the middles of slices from which every second slice may be missing: gaps are narrower."""


@dataclass(frozen=True)
class Claims:
    """What an image says of itself and of the series that it belongs to; ``None`` where it says nothing."""

    modality: str
    number: int | None
    """In its series, *Instance Number*."""
    announced: int | None
    """Images that the acquisition has."""
    distance: float | None
    """mm between the middles of neighbouring slices."""
    thickness: float | None
    """Of a slice in mm."""
    unused_bits: int
    """Below the lowest that is used: numbers are too large by two to the power of these."""

    @property
    def step(self) -> float | None:
        """From a slice to the next in mm, as far as it is said."""
        return self.distance or self.thickness


def claims_of(data: Any, distance: float | None, thickness: float | None) -> Claims:
    """Of a file's header; ``distance`` and ``thickness`` may stand in a frame's own groups."""
    allocated, stored, highest = (_whole(data.get(name)) for name in ("BitsAllocated", "BitsStored", "HighBit"))
    unused = 0
    if allocated and stored and highest is not None and stored <= highest < allocated:
        unused = highest - stored + 1
    return Claims(
        modality=str(data.get("Modality", "") or "").strip().upper(),
        number=_whole(data.get("InstanceNumber")),
        announced=_whole(data.get("ImagesInAcquisition")),
        distance=distance if distance and distance > 0 else None,
        thickness=thickness if thickness and thickness > 0 else None,
        unused_bits=unused,
    )


def not_borne_out(claims: Sequence[Claims], step: float, path: Path) -> Iterator[str]:
    """A sentence for each thing that is odd, and usable.

    Args:
        claims: one an image, from the lowest place up.
        step: mm from a slice to the next, as their places have it.
        path: what the sentences call the scan.
    """
    first, name = claims[0], path.name
    if first.modality not in FITTING_MODALITIES:
        yield f"{name} is of the modality {first.modality}, as it says itself, and no MR."
    if first.announced and len(claims) < first.announced:
        yield (
            f"{name} has {len(claims)} slices, and its header says that {first.announced} images were acquired; "
            "look whether some are missing."
        )
    if first.distance and abs(step - first.distance) > TOLERANCE * first.distance:
        yield f"The slices of {name} lie {step:.2f} mm apart, and its header says {first.distance:.2f} mm."
    elif not first.distance and first.thickness and step > WIDE_GAP * first.thickness:
        yield (
            f"The slices of {name} lie {step:.2f} mm apart and are {first.thickness:.2f} mm thick, as its header says; "
            "look whether every second one is missing."
        )
    numbers = [each.number for each in claims if each.number is not None]
    jumps = {abs(after - before) for before, after in pairwise(numbers)}
    if len(numbers) == len(claims) > 2 and len(jumps) == 1 and min(jumps) == 2:
        yield f"The images of {name} have every second number; look whether every second slice is missing."
    if first.unused_bits:
        yield (
            f"The numbers of {name} are {2**first.unused_bits} times too large, or its header is wrong: their lowest "
            f"{first.unused_bits} bits are unused, as it says."
        )


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
