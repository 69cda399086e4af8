"""How far something is, for whoever waits for it: a count, or for a generation its stage and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np

GenerationStage = Literal["encode", "denoise", "decode"]
OnProgress = Callable[[int, int], None]
"""Called with how many of something are done, and of how many."""


@dataclass(frozen=True)
class Progress:
    """Where a generation is: ``step`` of ``steps`` are done in ``stage`` of ``batch`` (0 … ``batches`` - 1)."""

    stage: GenerationStage
    step: int
    steps: int
    batch: int
    batches: int
    seconds_left: float | None = None
    """For all batches, at the speed measured so far; ``None`` before anything was measured. A stage that has not been
    reached is left out, so this is too little until the first volume is being decoded."""
    preview: Callable[[], np.ndarray] | None = field(default=None, repr=False)
    """While denoising: draws a rough slice of the batch's first volume, uint8 (x, y), see ``StepInfo.preview``."""


ProgressCallback = Callable[[Progress], bool | None]
"""Called after every step; ``False`` stops the generation with ``Cancelled``, and so may whatever it raises."""


@dataclass
class Stopwatch:
    """Measures the speed of each stage, and from it the time left.

    ``volumes`` are the sizes of the batches: a step of a batch of two counts as two.
    """

    volumes: list[int]
    clock: Callable[[], float] = time.monotonic
    _done: dict[GenerationStage, float] = field(default_factory=dict)
    _seconds: dict[GenerationStage, float] = field(default_factory=dict)
    _last: tuple[GenerationStage, int, float] | None = None

    def seconds_left(self, stage: GenerationStage, step: int, steps: int, batch: int) -> float | None:
        """Time left after this step, in seconds; call it after every step."""
        now = self.clock()
        # The first step of a stage is not measured: it begins with preparations that no other step has.
        if self._last is not None and self._last[:2] == (stage, batch):
            self._done[stage] = self._done.get(stage, 0.0) + self.volumes[batch] / steps
            self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last[2]
        self._last = (stage, batch, now)
        later = sum(self.volumes[batch + 1 :])
        unfinished = {stage: later + self.volumes[batch] * (1 - step / steps)}
        for other in self._done:
            reached = other == "denoise" and stage == "decode"
            unfinished.setdefault(other, later if reached else later + self.volumes[batch])
        known = [self._seconds[s] / self._done[s] * left for s, left in unfinished.items() if self._done.get(s)]
        return sum(known) if known else None


class DenoisingStep(Protocol):
    """What a sampling loop says of a step; see ``StepInfo``."""

    @property
    def step(self) -> int:
        """Steps that are done."""

    @property
    def steps(self) -> int:
        """Of how many."""

    def preview(self) -> np.ndarray:
        """A rough slice, uint8 (x, y)."""


class GenerationProgress:
    """Reports the steps of one generation to a callback. Every method returns what the callback returned.

    Args:
        callback: see ``ProgressCallback``; ``None``: nobody waits.
        batches: the number of volumes in each batch.
    """

    def __init__(self, callback: ProgressCallback | None, batches: list[int]) -> None:
        self._callback, self._batches, self._stopwatch = callback, len(batches), Stopwatch(batches)

    def encoded(self) -> bool | None:
        """The report is encoded."""
        return self._report("encode", 1, 1, 0)

    def denoised(self, batch: int, done: DenoisingStep) -> bool | None:
        """A step of denoising a batch is done."""
        return self._report("denoise", done.step, done.steps, batch, done.preview)

    def decoded(self, batch: int, sequence: int, sequences: int, step: int, steps: int) -> bool | None:
        """``step`` of ``steps`` of decoding one of a batch's ``sequences`` is done; ``sequence`` counts from 0."""
        return self._report("decode", sequence * steps + step, sequences * steps, batch)

    def _report(
        self, stage: GenerationStage, step: int, steps: int, batch: int, preview: Callable[[], np.ndarray] | None = None
    ) -> bool | None:
        left = self._stopwatch.seconds_left(stage, step, steps, batch)
        if self._callback is None:
            return None
        return self._callback(Progress(stage, step, steps, batch, self._batches, left, preview))
