"""How ``gpu.py`` times: warm calls, each between two events of the card, the median of them, within a time budget."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median

import torch
from _measure import GIB
from _train_case import kernels
from torch.profiler import ProfilerActivity, profile

from ccella_core.config import StrictModel

WARM_UP = 2
"""Calls after the first and before the timed ones: libraries choose their kernels, a CUDA graph is recorded."""
FEWEST, MOST = 3, 50
"""Timed calls."""


class Measurement(StrictModel):
    """What was found of one way of doing one thing, or why nothing was."""

    part: str
    what: str
    seconds: float | None = None
    """Median of the timed calls."""
    calls: int = 0
    first_seconds: float | None = None
    """Of the first call, which compiles where anything is compiled."""
    peak_gib: float | None = None
    """The most that torch held on the card in the timed calls, weights included."""
    computing_share: float | None = None
    """The times of the card's kernels in a call, found by a profiler in a few more calls, as a part of ``seconds``."""
    why_not: str | None = None


class Budget:
    """Seconds that a part may take; what is begun is ended."""

    def __init__(self, seconds: float) -> None:
        self._end = time.perf_counter() + seconds

    @property
    def left(self) -> float:
        return self._end - time.perf_counter()


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def timed(call: Callable[[], object], device: torch.device, budget: Budget, *, share: float = 0.5) -> Measurement:
    """Time ``call``, at least FEWEST times, at most MOST, and else for a share of what is left of the budget."""
    started = time.perf_counter()
    call()
    synchronise(device)
    first = time.perf_counter() - started
    for _ in range(WARM_UP):
        call()
    _forget_peak(device)
    end = time.perf_counter() + share * max(0.0, budget.left)
    seconds: list[float] = []
    while len(seconds) < FEWEST or (len(seconds) < MOST and time.perf_counter() < end):
        seconds.append(_seconds(call, device))
    return Measurement(
        part="", what="", seconds=median(seconds), calls=len(seconds), first_seconds=first, peak_gib=peak_gib(device)
    )


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    if device.type != "cuda":
        started = time.perf_counter()
        call()
        return time.perf_counter() - started
    torch.cuda.synchronize(device)
    before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    before.record()
    call()
    after.record()
    after.synchronize()
    return before.elapsed_time(after) / 1000


def _forget_peak(device: torch.device) -> None:
    synchronise(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_gib(device: torch.device) -> float | None:
    """``None`` on processors, whose memory has no such count."""
    return torch.cuda.max_memory_allocated(device) / GIB if device.type == "cuda" else None


def forget_all(device: torch.device) -> None:
    """Give back what the part before held, so that its memory does not count for the next."""
    torch.compiler.reset()
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


class StepClock:
    """Times the steps of a training from its ``after_step``, and then profiles some more.

    Events are recorded after every step and read when all is done: no step waits for another, as in any training.

    Args:
        device: where it trains.
        warm_up, steps, profiled: one after the other; no step is profiled where ``profiled`` is 0.
        seconds: a limit for the timed steps, of which FEWEST are always done.
    """

    def __init__(self, device: torch.device, *, warm_up: int, steps: int, profiled: int, seconds: float) -> None:
        self.device, self.profiled, self.profiler = device, profiled, _profiler(device)
        self._warm_up, self._steps, self._limit = warm_up, steps, seconds
        self._started = time.perf_counter()
        self._first: float | None = None
        self._marks: list[torch.cuda.Event | float] = []
        self._count = 0
        self._peak: float | None = None
        self._profiled_until: int | None = None

    def tick(self) -> bool:
        """After every step; whether all that is wanted was measured."""
        self._count += 1
        if self._count == 1:
            synchronise(self.device)
            self._first = time.perf_counter() - self._started
        if self._profiled_until is not None:
            return self._count == self._profiled_until and self._end_profile()
        if self._count < self._warm_up:
            return False
        if self._count == self._warm_up:
            _forget_peak(self.device)
            self._end = time.perf_counter() + self._limit
        self._marks.append(_mark(self.device))
        done = len(self._marks) - 1
        if done < FEWEST or (done < self._steps and time.perf_counter() < self._end):
            return False
        synchronise(self.device)
        self._peak = peak_gib(self.device)
        if not self.profiled:
            return True
        self._profiled_until = self._count + self.profiled
        self.profiler.start()
        return False

    def _end_profile(self) -> bool:
        synchronise(self.device)
        self.profiler.stop()
        return True

    def measurement(self) -> Measurement:
        seconds = [_between(one, other) for one, other in zip(self._marks, self._marks[1:], strict=False)]
        return Measurement(
            part="",
            what="",
            seconds=median(seconds),
            calls=len(seconds),
            first_seconds=self._first,
            peak_gib=self._peak,
            computing_share=self._computing_seconds / median(seconds) if self._computing_seconds else None,
        )

    @property
    def _computing_seconds(self) -> float:
        """Of the card's kernels in a step."""
        if not self._profiled_until or self.device.type != "cuda":
            return 0.0
        return sum(each.time_range.elapsed_us() for each in kernels(self.profiler)) / 1e6 / self.profiled


def _profiler(device: torch.device) -> profile:
    return profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])])


def _mark(device: torch.device) -> torch.cuda.Event | float:
    if device.type != "cuda":
        return time.perf_counter()
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _between(one: torch.cuda.Event | float, other: torch.cuda.Event | float) -> float:
    if isinstance(one, float):
        assert isinstance(other, float)
        return other - one
    return one.elapsed_time(other) / 1000
