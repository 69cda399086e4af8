"""The views of a reader study: one volume in three planes, or two side by side, and a point that is clicked."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..comparison.former_views import FormerViews
from ..comparison.layout import PAIR_VIEWS, SINGLE_VIEWS, show_study
from ..comparison.slice_row import MARGIN, SliceRow
from ..comparison.window_level import robust_range
from ..scene.nodes import TemporaryNodes, in_scene
from .sources import SourceError, load

GREY = "vtkMRMLColorTableNodeGrey"


class StudyViews:
    """Shows a case until the next one, or until it is closed; then the views are as they were."""

    def __init__(self, layout_manager: slicer.qMRMLLayoutManager | None = None) -> None:
        self._layout_manager = layout_manager
        self._undo = ExitStack()
        self._nodes = TemporaryNodes()
        self._volumes: list[slicer.vtkMRMLScalarVolumeNode] = []
        self._point: slicer.vtkMRMLMarkupsFiducialNode | None = None
        self.active = False

    def show(self, name: str, volumes: Sequence[str]) -> None:
        """Show a case's volumes under its name; two from left to right.

        Raises SourceError, with the case before still there, where one cannot be shown.
        """
        layout_manager = self._layout_manager or slicer.app.layoutManager()
        if layout_manager is None:
            raise SourceError(_("A study can only be read in Slicer's main window, and there is none."))
        loaded: list[slicer.vtkMRMLScalarVolumeNode] = []
        try:
            for words, side in zip(volumes, ("",) if len(volumes) == 1 else (_(" left"), _(" right")), strict=True):
                loaded.append(load(words, f"{name}{side}"))
            for volume in loaded:
                _display(volume, name)
        except SourceError:
            _remove(loaded)
            raise
        if not self.active:
            layout_node = layout_manager.layoutLogic().GetLayoutNode()
            self._undo.callback(FormerViews(layout_node).restore)
            self.active = True
        self._forget_case()
        self._volumes = loaded
        layout_node = layout_manager.layoutLogic().GetLayoutNode()
        show_study(layout_node, pairs=len(loaded) == 2)
        slicer.app.processEvents()  # new views have no size before
        views = SINGLE_VIEWS.items() if len(loaded) == 1 else [("Axial", view) for view in PAIR_VIEWS]
        rows = [
            SliceRow(layout_manager, {plane: view}, loaded[place if len(loaded) > 1 else 0])
            for place, (plane, view) in enumerate(views)
        ]
        scales = []
        for row in rows:
            row.show()
            scales.append(MARGIN * row.needed_scale(row.place([row.volume])))
        for row, scale in zip(rows, scales, strict=True):  # of a pair both alike: the size would tell them apart
            row.set_scale(max(scales) if len(loaded) > 1 else scale)

    def place_point(self) -> None:
        """The next click into a view marks a lesion; it replaces the one before."""
        self.forget_point()
        self._point = self._nodes.add("vtkMRMLMarkupsFiducialNode", _("lesion"))
        self._point.CreateDefaultDisplayNodes()
        selection = slicer.app.applicationLogic().GetSelectionNode()
        selection.SetReferenceActivePlaceNodeClassName("vtkMRMLMarkupsFiducialNode")
        selection.SetActivePlaceNodeID(self._point.GetID())
        interaction = slicer.app.applicationLogic().GetInteractionNode()
        interaction.SetPlaceModePersistence(False)
        interaction.SetCurrentInteractionMode(interaction.Place)

    @property
    def point(self) -> tuple[float, float, float] | None:
        """Where was clicked, RAS mm of the world; ``None``: nowhere."""
        if not in_scene(self._point) or not self._point.GetNumberOfControlPoints():
            return None
        place = [0.0, 0.0, 0.0]
        self._point.GetNthControlPointPositionWorld(self._point.GetNumberOfControlPoints() - 1, place)
        return place[0], place[1], place[2]

    def forget_point(self) -> None:
        """No lesion is marked."""
        self._nodes.remove()
        self._point = None

    def close(self) -> None:
        """Put layout and views back, and take away what was shown. Does nothing where nothing is."""
        self.active = False
        self._forget_case()
        self._undo.close()

    def _forget_case(self) -> None:
        self.forget_point()
        _remove(self._volumes)
        self._volumes = []


def _remove(volumes: Sequence[slicer.vtkMRMLScalarVolumeNode]) -> None:
    for volume in filter(in_scene, volumes):
        display = volume.GetDisplayNode()
        slicer.mrmlScene.RemoveNode(volume)
        if in_scene(display):
            slicer.mrmlScene.RemoveNode(display)


def _display(volume: slicer.vtkMRMLScalarVolumeNode, name: str) -> None:
    """In grey, windowed by percentiles: all cases alike."""
    values = slicer.util.arrayFromVolume(volume).ravel().astype(float)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise SourceError(_("{name} has no finite voxel.").format(name=name))
    volume.CreateDefaultDisplayNodes()
    display = volume.GetDisplayNode()
    display.SetSaveWithScene(False)
    display.SetAndObserveColorNodeID(GREY)
    display.SetAutoWindowLevel(False)
    seen = robust_range(finite)
    display.SetWindowLevelMinMax(seen.low, seen.high)
