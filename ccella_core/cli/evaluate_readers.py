"""``ccella evaluate readers``: what came out of a reader study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ccella_core.cli.output import AsJson, explained, print_json, print_message


@explained
def readers(
    results: Annotated[Path, typer.Argument(help="The folder of a reader study, made by the Slicer module.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for page, tables and scores; by default in the study's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score how well readers told synthetic volumes from real ones, and how far they agree."""
    from ccella_core.evaluation.readers.report import readers_markdown, save_reader_result
    from ccella_core.evaluation.readers.scores import evaluate_readers

    result = evaluate_readers(results)
    page = save_reader_result(result, out or results)
    if as_json:
        print_json(json.loads(result.model_dump_json()))
        return
    typer.echo(readers_markdown(result))
    print_message(f"The page is {page}.")
