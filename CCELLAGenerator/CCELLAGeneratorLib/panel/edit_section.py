"""The section in which a real scan is edited: the scan, the place, and the button."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _

from .widgets import enable_or_explain, set_text

if TYPE_CHECKING:
    from .composer import Composer
    from .parameters import CCELLAGeneratorParameterNode

MARKUPS_CLASS = "vtkMRMLMarkupsFiducialNode"
MARGIN_MM = 7.0
"""Around the composer's lesion: room for what was drawn to fade into the scan, and for the model to place it. Measured:
with 4 mm fewer lesions are seen."""
AS_COMPOSED = 0.0


class EditSection:
    """Says what is missing, places a point, and starts the edit.

    Args:
        ui: the panel's widgets.
        composer: knows the size of the lesion that it describes.
        on_edit: called when the button is pressed.
    """

    def __init__(self, ui: Any, composer: Composer, on_edit: Callable[[], None]) -> None:
        self._ui = ui
        self._composer = composer
        self._parameters: CCELLAGeneratorParameterNode | None = None
        ui.editButton.connect("clicked(bool)", lambda _checked: on_edit())
        ui.placePointButton.connect("clicked(bool)", self._place)

    def refresh(self, parameters: CCELLAGeneratorParameterNode | None, why_not: str) -> None:
        """Something changed; ``why_not``: what stands in the way of any run, or nothing."""
        self._parameters = parameters
        self._ui.placePointButton.enabled = parameters is not None
        reason = why_not or self._why_not()
        tool_tip = _("Draws the scan anew where it may change, so that it fits the report, and shows before and after.")
        enable_or_explain(self._ui.editButton, reason, tool_tip)
        whole = parameters is not None and self.where is None
        hint = _("Without a point or a segmentation all that the model sees of the scan is drawn anew.")
        set_text(self._ui.editHint, hint if whole and parameters.editScan is not None else "")

    @property
    def where(self) -> slicer.vtkMRMLNode | None:
        """The point or the segmentation that is chosen."""
        return self._parameters.editPoint or self._parameters.editSegmentation

    @property
    def radius(self) -> float | None:
        """Of the sphere around the point, mm; ``None`` where it follows a lesion and the composer has none."""
        if self._parameters.editRadius != AS_COMPOSED:
            return self._parameters.editRadius
        size = self._composer.lesion_mm
        return None if size is None else size / 2 + MARGIN_MM

    def _why_not(self) -> str:
        parameters = self._parameters
        if parameters.editScan is None:
            return _("Choose the scan to edit first.")
        if parameters.editPoint is not None and parameters.editSegmentation is not None:
            return _("Choose a point or a segmentation, not both.")
        if parameters.editPoint is not None and self.radius is None:
            return _("Say the radius: the composer has no lesion that it could follow.")
        return ""

    def _place(self, _checked: bool) -> None:
        """The next click into a slice view sets the point; a point that is there is moved by dragging it."""
        if self._parameters.editPoint is None:
            self._parameters.editPoint = slicer.mrmlScene.AddNewNodeByClass(MARKUPS_CLASS, _("Lesion"))
            self._parameters.editPoint.CreateDefaultDisplayNodes()
        markups = slicer.modules.markups.logic()
        markups.SetActiveList(self._parameters.editPoint)
        markups.StartPlaceMode(False)
