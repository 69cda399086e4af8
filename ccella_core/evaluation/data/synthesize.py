"""``synthesize``: volumes of every case of a prepared folder, made from its reports on one process or on many.

Which volumes there are, and the seed of each, follows from the cases and the settings alone. So any number of processes
makes the same ones (equal up to rounding), and a run that was stopped goes on with those that are missing.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from accelerate import Accelerator

from ccella_core.cases.case import Split
from ccella_core.cases.prepared import PreparedCase, PreparedSet
from ccella_core.errors import InputError, NonFiniteError
from ccella_core.evaluation.data.asked import (
    PathologySource,
    checked_number,
    checked_options,
    checked_pathology,
    warn_of_other_grid,
)
from ccella_core.evaluation.data.synthetic_set import (
    VOLUMES,
    SynthesisSettings,
    SyntheticCase,
    forget_left_out,
    leave_out,
    read_left_out,
    refuse_other_synthesis,
    write_settings,
    write_table,
)
from ccella_core.evaluation.statistics.class_scores import THRESHOLD
from ccella_core.generation.job import wanted_parts
from ccella_core.generation.options import NUM_SEEDS, GenerationKeywords, GenerationOptions, read_options
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.generation.report_text import NULL_REPORT, check_report
from ccella_core.imaging.volume import SyntheticImage, SyntheticVolume, read_sidecar, sidecar_of
from ccella_core.limits import SYNTHETIC_PREFIX, SchedulerName
from ccella_core.phantom.findings import Pathology
from ccella_core.progress import OnProgress
from ccella_core.provenance import LABELS, Provenance, SequenceName, file_stem

if TYPE_CHECKING:
    from typing_extensions import Unpack

log = logging.getLogger(__name__)


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

    A case of which no volume can be made is left out by name, see ``read_left_out``; the next call tries it again.

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
        per_case=checked_number(per_case),
        pathology=checked_pathology(pipeline, pathology_source),
        options=checked_options(pipeline, read_options(options, scheduler=scheduler, **keywords)),
    )
    refuse_other_synthesis(out, settings)
    examinations = _plan(pipeline, prepared, settings)
    accelerator.wait_for_everyone()  # none writes before all have looked
    if accelerator.is_main_process:
        warn_of_other_grid(pipeline, prepared)
        write_settings(out, settings)
        forget_left_out(out)
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


@dataclass(frozen=True)
class _Examination:
    """One to make of a case: a volume of each sequence and their label map, all from one seed."""

    case: PreparedCase
    place: int
    """Of the case, among all."""
    id: str
    seed: int
    report: str | None
    """As the case has it; ``None`` where the model reads none."""
    pathology: Pathology | None
    sequences: tuple[SequenceName, ...]
    has_labels: bool
    is_outside: bool | None
    """Whether the report is worded unlike those that the model was trained on; ``None``: nobody can tell."""

    @property
    def checked_report(self) -> str | None:
        """As it is read. Raises InputError where it cannot be used."""
        return self.report if self.report in (None, NULL_REPORT) else check_report(self.report)

    def options(self, settings: SynthesisSettings) -> GenerationOptions:
        return settings.options.model_copy(update={"seed": self.seed, "pathology": self.pathology})

    @property
    def parts(self) -> tuple[SequenceName | Literal["labels"], ...]:
        return (*self.sequences, LABELS) if self.has_labels else self.sequences

    def path(self, part: SequenceName | Literal["labels"]) -> str:
        return f"{VOLUMES}/{file_stem(f'{SYNTHETIC_PREFIX}_{self.id}', part, of_several=True)}.nii.gz"

    def is_made(self, out: Path, settings: SynthesisSettings) -> bool:
        """Whether every volume is there, whole, and made as it is to be made."""
        try:
            made = [read_sidecar(out / self.path(part)).provenance for part in self.parts]
        except InputError:
            return False
        wanted = {
            **self.options(settings).model_dump(include=set(Provenance.model_fields), exclude={"shape", "spacing"}),
            "model_sha256": settings.model_sha256,
            "report": (self.report or "").strip(),
            "pathology_requested": self.pathology,
        }
        return all(each.model_dump(include=set(wanted)) == wanted for each in made)

    def save(self, volumes: list[SyntheticVolume], out: Path) -> None:
        images: dict[SequenceName | Literal["labels"], SyntheticImage] = {each.sequence: each for each in volumes}
        if volumes[0].labels is not None:
            images[LABELS] = volumes[0].labels
        for part, image in images.items():
            path = out / self.path(part)
            sidecar_of(path).unlink(missing_ok=True)  # where it is damaged, nothing says that it belongs to this image
            image.save(path, overwrite=True)

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
            positive = sidecar.provenance.predicted_positive_probability if self.report != NULL_REPORT else None
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
                    labels=self.path(LABELS) if self.has_labels else None,
                    report_is_outside=self.is_outside,
                )
            )
        return rows


def _plan(pipeline: CCELLAPipeline, prepared: PreparedSet, settings: SynthesisSettings) -> list[_Examination]:
    cases = [case for case in prepared.cases if settings.split in (None, case.split)]
    if not cases:
        of_split = "" if settings.split is None else f" of the split {settings.split}"
        raise InputError(f"There are no cases{of_split} in {prepared.folder}.")
    if settings.pathology == "case" and (unknown := [case.id for case in cases if case.pathology is None]):
        raise InputError(f"The pathology of {unknown[0]} is unknown, and {settings.model_name} must be given one.")
    parts = wanted_parts(pipeline.index, settings.options)
    profile = pipeline.report_profile
    return [
        _Examination(
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
        for place, case in enumerate(cases)
        for number in range(1, settings.per_case + 1)
        for report in (_report(case, number) if pipeline.denoiser.config.uses_text else None,)
    ]


def _report(case: PreparedCase, number: int) -> str:
    return case.reports[(number - 1) % len(case.reports)] if case.reports else NULL_REPORT
