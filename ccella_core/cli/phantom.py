"""``ccella phantom``: digital prostates with the reports that describe them."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ccella_core.cli.generate import ImageFormat
from ccella_core.cli.options import seed_of
from ccella_core.cli.output import AsJson, explained, print_json
from ccella_core.errors import InputError, SaveError
from ccella_core.files import whole_file
from ccella_core.parallel import MOST_JOBS, in_processes

if TYPE_CHECKING:
    import numpy as np

    from ccella_core.cases.prepared import PrepareSettings
    from ccella_core.phantom.report import StyleChoice

SEQUENCES = ("t2w", "adc", "hbv")
MASKS = ("gland", "lesion")
Split = Literal["train", "validation", "test"]
MAX_PATIENTS = 100_000


@partial(explained, writes="out")
def phantom(
    seed: Annotated[int, typer.Option(parser=seed_of, metavar="INTEGER", help="The first patient.")],
    out: Annotated[Path, typer.Option(help="Folder for the files; made if needed.")],
    count: Annotated[int, typer.Option(min=1, max=MAX_PATIENTS, help="Patients, with the seeds that follow.")] = 1,
    pathology: Annotated[Literal["negative", "positive"] | None, typer.Option(help="By default: as drawn.")] = None,
    sequence: Annotated[Literal["t2w", "adc", "hbv", "all"], typer.Option(help="What to render.")] = "all",
    shape: Annotated[tuple[int, int, int], typer.Option(help="Voxels along X, Y, Z.")] = (96, 96, 32),
    spacing: Annotated[tuple[float, float, float], typer.Option(help="Millimetres along X, Y, Z.")] = (1.0, 1.0, 3.0),
    format: Annotated[ImageFormat, typer.Option(help="File format of the volumes.")] = "nii.gz",
    manifest: Annotated[
        Split | None,
        typer.Option(help="Also list the patients in manifest.jsonl, in this split, with masks, for: ccella prepare"),
    ] = None,
    wordings: Annotated[int, typer.Option(min=1, help="Reports a patient in the manifest, in other words each.")] = 1,
    style: Annotated[
        Literal["classic", "structured", "telegram", "narrative", "short", "held-out", "any"],
        typer.Option(help="Of the reports; any: one of those for training, drawn for each report."),
    ] = "classic",
    jobs: Annotated[
        int, typer.Option(min=0, max=MOST_JOBS, help="Patients at once; 0: as many as there are processor cores.")
    ] = 1,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of the same name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Render digital prostates: volumes, label map, report and findings."""
    if manifest is not None and sequence not in ("t2w", "all"):
        raise InputError("A manifest needs the T2-weighted volumes; choose --sequence t2w or all.")
    from ccella_core.cases.prepared import PrepareSettings
    from ccella_core.config import checked

    grid = checked(PrepareSettings, {"shape": shape, "spacing": spacing}, "This grid")
    wanted = (*(SEQUENCES if sequence == "all" else (sequence,)), "labels", *(MASKS if manifest is not None else ()))
    write = partial(
        _write_patient,
        out=out,
        wanted=wanted,
        pathology=pathology,
        style=style,
        grid=grid,
        format=format,
        overwrite=overwrite,
    )
    with closing(in_processes(write, range(seed, seed + count), jobs)) as results:
        written = dict(results)
    patients = [written[each] for each in sorted(written)]
    if manifest is not None:
        _list_patients(patients, out, manifest, wordings, style)
    if as_json:
        listed = [{"seed": each["seed"], "pathology": each["findings"].pathology, "report": each["report"],
                 "files": [str(file) for file in each["files"]]} for each in patients]  # fmt: skip
        print_json({"patients": listed})
        return
    for patient in patients:
        for file in patient["files"]:
            typer.echo(file)


def _write_patient(
    seed: int,
    *,
    out: Path,
    wanted: tuple[str, ...],
    pathology: str | None,
    style: StyleChoice,
    grid: PrepareSettings,
    format: str,
    overwrite: bool,
) -> dict[str, Any]:
    """Write the images that are wanted (sequences, labels, masks), report and findings; tells what was written."""
    import numpy as np

    from ccella_core.phantom.anatomy import GLAND_TISSUES, Tissue
    from ccella_core.phantom.patient import draw_patient
    from ccella_core.phantom.render import render
    from ccella_core.phantom.report import write_report
    from ccella_core.provenance import SYNTHETIC_LABEL

    stem = f"SYNTHETIC_PHANTOM_seed{seed}"
    images = {name: out / f"{stem}_{name}.{format}" for name in wanted}
    report_file, findings_file = out / f"{stem}_report.txt", out / f"{stem}_findings.json"
    files = [*images.values(), report_file, findings_file]
    taken = [file for file in files if file.exists()]
    if taken and not overwrite:
        raise InputError(f"{taken[0]} exists already: choose another folder or seed, or add --overwrite.")

    patient = draw_patient(seed, pathology=pathology)
    report = write_report(patient.findings, seed=seed, style=style)
    findings = {
        "synthetic": True,
        "label": SYNTHETIC_LABEL,
        "seed": seed,
        "pathology": patient.findings.pathology,
        "findings": asdict(patient.findings),
        "files": [file.name for file in files],
    }
    try:
        for name in [name for name in wanted if name in SEQUENCES]:
            rendering = render(patient, name, shape=grid.shape, spacing=grid.spacing)
            _write_image(rendering.voxels, rendering.affine, images[name])
        _write_image(rendering.labels, rendering.affine, images["labels"])
        for name, tissues in (("gland", GLAND_TISSUES), ("lesion", (Tissue.LESION,))):
            if name in wanted:
                _write_image(np.isin(rendering.labels, tissues).astype(np.uint8), rendering.affine, images[name])
        with whole_file(report_file) as temporary:
            temporary.write_text(report + "\n", encoding="utf-8", newline="\n")
        with whole_file(findings_file) as temporary:
            temporary.write_text(json.dumps(findings, indent=2) + "\n", encoding="utf-8", newline="\n")
    except (OSError, RuntimeError) as error:  # SimpleITK reports every failure to write as RuntimeError
        raise SaveError(f"The phantom could not be written into {out}: {error}.") from error
    return {"seed": seed, "findings": patient.findings, "report": report, "images": images, "files": files}


def _list_patients(patients: list[dict[str, Any]], out: Path, split: Split, wordings: int, style: StyleChoice) -> None:
    """Add the patients to ``manifest.jsonl``, in place of any of the same name."""
    from ccella_core.cases.case import Case
    from ccella_core.cases.manifest import read_manifest, write_manifest
    from ccella_core.phantom.fields import StructuredFields
    from ccella_core.phantom.findings import Findings
    from ccella_core.phantom.report import write_report

    path = out / "manifest.jsonl"
    cases = {case.id: case for case in read_manifest(path).cases} if path.exists() else {}
    for patient in patients:
        findings: Findings = patient["findings"]
        images = {name: file for name, file in patient["images"].items() if name in SEQUENCES}
        name = f"phantom{patient['seed']}"
        cases[name] = Case(
            id=name,
            patient=name,
            images=images,
            reports=tuple(
                write_report(findings, seed=wordings * patient["seed"] + one, style=style) for one in range(wordings)
            ),
            report_source="given",
            pathology=findings.pathology,
            pirads=findings.pirads,
            split=split,
            gland=patient["images"]["gland"],
            lesion=patient["images"]["lesion"],
            fields=StructuredFields.from_findings(findings),
        )
    write_manifest(cases.values(), path)


def _write_image(voxels: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Voxels (X, Y, Z) with their affine (RAS+, mm), labelled synthetic in the header."""
    import numpy as np
    import SimpleITK as sitk  # noqa: N813 - the name SimpleITK's own documentation uses

    from ccella_core.imaging.orientation import set_affine
    from ccella_core.imaging.volume import ITK_LABEL_KEY
    from ccella_core.provenance import SYNTHETIC_LABEL

    image = sitk.GetImageFromArray(np.ascontiguousarray(voxels.transpose(2, 1, 0)))
    set_affine(image, affine)
    image.SetMetaData(ITK_LABEL_KEY, SYNTHETIC_LABEL)
    image.SetMetaData("ITK_FileNotes", SYNTHETIC_LABEL)  # becomes the description in a NIfTI header
    with whole_file(path) as temporary:
        sitk.WriteImage(image, str(temporary), useCompression=True)
