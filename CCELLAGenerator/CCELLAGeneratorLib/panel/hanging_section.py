"""T2, ADC and high b in one row: the button, the real examination's other sequences, and the ADC's window."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..comparison.comparison import ComparisonError
from ..comparison.hanging import Hanging
from ..scene.sequences import examination_of
from ..scene.volumes import is_synthetic
from .widgets import enable_or_explain, set_text


class HangingSection:
    """Shows the chosen examinations as long as the button is down.

    Make it before the section of the comparison, which must find the views as they were.

    Args:
        ui: the panel's widgets.
        end_comparison: called before the views are changed.
    """

    def __init__(self, ui: Any, end_comparison: Callable[[], None]) -> None:
        self._ui = ui
        self._end_comparison = end_comparison
        self._hanging = Hanging()
        self._parameters: Any = None
        ui.bpmriButton.connect("toggled(bool)", self._toggled)
        ui.compareButton.connect("toggled(bool)", self._compare_toggled)
        for spin in (ui.adcLowSpin, ui.adcHighSpin):
            spin.connect("valueChanged(int)", self._change_adc_window)
        self._show()

    @property
    def active(self) -> bool:
        """Whether examinations are shown."""
        return self._hanging.active

    def refresh(self, parameters: Any) -> None:
        """Other volumes were chosen, or one went; what is shown follows. ``None``: there is no scene."""
        self._parameters = parameters
        if self.active:
            if parameters is None or self._why_not():
                self._stop()
            elif self._volumes() != self._hanging.volumes:
                self._start()
        self._show()

    def forget(self, node: slicer.vtkMRMLNode) -> None:
        """A node is about to leave the scene; views that show it end."""
        if node in self._hanging.volumes:
            self._stop()
            self._show()

    def end(self) -> None:
        """The views are needed for something else."""
        if self.active:
            self._stop()
            self._show()

    def close(self) -> None:
        """Put the views back."""
        self._hanging.stop()

    def _toggled(self, is_down: bool) -> None:
        if is_down:
            self._end_comparison()
            self._start()
        else:
            self._stop()
        self._show()

    def _compare_toggled(self, is_down: bool) -> None:
        if is_down:
            self.end()

    def _start(self) -> None:
        try:
            self._hanging.start(*self._examinations())
            self._change_adc_window()
        except ComparisonError as error:
            self._stop()
            set_text(self._ui.bpmriHint, str(error))
            return
        rows = _("From left to right T2, ADC, high b; S synthetic, R real.")
        unit = "" if self._hanging.has_adc else _("There is no ADC map, or none whose unit can be told.")
        set_text(self._ui.bpmriHint, f"{rows} {unit}".strip())

    def _stop(self) -> None:
        self._hanging.stop()
        set_text(self._ui.bpmriHint, "")
        self._ui.bpmriButton.checked = False

    def _examinations(self) -> tuple[dict[str, Any], dict[str, Any]]:
        chosen = self._parameters
        real = examination_of(chosen.realScan)
        real |= {name: node for name, node in (("adc", chosen.realAdc), ("hbv", chosen.realHighB)) if node is not None}
        return examination_of(chosen.result), real

    def _volumes(self) -> tuple[Any, ...]:
        synthetic, real = self._examinations()
        order = ("t2w", "adc", "hbv")
        return tuple(each[name] for each in (synthetic, real) for name in order if name in each)

    def _change_adc_window(self, _value: int = 0) -> None:
        low, high = self._ui.adcLowSpin.value, self._ui.adcHighSpin.value
        if self._hanging.has_adc and low < high:
            self._hanging.set_adc_window(low, high)

    def _why_not(self) -> str:
        chosen = self._parameters
        if chosen is None or (chosen.result is None and chosen.realScan is None):
            return _("There is no synthetic volume yet, and no real scan is chosen.")
        if any(is_synthetic(node) for node in (chosen.realScan, chosen.realAdc, chosen.realHighB)):
            return _("What is chosen as a real scan is synthetic: choose a real one.")
        return ""

    def _show(self) -> None:
        self._ui.bpmriButton.text = _("Back to the former layout") if self.active else _("Hang like bpMRI")
        tool_tip = _("T2, ADC and high b in one row, linked; the real examination's in a row below.")
        enable_or_explain(self._ui.bpmriButton, "" if self.active else self._why_not(), tool_tip)
