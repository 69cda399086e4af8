# ruff: noqa: N803 - what scripts call is written as Slicer writes it
"""A real scan of the scene edited under a report: "this patient, with a PI-RADS 5 lesion here"."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from ..scene.edit_region import RegionError, edit_inputs
from ..scene.examinations import add_edited
from .generator import DEFAULT_MODEL, Callback, Generator
from .run import GenerationError, check_nodes


class EditingGenerator(Generator):
    """A ``Generator`` that also edits."""

    def edit(
        self,
        scan: slicer.vtkMRMLScalarVolumeNode,
        report: str | None = None,
        where: slicer.vtkMRMLNode | Sequence[float] | None = None,
        radius: float | None = None,
        strength: float | None = None,
        model: str | Path = DEFAULT_MODEL,
        sequence: str | None = None,
        outputVolume: slicer.vtkMRMLScalarVolumeNode | None = None,
        wait: bool = True,
        onProgress: Callback | None = None,
        onPreview: Callback | None = None,
        onFinished: Callback | None = None,
        onError: Callback | None = None,
        **options: Any,
    ) -> list[slicer.vtkMRMLScalarVolumeNode] | int:
        """Draw a part of a scan anew, so that it fits a report, and add the result to the scene.

        The result has the scan's own grid, intensities and transforms; where it may not change, its voxels are the
        scan's. It is synthetic, and named so.

        Args:
            scan: what is edited; it stays as it is.
            report: the radiology report; ``None`` for models that read none.
            where: where it may change: a point (RAS mm of the world, or a markups node), a segmentation, of which the
                visible segments count, a label map on the scan's grid, or ``None``: all that the model sees of it.
            radius: mm around a point.
            strength: how much is drawn anew, above 0 and up to 1; by default all where ``where`` is given, else 0.6.
            model: the model: a name, a folder, or ``hf:owner/name``.
            sequence: of the scan, for a model of several; by default the model's first.
            outputVolume: takes the (first) result: an empty node, or a synthetic one, which is replaced.
            wait: return when it is done; Slicer's window stays alive meanwhile.
            onProgress: as in ``process``.
            onPreview: as in ``process``.
            onFinished: as in ``process``.
            onError: as in ``process``.
            **options: any other of the library's ``GenerationOptions``, by its name there: ``seed=7``.

        Returns:
            The nodes; with ``wait=False`` the request's number, at once.

        Raises:
            GenerationError: the scan, the region or the output cannot be used; with ``wait``, whatever else goes wrong.
        """
        if scan is None:
            raise GenerationError("input", _("There is no scan to edit; choose one."))
        check_nodes(scan, outputVolume)

        def inputs(folder: Path) -> dict[str, Any]:
            try:
                params = edit_inputs(folder, scan, where, radius)
            except RegionError as error:
                raise GenerationError("input", str(error)) from error
            return params if sequence is None else {**params, "image": {sequence: params["image"]}}

        def add(value: dict[str, Any]) -> list[slicer.vtkMRMLScalarVolumeNode]:
            check_nodes(scan, outputVolume)  # again: much may have happened to them meanwhile
            return add_edited(value, scan, outputVolume)

        run = self._start(
            {
                "report": report,
                "model": str(model),
                "strength": None if strength is None else float(strength),
                **options,
            },
            add,
            inputs=inputs,
            nodes=[node for node in (scan, outputVolume) if node is not None],
            on_progress=onProgress,
            on_preview=onPreview,
            on_finished=onFinished,
            on_error=onError,
        )
        return run.wait() if wait else run.request_id
