"""What ``synthesize`` is asked for, checked against the model before anything slow begins."""

from __future__ import annotations

import logging
from typing import Literal

from ccella_core.cases.prepared import PreparedSet
from ccella_core.errors import InputError
from ccella_core.evaluation.data.volume_set import format_shape
from ccella_core.generation.options import GenerationOptions
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.generation.ready_schedulers import prepare_scheduler

log = logging.getLogger(__name__)

PathologySource = Literal["report", "case"]
OF_EACH_CASE = ("count", "shape", "spacing", "pathology", "output_range")
"""Options that follow from the cases and the model, or that whatever reads the volumes relies on."""


def checked_number(per_case: int) -> int:
    """How many volumes a case gets. Raises InputError."""
    if isinstance(per_case, bool) or not isinstance(per_case, int) or per_case < 1:
        raise InputError(f"The number of volumes per case is a whole number from 1 up, not {per_case!r}.")
    return per_case


def checked_options(pipeline: CCELLAPipeline, options: GenerationOptions) -> GenerationOptions:
    """With the model's own values where none were requested, and the voxels of prepared cases. Raises InputError."""
    if given := [name for name in OF_EACH_CASE if getattr(options, name) != getattr(GenerationOptions(), name)]:
        raise InputError(f"A synthetic set takes its {given[0].replace('_', ' ')} from the cases and the model.")
    index = pipeline.index
    scheduler = prepare_scheduler(
        options.scheduler or index.default_scheduler,  # type: ignore[arg-type]  # an index may err
        pipeline.scheduler_config,
        options.num_inference_steps,
        default_num_inference_steps=index.default_num_inference_steps,
    )
    filled = {"scheduler": scheduler.name, "num_inference_steps": len(scheduler.timesteps), "output_range": "0-1"}
    return options.model_copy(update={"seed": options.seed or 0, **filled})


def checked_pathology(pipeline: CCELLAPipeline, source: PathologySource | None) -> PathologySource:
    """Where the class comes from: as the model wants it, unless it was said. Raises InputError."""
    config, name = pipeline.denoiser.config, pipeline.index.name
    is_given = config.uses_class and not config.predicts_class
    if source is None:
        return "case" if is_given else "report"
    if source == "report" and is_given:
        raise InputError(f"{name} does not read the pathology from a report; let it be given, as it is in the case.")
    if source == "case" and not config.uses_class:
        raise InputError(f"{name} takes no pathology, so that of the case cannot be given.")
    return source


def warn_of_other_grid(pipeline: CCELLAPipeline, prepared: PreparedSet) -> None:
    """Say in the log where a model's volumes cannot be measured against the prepared ones."""
    index, settings = pipeline.index, prepared.settings
    grids = (index.native_shape, index.native_spacing_mm), (settings.shape, settings.spacing)
    if grids[0] != grids[1]:
        made, there = (f"{format_shape(shape)} voxels at {format_shape(spacing)}" for shape, spacing in grids)
        log.warning(
            "%s makes volumes of %s mm, and those in %s have %s mm: they cannot be measured against each other.",
            index.name, made, prepared.folder, there,
        )  # fmt: skip
