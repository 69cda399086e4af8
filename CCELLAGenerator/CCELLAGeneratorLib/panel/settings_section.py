"""The settings' texts that depend on the model and the computer; the settings themselves are parameters."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..scene.volumes import SYNTHETIC_ATTRIBUTE
from .parameters import AUTOMATIC_DEVICE, SchedulerChoice
from .widgets import enable_or_explain, fill

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"


class SettingsSection:
    """Devices, the model's own values, and which volumes may be replaced."""

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        for box in (ui.outputBox, ui.syntheticBox):
            box.addAttribute(VOLUME_CLASS, SYNTHETIC_ATTRIBUTE, "1")  # real scans are not offered
        self.set_devices([])

    def set_devices(self, devices: list[dict[str, Any]]) -> None:
        """What the worker found to compute on, best first."""
        automatic = (_("Automatic"), AUTOMATIC_DEVICE)
        items = [(_device_text(device), device["id"]) for device in devices]
        fill(self._ui.deviceBox, [automatic, *items], _("{value} (not on this computer)"))

    def refresh(self, model: dict[str, Any] | None, new_seed: bool) -> None:
        """The model, or where seeds come from, changed."""
        steps = model["default_num_inference_steps"] if model else None
        scheduler = model["default_scheduler"] if model else None
        own = SchedulerChoice.MODELS_OWN.label()
        own_scheduler = f"{own} ({SchedulerChoice(scheduler).label()})" if scheduler else own
        self._ui.stepsSpin.specialValueText = f"{own} ({steps})" if steps else own
        self._ui.schedulerBox.setItemText(list(SchedulerChoice).index(SchedulerChoice.MODELS_OWN), own_scheduler)
        drawn = _("Each run draws one; untick “New each time” to choose it yourself.") if new_seed else ""
        enable_or_explain(
            self._ui.seedSpin, drawn, _("The same report, model, settings and seed give the same volume again.")
        )


def _device_text(device: dict[str, Any]) -> str:
    return _("{name}: {free:.1f} of {total:.1f} GiB free").format(
        name=device["name"], free=device["free_gib"], total=device["memory_gib"]
    )
