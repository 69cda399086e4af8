"""``generate``: what is asked for is checked without torch, before a minute is spent on loading."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ccella_core.errors import InputError
from ccella_core.generation.edit import Source, Sphere, edit_of
from ccella_core.generation.options import check_device, check_request
from ccella_core.imaging.nrrd import nrrd_in_memory
from ccella_core.models.search import resolve_model
from ccella_core.provenance import SequenceName
from ccella_core.worker.output import checked_name
from ccella_core.worker.params import GenerateParams, read_params
from ccella_core.worker.reporter import Reporter
from ccella_core.worker.tasks import Task, WorkerState


def generate(task: Task, state: WorkerState) -> dict[str, Any]:
    """Make ``count`` volumes, with the seeds that follow ``seed``.

    Mistakes that can be found without torch are reported at once, and the client hears that loading has begun before
    the libraries are imported, which is its longest part.

    Raises:
        CCELLAError: see ``CCELLAPipeline.__call__`` and ``SyntheticVolume.save``.
    """
    params = read_params(GenerateParams, task)
    model = resolve_model(params.model)
    name = checked_name(params.name or model.index.name)
    edit = edit_of(*_to_edit(task, params), model.index.sequences)
    if edit is not None:
        name = checked_name(f"{edit.name}_{name}")
    check_device(params.device)
    reads_report = "text_encoder" in model.index.components
    check_request(model.index, params.report, params.options, edit, reads_report=reads_report)
    reporter = Reporter(task, volumes=params.count, spacing=params.spacing or model.index.native_spacing_mm)
    reporter.begin_loading()
    with state.importing:
        from ccella_core.worker.generation import run_generation
    return run_generation(task, state, params, model, edit, name, reporter)


def _to_edit(
    task: Task, params: GenerateParams
) -> tuple[Source | Mapping[SequenceName, Source] | None, Source | Sphere | None]:
    """Image and mask: files on this computer or, for a client on another one, what it has sent."""
    if params.output_dir is not None:
        return params.image, params.where

    def sent(name: str) -> Source:
        if name not in task.scans:
            raise InputError(f"The scan {name} did not come from the other computer; try again.")
        return nrrd_in_memory(task.scans[name], Path(name))

    image, where = params.image, params.where
    if isinstance(image, dict):
        return {sequence: sent(name) for sequence, name in image.items()}, sent(where) if isinstance(
            where, str
        ) else where
    return None if image is None else sent(image), sent(where) if isinstance(where, str) else where
