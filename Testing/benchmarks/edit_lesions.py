"""Lesions put into digital prostates and taken out of them: does the phantom reader see it, and is there a seam?

    python Testing/benchmarks/edit_lesions.py --count 64

Each case is one held-out patient with one lesion, rendered with it and without it; the rest is the same to the last
voxel. Within a sphere around the lesion's place, the scan without it is edited under the report that states it, and the
scan with it under a report of the same patient without a focal lesion. A run that was stopped goes on where it was.

The seam is how far neighbouring voxels on either side of the sphere's edge differ, over how far they differ in the
scan: 1 where there is none.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count as numbers
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses
import typer
from _measure import DEFAULT_OUT, Table, machine, machine_in_words, save_results

from ccella_core.cli.options import Guidance, SchedulerOption, Steps, generation_options
from ccella_core.cli.output import explained, print_message, quiet_libraries
from ccella_core.config import StrictModel, read_json_object
from ccella_core.evaluation.adherence.adherence import FIRST_PATIENT, check_model
from ccella_core.evaluation.adherence.measurements import MM3_PER_ML, Region
from ccella_core.evaluation.adherence.phantom_reader import PhantomReader, central_window
from ccella_core.evaluation.adherence.phantom_reader_training import load_or_train_phantom_reader
from ccella_core.evaluation.statistics.estimate import Estimate
from ccella_core.files import prepare_folder, write_json
from ccella_core.fingerprints import refuse_other
from ccella_core.generation.edit import Sphere, scan_to_edit
from ccella_core.generation.options import GenerationOptions
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.orientation import set_affine
from ccella_core.phantom.patient import Patient, draw_patient
from ccella_core.phantom.render import DEFAULT_SPACING, render
from ccella_core.phantom.report import write_report

SEQUENCE = "t2w"
Edit = Literal["put in", "taken out"]
EDITS: tuple[Edit, ...] = ("put in", "taken out")
NAME = "edit_lesions"
MARGIN_MM = 7.0  # as in the panel of the Slicer module

app = typer.Typer(add_completion=False)


class Case(StrictModel):
    """One edit of one patient."""

    patient: int
    edit: Edit
    lesion_mm: float
    seen_in_phantom: bool
    """Whether the phantom reader sees the lesion in the phantom that has it: what an edit could reach at best."""
    seen_before: bool
    """In the scan that was edited: a lesion in the sphere (put in), or anywhere (taken out)."""
    seen_after: bool
    """The same in the edited volume."""
    seam: float
    changed_outside: int
    """Voxels outside the sphere that differ from the scan's."""
    seconds: float


@app.command(help=__doc__)
@explained
def main(
    model: Annotated[str, typer.Option(help="A folder, or a name.")] = "ccella-demo",
    count: Annotated[int, typer.Option(min=1, help="Patients.")] = 64,
    margin: Annotated[float, typer.Option(help="Of the sphere around the lesion, mm.")] = MARGIN_MM,
    strength: Annotated[float | None, typer.Option(help="Of the edit; by default all is drawn anew.")] = None,
    steps: Steps = None,
    scheduler: SchedulerOption = None,
    guidance: Guidance = 1.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps")] = "auto",
    phantom_reader_cache: Annotated[
        Path | None, typer.Option(help="Folder of the phantom reader; by default the user's.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results and what is resumed.")] = DEFAULT_OUT,
) -> None:
    prepare_folder(out)
    quiet_libraries()
    options = generation_options(steps=steps, scheduler=scheduler, guidance=guidance, strength=strength)
    pipeline = CCELLAPipeline.from_pretrained(model, device=device)
    check_model(pipeline, options)
    print_message("Loading the phantom reader, which is trained on its first use.", style="dim")
    phantom_reader = load_or_train_phantom_reader(phantom_reader_cache)
    made_with = {
        "model": f"{pipeline.index.name} {pipeline.index.version} {pipeline.model_sha256}",
        "phantom_reader": phantom_reader.fingerprint,
        "margin": margin,
        "options": options.model_dump(mode="json"),
    }
    store = out / f"{NAME}_cases.json"
    done = _read(store, made_with)
    for number, patient in enumerate(islice(patients_with_one_lesion(), count), start=1):
        for edit in EDITS:
            if (patient.seed, edit) not in done:
                done[patient.seed, edit] = measured(pipeline, phantom_reader, patient, edit, margin, options)
                content = {"made_with": made_with, "cases": [each.model_dump() for each in done.values()]}
                write_json(store, content)
        print_message(f"{number} of {count} patients", style="dim")
        last = patient.seed
    _save(out, [case for case in done.values() if case.patient <= last], made_with)


def patients_with_one_lesion() -> Iterator[Patient]:
    """Held-out ones, in the order of their seeds."""
    drawn = (draw_patient(seed, pathology="positive") for seed in numbers(FIRST_PATIENT))
    return (patient for patient in drawn if len(patient.foci) == 1)


def measured(
    pipeline: CCELLAPipeline,
    phantom_reader: PhantomReader,
    patient: Patient,
    edit: Edit,
    margin: float,
    options: GenerationOptions,
) -> Case:
    """One edit, read before and after."""
    (focus,) = patient.foci
    place = tuple(float(gland + own) for gland, own in zip(patient.gland_centre, focus.centre, strict=True))
    without = replace(patient, foci=(), findings=replace(patient.findings, lesions=(), pirads=2))
    before, after = (without, patient) if edit == "put in" else (patient, without)
    source = scan_to_edit(
        image_of(before), Sphere(place, focus.lesion.size_mm / 2 + margin), sequences=pipeline.index.sequences
    )
    started = time.monotonic()
    report = write_report(after.findings, seed=patient.seed)
    (edited, *_) = pipeline(report, options, image=source, seed=patient.seed - FIRST_PATIENT)
    seconds = time.monotonic() - started
    assert source.mask is not None
    mask = sitk.GetArrayFromImage(source.mask).transpose(2, 1, 0) > 0
    scan, truth = (render(each, SEQUENCE) for each in (before, patient))

    def seen(voxels: np.ndarray) -> bool:
        if edit == "taken out":
            return phantom_reader.read(voxels, edited.affine).has_lesion
        return lesion_ml(phantom_reader, voxels, mask) >= phantom_reader.config.lesion_threshold_ml

    return Case(
        patient=patient.seed,
        edit=edit,
        lesion_mm=focus.lesion.size_mm,
        seen_in_phantom=seen(truth.voxels),
        seen_before=seen(scan.voxels),
        seen_after=seen(edited.voxels),
        seam=seam(edited.voxels, scan.voxels, mask),
        changed_outside=int((edited.voxels != scan.voxels)[~mask].sum()),
        seconds=round(seconds, 2),
    )


def image_of(patient: Patient) -> sitk.Image:
    """The patient's T2-weighted scan."""
    rendering = render(patient, SEQUENCE)
    image = sitk.GetImageFromArray(np.ascontiguousarray(rendering.voxels.transpose(2, 1, 0)))
    set_affine(image, rendering.affine)
    return image


def lesion_ml(phantom_reader: PhantomReader, voxels: np.ndarray, mask: np.ndarray) -> float:
    """How much lesion there is in the mask, weighed with its probability as the phantom reader does."""
    probability = phantom_reader.probability(voxels)
    lesion = (probability.argmax(axis=0) == Region.LESION) & central_window(mask)
    return float(probability[Region.LESION][lesion].sum(dtype=np.float64)) * np.prod(DEFAULT_SPACING) / MM3_PER_ML


def seam(edited: np.ndarray, scan: np.ndarray, mask: np.ndarray) -> float:
    """Mean difference of neighbours across the mask's edge, over that in the scan; volumes (X, Y, Z)."""
    steps: list[np.ndarray] = []
    for volume in (edited, scan):
        across = [
            np.abs(np.diff(volume.astype(float), axis=axis))[np.diff(mask.astype(np.int8), axis=axis) != 0]
            for axis in range(3)
        ]
        steps.append(np.concatenate(across))
    return float(steps[0].mean() / steps[1].mean())


def _read(store: Path, made_with: dict[str, Any]) -> dict[tuple[int, str], Case]:
    if not store.exists():
        return {}
    content = read_json_object(store)
    refuse_other(store, content["made_with"], made_with, what="edits that were made in another way")
    cases = [Case.model_validate(each) for each in content["cases"]]
    return {(case.patient, case.edit): case for case in cases}


def _save(out: Path, cases: list[Case], made_with: dict[str, Any]) -> None:
    rows = []
    for edit in EDITS:
        own = [case for case in cases if case.edit == edit]
        wanted = edit == "put in"
        seams = np.array([case.seam for case in own])
        rows.append(
            [
                edit,
                Estimate.of_share(case.seen_in_phantom for case in own).with_n(".2f"),
                Estimate.of_share(case.seen_before for case in own).with_n(".2f"),
                Estimate.of_share(case.seen_after == wanted for case in own).with_n(".2f"),
                f"{np.median(seams):.2f} ({seams.min():.2f} to {seams.max():.2f})",
                str(sum(case.changed_outside for case in own)),
                f"{np.median([case.seconds for case in own]):.2f}",
            ]
        )
    columns = (
        "Lesion", "Seen in the phantom", "Seen before the edit", "Edit as wanted", "Seam (range)",
        "Voxels changed outside", "Seconds",
    )  # fmt: skip
    table = Table("Lesions put in and taken out", columns, rows)
    facts = machine()
    content = {"made_with": made_with, "machine": facts, "cases": [case.model_dump() for case in cases]}
    save_results(out, NAME, content, [table], [f"{made_with['model']}; {machine_in_words(facts)}"])
    table.show()


if __name__ == "__main__":
    app()
