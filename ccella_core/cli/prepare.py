"""``ccella prepare``: from examinations and reports to cases that a model can be trained on."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ccella_core.cli.options import seed_of
from ccella_core.cli.output import (
    AsJson,
    StepDisplay,
    end_with_left_out,
    explained,
    print_json,
    print_message,
    show_log,
)
from ccella_core.errors import InputError
from ccella_core.parallel import MOST_JOBS

if TYPE_CHECKING:
    from ccella_core.cases.quality import ReportLength


SourceLayout = Literal["auto", "manifest", "authors", "picai", "prostatex"]


@explained
def prepare(
    source: Annotated[
        Path,
        typer.Argument(help="A manifest (.csv, .jsonl), the authors' lists (.json), a PI-CAI or PROSTATEx folder."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the prepared cases; a run that was stopped goes on there.")],
    layout: Annotated[SourceLayout, typer.Option(help="What SOURCE is.")] = "auto",
    preset: Annotated[
        Literal["published", "published++"] | None,
        typer.Option(
            help="As for the published models: the whole field of view (--grid whole); for published++ with "
            "t2w,hbv,adc."
        ),
    ] = None,
    sequences: Annotated[
        str | None, typer.Option(help="Which sequences, for instance t2w,hbv,adc; by default t2w.", show_default=False)
    ] = None,
    grid: Annotated[
        Literal["crop", "whole"] | None,
        typer.Option(
            help="crop (the default): voxels of one spacing around the gland; whole: the whole field of view "
            "in as many voxels, with a spacing of its own for each case.",
            show_default=False,
        ),
    ] = None,
    shape: Annotated[tuple[int, int, int], typer.Option(help="Voxels along X, Y, Z.")] = (256, 256, 128),
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Millimetres along X, Y, Z, for --grid crop; by default 0.5 0.5 0.5.", show_default=False),
    ] = None,
    centre: Annotated[
        Literal["gland", "image"],
        typer.Option(help="Crop around the gland, where there is a mask of it, or the image."),
    ] = "gland",
    scaling: Annotated[
        Literal["published", "none"],
        typer.Option(help="Percentiles 0-99.5 (t2w, hbv) and 0-3000 (adc) become 0-1; or voxels lie there already."),
    ] = "published",
    positive: Annotated[
        Literal["pirads", "cspca"] | None,
        typer.Option(
            help="What counts as positive in PI-CAI: PI-RADS 3 to 5 (the default where its marksheet has scores), or "
            "clinically significant cancer in the histology."
        ),
    ] = None,
    missing_reports: Annotated[
        Literal["write", "null"],
        typer.Option(help="Cases without a report: write one from what is known, or train them with the null report."),
    ] = "write",
    fractions: Annotated[
        tuple[float, float, float],
        typer.Option(help="Of patients for train, validation and test, where the source gives no split."),
    ] = (0.8, 0.1, 0.1),
    seed: Annotated[int, typer.Option(parser=seed_of, metavar="INTEGER", help="Of the division into splits.")] = 0,
    jobs: Annotated[
        int, typer.Option(min=0, max=MOST_JOBS, help="Cases at once; 0: as many as there are processor cores.")
    ] = 0,
    tokenizer: Annotated[
        str | None, typer.Option(help="A text encoder (folder, name or model) in whose tokens reports are counted.")
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(min=1, max=2**16, help="The length to which that encoder cuts reports.")
    ] = 512,
    as_json: AsJson = False,
) -> None:
    """Register, crop, scale and check examinations, and write a page that shows them."""
    show_log(logging.INFO)
    from ccella_core.cases.layouts import read_source
    from ccella_core.cases.prepare import prepare as prepare_cases
    from ccella_core.cases.prepared import PREPARE_PRESETS, PrepareSettings
    from ccella_core.cases.quality import WORDS, write_quality_report
    from ccella_core.cases.reports import with_reports
    from ccella_core.cases.splits import assign_splits
    from ccella_core.config import checked

    said = {
        "sequences": None if sequences is None else [name.strip() for name in sequences.split(",")],
        "grid": grid,
        "spacing": spacing,
    }
    content = {
        **({} if preset is None else PREPARE_PRESETS[preset]),
        **{name: value for name, value in said.items() if value is not None},
        "shape": shape,
        "centre": centre,
        "scaling": scaling,
    }
    settings = checked(PrepareSettings, content, "These settings")
    if settings.grid == "whole" and spacing is not None:
        raise InputError("With the whole field of view each case has a spacing of its own; leave out --spacing.")
    length = WORDS if tokenizer is None else _token_length(tokenizer, max_tokens)
    listing = read_source(source, layout, positive=positive)
    for warning in listing.warnings:
        print_message(f"Warning: {warning}", style="yellow")
    cases = with_reports(assign_splits(listing.cases, fractions, seed=seed), missing_reports)
    with StepDisplay("Preparing cases") as display:
        prepared, refused = prepare_cases(listing._replace(cases=cases), settings, out, jobs=jobs, progress=display)
    page = write_quality_report(prepared, refused, length=length, warnings=listing.warnings)
    warned = sum(bool(case.warnings) for case in prepared.cases)
    if as_json:
        print_json({
            "prepared": len(prepared.cases), "refused": [each._asdict() for each in refused],
            "splits": {split: len(prepared.split(split)) for split in ("train", "validation", "test")},
            "fingerprint": prepared.fingerprint, "folder": str(out), "page": str(page),
            "positive_means": prepared.positive_means, "warnings": list(listing.warnings),
            "case_warnings": {case.id: case.warnings for case in prepared.cases if case.warnings},
        })  # fmt: skip
    else:
        odd = f" {warned} have warnings." if warned else ""
        typer.echo(f"{len(prepared.cases)} cases are in {out}; {len(refused)} were left out.{odd} Look at {page}")
    end_with_left_out(refused)


def _token_length(tokenizer: str, max_tokens: int) -> ReportLength:
    from ccella_core.cases.quality import ReportLength
    from ccella_core.training.frozen_networks import text_encoder_source

    return ReportLength("tokens", text_encoder_source(tokenizer).token_counter(), max_tokens)
