"""One call of the pipeline: checked before anything slow begins, and what is recorded of each volume."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

from ccella_core.generation.edit import ScanToEdit
from ccella_core.generation.options import GenerationOptions, check_request, wanted_parts
from ccella_core.generation.report_text import NULL_REPORT
from ccella_core.generation.sampling.checks import parse_pathology
from ccella_core.generation.sampling.ready_schedulers import HandedInScheduler, ReadyScheduler, prepare_scheduler
from ccella_core.generation.sampling.schedulers import Scheduler
from ccella_core.limits import SchedulerName
from ccella_core.models.trained_on import far_from_training
from ccella_core.networks.config import check_volume_shape, latent_shape
from ccella_core.provenance import LabelName, Provenance, SequenceName

if TYPE_CHECKING:
    from ccella_core.generation.pipeline import CCELLAPipeline

BATCH_LATENT_VOXELS = 131_072
"""Latent voxels that the U-Net sees at once: one volume of the published size, whose activations take some GiB."""
MAX_BATCH = 8
"""Beyond this a batch is hardly faster, and the first volume is longer in coming."""
STRENGTH_IN_MASK, STRENGTH_OF_ALL = 1.0, 0.6
"""Of an edit, where none is asked for: all new inside a mask; without one the anatomy stays."""


class Job(NamedTuple):
    """A checked call, with the model's values where none were requested."""

    report: str
    """As it is encoded; empty for variants that read none."""
    options: GenerationOptions
    """With a seed, and the model's guidance where none was requested."""
    guidance_scale: float
    """That of the options."""
    scheduler: Scheduler | HandedInScheduler
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    parts: tuple[SequenceName | LabelName, ...]
    """Of the model's, those that are decoded."""
    batches: list[list[int]]
    """Seeds of the examinations that are denoised together."""
    edit: ScanToEdit | None = None
    grid: sitk.Image | None = None
    """Where the model's field of view lies in the scan to edit."""


def prepare(
    pipeline: CCELLAPipeline,
    report: str | None,
    options: GenerationOptions,
    scheduler: SchedulerName | ReadyScheduler | None = None,
    *,
    allow_null: bool = False,
    edit: ScanToEdit | None = None,
) -> Job:
    """Check what depends on the model, and fill in what it has by default.

    Args:
        pipeline: the one that will generate.
        report: as given by the caller.
        options: checked by themselves.
        scheduler: see ``CCELLAPipeline.__call__``.
        allow_null: see ``CCELLAPipeline.__call__``.
        edit: what is edited, if anything.

    Raises:
        InputError: an argument that this model cannot use.
    """
    index = pipeline.index
    check_request(index, report, options, edit, reads_report=pipeline.encoder is not None, allow_null=allow_null)
    shape = check_volume_shape(options.shape or index.native_shape, multiples=pipeline.shape_multiples)
    ready = prepare_scheduler(
        scheduler or options.scheduler or index.default_scheduler,  # type: ignore[arg-type]  # an index may err
        pipeline.scheduler_config,
        options.num_inference_steps,
        default_num_inference_steps=index.default_num_inference_steps,
        latent_shape=latent_shape(pipeline.autoencoder_config, shape),
    )
    spacing = options.spacing or index.native_spacing_mm
    if edit is not None and options.strength is None:
        usual = STRENGTH_OF_ALL if edit.mask is None else STRENGTH_IN_MASK
        options = options.model_copy(update={"strength": usual})
    latent_voxels = math.prod(latent_shape(pipeline.autoencoder_config, shape))
    size = max(1, min(MAX_BATCH, BATCH_LATENT_VOXELS // latent_voxels))
    guidance_scale = index.default_guidance_scale if options.guidance_scale is None else options.guidance_scale
    options = options.with_seed().model_copy(update={"guidance_scale": guidance_scale})
    return Job(
        report=(report or NULL_REPORT).strip(),
        options=options,
        guidance_scale=guidance_scale,
        scheduler=ready,
        shape=shape,
        spacing=spacing,
        parts=wanted_parts(index, options, edit),
        batches=[options.seeds[start : start + size] for start in range(0, options.count, size)],
        edit=edit,
        grid=None if edit is None else edit.grid(shape, spacing),
    )


def provenance_of(pipeline: CCELLAPipeline, job: Job, seed: int, predicted: float | None) -> Provenance:
    """How the examination of ``seed`` was made; ``predicted``: the probability that the model read from the report."""
    content = job.options.model_dump(include=set(Provenance.model_fields)) | {
        "model_name": pipeline.index.name,
        "model_version": pipeline.index.version,
        "model_sha256": pipeline.model_sha256,
        "report": job.report,
        "pathology_requested": job.options.pathology,
        "predicted_positive_probability": predicted,
        "seed": seed,
        "scheduler": job.scheduler.name,
        "num_inference_steps": len(job.scheduler.timesteps),
        "shape": job.shape,
        "spacing": job.spacing,
        "device": str(pipeline.device),
        "dtype": str(pipeline.dtype).removeprefix("torch."),
        "warnings": _warnings(pipeline, job, predicted),
    }
    return Provenance.model_validate(content)


def _warnings(pipeline: CCELLAPipeline, job: Job, predicted: float | None) -> list[str]:
    warnings = far_from_training(pipeline.index, job.shape, job.spacing)
    if pipeline.encoder is not None and (count := pipeline.encoder.count_tokens(job.report)).truncated:
        warnings.append(
            f"The report is {count.tokens} tokens long and the model reads the last {count.limit}: "
            "its beginning was not read."
        )
    if pipeline.report_profile is not None and job.report != NULL_REPORT:
        wording = pipeline.report_profile.wording(job.report)
        warnings += [wording.warning] if wording.warning else []
    requested = parse_pathology(job.options.pathology)
    if requested is not None and predicted is not None and (requested - 0.5) * (predicted - 0.5) < 0:
        words = "positive" if requested > 0.5 else "negative"
        warnings.append(
            f"The pathology asked for is {words}, but the model reads the report as {predicted:.0%} positive."
        )
    if not pipeline.model_sha256:
        warnings.append("The model was never saved as a model, so this volume cannot be traced to its weights.")
    return warnings
