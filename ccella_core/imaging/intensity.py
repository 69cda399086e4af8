"""Intensities in 0 … 1, by the published rule for each sequence (paper, section "Data preprocessing")."""

from __future__ import annotations

import numpy as np

from ccella_core.errors import InputError
from ccella_core.imaging.raw_files import OnWarning
from ccella_core.provenance import SequenceName

PERCENTILES = (0.0, 99.5)
"""Of a scan in arbitrary units (t2w, hbv): the brightest voxels are vessels and artefacts."""
ADC_RANGE = (0.0, 3000.0)
"""In 10⁻⁶ mm²/s: an apparent diffusion coefficient has units, and 3000 is that of free water at body temperature."""
ADC_MEDIAN = (100.0, 5000.0)
"""Of the voxels above 0, in the same unit: tissue has 500 to 2000, and air is noise."""
ADC_UNITS = ((1e6, "mm²/s"), (1e3, "10⁻³ mm²/s"))
ADC_OF_WATER = 1200.0
"""What the highest voxel of an ADC in a known unit reaches at least; less, and it may have been scaled."""
MOST_PADDINGS = 3
PADDING_SHARE = 0.005
"""Of bright voxels of one value, beyond which the upper percentile meets them."""
NOTICEABLE = 0.01
"""Share of the range of a scan: less is what interpolation overshoots."""


def without_padding(voxels: np.ndarray, on_warning: OnWarning, name: str = "scan") -> tuple[np.ndarray, np.ndarray]:
    """A scan whose padding, a number that stands for "nothing here", is set to its lowest real value.

    A magnitude is never negative: one negative number alone below all others is padding, as is any number farther from
    the rest than the rest is wide.

    Args:
        voxels: of any shape.
        on_warning: hears of padding.
        name: for the warning.

    Returns:
        The voxels, and which of them are real, bool.
    """
    real = np.ones(voxels.shape, bool)
    for _ in range(MOST_PADDINGS):
        value = _padding(voxels[real])
        if value is None:
            break
        is_padding = voxels == value
        left = voxels[real & ~is_padding]
        if abs(value - np.clip(value, left.min(), left.max())) > NOTICEABLE * (float(left.max()) - float(left.min())):
            on_warning(f"{is_padding.mean():.0%} of the {name}'s voxels are padding ({value:g}) and were left out.")
        real &= ~is_padding
    if real.all():
        return voxels, real
    return np.where(real, voxels, voxels[real].min()), real


def _padding(real: np.ndarray) -> float | None:
    """A number that stands apart at one end, or ``None``."""
    if not real.size or real.min() == real.max():
        return None
    lowest, highest = float(real.min()), float(real.max())
    above, below = real[real > lowest], real[real < highest]
    second, last_but_one = float(above.min()), float(below.max())
    if lowest < 0 and (second >= 0 or second - lowest > highest - second) and len(above) > 1 and second < highest:
        return lowest
    is_frequent = real.size - below.size > PADDING_SHARE * real.size
    if is_frequent and last_but_one > lowest and highest - last_but_one > last_but_one - lowest:
        return highest
    return None


def adc_in_units(voxels: np.ndarray, on_warning: OnWarning) -> np.ndarray:
    """An ADC map in 10⁻⁶ mm²/s, whatever power of ten it was written in.

    Args:
        voxels: of any shape.
        on_warning: hears of another unit.

    Raises:
        InputError: its numbers fit no unit for certain.
    """
    positive = voxels[voxels > 0]
    if not positive.size:
        return voxels
    median, highest = float(np.median(positive)), float(positive.max())
    if ADC_MEDIAN[0] <= median <= ADC_MEDIAN[1]:
        return voxels
    for factor, unit in ADC_UNITS:
        if ADC_MEDIAN[0] <= median * factor <= ADC_MEDIAN[1] and highest * factor >= ADC_OF_WATER:
            on_warning(f"The adc is in {unit} (its median is {median:.3g}) and was brought to 10⁻⁶ mm²/s.")
            return voxels.astype(np.float32) * np.float32(factor)
    raise InputError(
        f"The adc has a median of {median:.3g} and a highest value of {highest:.3g}; in 10⁻⁶ mm²/s tissue has 500 to "
        "2000. In which unit is it? Save it again in 10⁻⁶ mm²/s."
    )


def intensity_range(voxels: np.ndarray, sequence: SequenceName) -> tuple[float, float]:
    """The values of a whole scan that become 0 and 1.

    Args:
        voxels: the real ones, without padding; of any shape.
        sequence: adc is scaled by its unit, the others by percentiles.

    Raises:
        InputError: there is a NaN or infinity, or nothing but one value.
    """
    if not np.isfinite(voxels).all():
        raise InputError(f"The {sequence} scan has voxels that are NaN or infinite.")
    low, high = ADC_RANGE if sequence == "adc" else np.percentile(voxels, PERCENTILES)
    if not low < high or voxels.min() == voxels.max():
        raise InputError(f"The {sequence} scan is the same everywhere ({voxels.min():g}).")
    return float(low), float(high)


def scaled_range(sequence: SequenceName) -> tuple[float, float]:
    """What 0 and 1 stand for in a scaled volume: 10⁻⁶ mm²/s for adc; the others have no unit."""
    return ADC_RANGE if sequence == "adc" else (0.0, 1.0)


def scaled(voxels: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    """Voxels with ``limits`` at 0 and 1 and everything beyond cut off, float32."""
    low, high = limits
    return np.clip((voxels.astype(np.float32) - low) / (high - low), 0, 1)
