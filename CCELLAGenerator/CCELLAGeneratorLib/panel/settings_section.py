"""The settings' texts that depend on the model and the computer; the settings themselves are parameters."""

from __future__ import annotations

from typing import Any

from slicer.i18n import tr as _

from ..scene.volumes import SYNTHETIC_ATTRIBUTE
from .parameters import AUTOMATIC_DEVICE, CROP_MM, SchedulerChoice, SequenceChoice
from .widgets import enable_or_explain, fill

VOLUME_CLASS = "vtkMRMLScalarVolumeNode"
GUIDANCE_OFF = 1.0


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
        offered = model["sequences"] if model and model["draws_one"] else []
        self._ui.sequenceBox.enabled = bool(offered)
        self._ui.sequenceBox.toolTip = (
            _("This model draws one sequence at a time.")
            if offered
            else _("Of models that draw one sequence at a time; this one draws all of its own.")
        )
        own_sequence = SequenceChoice.MODELS_OWN.label()
        names = f"{own_sequence} ({SequenceChoice(offered[0]).label()})" if offered else own_sequence
        self._ui.sequenceBox.setItemText(list(SequenceChoice).index(SequenceChoice.MODELS_OWN), names)
        guidance = model["default_guidance_scale"] if model else None
        own_guidance = _("off") if guidance == GUIDANCE_OFF else f"{guidance:g}" if guidance else ""
        self._ui.guidanceSpin.specialValueText = f"{own} ({own_guidance})" if own_guidance else own
        too_small = "" if _is_larger(model) else _("The model's volumes are no larger than that.")
        enable_or_explain(
            self._ui.cropCheck,
            too_small,
            _(
                "Keeps {size} mm around the gland of each volume. Where nothing says where it is, the middle is kept, "
                "and a warning says so."
            ).format(size=" × ".join(f"{length:g}" for length in CROP_MM)),
        )
        drawn = _("Each run draws one; untick “New each time” to choose it yourself.") if new_seed else ""
        enable_or_explain(
            self._ui.seedSpin, drawn, _("The same report, model, settings and seed give the same volume again.")
        )

    @staticmethod
    def sequences(model: dict[str, Any] | None, chosen: SequenceChoice) -> list[str] | None:
        """What to ask the worker for; ``None``: as the model has it."""
        return [chosen.value] if model and model["draws_one"] and chosen.value else None

    @staticmethod
    def crop_mm(model: dict[str, Any] | None, *, crop: bool) -> list[float] | None:
        """What to keep of each volume; ``None``: all."""
        return list(CROP_MM) if crop and _is_larger(model) else None


def _is_larger(model: dict[str, Any] | None) -> bool:
    """Whether cropping would leave something out."""
    if model is None or model["problem"]:
        return False
    size_mm = (count * step for count, step in zip(model["native_shape"], model["native_spacing_mm"], strict=True))
    return any(length > kept for length, kept in zip(size_mm, CROP_MM, strict=True))


def _device_text(device: dict[str, Any]) -> str:
    return _("{name}: {free:.1f} of {total:.1f} GiB free").format(
        name=device["name"], free=device["free_gib"], total=device["memory_gib"]
    )
