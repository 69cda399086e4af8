"""A synthetic volume beside a real scan: linked slices, one brightness, a fade between them, histograms."""

from __future__ import annotations

from contextlib import ExitStack

import slicer
from slicer.i18n import tr as _

from ..scene.geometry import has_extent, sample_both
from ..scene.nodes import TemporaryNodes
from ..scene.volumes import NAME_PREFIX, is_synthetic
from .difference import add_difference, can_be_shown, middle_of_change, show_over
from .former_views import FormerViews
from .layout import (
    PLOT_VIEW,
    REAL_COLOUR,
    REAL_VIEWS,
    SYNTHETIC_COLOUR,
    SYNTHETIC_VIEWS,
    THREE_D_VIEW,
    real_name,
    show_layout,
)
from .overlays import add_histogram, add_outline, hide_slices, look_at, show_slices
from .slice_row import SliceRow, align
from .window_level import MatchedWindowLevel, robust_range


class ComparisonError(RuntimeError):
    """Why two volumes cannot be compared, in a sentence for the user."""


class Comparison:
    """Shows a synthetic volume above a real scan until it is stopped; then everything is as it was before.

    While it is `active`: `has_difference` says whether one was edited from the other, and `overlap` whether the two
    share a part of the world. Only then do the two rows move together and can be faded into each other.
    """

    def __init__(self, layout_manager: slicer.qMRMLLayoutManager | None = None) -> None:
        self._layout_manager = layout_manager
        self._undo = ExitStack()
        self._synthetic_row: SliceRow | None = None
        self._real_row: SliceRow | None = None
        self._window_level: MatchedWindowLevel | None = None
        self._nodes: TemporaryNodes | None = None
        self._difference: slicer.vtkMRMLScalarVolumeNode | None = None
        self.active = False
        self.overlap = False
        self.has_difference = False

    def start(self, synthetic: slicer.vtkMRMLScalarVolumeNode, real: slicer.vtkMRMLScalarVolumeNode) -> None:
        """Switch to the comparison of two scalar volumes; another one that is shown is stopped first.

        Raises ComparisonError, with nothing changed, for volumes or a Slicer that it cannot be done with.
        """
        layout_manager = self._layout_manager or slicer.app.layoutManager()
        if layout_manager is None:
            raise ComparisonError(_("Volumes can only be compared in Slicer's main window, and there is none."))
        _check(synthetic, real)
        samples = sample_both(synthetic, real)
        if not samples.synthetic.size or not samples.real.size:
            raise ComparisonError(_("Volumes without any finite voxel cannot be compared."))
        self.stop()
        with ExitStack() as undo:  # what was begun is undone where the rest fails
            layout_node = layout_manager.layoutLogic().GetLayoutNode()
            undo.callback(FormerViews(layout_node).restore)
            show_layout(layout_node)
            slicer.app.processEvents()  # new views have no size before
            synthetic_row = _row(layout_manager, SYNTHETIC_VIEWS, synthetic)
            real_row = _row(layout_manager, REAL_VIEWS, real)
            undo.callback(synthetic_row.clear)
            undo.callback(real_row.clear)
            synthetic_row.show(foreground=real if samples.overlap else None, linked=samples.overlap)
            real_row.show(linked=samples.overlap)
            align(synthetic_row, real_row, samples.overlap)
            ranges = robust_range(samples.synthetic), robust_range(samples.real)
            has_difference = can_be_shown(synthetic, real)
            if has_difference:  # one scale for both, so that what was not edited looks the same
                ranges = ranges[1], ranges[1]
                if (place := middle_of_change(synthetic, real)) is not None:
                    synthetic_row.jump_to(place)
                    real_row.jump_to(place)
            window_level = MatchedWindowLevel(display_of(synthetic), ranges[0], display_of(real), ranges[1])
            undo.callback(window_level.stop)
            window_level.start()
            nodes = TemporaryNodes()
            undo.callback(nodes.remove)
            chart = add_histogram(nodes, samples, *ranges)
            slicer.mrmlScene.GetSingletonNode(PLOT_VIEW, "vtkMRMLPlotViewNode").SetPlotChartNodeID(chart.GetID())
            undo.callback(hide_slices, synthetic_row.nodes.values())
            _show_in_3d(nodes, synthetic_row, real_row)
            self._undo = undo.pop_all()
        self._synthetic_row, self._real_row, self._window_level = synthetic_row, real_row, window_level
        self._nodes = nodes
        self.active, self.overlap, self.has_difference = True, samples.overlap, has_difference

    def stop(self) -> None:
        """Put layout, views, window and level back as they were. Does nothing where nothing is compared."""
        self.active = self.overlap = self.has_difference = False
        self._synthetic_row = self._real_row = self._window_level = self._nodes = self._difference = None
        self._undo.close()

    def set_fade(self, fraction: float) -> None:
        """Show the real scan in the synthetic row's views: all of it at 0, nothing at 1, a mixture in between.

        Raises ComparisonError where nothing is compared or the volumes do not overlap.
        """
        self._require_active()
        if not self.overlap:
            raise ComparisonError(_("The volumes do not overlap, so there is nothing to fade between."))
        for composite in self._synthetic_row.composites:
            composite.SetForegroundOpacity(1.0 - min(max(fraction, 0.0), 1.0))

    def show_difference(self, visible: bool) -> None:
        """Lay what an edit changed over the real row, in colour, or take it away.

        Raises ComparisonError where nothing is compared, or not an edit with the scan that it was made from.
        """
        self._require_active()
        if not self.has_difference:
            raise ComparisonError(_("The synthetic volume was not edited from this scan."))
        if visible and self._difference is None:
            self._difference = add_difference(self._nodes, self._synthetic_row.volume, self._real_row.volume)
        show_over(self._real_row, self._difference if visible else None)

    @property
    def window_level(self) -> tuple[float, float]:
        """Window and level of the real scan, on its own scale. Raises ComparisonError where nothing is compared."""
        self._require_active()
        return self._window_level.value

    def set_window_level(self, window: float, level: float) -> None:
        """Show the real scan with this window and level and the synthetic volume alike, on its own scale.

        Raises ComparisonError where nothing is compared.
        """
        self._require_active()
        self._window_level.set(window, level)

    def _require_active(self) -> None:
        if not self.active:
            raise ComparisonError(_("No volumes are being compared."))


def _check(synthetic: slicer.vtkMRMLScalarVolumeNode | None, real: slicer.vtkMRMLScalarVolumeNode | None) -> None:
    for volume in (synthetic, real):
        if volume is None:
            raise ComparisonError(_("Choose a synthetic volume and a real scan to compare."))
        check_volume(volume)
    if not is_synthetic(synthetic):
        raise ComparisonError(_("{name} is not a synthetic volume.").format(name=synthetic.GetName()))
    if is_synthetic(real):
        raise ComparisonError(_("{name} is synthetic: choose a real scan.").format(name=real.GetName()))


def check_volume(volume: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Raises ComparisonError where a volume cannot be laid beside another."""
    image = volume.GetImageData() if volume.GetClassName() == "vtkMRMLScalarVolumeNode" else None
    if image is None or not image.GetNumberOfPoints():
        raise ComparisonError(_("{name} has no scalar voxels to compare.").format(name=volume.GetName()))
    transform = volume.GetParentTransformNode()
    if transform and not transform.IsTransformToWorldLinear():
        raise ComparisonError(
            _("{name} is under a non-linear transform: harden it first.").format(name=volume.GetName())
        )
    if not has_extent(volume):
        raise ComparisonError(_("{name} has no extent: a transform over it flattens it.").format(name=volume.GetName()))


def _row(
    layout_manager: slicer.qMRMLLayoutManager, names: dict[str, str], volume: slicer.vtkMRMLScalarVolumeNode
) -> SliceRow:
    try:
        return SliceRow(layout_manager, names, volume)
    except LookupError as error:
        raise ComparisonError(_("Slicer did not make the slice view {name}.").format(name=error)) from error


def _show_in_3d(nodes: TemporaryNodes, synthetic_row: SliceRow, real_row: SliceRow) -> None:
    view = slicer.mrmlScene.GetSingletonNode(THREE_D_VIEW, "vtkMRMLViewNode")
    add_outline(nodes, synthetic_row.volume, NAME_PREFIX, SYNTHETIC_COLOUR, view)
    add_outline(nodes, real_row.volume, real_name(), REAL_COLOUR, view)
    show_slices(synthetic_row.nodes.values(), view)
    look_at([synthetic_row.volume, real_row.volume], synthetic_row.nodes["Axial"], view)


def display_of(volume: slicer.vtkMRMLScalarVolumeNode) -> slicer.vtkMRMLScalarVolumeDisplayNode:
    """The volume's display, made where there is none."""
    if volume.GetScalarVolumeDisplayNode() is None:
        volume.CreateDefaultDisplayNodes()
    return volume.GetScalarVolumeDisplayNode()
