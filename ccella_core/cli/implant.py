"""``ccella implant``: known lesions in patients' glands, and reports that name them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer

from ccella_core.cli.options import seed_of
from ccella_core.cli.output import AsJson, StepDisplay, end_with_left_out, explained, print_json, show_log
from ccella_core.parallel import MOST_JOBS


@explained
def implant(
    prepared: Annotated[Path, typer.Argument(help="Folder of prepared cases with masks of the gland.")],
    out: Annotated[Path, typer.Option(help="Folder for the new cases.")],
    copies: Annotated[int, typer.Option(min=1, max=1000, help="New cases of each training case.")] = 4,
    seed: Annotated[int, typer.Option(parser=seed_of, metavar="INTEGER", help="Of all that is drawn.")] = 0,
    wordings: Annotated[int, typer.Option(min=1, max=100, help="Reports of each new case.")] = 4,
    jobs: Annotated[
        int, typer.Option(min=0, max=MOST_JOBS, help="Cases at once; 0: as many as there are processor cores.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw lesions into the glands of prepared training cases, with reports that name them."""
    show_log(logging.INFO)
    from ccella_core.cases.implant import ImplantSettings
    from ccella_core.cases.implant import implant as implant_lesions
    from ccella_core.cases.prepared import PreparedSet
    from ccella_core.cases.quality import write_quality_report

    source = PreparedSet.open(prepared)
    settings = ImplantSettings(copies=copies, seed=seed, wordings=wordings)
    with StepDisplay("Implanting lesions") as display:
        made, refused = implant_lesions(source, settings, out, jobs=jobs, progress=display)
    page = write_quality_report(made, refused)
    if as_json:
        print_json({
            "implanted": len(made.cases), "patients": len({case.patient for case in made.cases}),
            "left_out": [each._asdict() for each in refused], "fingerprint": made.fingerprint, "folder": str(out),
            "page": str(page),
        })  # fmt: skip
    else:
        typer.echo(
            f"{len(made.cases)} cases with implanted lesions are in {out}; {len(refused)} were left out. Look at {page}"
        )
    end_with_left_out(refused)
