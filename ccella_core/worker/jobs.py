"""``generate``: a report goes in, volumes come out. Cheap to import: what needs torch is in ``generation``."""

from __future__ import annotations

from typing import Any

from ccella_core.models.search import resolve_bundle
from ccella_core.worker.output import checked_name
from ccella_core.worker.params import GenerateParams, read_params
from ccella_core.worker.reporter import Reporter
from ccella_core.worker.tasks import State, Task


def generate(task: Task, state: State) -> dict[str, Any]:
    """Make ``count`` volumes, with the seeds that follow ``seed``.

    Mistakes that can be found without torch are told at once, and the client hears that loading has begun before the
    libraries are imported, which is its longest part.

    Raises:
        CCELLAError: see ``CCELLAPipeline.__call__`` and ``SyntheticVolume.save``.
    """
    asked = read_params(GenerateParams, task)
    bundle = resolve_bundle(asked.bundle)
    name = checked_name(asked.name or bundle.index.name)
    reporter = Reporter(task, volumes=asked.count, spacing=asked.spacing or bundle.index.native_spacing_mm)
    reporter.begin_loading()
    with state.importing:
        from ccella_core.worker.generation import run_generation
    return run_generation(task, state, asked, bundle, name, reporter)
