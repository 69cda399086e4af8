"""``synthesize``: volumes of every case of a prepared folder, made from its reports on one process or on many.

Which volumes there are, and the seed of each, follows from the cases and the settings alone. So any number of processes
makes the same ones (equal up to rounding), and a run that was stopped goes on with those that are missing.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from accelerate import Accelerator

from ccella_core.cases.case import Split
from ccella_core.cases.prepared import PreparedCase, PreparedSet
from ccella_core.errors import InputError, NonFiniteError
from ccella_core.evaluation.data.planned import PlannedExamination
from ccella_core.evaluation.data.synthetic_set import (
    SynthesisSettings,
    SyntheticCase,
    forget_left_out,
    leave_out,
    read_left_out,
    refuse_other_synthesis,
    write_settings,
    write_table,
)
from ccella_core.evaluation.data.volume_set import format_shape
from ccella_core.generation.options import (
    NUM_SEEDS,
    GenerationKeywords,
    GenerationOptions,
    read_options,
    wanted_parts,
)
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.generation.report_text import NULL_REPORT
from ccella_core.generation.sampling.ready_schedulers import prepare_scheduler
from ccella_core.limits import SchedulerName
from ccella_core.progress import OnProgress

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger(__name__)

PathologySource = Literal["report", "case"]
OF_EACH_CASE = ("count", "shape", "spacing", "pathology", "crop_mm", "output_range")
"""Options that follow from the cases and the model, or that whatever reads the volumes relies on."""


def synthesize(
    pipeline: CCELLAPipeline,
    prepared: PreparedSet,
    out: Path,
    options: GenerationOptions | None = None,
    *,
    split: Split | None = "train",
    per_case: int = 1,
    pathology_source: PathologySource | None = None,
    scheduler: SchedulerName | None = None,
    accelerator: Accelerator | None = None,
    progress: OnProgress | None = None,
    **keywords: Unpack[GenerationKeywords],
) -> tuple[SyntheticCase, ...]:
    """Make what is missing in ``out``, and its table; every process of a launch calls it.

    A case of which no volume can be made is left out by name, see ``read_left_out``, also one of unknown pathology
    where the model must be given it; the next call tries it again.

    The k-th examination of a case is made from the k-th wording of its report, beginning again after the last; a case
    without a report is made from the null report, and the table has no prediction of it. Voxels are saved in 0 … 1, as
    those of prepared cases are.

    Args:
        pipeline: on this process's device.
        prepared: the cases; only their reports, classes and splits are used.
        out: folder; of several computers, one that they share.
        options: of every examination, but for those ``OF_EACH_CASE``. From its ``seed`` (0 unless given) the seed of
            each examination follows, see ``seed_of``.
        split: whose cases; ``None``: all.
        per_case: examinations of each case, each with a volume of every sequence that the model makes, and one label
            map where it draws labels, unless ``options`` asks for less.
        pathology_source: the class is read from the ``report``, or given as it is in the ``case``. ``None``: as the
            model wants it, from the report where it can be. A model without a class is given none (``report``).
        scheduler: over that of ``options``.
        accelerator: of the launch; by default one process.
        progress: called with all processes' examinations, as if the others were as far as this one.
        **keywords: fields of ``GenerationOptions``, over ``options``.

    Returns:
        A row a volume, in the order of the cases, the same on every process.

    Raises:
        InputError: no such cases, an argument that cannot be used, another synthesis in ``out``, or no case is left.
        SaveError: the disk refuses; finished volumes stay.
    """
    # 1. Check everything before anything slow begins.
    accelerator = accelerator or Accelerator()
    index = pipeline.index
    settings = SynthesisSettings(
        model_name=index.name,
        model_version=index.version,
        model_sha256=pipeline.model_sha256,
        source=prepared.fingerprint,
        split=split,
        per_case=_checked_number(per_case),
        pathology=_checked_pathology(pipeline, pathology_source),
        options=_checked_options(pipeline, read_options(options, scheduler=scheduler, **keywords)),
    )
    refuse_other_synthesis(out, settings)
    examinations = _plan(pipeline, prepared, settings)
    accelerator.wait_for_everyone()  # none writes before all have looked
    if accelerator.is_main_process:
        _warn_of_other_grid(pipeline, prepared)
        write_settings(out, settings)
        forget_left_out(out)
        for case in _cases(prepared, settings):
            if _lacks_its_class(case, settings):
                reason = f"Its pathology is unknown, and {index.name} must be given one."
                log.warning("%s is left out: %s", case.id, reason)
                leave_out(out, case.id, reason)
    accelerator.wait_for_everyone()

    def tell(done: int) -> None:
        if progress is not None:
            progress(min(done * accelerator.num_processes, len(examinations)), len(examinations))

    # 2. Make what is missing, every n-th case on the n-th process.
    mine = [each for each in examinations if each.place % accelerator.num_processes == accelerator.process_index]
    missing = [each for each in mine if not each.is_made(out, settings)]
    done = len(mine) - len(missing)
    tell(done)
    for examination in missing:
        try:
            volumes = pipeline(examination.checked_report, examination.options(settings), allow_null=True)
        except (InputError, NonFiniteError) as error:
            if isinstance(error.__cause__, (MemoryError, RuntimeError)):
                raise  # there is too little memory for any of them
            log.warning("%s is left out: %s", examination.id, error)
            leave_out(out, examination.id, str(error))
        else:
            examination.save(volumes, out)
        done += 1
        tell(done)
    # 3. One table of all.
    accelerator.wait_for_everyone()
    left_out = dict(read_left_out(out))
    rows = tuple(row for each in examinations if each.id not in left_out for row in each.rows(out))
    if not rows:
        raise InputError(f"No volume could be made of any case ({'; '.join(list(left_out.values())[:3])}).")
    if accelerator.is_main_process:
        write_table(out, rows)
    accelerator.wait_for_everyone()
    return rows


def seed_of(seed: int, case: str, number: int) -> int:
    """Of a case's ``number``-th examination, 0 … 2**63 - 1: a hash, so that no two cases share their noise."""
    digest = hashlib.sha256(f"{seed}/{case}/{number}".encode()).digest()
    return int.from_bytes(digest, "big") % NUM_SEEDS


def _cases(prepared: PreparedSet, settings: SynthesisSettings) -> list[PreparedCase]:
    return [case for case in prepared.cases if settings.split in (None, case.split)]


def _lacks_its_class(case: PreparedCase, settings: SynthesisSettings) -> bool:
    return settings.pathology == "case" and case.pathology is None


def _plan(pipeline: CCELLAPipeline, prepared: PreparedSet, settings: SynthesisSettings) -> list[PlannedExamination]:
    cases, of_split = _cases(prepared, settings), "" if settings.split is None else f" of the split {settings.split}"
    if not cases:
        raise InputError(f"There are no cases{of_split} in {prepared.folder}.")
    usable = [case for case in cases if not _lacks_its_class(case, settings)]
    if not usable:
        raise InputError(
            f"The pathology of all {len(cases)} cases{of_split} is unknown, and {settings.model_name} must be given it."
        )
    parts = wanted_parts(pipeline.index, settings.options)
    profile = pipeline.report_profile
    return [
        PlannedExamination(
            case=case,
            place=place,
            id=case.id if settings.per_case == 1 else f"{case.id}_{number}",
            seed=seed_of(settings.options.seed or 0, case.id, number),
            report=report,
            pathology=case.pathology if settings.pathology == "case" else None,
            sequences=tuple(name for name in pipeline.index.sequences if name in parts),
            has_labels=any(name in parts for name in pipeline.index.labels),
            is_outside=profile.wording(report).is_outside if profile is not None and report else None,
        )
        for place, case in enumerate(usable)
        for number in range(1, settings.per_case + 1)
        for report in (_report(case, number) if pipeline.denoiser.config.uses_text else None,)
    ]


def _report(case: PreparedCase, number: int) -> str:
    return case.reports[(number - 1) % len(case.reports)] if case.reports else NULL_REPORT


def _checked_number(per_case: int) -> int:
    if isinstance(per_case, bool) or not isinstance(per_case, int) or per_case < 1:
        raise InputError(f"The number of volumes per case is a whole number from 1 up, not {per_case!r}.")
    return per_case


def _checked_options(pipeline: CCELLAPipeline, options: GenerationOptions) -> GenerationOptions:
    """With the model's own values where none were requested, and the voxels of prepared cases."""
    if given := [name for name in OF_EACH_CASE if getattr(options, name) != getattr(GenerationOptions(), name)]:
        raise InputError(f"A synthetic set takes its {given[0].replace('_', ' ')} from the cases and the model.")
    index = pipeline.index
    scheduler = prepare_scheduler(
        options.scheduler or index.default_scheduler,  # type: ignore[arg-type]  # an index may err
        pipeline.scheduler_config,
        options.num_inference_steps,
        default_num_inference_steps=index.default_num_inference_steps,
    )
    filled = {
        "scheduler": scheduler.name,
        "num_inference_steps": len(scheduler.timesteps),
        "guidance_scale": index.default_guidance_scale if options.guidance_scale is None else options.guidance_scale,
        "output_range": "0-1",
    }
    return options.model_copy(update={"seed": options.seed or 0, **filled})


def _checked_pathology(pipeline: CCELLAPipeline, source: PathologySource | None) -> PathologySource:
    config, name = pipeline.denoiser.config, pipeline.index.name
    is_given = config.uses_class and not config.predicts_class
    if source is None:
        return "case" if is_given else "report"
    if source == "report" and is_given:
        raise InputError(f"{name} does not read the pathology from a report; let it be given, as it is in the case.")
    if source == "case" and not config.uses_class:
        raise InputError(f"{name} takes no pathology, so that of the case cannot be given.")
    return source


def _warn_of_other_grid(pipeline: CCELLAPipeline, prepared: PreparedSet) -> None:
    index, settings = pipeline.index, prepared.settings
    if settings.grid == "whole":
        log.warning(
            "The cases in %s have a spacing each (`--grid whole`), and %s makes volumes of one: they cannot be "
            "measured against each other.", prepared.folder, index.name,
        )  # fmt: skip
        return
    grids = (index.native_shape, index.native_spacing_mm), (settings.shape, settings.spacing)
    if grids[0] != grids[1]:
        made, there = (f"{format_shape(shape)} voxels at {format_shape(spacing)}" for shape, spacing in grids)
        log.warning(
            "%s makes volumes of %s mm, and those in %s have %s mm: they cannot be measured against each other.",
            index.name, made, prepared.folder, there,
        )  # fmt: skip
