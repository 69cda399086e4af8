"""What the grey values and waves of a model's volumes are to be changed by, as data; without torch and numpy."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from ccella_core.config import StrictModel

MOST_GAIN = 2.0
"""Beyond this a wave is as good as missing, and what is amplified is rounding and noise."""
MOST_NUMBERS = 1000
FINEST_PER_MM = (0.01, 100.0)
"""Of voxels between 50 mm and 5 µm."""

Grey = Annotated[float, Field(ge=0, le=1)]
Gain = Annotated[float, Field(ge=1 / MOST_GAIN, le=MOST_GAIN)]


class Calibration(StrictModel):
    """Of one sequence: a tone curve, and then a gain for each spatial frequency within a slice.

    The curve is what histogram standardization of MR does between scanners (Nyúl & Udupa 1999, Magn Reson Med
    42:1072), here between what a network draws and what it has learnt from.
    """

    tone: tuple[tuple[Grey, Grey], ...] = Field(
        min_length=2, max_length=MOST_NUMBERS, description="points of the curve: drawn, and meant"
    )
    gain: tuple[Gain, ...] = Field(
        min_length=2, max_length=MOST_NUMBERS, description="of amplitudes, in bands of one width from 0 on"
    )
    finest_per_mm: float = Field(
        ge=FINEST_PER_MM[0], le=FINEST_PER_MM[1], description="where the last band ends, in waves per mm"
    )

    @model_validator(mode="after")
    def _rises(self) -> Calibration:
        falls = any(before[0] >= after[0] or before[1] > after[1] for before, after in pairwise(self.tone))
        if falls or self.tone[0][1] == self.tone[-1][1]:
            raise ValueError("the tone curve must rise")
        return self
