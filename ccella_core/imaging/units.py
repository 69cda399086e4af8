"""What voxels that are scaled to 0 … 1 stand for."""

from __future__ import annotations

from ccella_core.provenance import SequenceName

ADC_RANGE = (0.0, 3000.0)
"""In 10⁻⁶ mm²/s: an apparent diffusion coefficient has units, and 3000 is that of free water at body temperature."""


def scaled_range(sequence: SequenceName) -> tuple[float, float]:
    """What 0 and 1 stand for in a scaled volume: 10⁻⁶ mm²/s for adc; the others have no unit."""
    return ADC_RANGE if sequence == "adc" else (0.0, 1.0)
