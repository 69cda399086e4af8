"""One brightness and contrast for two volumes whose intensities have different scales."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import slicer
import vtk

# Intensities of T2-weighted MRI are arbitrary, and a few voxels (vessels, noise) are far brighter than any tissue.
DARKEST_PERCENTILE = 1
BRIGHTEST_PERCENTILE = 99.5


class IntensityRange(NamedTuple):
    """What counts as 0 and as 1 on a volume's relative scale."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """How far 0 and 1 lie apart, as an intensity."""
        return self.high - self.low

    def relative(self, value: float | np.ndarray) -> float | np.ndarray:
        """Where an intensity, or an array of them, lies on the relative scale."""
        return (value - self.low) / self.width


def robust_range(values: np.ndarray) -> IntensityRange:
    """From the dark to the bright percentile of the values; of width 1 where all are the same."""
    low, high = (float(value) for value in np.percentile(values, (DARKEST_PERCENTILE, BRIGHTEST_PERCENTILE)))
    return IntensityRange(low, high if high > low else low + 1.0)


class MatchedWindowLevel:
    """One window and level, relative to each volume's own range, that drives the display nodes of both.

    Whichever display node the user changes, the other follows.
    """

    def __init__(
        self,
        synthetic_display: slicer.vtkMRMLScalarVolumeDisplayNode,
        synthetic_range: IntensityRange,
        real_display: slicer.vtkMRMLScalarVolumeDisplayNode,
        real_range: IntensityRange,
    ) -> None:
        self._real_display = real_display
        self._ranges = {synthetic_display: synthetic_range, real_display: real_range}
        self._former: dict[slicer.vtkMRMLScalarVolumeDisplayNode, tuple[int, float, float]] = {}
        self._observers: dict[slicer.vtkMRMLScalarVolumeDisplayNode, int] = {}
        self._driving = False

    def start(self) -> None:
        """Show the whole range of both, and keep them alike from now on."""
        for display in self._ranges:
            self._former[display] = display.GetAutoWindowLevel(), display.GetWindow(), display.GetLevel()
            self._observers[display] = display.AddObserver(vtk.vtkCommand.ModifiedEvent, self._follow)
        self._drive(window=1.0, level=0.5)

    def stop(self) -> None:
        """Let go of both, and give each its former window and level."""
        for display, tag in self._observers.items():
            display.RemoveObserver(tag)
        for display, (automatic, window, level) in self._former.items():
            display.SetWindowLevel(window, level)
            display.SetAutoWindowLevel(automatic)
        self._observers.clear()
        self._former.clear()

    @property
    def value(self) -> tuple[float, float]:
        """Window and level on the real scan's own scale."""
        return self._real_display.GetWindow(), self._real_display.GetLevel()

    def set(self, window: float, level: float) -> None:
        """Show the real scan with this window and level of its own scale, and the synthetic volume alike."""
        real_range = self._ranges[self._real_display]
        self._drive(window / real_range.width, real_range.relative(level))

    def set_relative(self, window: float, level: float) -> None:
        """The same on the relative scale of both."""
        self._drive(window, level)

    def _follow(self, display: slicer.vtkMRMLScalarVolumeDisplayNode, _event: str) -> None:
        if not self._driving:
            own_range = self._ranges[display]
            self._drive(display.GetWindow() / own_range.width, own_range.relative(display.GetLevel()))

    def _drive(self, window: float, level: float) -> None:
        self._driving = True
        try:
            for display, own_range in self._ranges.items():
                display.SetAutoWindowLevel(False)  # it would take each volume back to its own
                display.SetWindowLevel(window * own_range.width, own_range.low + level * own_range.width)
        finally:
            self._driving = False
