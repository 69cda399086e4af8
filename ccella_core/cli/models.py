"""``ccella bundles``: the models on this computer."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ccella_core import __version__
from ccella_core.cli.output import EXIT_CODES, AsJson, explained, print_json, say

MEGABYTE = 10**6

app = typer.Typer(help="List, show, verify and download models.", no_args_is_help=True, epilog=EXIT_CODES)
Name = Annotated[str, typer.Argument(help="A bundle's name or folder.")]


@app.command("list")
@explained
def list_bundles(as_json: AsJson = False) -> None:
    """Every model in the folders where models are looked for."""
    from ccella_core.models.model import Bundle
    from ccella_core.models.search import default_search_paths, find_bundles

    found = find_bundles()
    usable = [entry.describe() for entry in found if isinstance(entry, Bundle)]
    broken = [{"path": str(e.path), "reason": e.reason} for e in found if not isinstance(e, Bundle)]
    folders = [str(folder) for folder in default_search_paths()]
    if as_json:
        print_json({"bundles": usable, "broken": broken, "searched": folders})
        return
    for bundle in usable:
        size = f"{bundle['file_size_bytes'] / MEGABYTE:.0f} MB"
        typer.echo(f"{bundle['name']} {bundle['version']}  {bundle['variant']}  {size}  {bundle['path']}")
    for entry in broken:
        say(f"Cannot be used: {entry['reason']}", style="yellow")
    if not found:
        typer.echo(f"There are no models in: {', '.join(folders)}")


@app.command("show")
@explained
def show(name: Name, as_json: AsJson = False) -> None:
    """What a model is, what it was trained on, and what it is for."""
    from ccella_core.models.search import resolve_bundle

    description = resolve_bundle(name).describe()
    if as_json:
        print_json(description)
        return
    for key, value in description.items():
        typer.echo(f"{key.replace('_', ' ')}: {_words(value)}")


@app.command("verify")
@explained
def verify(name: Name, as_json: AsJson = False) -> None:
    """Read every file of a model and compare it with its recorded hash."""
    from ccella_core.models.search import resolve_bundle

    bundle = resolve_bundle(name)
    bundle.verify()
    files = len(bundle.index.sha256)
    if as_json:
        print_json({"name": bundle.index.name, "path": str(bundle.path), "sha256": bundle.sha256, "files": files})
        return
    typer.echo(f"{bundle.index.name} is whole: {files} files in {bundle.path} are as they were made.")


@app.command("download")
@explained
def download(
    reference: Annotated[str, typer.Argument(help="hf:owner/name on the Hugging Face Hub.")], as_json: AsJson = False
) -> None:
    """Fetch a model from the Hugging Face Hub and verify it."""
    from ccella_core.errors import InputError
    from ccella_core.models.search import HUB_PREFIX, resolve_bundle

    if not reference.startswith(HUB_PREFIX):
        raise InputError(f"{reference!r} is not on the Hub; write {HUB_PREFIX}owner/name.")
    bundle = resolve_bundle(reference, allow_download=True)
    if as_json:
        print_json({"name": bundle.index.name, "path": str(bundle.path), "sha256": bundle.sha256})
        return
    typer.echo(f"{bundle.index.name} {bundle.index.version} is in {bundle.path}.")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return str(value)


@explained
def info(as_json: AsJson = False) -> None:
    """Versions, devices, memory, and where models are looked for."""
    from ccella_core.devices import choose_device, choose_dtype, describe_devices
    from ccella_core.models.search import default_search_paths
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
