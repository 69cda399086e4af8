"""Synthetic and real side by side: the button, the fade, and the brightness of both."""

from __future__ import annotations

import math
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..comparison.comparison import Comparison, ComparisonError
from ..scene.volumes import is_synthetic
from .widgets import enable_or_explain, set_text

PERCENT = 100.0


class CompareSection:
    """Compares the two chosen volumes as long as the button is down."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._comparison = Comparison()
        self._volumes: tuple[Any, Any] = (None, None)
        ui.compareButton.connect("toggled(bool)", self._toggled)
        ui.fadeSlider.connect("valueChanged(double)", self._fade)
        ui.flickerButton.connect("clicked(bool)", self._flicker)
        ui.differenceCheck.connect("toggled(bool)", self._show_difference)
        ui.windowSlider.connect("valueChanged(double)", self._change_window_level)
        ui.levelSlider.connect("valueChanged(double)", self._change_window_level)
        self._show()

    @property
    def active(self) -> bool:
        """Whether two volumes are being compared."""
        return self._comparison.active

    def refresh(self, synthetic: slicer.vtkMRMLScalarVolumeNode | None, real: Any) -> None:
        """Other volumes were chosen, or one went; what is shown follows."""
        if (synthetic, real) != self._volumes:
            self._volumes = (synthetic, real)
            if self.active:
                self._start() if self._why_not() == "" else self._stop()
        self._show()

    def begin(self) -> None:
        """Show both, as if the button had been pressed; where that cannot be done, nothing."""
        if not self.active and not self._why_not():
            self._ui.compareButton.checked = True

    def forget(self, node: slicer.vtkMRMLNode) -> None:
        """A node is about to leave the scene; a comparison with it ends, whatever may be chosen in its place."""
        if self.active and node in self._volumes:
            self._stop()
            self._show()

    def end(self) -> None:
        """The views are needed for something else."""
        if self.active:
            self._stop()
            self._show()

    def close(self) -> None:
        """End the comparison."""
        self._comparison.stop()

    def _toggled(self, is_down: bool) -> None:
        if is_down:
            self._start()
        else:
            self._stop()
        self._show()

    def _start(self) -> None:
        synthetic, real = self._volumes
        try:
            self._comparison.start(synthetic, real)
        except ComparisonError as error:
            self._stop()
            set_text(self._ui.compareHint, str(error))
            return
        self._set_sliders(real)
        self._fade(self._ui.fadeSlider.value)
        self._show_difference(self._ui.differenceCheck.checked)
        legend = _("S, above: the synthetic volume. R, below: the real scan.")
        apart = _("They do not overlap; place the next one on the real scan.")
        set_text(self._ui.compareHint, legend if self._comparison.overlap else f"{apart} {legend}")

    def _stop(self) -> None:
        self._comparison.stop()
        set_text(self._ui.compareHint, "")
        self._ui.compareButton.checked = False

    def _set_sliders(self, real: slicer.vtkMRMLScalarVolumeNode) -> None:
        lowest, highest = real.GetImageData().GetScalarRange()
        window, level = self._comparison.window_level
        decimals = decimals_of(highest - lowest)
        for slider, smallest, largest, value in (
            (self._ui.windowSlider, 0.0, highest - lowest, window),
            (self._ui.levelSlider, lowest, highest, level),
        ):
            was_blocked = slider.blockSignals(True)  # both are told to the views together, when the user moves one
            slider.decimals, slider.singleStep = decimals, 10.0**-decimals
            slider.minimum, slider.maximum = min(smallest, value), max(largest, value)
            slider.value = value
            slider.blockSignals(was_blocked)

    def _fade(self, percent: float) -> None:
        if self.active and self._comparison.overlap:
            self._comparison.set_fade(percent / PERCENT)

    def _flicker(self, _checked: bool) -> None:
        """From the one to the other in the same place, at once: the eye sees what changes."""
        self._ui.fadeSlider.value = 0.0 if self._ui.fadeSlider.value > PERCENT / 2 else PERCENT

    def _show_difference(self, visible: bool) -> None:
        if self.active and self._comparison.has_difference:
            self._comparison.show_difference(visible)

    def _change_window_level(self, _value: float) -> None:
        if self.active:
            self._comparison.set_window_level(self._ui.windowSlider.value, self._ui.levelSlider.value)

    def _why_not(self) -> str:
        synthetic, real = self._volumes
        if synthetic is None:
            return _("There is no synthetic volume yet: generate one, or choose one of the scene.")
        if real is None:
            return _("Choose a real scan first, in its section above.")
        if is_synthetic(real):
            return _("What is chosen as the real scan is synthetic: choose a real one.")
        return ""

    def _show(self) -> None:
        active, why_not = self.active, self._why_not()
        self._ui.compareButton.text = _("Back to the former layout") if active else _("Compare")
        tool_tip = _("Shows both side by side in linked views, with their histograms.")
        enable_or_explain(self._ui.compareButton, "" if active else why_not, tool_tip)
        idle = "" if active else _("Press Compare first.")
        apart = "" if self._comparison.overlap else _("They do not overlap, so there is nothing to fade between.")
        ui = self._ui
        enable_or_explain(
            ui.flickerButton, idle or apart, _("Changes between the two in the same place, as does the key F8.")
        )
        not_edited = "" if self._comparison.has_difference else _("The synthetic volume was not edited from this scan.")
        enable_or_explain(
            ui.differenceCheck, idle or not_edited, _("Shows over the real scan, in colour, what the edit changed.")
        )
        enable_or_explain(
            ui.fadeSlider,
            idle or apart,
            _("From the real scan (0 %) to the synthetic volume (100 %)."),
        )
        enable_or_explain(ui.windowSlider, idle, _("Contrast of the real scan; the synthetic volume follows."))
        enable_or_explain(ui.levelSlider, idle, _("Brightness of the real scan; the synthetic volume follows."))


def decimals_of(span: float) -> int:
    """Enough of them for a hundred steps and more over `span`: none for 800, five for an ADC map's 0.003."""
    return max(0, 2 - math.floor(math.log10(span))) if span > 0 else 0
