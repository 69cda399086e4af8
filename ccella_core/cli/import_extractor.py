"""``ccella import-extractor``: published networks that image metrics are measured with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from ccella_core.cli.output import AsJson, explained, print_json


@explained
def import_extractor(
    kind: Annotated[Literal["medicalnet", "radimagenet"], typer.Argument(help="Whose weights they are.")],
    file: Annotated[Path | None, typer.Argument(help="The published checkpoint (.pth or .pt).")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch it from the Hugging Face hub instead.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default where `ccella evaluate` looks for it.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an extractor that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a published checkpoint usable for `ccella evaluate`. It is read without running anything in it."""
    from ccella_core.errors import InputError
    from ccella_core.evaluation.features.extractor_import import (
        download_extractor,
        extractors_folder,
        import_extractor,
    )

    if (file is None) != download:
        raise InputError("Give either a FILE or --download.")
    source = file or download_extractor(kind)
    folder = import_extractor(kind, source, out or extractors_folder() / kind, overwrite=overwrite)
    if as_json:
        print_json({"kind": kind, "path": str(folder)})
    else:
        typer.echo(f"The weights of {kind} are in {folder}; measure with: ccella evaluate images")
