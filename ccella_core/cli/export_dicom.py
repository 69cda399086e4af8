"""``ccella export-dicom``: saved synthetic volumes as DICOM series."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ccella_core.cli.output import AsJson, explained, print_json


@explained
def export_dicom(
    volumes: Annotated[
        list[Path], typer.Argument(help="Volumes that this software saved, their JSON files beside them.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the studies; made if needed.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace series that are there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write synthetic volumes as DICOM, a series a volume; the sequences of one examination meet in one study."""
    from ccella_core.imaging.dicom.export import export_dicom
    from ccella_core.imaging.volume import SyntheticVolume

    sources = [SyntheticVolume.load(path).dicom_source(path.name) for path in volumes]
    series = export_dicom(sources, out, overwrite=overwrite)
    if as_json:
        print_json({"series": [str(folder) for folder in series]})
        return
    for folder in series:
        typer.echo(folder)
    typer.echo(f"{len(series)} synthetic series, not for diagnosis.")
