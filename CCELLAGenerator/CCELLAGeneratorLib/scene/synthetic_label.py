"""``SYNTHETIC – not for diagnosis`` in the corner of every slice view that shows a synthetic volume or labels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import chain

import slicer
import vtk
from slicer.i18n import tr as _

from .volumes import edited_from, is_synthetic

CORNER = (0.99, 0.01)
"""Bottom right, as a fraction of the view: the one corner in which Slicer itself writes nothing."""
COLOUR = (1.0, 0.75, 0.0)
FONT_SIZES = (11, 16)
"""Points, in the narrowest and the widest views; between them …"""
FONT_SIZE_OF_WIDTH = 1 / 22
"""… this part of the view's width, with which the words take two thirds of it."""
POINTS_PER_INCH = 72
ABOVE_THE_IMAGE = 10
"""VTK draws flat props in the order of their layer; slices are in layer 0."""


class SyntheticLabel:
    """Watches all slice views of a layout manager from ``start`` to ``stop``."""

    def __init__(self, layout_manager: slicer.qMRMLLayoutManager | None = None) -> None:
        self._layout_manager = layout_manager or slicer.app.layoutManager()
        self._labels: dict[str, _ViewLabel] = {}
        self._started = False

    def start(self) -> None:
        """Label the views that are there, and those that later layouts bring; nothing in Slicer without a window."""
        if self._layout_manager is not None and not self._started:
            self._started = True
            self._layout_manager.connect("layoutChanged(int)", self._attach)
            self._attach()

    def stop(self) -> None:
        """Take all labels and observers away; safe to call twice."""
        if self._started:
            self._started = False
            with contextlib.suppress(RuntimeError, ValueError):  # Slicer quits, and Qt has deleted it already
                self._layout_manager.disconnect("layoutChanged(int)", self._attach)
        for label in self._labels.values():
            label.remove()
        self._labels.clear()

    def _attach(self, _layout: int | None = None) -> None:
        for name in self._layout_manager.sliceViewNames():
            if name not in self._labels:
                widget = self._layout_manager.sliceWidget(name)
                self._labels[name] = _ViewLabel(widget.sliceView().renderWindow(), widget.sliceLogic())


class _ViewLabel:
    """The label of one view.

    It asks what the view shows whenever the view is drawn. So it follows every way in which that can change: another
    volume, layout or scene, a fade, a node that becomes synthetic, and Slicer writing its own texts into the corners.
    """

    def __init__(self, window: vtk.vtkRenderWindow, logic: slicer.vtkMRMLSliceLogic) -> None:
        self._window = window
        self._logic = logic
        self._renderer: vtk.vtkRenderer | None = None
        self._actor = _text_actor(_words())
        self._observer = window.AddObserver(vtk.vtkCommand.StartEvent, self._before_drawing)

    def remove(self) -> None:
        self._window.RemoveObserver(self._observer)
        if self._renderer is not None:
            self._renderer.RemoveViewProp(self._actor)

    def _before_drawing(self, _caller: vtk.vtkObject, _event: str) -> None:
        renderer = self._window.GetRenderers().GetFirstRenderer()
        if renderer is not self._renderer:  # a light box makes new ones
            if self._renderer is not None:
                self._renderer.RemoveViewProp(self._actor)
            if renderer is not None:
                renderer.AddViewProp(self._actor)
            self._renderer = renderer
        smallest, largest = FONT_SIZES
        width_in_points = self._window.GetSize()[0] * POINTS_PER_INCH / self._window.GetDPI()
        fitting = int(width_in_points * FONT_SIZE_OF_WIDTH)
        self._actor.GetTextProperty().SetFontSize(min(max(fitting, smallest), largest))
        shown = chain(
            visible_volumes(self._logic.GetSliceCompositeNode()), visible_segmentations(self._logic.GetSliceNode())
        )
        synthetic = [node for node in shown if is_synthetic(node)]
        self._actor.SetVisibility(bool(synthetic))
        self._actor.SetInput(_words(next(filter(None, map(edited_from, synthetic)), "")))


def visible_volumes(composite: slicer.vtkMRMLSliceCompositeNode | None) -> Iterator[slicer.vtkMRMLVolumeNode]:
    """The volumes that a slice view shows: background, and what lies over it and is not wholly transparent."""
    if composite is None or composite.GetScene() is None:
        return
    layers = [
        (composite.GetBackgroundVolumeID(), 1.0),
        (composite.GetForegroundVolumeID(), composite.GetForegroundOpacity()),
        (composite.GetLabelVolumeID(), composite.GetLabelOpacity()),
    ]
    if hasattr(composite, "GetNumberOfAdditionalLayers"):  # older versions of Slicer have these three only
        first = composite.Layer_Last
        for layer in range(first, first + composite.GetNumberOfAdditionalLayers()):
            layers.append((composite.GetNthLayerVolumeID(layer), composite.GetNthLayerOpacity(layer)))
    for identifier, opacity in layers:
        volume = composite.GetScene().GetNodeByID(identifier) if identifier and opacity > 0 else None
        if volume is not None:
            yield volume


def visible_segmentations(view: slicer.vtkMRMLSliceNode | None) -> Iterator[slicer.vtkMRMLSegmentationNode]:
    """The segmentations that are switched on in a slice view, wherever its slice lies."""
    if view is None or view.GetScene() is None:
        return
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", view.GetScene()):
        display = node.GetDisplayNode()
        shown = display is not None and display.GetVisibility() and display.GetVisibility2D()
        if shown and display.IsDisplayableInView(view.GetID()):
            yield node


def _words(source: str = "") -> str:
    """What is written; ``source``: the digits that name what a volume was edited from."""
    if not source:
        return _("SYNTHETIC – not for diagnosis")
    return _("SYNTHETIC\n(EDITED FROM {source})\nnot for diagnosis").format(source=source)  # for narrow views too


def _text_actor(text: str) -> vtk.vtkTextActor:
    actor = vtk.vtkTextActor()
    actor.SetInput(text)
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.GetPositionCoordinate().SetValue(*CORNER)
    actor.SetLayerNumber(ABOVE_THE_IMAGE)
    actor.SetPickable(False)
    look = actor.GetTextProperty()
    look.SetJustificationToRight()
    look.SetVerticalJustificationToBottom()
    look.SetColor(COLOUR)
    look.SetBold(True)
    look.SetShadow(True)
    return actor
