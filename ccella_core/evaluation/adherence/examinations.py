"""Adherence without the phantom reader: the gland, the coil, and what moves with a lesion that the report moves.

What is measured here holds for volumes of any look: whether there is a gland, of which volume, whether there is an
endorectal coil, and by the difference of two volumes where a lesion is drawn (see `difference`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ccella_core.errors import InputError, SaveError
from ccella_core.evaluation.adherence.adherence import FIRST_PATIENT, check_numbers
from ccella_core.evaluation.adherence.coil import shows_coil
from ccella_core.evaluation.adherence.counterfactual import counterfactual_findings
from ccella_core.evaluation.adherence.difference import MOVED_FACTS, MovedFact, MovedLesion, measure_moved_lesion
from ccella_core.evaluation.adherence.examination_report import (
    ExaminationAdherence,
    ReadExamination,
    examination_markdown,
)
from ccella_core.evaluation.adherence.gland import FindsGland, GeneratedExamination, dice
from ccella_core.evaluation.adherence.measurements import MM3_PER_ML, MeasuredPlace
from ccella_core.evaluation.adherence.scores import StatedFinding
from ccella_core.evaluation.adherence.store import ADHERENCE_STEM, FINISHED_NAME, append_line, read_lines
from ccella_core.evaluation.adherence.styles import AdherenceStyle, written_report
from ccella_core.fingerprints import refuse_other
from ccella_core.imaging.orientation import spacing_of
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.phantom.findings import Findings
from ccella_core.phantom.patient import Patient, draw_patient
from ccella_core.progress import OnProgress
from ccella_core.report_page import save_result

GenerateExamination = Callable[[str, int], GeneratedExamination]
"""Makes the volumes of one seed from a report; the pathology is read from the report."""


def examination_generator_of(pipeline: Callable[..., list[SyntheticVolume]], **settings: Any) -> GenerateExamination:
    """A `CCELLAPipeline` as a `GenerateExamination`; ``settings``, such as ``options``, go to every call."""
    settings |= {"pathology": None, "labels": True, "output_range": "0-1"}
    return lambda report, seed: GeneratedExamination.of(pipeline(report, seed=seed, **settings))


def run_examinations(
    generate: GenerateExamination,
    finder: FindsGland,
    *,
    style: AdherenceStyle,
    cases: int = 64,
    counterfactuals: int = 16,
    changed_facts: Sequence[MovedFact] = MOVED_FACTS,
    out: Path | None = None,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> ExaminationAdherence:
    """Generate, measure and tabulate.

    Args:
        generate: see `examination_generator_of`.
        finder: who says where the gland is.
        style: of the reports.
        cases: patients, from ``FIRST_PATIENT`` on; about half are positive.
        counterfactuals: how many of them, for each of ``changed_facts``, are generated again from the same noise with
            that fact changed in the report; the first of whom it can be.
        changed_facts: which facts, one at a time.
        out: folder for ``adherence.json`` and ``adherence.md``; a run that was stopped goes on there.
        seed: of the first case's volumes; each case has its own.
        progress: called with the cases that are done and their number.

    Raises:
        InputError: fewer than one case; the gland cannot be looked for; or ``out`` holds cases of another model,
            scheduler, seed, style or reader.
        SaveError: the disk refuses.
    """
    check_numbers(cases, counterfactuals)
    patients = [draw_patient(FIRST_PATIENT + number) for number in range(cases)]
    changes: dict[int, dict[MovedFact, Findings]] = {patient.seed: {} for patient in patients}
    for fact in changed_facts:
        for patient in patients:
            taken = sum(fact in facts for facts in changes.values())
            if taken < counterfactuals and _place(patient.findings) and (
                findings := counterfactual_findings(patient, fact)
            ):  # fmt: skip
                changes[patient.seed][fact] = findings
    done: dict[int, ReadExamination] = {}
    try:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            done = {case.patient: case for case in read_lines(out / FINISHED_NAME, ReadExamination)}
        left = [
            each for each in patients
            if each.seed not in done or {one.fact for one in done[each.seed].moved} != set(changes[each.seed])
        ]  # fmt: skip
        for number, patient in enumerate(patients):
            # Only a volume tells which model makes it, so one is made where none is left to make.
            if patient in left or (not left and number == 0):
                own_seed = seed + patient.seed - FIRST_PATIENT
                case = _read(generate, finder, style, patient, changes[patient.seed], own_seed)
                _refuse_other_case(out, next(iter(done.values()), case), case)
                done[patient.seed] = case
                if out is not None and left:
                    append_line(out / FINISHED_NAME, case)
            if progress is not None:
                progress(number + 1, cases)
        result = ExaminationAdherence.of([done[patient.seed] for patient in patients])
        if out is not None:
            save_result(result, examination_markdown(result), out / ADHERENCE_STEM)
    except (InputError, SaveError):
        raise
    except OSError as error:
        raise SaveError(f"The adherence run could not be kept in {out}: {error}.") from error
    return result


def _refuse_other_case(out: Path | None, first: ReadExamination, case: ReadExamination) -> None:
    if out is not None:
        before, now = (
            {
                "model": each.model,
                "scheduler": each.scheduler,
                "style": each.style,
                "reader": each.reader,
                "seed": each.volume_seed - each.patient + FIRST_PATIENT,
            }
            for each in (first, case)
        )
        refuse_other(out, before, now, what="cases that were made or read otherwise")


def _read(
    generate: GenerateExamination,
    finder: FindsGland,
    style: AdherenceStyle,
    patient: Patient,
    changes: dict[MovedFact, Findings],
    volume_seed: int,
) -> ReadExamination:
    report = written_report(patient.findings, patient.seed, style)
    own = generate(report.text, volume_seed)
    gland = finder.find(own)
    spacing = tuple(float(each) for each in spacing_of(own.affine))
    moved: list[MovedLesion] = []
    for fact, findings in changes.items():
        other = written_report(findings, patient.seed, style).text
        after = generate(other, volume_seed)
        places = (_place(patient.findings), _place(findings))
        assert places[0] is not None and places[1] is not None
        moved.append(
            measure_moved_lesion(
                (own.volumes, after.volumes),
                (gland, finder.find(after)),
                (places[0], places[1]),
                spacing,  # type: ignore[arg-type]
                fact=fact,
                report=other,
            )
        )
    made_by, found = own.provenance, bool(gland.any())
    volume_ml = float(gland.sum() * np.prod(spacing) / MM3_PER_ML) if found else None
    return ReadExamination(
        patient=patient.seed,
        volume_seed=volume_seed,
        model=f"{made_by.model_name} {made_by.model_version} {made_by.model_sha256[:12]}".strip(),
        scheduler=f"{made_by.scheduler}, {made_by.num_inference_steps} steps, guidance {made_by.guidance_scale:g}",
        style=style,
        reader=finder.name,
        report=report.text,
        stated=StatedFinding.by(patient.findings),
        states_coil=report.states_coil,
        gland_volume_ml=volume_ml,
        dice=None if own.gland_label is None or finder.name == "labels" else dice(own.gland_label, gland),
        shows_coil=shows_coil(own.volumes["t2w"], gland, spacing) if found else None,  # type: ignore[arg-type]
        moved=tuple(moved),
    )


def _place(findings: Findings) -> MeasuredPlace | None:
    """Where the only lesion is stated to lie."""
    if len(findings.lesions) != 1:
        return None
    (lesion,) = findings.lesions
    return MeasuredPlace(side=lesion.side, zone=lesion.zone, level=lesion.level)
