"""Adherence: does a generated volume show what its report says?

Reports of patients that no training has seen are given to the model; what it generates is read by the readout, and so
is the phantom of the same patient, which shows what the readout could have found at best.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from pydantic import ValidationError

from ccella_core.errors import InputError, SaveError
from ccella_core.evaluation.adherence_report import ASKED, MIRRORED, AdherenceResult, Case, markdown, picture
from ccella_core.evaluation.measurements import Reading
from ccella_core.evaluation.readout import WINDOW, central_window
from ccella_core.evaluation.scores import Stated
from ccella_core.files import whole_file
from ccella_core.phantom.patient import Patient, draw_patient
from ccella_core.phantom.render import DEFAULT_SPACING, Rendering, render
from ccella_core.phantom.report import write_report
from ccella_core.volume import SyntheticVolume

FIRST_PATIENT = 1_000_000  # the held-out reports of the demonstration bundle begin here
SEQUENCE = "t2w"
PICTURED_CASES = 16
CASES_NAME = "cases.jsonl"
SLICES_NAME = "slices"

Generate = Callable[[str, int], SyntheticVolume]
"""Makes one T2-weighted volume from a report and a seed; the pathology is read from the report."""


class Reads(Protocol):
    """What is needed of a readout."""

    def read(self, voxels: np.ndarray, affine: np.ndarray) -> Reading: ...


def generator_of(pipeline: Callable[..., list[SyntheticVolume]], **settings: Any) -> Generate:
    """A `CCELLAPipeline` as a `Generate`; ``settings``, such as ``num_steps`` and ``solver``, go to every call."""
    return lambda report, seed: pipeline(report, pathology=None, seed=seed, **settings)[0]


def run_adherence(
    generate: Generate,
    readout: Reads,
    *,
    cases: int = 64,
    steered: int = 16,
    out: Path | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> AdherenceResult:
    """Generate, read and tabulate.

    Args:
        generate: see `generator_of`.
        readout: of the same look as the phantom.
        cases: patients, from ``FIRST_PATIENT`` on; about half are positive.
        steered: how many of those whose lesions lie on one side are generated again, from the same noise, with left and
            right exchanged in the report.
        out: folder for ``adherence.json``, ``adherence.md``, ``adherence.png``; each case is kept there as soon as it
            is read, and a run that was stopped goes on.
        seed: of the first case's volume; each case has its own.
        progress: called with the volumes that are done and their number.

    Raises:
        InputError: fewer than one case; or ``out`` holds cases of another model, sampler or seed.
        SaveError: the disk refuses.
    """
    if cases < 1 or steered < 0:
        raise InputError(
            f"Adherence needs at least one case and no negative number of steered ones, not {cases}, {steered}."
        )
    patients = [draw_patient(FIRST_PATIENT + number) for number in range(cases)]
    one_sided = [patient for patient in patients if Stated.by(patient.findings).side][:steered]
    jobs = [(patient, False) for patient in patients] + [(patient, True) for patient in one_sided]
    try:
        store = _Store(out)
        for number, (patient, is_mirrored) in enumerate(jobs):
            volume_seed = seed + patient.seed - FIRST_PATIENT
            if not store.has(patient.seed, is_mirrored, volume_seed):
                case, strip = _run_case(generate, readout, patient, is_mirrored, volume_seed)
                store.add(case, strip)
            if progress is not None:
                progress(number + 1, len(jobs))
        result = AdherenceResult.of([store.cases[patient.seed, is_mirrored] for patient, is_mirrored in jobs])
        store.write(result)
    except (InputError, SaveError):
        raise
    except OSError as error:
        raise SaveError(f"The adherence run could not be kept in {out}: {error}.") from error
    return result


def _run_case(
    generate: Generate, readout: Reads, patient: Patient, is_mirrored: bool, volume_seed: int
) -> tuple[Case, np.ndarray]:
    """One case, and the slice of its lesion for the eye: generated volume and phantom side by side."""
    findings = patient.findings.mirrored() if is_mirrored else patient.findings
    report = write_report(findings, seed=patient.seed)
    volume = generate(report, volume_seed)
    phantom = render(patient, SEQUENCE)
    made_by = volume.provenance
    case = Case(
        patient=patient.seed,
        request=MIRRORED if is_mirrored else ASKED,
        volume_seed=volume_seed,
        model=f"{made_by.bundle_name} {made_by.bundle_version} {made_by.bundle_sha256[:12]}".strip(),
        sampler=f"{made_by.sampler}, {made_by.steps} steps, guidance {made_by.guidance_scale:g}",
        report=report,
        stated=Stated.by(findings),
        predicted_positive_probability=made_by.predicted_positive_probability,
        generated=readout.read(volume.voxels, volume.affine),
        phantom=readout.read(phantom.voxels, phantom.affine),
    )
    return case, _strip(volume, phantom, patient)


def _strip(volume: SyntheticVolume, phantom: Rendering, patient: Patient) -> np.ndarray:
    """uint8 picture [row, column] of one axial slice of both, in radiological convention."""
    lesion_height = patient.foci[0].centre[2] if patient.foci else 0.0
    height_mm = patient.gland_centre[2] + lesion_height
    slices = []
    for voxels, affine in ((volume.voxels, volume.affine), (phantom.voxels, phantom.affine)):
        window = central_window(voxels)
        below = (voxels.shape[2] - WINDOW[2]) // 2
        index = round((height_mm - affine[2, 3]) / DEFAULT_SPACING[2]) - below
        plane = window[:, :, int(np.clip(index, 0, WINDOW[2] - 1))]
        slices.append((np.clip(plane.T[::-1, ::-1], 0, 1) * 255).round().astype(np.uint8))
    return np.concatenate(slices, axis=1)


class _Store:
    """Cases as they are finished: in memory, and in a folder where there is one."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.cases: dict[tuple[int, bool], Case] = {}
        if folder is None:
            return
        (folder / SLICES_NAME).mkdir(parents=True, exist_ok=True)
        path = folder / CASES_NAME
        for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
            try:
                case = Case.model_validate_json(line)
            except ValidationError:
                continue  # the run was stopped in the middle of this line: the case is made again
            self._keep(case)

    def has(self, patient: int, is_mirrored: bool, volume_seed: int) -> bool:
        case = self.cases.get((patient, is_mirrored))
        if case is not None and case.volume_seed != volume_seed:
            raise InputError(f"{self.folder} holds cases of another seed; choose another folder or the same seed.")
        return case is not None

    def add(self, case: Case, strip: np.ndarray) -> None:
        self._keep(case)
        if self.folder is None:
            return
        Image.fromarray(strip).save(self._slice_path(case), "PNG")
        with (self.folder / CASES_NAME).open("a", encoding="utf-8", newline="\n") as file:
            # A line that was cut short must not swallow this one.
            file.write(("\n" if file.tell() else "") + case.model_dump_json())

    def _keep(self, case: Case) -> None:
        for other in self.cases.values():
            if (other.model, other.sampler) != (case.model, case.sampler):
                raise InputError(
                    f"{self.folder} holds cases of {other.model} ({other.sampler}), and this is {case.model} "
                    f"({case.sampler}); choose another folder."
                )
            break  # the others agree with the first
        self.cases[case.patient, case.request == MIRRORED] = case

    def write(self, result: AdherenceResult) -> None:
        if self.folder is None:
            return
        for name, text in (("adherence.json", result.model_dump_json(indent=2)), ("adherence.md", markdown(result))):
            with whole_file(self.folder / name) as unfinished:
                unfinished.write_text(text + "\n", encoding="utf-8", newline="\n")
        shown = [case for case in result.cases if self._slice_path(case).is_file()][:PICTURED_CASES]
        if shown:
            strips = [np.asarray(Image.open(self._slice_path(case))) for case in shown]
            with whole_file(self.folder / "adherence.png") as unfinished:
                picture(shown, strips).save(unfinished, "PNG")

    def _slice_path(self, case: Case) -> Path:
        assert self.folder is not None
        return self.folder / SLICES_NAME / f"SYNTHETIC_{case.patient}_{case.request}.png"
