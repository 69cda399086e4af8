"""Arguments of a generation, checked before anything slow begins."""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral, Real

import torch

from ccella_core.errors import InputError
from ccella_core.generation.sampling import NUM_SEEDS

MAX_COUNT = 64
"""Volumes a call: they are all held in memory, and a longer list is better made in several calls."""
CHOSEN_SEEDS = 2**32
"""A seed that nobody gave lies below this: short enough to be copied by hand."""
MAX_SPACING_MM = 100.0
"""A voxel longer than this is surely a mistake of units."""
_CPU_MEMORY_WORDS = ("can't allocate memory", "not enough memory")


def checked_seeds(seed: int | None, count: int) -> list[int]:
    """``seed``, ``seed + 1``, … for ``count`` volumes; ``None`` draws a new first one.

    Raises:
        InputError: a count outside 1 … MAX_COUNT, or a seed (or the last that follows) outside 0 … 2**63 - 1.
    """
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_COUNT:
        raise InputError(f"The count is a whole number from 1 to {MAX_COUNT}, not {count!r}; for more, call again.")
    first = secrets.randbelow(CHOSEN_SEEDS) if seed is None else seed
    if isinstance(first, bool) or not isinstance(first, int) or not 0 <= first <= NUM_SEEDS - count:
        raise InputError(f"A seed is a whole number from 0 to 2**63 - {count}, not {seed!r}.")
    return list(range(first, first + count))


def checked_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Three whole numbers, of Python's or NumPy's kind, as Python's; the rest is ``check_volume_shape``'s to say."""
    try:
        return tuple(int(size) if isinstance(size, Integral) and not isinstance(size, bool) else size for size in shape)
    except TypeError as error:
        raise InputError(f"A volume's shape is three whole numbers of voxels, not {shape!r}.") from error


def checked_spacing(spacing: Sequence[float]) -> tuple[float, float, float]:
    """Three lengths in mm.

    Raises:
        InputError: not three, not numbers, not positive, or above MAX_SPACING_MM.
    """
    try:
        x, y, z = spacing
    except (TypeError, ValueError) as error:
        raise InputError(f"The spacing is three lengths in mm, not {spacing!r}.") from error
    for length in (x, y, z):
        # NaN fails the comparison.
        if not isinstance(length, Real) or not 0 < length <= MAX_SPACING_MM:
            raise InputError(f"Each spacing is above 0 and at most {MAX_SPACING_MM:g} mm, not {length!r}.")
    return float(x), float(y), float(z)


def checked_guidance(scale: float) -> float:
    """Raises InputError unless ``scale`` is a finite number from 0 up."""
    if isinstance(scale, bool) or not isinstance(scale, Real) or not (math.isfinite(scale) and scale >= 0):
        raise InputError(f"The guidance scale is a number from 0 up, not {scale!r}.")
    return float(scale)


@contextmanager
def memory_explained() -> Iterator[None]:
    """Turn the many ways in which memory runs out into one ``InputError`` that says what to do."""
    try:
        yield
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        raise InputError(_OUT_OF_MEMORY) from error
    except RuntimeError as error:  # torch has no class of its own for the CPU's
        if any(words in str(error) for words in _CPU_MEMORY_WORDS):
            raise InputError(_OUT_OF_MEMORY) from error
        raise


_OUT_OF_MEMORY = "There is not enough memory for this; ask for a smaller volume or use another device."
