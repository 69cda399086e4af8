"""An examination as readers hang bpMRI: T2, ADC and high b in one row, a real one below a synthetic one."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import slicer
from slicer.i18n import tr as _

from ..scene.geometry import sample_both
from ..scene.sequences import SEQUENCES, adc_unit
from ..scene.volumes import is_synthetic
from .comparison import ComparisonError, check_volume, display_of
from .former_views import FormerViews
from .layout import REAL_COLUMNS, SYNTHETIC_COLUMNS, VIEW_GROUP, show_columns
from .slice_row import MARGIN, SliceRow
from .window_level import IntensityRange, MatchedWindowLevel, robust_range

ADC_WINDOW = (0.0, 2000.0)
"""In 10⁻⁶ mm²/s: cancer (below some 900) is dark, normal peripheral zone (1600 and more) bright."""
PLANE = "Axial"

Examination = dict[str, slicer.vtkMRMLScalarVolumeNode]


class Hanging:
    """Shows examinations, each a volume by sequence, until it is stopped; then everything is as it was before.

    While it is `active`: `overlap` says whether the two share a part of the world, and so move together.
    """

    def __init__(self, layout_manager: slicer.qMRMLLayoutManager | None = None) -> None:
        self._layout_manager = layout_manager
        self._undo = ExitStack()
        self._adc: MatchedWindowLevel | None = None
        self.active = False
        self.overlap = False
        self.volumes: tuple[slicer.vtkMRMLScalarVolumeNode, ...] = ()

    def start(self, synthetic: Examination, real: Examination) -> None:
        """Switch to the views of one or both; others that are shown are stopped first.

        The planes are those of the real T2, or of what comes nearest to it.

        Raises ComparisonError, with nothing changed, where there is nothing to show or a volume cannot be shown.
        """
        layout_manager = self._layout_manager or slicer.app.layoutManager()
        if layout_manager is None:
            raise ComparisonError(_("Volumes can only be compared in Slicer's main window, and there is none."))
        _check(synthetic, real)
        synthetic, real = ({name: each[name] for name in SEQUENCES if name in each} for each in (synthetic, real))
        self.stop()
        rows = [(names, shown) for names, shown in ((SYNTHETIC_COLUMNS, synthetic), (REAL_COLUMNS, real)) if shown]
        with ExitStack() as undo:  # what was begun is undone where the rest fails
            layout_node = layout_manager.layoutLogic().GetLayoutNode()
            undo.callback(FormerViews(layout_node).restore)
            show_columns(layout_node, with_real=bool(real), with_synthetic=bool(synthetic))
            slicer.app.processEvents()  # new views have no size before
            views: list[list[SliceRow]] = []
            for names, shown in rows:
                views.append([])
                for sequence, volume in shown.items():
                    try:
                        view = SliceRow(layout_manager, {PLANE: names[sequence]}, volume)
                    except LookupError as error:
                        raise ComparisonError(
                            _("Slicer did not make the slice view {name}.").format(name=error)
                        ) from error
                    undo.callback(view.clear)
                    view.show(linked=True)
                    views[-1].append(view)
            overlap = len(views) == 2 and sample_both(views[0][0].volume, views[1][0].volume).overlap
            _align(views, overlap)
            adc = _windows(synthetic, real, undo)
            self._undo = undo.pop_all()
        self._adc, self.active, self.overlap = adc, True, overlap
        self.volumes = (*synthetic.values(), *real.values())

    def stop(self) -> None:
        """Put layout, views, window and level back as they were. Does nothing where nothing is shown."""
        self.active = self.overlap = False
        self._adc, self.volumes = None, ()
        self._undo.close()

    @property
    def has_adc(self) -> bool:
        """Whether an ADC map of a known unit is shown."""
        return self._adc is not None

    def set_adc_window(self, low: float, high: float) -> None:
        """Show all ADC maps black at ``low`` and white at ``high``, in 10⁻⁶ mm²/s.

        Raises ComparisonError where none is shown, or the two are not in this order.
        """
        if self._adc is None:
            raise ComparisonError(_("No ADC map of a known unit is shown."))
        if not low < high:
            raise ComparisonError(_("The ADC window runs from a lower to a higher value."))
        span = ADC_WINDOW[1] - ADC_WINDOW[0]
        self._adc.set_relative((high - low) / span, ((low + high) / 2 - ADC_WINDOW[0]) / span)


def _check(synthetic: Examination, real: Examination) -> None:
    if not synthetic and not real:
        raise ComparisonError(_("Choose a synthetic volume or a real scan first."))
    for examination in (synthetic, real):
        for sequence, volume in examination.items():
            if sequence not in SEQUENCES:
                raise ComparisonError(_("{name} is no sequence of bpMRI.").format(name=sequence))
            check_volume(volume)
            if is_synthetic(volume) != (examination is synthetic):
                sentence = (
                    _("{name} is not a synthetic volume.")
                    if examination is synthetic
                    else _("{name} is synthetic: choose a real scan.")
                )
                raise ComparisonError(sentence.format(name=volume.GetName()))


def _align(rows: list[list[SliceRow]], overlap: bool) -> None:
    """All on one plane and at one scale where they overlap; else each row on the plane of its own first volume."""
    sized = []
    for number, row in enumerate(rows):
        leader = rows[-1][0] if overlap else row[0]
        size = leader.place([each[0].volume for each in rows] if overlap else [leader.volume])
        for view in row:
            if view is not leader:
                view.follow(leader)
            view.nodes[PLANE].SetViewGroup(VIEW_GROUP if overlap else VIEW_GROUP + number)
            sized.append((view, size))
    scale = MARGIN * max(view.needed_scale(size) for view, size in sized)
    for view, _size in sized:
        view.set_scale(scale)


def _windows(synthetic: Examination, real: Examination, undo: ExitStack) -> MatchedWindowLevel | None:
    """One brightness for each sequence; that of ADC is in its unit. Returns ADC's."""
    adc = None
    for sequence in SEQUENCES:
        shown = [examination[sequence] for examination in (synthetic, real) if sequence in examination]
        if not shown:
            continue
        units = [adc_unit(volume) if sequence == "adc" else None for volume in shown]
        known = all(unit is not None for unit in units)
        ranges = [
            IntensityRange(ADC_WINDOW[0] * unit, ADC_WINDOW[1] * unit) if known and unit is not None else _range(volume)
            for volume, unit in zip(shown, units, strict=True)
        ]
        first, last = (display_of(shown[place]) for place in (0, -1))
        window_level = MatchedWindowLevel(first, ranges[0], last, ranges[-1])
        undo.callback(window_level.stop)
        window_level.start()
        if sequence == "adc" and known:
            adc = window_level
    return adc


def _range(volume: slicer.vtkMRMLScalarVolumeNode) -> IntensityRange:
    values = slicer.util.arrayFromVolume(volume).ravel().astype(float)
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ComparisonError(_("Volumes without any finite voxel cannot be compared."))
    return robust_range(finite)
