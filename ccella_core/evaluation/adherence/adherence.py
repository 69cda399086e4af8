"""Adherence: does a generated volume show what its report says?

Reports of patients that no training has seen are given to the model; what it generates is read by the phantom reader,
and so is the phantom of the same patient, which shows what the phantom reader could have found at best.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from ccella_core.errors import InputError, SaveError
from ccella_core.evaluation.adherence.counterfactual import CHANGED_FACTS, ChangedFact, counterfactual_findings
from ccella_core.evaluation.adherence.measurements import MeasuredFinding
from ccella_core.evaluation.adherence.phantom_reader import (
    READABLE_SEQUENCE,
    PhantomReaderValidation,
    check_readable,
)
from ccella_core.evaluation.adherence.picture import lesion_slice
from ccella_core.evaluation.adherence.report import AdherenceCase, AdherenceResult
from ccella_core.evaluation.adherence.scores import StatedFinding
from ccella_core.evaluation.adherence.store import CaseStore, phantom_slice_name, slice_name
from ccella_core.generation.options import GenerationOptions
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.generation.sampling.ready_schedulers import prepare_scheduler
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.phantom.findings import Findings
from ccella_core.phantom.patient import Patient, draw_patient
from ccella_core.phantom.render import render
from ccella_core.phantom.report import StyleChoice, write_report

FIRST_PATIENT = 1_000_000  # the held-out reports of the demonstration model begin here

Generate = Callable[[str, int], SyntheticVolume]
"""Makes one T2-weighted volume from a report and a seed; the pathology is read from the report."""


class Reads(Protocol):
    """What is needed of a phantom reader."""

    validation: PhantomReaderValidation | None

    @property
    def fingerprint(self) -> str:
        """Changes with the weights."""

    def read(self, voxels: np.ndarray, affine: np.ndarray) -> MeasuredFinding:
        """What a volume (X, Y, Z) in 0 … 1 shows; ``affine`` (4, 4) to RAS+ mm."""


class _Job(NamedTuple):
    """A volume to make: of a patient's own report, or with one fact changed."""

    patient: Patient
    changed_fact: ChangedFact | None
    findings: Findings


def generator_of(pipeline: Callable[..., list[SyntheticVolume]], **settings: Any) -> Generate:
    """A `CCELLAPipeline` as a `Generate`; ``settings``, such as ``options`` or ``scheduler``, go to every call."""
    settings |= {"pathology": None, "sequences": [READABLE_SEQUENCE], "labels": False}
    return lambda report, seed: pipeline(report, seed=seed, **settings)[0]


def check_reads_reports(pipeline: CCELLAPipeline, options: GenerationOptions | None = None) -> None:
    """Whether a model, called with ``options``, makes T2-weighted volumes from the report alone.

    Raises:
        InputError: a setting that does not fit; or a model without T2-weighted volumes, or that does not take its
            class from the report.
    """
    index, config = pipeline.index, pipeline.denoiser.config
    options = options or GenerationOptions()
    prepare_scheduler(
        options.scheduler or index.default_scheduler,  # type: ignore[arg-type]  # an index may err
        pipeline.scheduler_config,
        options.num_inference_steps,
        default_num_inference_steps=index.default_num_inference_steps,
    )
    if not config.uses_text or (config.uses_class and not config.predicts_class):
        raise InputError(
            f"{index.name} does not make its volumes from the report alone; let `ccella synthesize` make volumes with "
            "it, and have those read."
        )
    if READABLE_SEQUENCE not in index.sequences:
        raise InputError(
            f"{index.name} makes {', '.join(index.sequences)} volumes, and {READABLE_SEQUENCE} ones are read."
        )


def check_model(pipeline: CCELLAPipeline, options: GenerationOptions | None = None) -> None:
    """Whether a model, called with ``options``, makes what a phantom reader reads; before one is loaded or trained.

    Raises:
        InputError: as of `check_reads_reports`; or the model does not draw on the phantom's grid.
    """
    check_reads_reports(pipeline, options)
    index = pipeline.index
    try:
        check_readable(index.native_shape, index.native_spacing_mm)
    except InputError as error:
        raise InputError(
            f"What {index.name} makes cannot be read: {error} `--reader labels` and `--reader taps` read any grid."
        ) from error


def check_numbers(cases: int, counterfactuals: int) -> None:
    """Raises InputError unless there is a case, and no negative number of counterfactual reports."""
    if cases < 1 or counterfactuals < 0:
        raise InputError(
            f"Adherence needs at least one case and no negative number of counterfactual reports, not {cases} and "
            f"{counterfactuals}."
        )


def run_adherence(
    generate: Generate,
    phantom_reader: Reads,
    *,
    cases: int = 64,
    counterfactuals: int = 16,
    changed_facts: Sequence[ChangedFact] = CHANGED_FACTS,
    style: StyleChoice = "classic",
    out: Path | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> AdherenceResult:
    """Generate, read and tabulate.

    Args:
        generate: see `generator_of`.
        phantom_reader: of the same look as the phantom.
        cases: patients, from ``FIRST_PATIENT`` on; about half are positive.
        counterfactuals: how many of them, for each of ``changed_facts``, are generated again from the same noise with
            that fact changed in the report; the first of whom it can be (see ``counterfactual_findings``).
        changed_facts: which facts, one at a time.
        style: of the reports.
        out: folder for ``adherence.json``, ``adherence.md``, ``adherence.png`` and ``counterfactual.png``; each case is
            kept there as soon as it is read, and a run that was stopped goes on.
        seed: of the first case's volume; each case has its own.
        progress: called with the volumes that are done and their number.

    Raises:
        InputError: fewer than one case; or ``out`` holds cases of another model, scheduler, style, seed, phantom reader
            or version.
        SaveError: the disk refuses.
    """
    check_numbers(cases, counterfactuals)
    patients = [draw_patient(FIRST_PATIENT + number) for number in range(cases)]
    jobs = [_Job(patient, None, patient.findings) for patient in patients]
    for fact in changed_facts:
        changed = (
            _Job(patient, fact, findings)
            for patient in patients
            if (findings := counterfactual_findings(patient, fact))
        )
        jobs += islice(changed, counterfactuals)
    try:
        store = CaseStore(out, phantom_reader.fingerprint)
        seeds = [seed + job.patient.seed - FIRST_PATIENT for job in jobs]
        left = [not store.has(job.patient.seed, job.changed_fact, own) for job, own in zip(jobs, seeds, strict=True)]
        if not any(left):
            # Only a volume tells which model makes it, so one is made where none is left to make.
            store.check(_run_case(generate, phantom_reader, jobs[0], seeds[0], style)[0])
        for number, job in enumerate(jobs):
            if left[number]:
                store.add(*_run_case(generate, phantom_reader, job, seeds[number], style))
            if progress is not None:
                progress(number + 1, len(jobs))
        done = [store.cases[job.patient.seed, job.changed_fact] for job in jobs]
        result = AdherenceResult.of(done, phantom_reader.validation)
        store.write(result)
    except (InputError, SaveError):
        raise
    except OSError as error:
        raise SaveError(f"The adherence run could not be kept in {out}: {error}.") from error
    return result


def _run_case(
    generate: Generate, phantom_reader: Reads, job: _Job, volume_seed: int, style: StyleChoice
) -> tuple[AdherenceCase, dict[str, np.ndarray]]:
    """One case, and for the eye the slice of its lesion; of the phantom, too, where the report is the patient's own."""
    patient, changed_fact, findings = job
    report = write_report(findings, seed=patient.seed, style=style)
    volume = generate(report, volume_seed)
    slices = {slice_name(patient.seed, changed_fact): lesion_slice(volume.voxels, volume.affine, patient, findings)}
    phantom_reading = None
    if changed_fact is None:
        phantom = render(patient, READABLE_SEQUENCE)
        phantom_reading = phantom_reader.read(phantom.voxels, phantom.affine)
        slices[phantom_slice_name(patient.seed)] = lesion_slice(phantom.voxels, phantom.affine, patient, findings)
    made_by = volume.provenance
    case = AdherenceCase(
        patient=patient.seed,
        changed_fact=changed_fact,
        volume_seed=volume_seed,
        model=f"{made_by.model_name} {made_by.model_version} {made_by.model_sha256[:12]}".strip(),
        scheduler=f"{made_by.scheduler}, {made_by.num_inference_steps} steps, guidance {made_by.guidance_scale:g}",
        style=style,
        report=report,
        stated=StatedFinding.by(findings),
        predicted_positive_probability=made_by.predicted_positive_probability,
        generated=phantom_reader.read(volume.voxels, volume.affine),
        phantom=phantom_reading,
        phantom_reader_sha256=phantom_reader.fingerprint,
    )
    return case, slices
