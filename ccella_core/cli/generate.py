"""``ccella generate``: volumes, sidecars and pictures from a report."""

from __future__ import annotations

import contextlib
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ccella_core.cli.options import (
    Around,
    Guidance,
    Images,
    Labels,
    Mask,
    MemoryLimit,
    Radius,
    SchedulerOption,
    Sequences,
    Steps,
    Strength,
    generation_options,
    scan_to_edit_of,
    seed_of,
)
from ccella_core.cli.output import AsJson, ProgressDisplay, explained, print_json, print_message, quiet_libraries
from ccella_core.cli.remote import connect
from ccella_core.errors import InputError
from ccella_core.files import output_folder
from ccella_core.limits import OutputRange

if TYPE_CHECKING:
    from SimpleITK import Image

    from ccella_core.generation.edit import ScanToEdit
    from ccella_core.generation.options import GenerationOptions
    from ccella_core.generation.remote_pipeline import RemotePipeline
    from ccella_core.imaging.volume import SyntheticVolume
    from ccella_core.models.model import ModelFolder
    from ccella_core.provenance import SequenceName

ImageFormat = Literal["nii.gz", "nii", "nrrd", "mha"]
DEFAULT_MODEL = "ccella-demo"


@explained
def generate(
    out: Annotated[Path, typer.Option(help="Folder for the volumes; made if needed.")],
    report: Annotated[str | None, typer.Option(help="The radiology report.")] = None,
    report_file: Annotated[
        Path | None, typer.Option(help="A file with the report: text, or RTF or an HL7 message that hold it.")
    ] = None,
    pathology: Annotated[
        str | None,
        typer.Option(help="negative, positive, or a probability of positive; by default as the report says."),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(parser=seed_of, metavar="INTEGER", help="Same seed, same volume; by default a new one."),
    ] = None,
    count: Annotated[int, typer.Option(help="Volumes, with the seeds that follow.")] = 1,
    sequences: Sequences = None,
    labels: Labels = True,
    steps: Steps = None,
    scheduler: SchedulerOption = None,
    guidance: Guidance = None,
    model: Annotated[str, typer.Option(help="The model: a name, a folder, or hf:owner/name.")] = DEFAULT_MODEL,
    shape: Annotated[tuple[int, int, int] | None, typer.Option(help="Voxels along X Y Z.")] = None,
    spacing: Annotated[tuple[float, float, float] | None, typer.Option(help="Millimetres along X Y Z.")] = None,
    crop_mm: Annotated[
        tuple[float, float, float] | None,
        typer.Option("--crop", help="Millimetres along X Y Z to keep around the gland."),
    ] = None,
    output_range: Annotated[
        OutputRange, typer.Option(help="Voxels in the model's own range, from 0 to 1, or rounded to whole numbers.")
    ] = "native",
    format: Annotated[ImageFormat, typer.Option(help="File format of the volumes.")] = "nii.gz",
    place_on: Annotated[Path | None, typer.Option(help="Lay the volumes where this real scan lies.")] = None,
    image: Images = None,
    strength: Strength = None,
    mask: Mask = None,
    around: Around = None,
    radius: Radius = None,
    memory_limit: MemoryLimit = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    on: Annotated[
        str | None,
        typer.Option("--on", help="Another computer to generate on, by SSH: user@host. Report and scan go there."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Send report and scan to that computer without asking.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files of the same name.")] = False,
    no_picture: Annotated[bool, typer.Option("--no-picture", help="Draw no contact sheet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Generate synthetic volumes from a report, or edit a real scan under it."""
    from ccella_core.generation.options import check_device, check_request, check_shape

    options = generation_options(
        pathology=pathology,
        seed=seed,
        count=count,
        sequences=sequences,
        labels=labels,
        steps=steps,
        scheduler=scheduler,
        guidance=guidance,
        shape=shape,
        spacing=spacing,
        crop_mm=crop_mm,
        memory_limit=memory_limit,
        output_range=output_range,
        strength=strength,
    ).with_seed()
    text = _report_text(report, report_file)
    check_device(device, dtype)
    if image and place_on is not None:
        raise InputError("An edited scan stays where it is: leave --place-on out.")
    reference = None if place_on is None else _reference(place_on)  # before minutes are spent on what would be lost

    from ccella_core.client.consent import REPORT, SCAN
    from ccella_core.provenance import LABELS

    leaves = (REPORT, SCAN) if image else (REPORT,)
    remote = None if on is None else connect(on, model, device, dtype, leaves=leaves, agreed=yes)
    with contextlib.ExitStack() as opened:
        if remote is not None:
            opened.enter_context(remote)
        found, name, own, labels_drawn = _model(model, remote)
        edit = scan_to_edit_of(image, mask, around, radius, own, _warn)
        drawn = own if found is None else found.index.drawn(options.sequences)
        if found is not None:
            reads_report = "text_encoder" in found.index.components
            check_request(found.index, text, options, edit, reads_report=reads_report)
            check_shape(found, options.shape)
        opened.enter_context(output_folder(out))
        names = _names(out, name, own, drawn, edit, options, format, overwrite=overwrite, labels=labels_drawn)
        quiet_libraries()
        from ccella_core.devices import use_large_pages
        from ccella_core.generation.pipeline import CCELLAPipeline

        started = time.monotonic()
        with ProgressDisplay() as progress:
            if remote is not None:
                volumes = remote(text, options, image=edit, callback=progress)
            else:
                assert found is not None
                use_large_pages(math.prod(options.shape or found.index.native_shape))
                pipeline = CCELLAPipeline.from_pretrained(found, device=device, dtype=dtype)
                volumes = pipeline(text, options, image=edit, last_call=True, callback=progress)
        seconds = round(time.monotonic() - started, 2)
        saved = []
        for volume in volumes:
            placed, seed = volume if reference is None else volume.place_on(reference), volume.provenance.seed
            if placed.labels is not None and volume.sequence == volumes[0].sequence:  # one label map for all of a seed
                label_map = placed.labels.save(names[seed, LABELS], overwrite=overwrite)
            entry = _save(placed, names[seed, volume.sequence], picture=not no_picture, overwrite=overwrite)
            saved.append({**entry, "labels": None if placed.labels is None else str(label_map)})

    if as_json:
        sha256 = volumes[0].provenance.model_sha256
        print_json({"model": name, "model_sha256": sha256, "seconds": seconds, "volumes": saved})
        return
    for entry in saved:
        _print_entry(entry)
    volumes_word = "volume" if len(saved) == 1 else "volumes"
    typer.echo(f"{len(saved)} synthetic {volumes_word} in {seconds:g} s, not for diagnosis.")


def _model(model: str, remote: RemotePipeline | None) -> tuple[ModelFolder | None, str, list[SequenceName], bool]:
    """The model's folder, where it is on this computer, its name, its sequences and whether it draws labels."""
    if remote is not None:
        described = remote.describe_model()
        return None, described["name"], described["sequences"], bool(described["labels"])
    from ccella_core.models.search import resolve_model

    found = resolve_model(model)
    return found, found.index.name, list(found.index.sequences), bool(found.index.labels)


def _names(
    out: Path,
    name: str,
    sequences: list[SequenceName],
    drawn: list[SequenceName],
    edit: ScanToEdit | None,
    options: GenerationOptions,
    suffix: str,
    *,
    overwrite: bool,
    labels: bool,
) -> dict[tuple[int, SequenceName | Literal["labels"]], Path]:
    """The file of each seed and sequence, and of its label map. Raises InputError where one is taken."""
    from ccella_core.provenance import LABELS, file_stem

    several = len(sequences) > 1
    stem = f"SYNTHETIC_{name if edit is None else f'{edit.name}_{name}'}"
    parts = drawn if edit is None else [*(options.sequences or edit.scans)]
    names = {
        (seed, part): out / f"{file_stem(f'{stem}_seed{seed}', part, of_several=several)}.{suffix}"
        for seed in options.seeds
        for part in (*parts, *([LABELS] if labels and options.labels and edit is None else []))
    }
    taken = [str(path) for path in names.values() if path.exists()]
    if taken and not overwrite:
        raise InputError(f"{taken[0]} exists already: choose another folder or seed, or add --overwrite.")
    return names


def _reference(path: Path) -> Image:
    from ccella_core.imaging.scans import read_scan

    return read_scan(path, _warn)


def _report_text(report: str | None, file: Path | None) -> str | None:
    if file is None:
        return report
    if report is not None:
        raise InputError("Give either --report or --report-file, not both.")
    from ccella_core.cases.tables import read_any_text
    from ccella_core.generation.markup import plain_text
    from ccella_core.generation.report_text import check_report

    text = read_any_text(file, _warn)
    try:
        return check_report(plain_text(text, _warn))
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _warn(warning: str) -> None:
    print_message(f"Warning: {warning}", style="yellow")


def _save(volume: SyntheticVolume, path: Path, *, picture: bool, overwrite: bool) -> dict[str, Any]:
    from ccella_core.imaging.volume import image_suffix, sidecar_of

    image = volume.save(path, overwrite=overwrite)
    drawing = image.with_name(image.name[: -len(image_suffix(image))] + ".png") if picture else None
    if drawing is not None:
        volume.contact_sheet(drawing)
    return {
        "volume": str(image),
        "sidecar": str(sidecar_of(image)),
        "picture": None if drawing is None else str(drawing),
        "seed": volume.provenance.seed,
        "positive_probability": volume.provenance.predicted_positive_probability,
        "warnings": volume.provenance.warnings,
    }


def _print_entry(entry: dict[str, Any]) -> None:
    typer.echo(f"Volume:   {entry['volume']}")
    if entry["labels"]:
        typer.echo(f"Labels:   {entry['labels']}")
    if entry["picture"]:
        typer.echo(f"Picture:  {entry['picture']}")
    if entry["positive_probability"] is not None:
        typer.echo(f"The model reads the report as {entry['positive_probability']:.0%} positive.")
    for warning in entry["warnings"]:
        print_message(f"Warning: {warning}", style="yellow")
