"""``synthesize``: volumes of every case of a prepared folder, made from its reports on one process or on many.

Which volumes there are, and the seed of each, follows from the cases and the settings alone. So any number of processes
makes the same ones (equal up to rounding), and a run that was stopped goes on with those that are missing.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from accelerate import Accelerator

from ccella_core.cases.case import Split
from ccella_core.cases.prepared import PreparedCase, PreparedSet
from ccella_core.errors import InputError
from ccella_core.evaluation.data.synthetic_set import (
    VOLUMES,
    SynthesisSettings,
    SyntheticCase,
    refuse_other_synthesis,
    require_pyarrow,
    write_settings,
    write_table,
)
from ccella_core.evaluation.data.volume_set import format_shape
from ccella_core.evaluation.statistics.class_scores import THRESHOLD
from ccella_core.generation.options import checked_guidance, checked_seeds
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.generation.report_text import NULL_REPORT, check_report
from ccella_core.generation.sampling import NUM_SEEDS
from ccella_core.generation.schedulers import Scheduler, SchedulerName
from ccella_core.imaging.volume import SyntheticVolume, read_sidecar, sidecar_of
from ccella_core.progress import OnProgress
from ccella_core.provenance import SYNTHETIC_PREFIX, SequenceName

log = logging.getLogger(__name__)

PathologySource = Literal["report", "case"]


def synthesize(
    pipeline: CCELLAPipeline,
    prepared: PreparedSet,
    out: Path,
    *,
    split: Split | None = "train",
    per_case: int = 1,
    seed: int = 0,
    pathology: PathologySource | None = None,
    num_inference_steps: int | None = None,
    scheduler: SchedulerName | None = None,
    guidance_scale: float = 1.0,
    memory_limit_gib: float | None = None,
    accelerator: Accelerator | None = None,
    progress: OnProgress | None = None,
) -> tuple[SyntheticCase, ...]:
    """Make what is missing in ``out``, and its table; every process of a launch calls it.

    The k-th examination of a case is made from the k-th wording of its report, beginning again after the last; a case
    without a report is made from the null report, and the table has no prediction of it. Voxels are saved in 0 … 1, as
    those of prepared cases are.

    Args:
        pipeline: on this process's device.
        prepared: the cases; only their reports, classes and splits are used.
        out: folder; of several computers, one that they share.
        split: whose cases; ``None``: all.
        per_case: examinations of each case, each with a volume of every sequence that the model makes.
        seed: from which the seed of each examination follows, see ``seed_of``.
        pathology: the class is read from the ``report``, or told as it is in the ``case``. ``None``: as the model
            wants it, from the report where it can be. A model without a class is told none (``report``).
        num_inference_steps, scheduler: default to the model's.
        guidance_scale: 1: off; see ``sampling.sample``.
        memory_limit_gib: see ``decode.decode``.
        accelerator: of the launch; by default one process.
        progress: told of all processes' examinations, as if the others were as far as this one.

    Returns:
        A row a volume, in the order of the cases, the same on every process.

    Raises:
        InputError: no such cases, an argument that cannot be used, a report that cannot be read, or ``out`` holds
            another synthesis.
        NonFiniteError: a network gave NaN or infinity.
        SaveError: the disk refuses; finished volumes stay.
    """
    # 1. Check everything before anything slow begins.
    require_pyarrow()
    accelerator = accelerator or Accelerator()
    index = pipeline.index
    steps = index.default_num_inference_steps if num_inference_steps is None else num_inference_steps
    settings = SynthesisSettings(
        model_name=index.name,
        model_version=index.version,
        model_sha256=pipeline.model_sha256,
        source=prepared.fingerprint,
        split=split,
        per_case=_checked_number(per_case),
        seed=checked_seeds(seed, 1)[0],
        pathology=_checked_pathology(pipeline, pathology),
        scheduler=Scheduler(scheduler or index.default_scheduler, pipeline.scheduler_config, steps).name,  # type: ignore[arg-type]
        steps=steps,
        guidance_scale=checked_guidance(guidance_scale),
    )
    refuse_other_synthesis(out, settings)
    examinations = _plan(pipeline, prepared, settings)
    accelerator.wait_for_everyone()  # none writes before all have looked
    if accelerator.is_main_process:
        _warn_of_other_grid(pipeline, prepared)
        write_settings(out, settings)

    def tell(done: int) -> None:
        if progress is not None:
            progress(min(done * accelerator.num_processes, len(examinations)), len(examinations))

    # 2. Make what is missing, every n-th case on the n-th process.
    mine = [each for each in examinations if each.place % accelerator.num_processes == accelerator.process_index]
    missing = [each for each in mine if not each.is_made(out, settings)]
    done = len(mine) - len(missing)
    tell(done)
    for examination in missing:
        volumes = pipeline(
            examination.report,
            pathology=examination.pathology,
            seed=examination.seed,
            num_inference_steps=steps,
            scheduler=scheduler,
            guidance_scale=guidance_scale,
            memory_limit_gib=memory_limit_gib,
            allow_null=True,
        )
        for volume in volumes:
            examination.save(_in_unit_range(volume, index.intensity_range[volume.sequence]), out)
        done += 1
        tell(done)
    # 3. One table of all.
    accelerator.wait_for_everyone()
    rows = tuple(row for each in examinations for row in each.rows(out))
    if accelerator.is_main_process:
        write_table(out, rows)
    accelerator.wait_for_everyone()
    return rows


def seed_of(seed: int, case: str, number: int) -> int:
    """Of a case's ``number``-th examination, 0 … 2**63 - 1: a hash, so that no two cases share their noise."""
    digest = hashlib.sha256(f"{seed}/{case}/{number}".encode()).digest()
    return int.from_bytes(digest, "big") % NUM_SEEDS


@dataclass(frozen=True)
class _Examination:
    """One to make of a case: a volume of each sequence, all from one seed."""

    case: PreparedCase
    place: int
    """Of the case, among all."""
    id: str
    seed: int
    report: str | None
    """``None`` where the model reads none."""
    pathology: str | None
    sequences: tuple[SequenceName, ...]

    def path(self, sequence: SequenceName) -> str:
        return f"{VOLUMES}/{SYNTHETIC_PREFIX}_{self.id}_{sequence}.nii.gz"

    def is_made(self, out: Path, settings: SynthesisSettings) -> bool:
        """Whether every volume is there, whole, and made as it is to be made."""
        try:
            made = [read_sidecar(out / self.path(sequence)).provenance for sequence in self.sequences]
        except InputError:
            return False
        wanted = (settings.model_sha256, self.report or "", self.pathology, self.seed, settings.scheduler, settings.steps,
                  settings.guidance_scale)  # fmt: skip
        return all(
            (each.model_sha256, each.report, each.pathology_requested, each.seed, each.scheduler, each.steps,
             each.guidance_scale) == wanted
            for each in made
        )  # fmt: skip

    def save(self, volume: SyntheticVolume, out: Path) -> None:
        path = out / self.path(volume.sequence)
        sidecar_of(path).unlink(missing_ok=True)  # where it is damaged, nothing says that it belongs to this image
        volume.save(path, overwrite=True)

    def rows(self, out: Path) -> list[SyntheticCase]:
        """What the sidecars say."""
        rows = []
        for sequence in self.sequences:
            try:
                sidecar = read_sidecar(out / self.path(sequence), verify=False)
            except InputError as error:
                raise InputError(
                    f"{error} If several computers make these volumes, they must write into one folder that they share."
                ) from error
            # The class that the head gives to the empty text, as to any, shaped the volume; but nothing was read.
            silent = self.report == NULL_REPORT
            positive = None if silent else sidecar.provenance.predicted_positive_probability
            rows.append(
                SyntheticCase(
                    id=self.id,
                    case=self.case.id,
                    patient=self.case.patient,
                    split=self.case.split,
                    sequence=sequence,
                    pathology=self.case.pathology,
                    predicted_pathology=None
                    if positive is None
                    else "positive"
                    if positive >= THRESHOLD
                    else "negative",
                    predicted_positive_probability=positive,
                    seed=self.seed,
                    path=self.path(sequence),
                    sha256=sidecar.sha256,
                )
            )
        return rows


def _plan(pipeline: CCELLAPipeline, prepared: PreparedSet, settings: SynthesisSettings) -> list[_Examination]:
    cases = [case for case in prepared.cases if settings.split in (None, case.split)]
    if not cases:
        of_split = "" if settings.split is None else f" of the split {settings.split}"
        raise InputError(f"There are no cases{of_split} in {prepared.folder}.")
    return [
        _Examination(
            case=case,
            place=place,
            id=case.id if settings.per_case == 1 else f"{case.id}_{number}",
            seed=seed_of(settings.seed, case.id, number),
            report=_report(case, number) if pipeline.denoiser.config.uses_text else None,
            pathology=case.pathology if settings.pathology == "case" else None,
            sequences=tuple(pipeline.index.sequences),
        )
        for place, case in enumerate(cases)
        for number in range(1, settings.per_case + 1)
    ]


def _report(case: PreparedCase, number: int) -> str:
    if not case.reports:
        return NULL_REPORT
    try:
        return check_report(case.reports[(number - 1) % len(case.reports)])
    except InputError as error:
        raise InputError(f"The report of {case.id} cannot be used: {error}") from error


def _checked_number(per_case: int) -> int:
    if isinstance(per_case, bool) or not isinstance(per_case, int) or per_case < 1:
        raise InputError(f"The number of volumes per case is a whole number from 1 up, not {per_case!r}.")
    return per_case


def _checked_pathology(pipeline: CCELLAPipeline, source: PathologySource | None) -> PathologySource:
    config, name = pipeline.denoiser.config, pipeline.index.name
    is_told = config.uses_class and not config.predicts_class
    if source is None:
        return "case" if is_told else "report"
    if source == "report" and is_told:
        raise InputError(f"{name} does not read the pathology from a report; let it be told, as it is in the case.")
    if source == "case" and not config.uses_class:
        raise InputError(f"{name} takes no pathology, so it cannot be told that of the case.")
    return source


def _warn_of_other_grid(pipeline: CCELLAPipeline, prepared: PreparedSet) -> None:
    index, settings = pipeline.index, prepared.settings
    if (index.native_shape, index.native_spacing_mm) != (settings.shape, settings.spacing):
        log.warning(
            "%s makes volumes of %s voxels at %s mm, and those in %s have %s at %s: they cannot be measured against "
            "each other.",
            index.name,
            format_shape(index.native_shape),
            format_shape(index.native_spacing_mm),
            prepared.folder,
            format_shape(settings.shape),
            format_shape(settings.spacing),
        )


def _in_unit_range(volume: SyntheticVolume, limits: tuple[float, float]) -> SyntheticVolume:
    low, high = limits
    return volume if limits == (0, 1) else replace(volume, voxels=(volume.voxels - low) / (high - low))
