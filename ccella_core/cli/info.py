"""``ccella info``: what a report of a problem should say."""

from __future__ import annotations

from dataclasses import asdict

import typer

from ccella_core import __version__
from ccella_core.cli.output import AsJson, explained, print_json


@explained
def info(as_json: AsJson = False) -> None:
    """Versions, devices, memory, and where models are looked for."""
    from ccella_core.models.search import default_search_paths
    from ccella_core.devices import choose_device, choose_dtype, describe_devices
    from ccella_core.provenance import software_versions

    chosen = choose_device()
    dtype = str(choose_dtype("auto", chosen)).removeprefix("torch.")
    devices = [asdict(device) for device in describe_devices()]
    folders = [str(folder) for folder in default_search_paths()]
    versions = {**software_versions(), "ccella-core": __version__}
    if as_json:
        print_json(
            {"versions": versions, "device": str(chosen), "dtype": dtype, "devices": devices, "bundle_folders": folders}
        )
        return
    for package, version in versions.items():
        typer.echo(f"{package} {version}")
    for device in devices:
        free, total = device["memory_free_gib"], device["memory_total_gib"]
        typer.echo(f"Device {device['kind']}:{device['index']}  {device['name']}  {free:.1f} of {total:.1f} GiB free")
    typer.echo(f"Used unless told otherwise: {chosen}, {dtype}")
    for folder in folders:
        typer.echo(f"Models are looked for in {folder}")
