"""``ccella models``: the models on this computer, where they come from and where they go."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer

from ccella_core import __version__
from ccella_core.cli import export, import_
from ccella_core.cli.output import EXIT_CODES, AsJson, explained, print_json, print_message

MEGABYTE = 10**6
NV_GENERATE_MR_NAME = "nv-generate-mr"
"""Also the name that its release gives it, see ``published.releases``."""

app = typer.Typer(
    help="List, show, verify, download, import, export and remove models.", no_args_is_help=True, epilog=EXIT_CODES
)
app.command("export", epilog=EXIT_CODES)(export.export)
app.command("profile", epilog=EXIT_CODES)(export.profile)
app.command("calibrate", epilog=EXIT_CODES)(export.calibrate)
app.command("uncalibrate", epilog=EXIT_CODES)(export.uncalibrate)
app.command("import", epilog=EXIT_CODES)(import_.import_checkpoints)
app.command("import-autoencoder", epilog=EXIT_CODES)(import_.import_autoencoder_alone)
app.command("import-extractor", epilog=EXIT_CODES)(import_.import_extractor)
Name = Annotated[str, typer.Argument(help="A model's name or folder.")]


@app.command("list")
@explained
def list_models(as_json: AsJson = False) -> None:
    """Every model in the folders where models are looked for."""
    from ccella_core.models.model import ModelFolder
    from ccella_core.models.search import default_search_paths, find_models

    found = find_models()
    usable = [entry.describe() for entry in found if isinstance(entry, ModelFolder)]
    broken = [{"path": str(e.path), "reason": e.reason} for e in found if not isinstance(e, ModelFolder)]
    folders = [str(folder) for folder in default_search_paths()]
    if as_json:
        print_json({"models": usable, "broken": broken, "searched": folders})
        return
    for model in usable:
        size = f"{model['file_size_bytes'] / MEGABYTE:.0f} MB"
        typer.echo(f"{model['name']} {model['version']}  {model['variant']}  {size}  {model['path']}")
    for entry in broken:
        print_message(f"Cannot be used: {entry['reason']}", style="yellow")
    if not found:
        typer.echo(f"There are no models in: {', '.join(folders)}")


@app.command("show")
@explained
def show(name: Name, as_json: AsJson = False) -> None:
    """What a model is, what it was trained on, and what it is for."""
    from ccella_core.models.search import resolve_model

    description = resolve_model(name).describe()
    if as_json:
        print_json(description)
        return
    for key, value in description.items():
        typer.echo(f"{key.replace('_', ' ')}: {_words(value)}")


@app.command("verify")
@explained
def verify(name: Name, as_json: AsJson = False) -> None:
    """Read every file of a model and compare it with its recorded hash."""
    from ccella_core.models.search import resolve_model

    model = resolve_model(name)
    model.verify()
    files = len(model.index.sha256)
    if as_json:
        print_json({"name": model.index.name, "path": str(model.path), "sha256": model.sha256, "files": files})
        return
    typer.echo(f"{model.index.name} is whole: {files} files in {model.path} are as they were made.")


@app.command("download")
@explained
def download(
    reference: Annotated[
        str, typer.Argument(help="hf:owner/name on the Hugging Face Hub, or nv-generate-mr: NVIDIA's network for MR.")
    ],
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Do not ask; the licence is shown all the same.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fetch a model from the Hugging Face Hub and verify it."""
    if reference == NV_GENERATE_MR_NAME:
        import_.download_release(reference, accepted=accept_licence, as_json=as_json)
        return
    from ccella_core.errors import InputError
    from ccella_core.models.search import HUB_PREFIX, resolve_model

    if not reference.startswith(HUB_PREFIX):
        raise InputError(f"{reference!r} is not on the Hub; write {HUB_PREFIX}owner/name, or {NV_GENERATE_MR_NAME}.")
    model = resolve_model(reference, allow_download=True)
    if as_json:
        print_json({"name": model.index.name, "path": str(model.path), "sha256": model.sha256})
        return
    typer.echo(f"{model.index.name} {model.index.version} is in {model.path}.")


@app.command("remove")
@explained
def remove(
    name: Annotated[str, typer.Argument(help="A model's name, or its folder's.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a model that was downloaded or put into your folder of models."""
    from ccella_core.models.search import find_removable, remove_model

    path = find_removable(name)
    if not yes and not typer.confirm(f"Delete {path}?", err=True):
        raise typer.Exit
    remove_model(path)
    if as_json:
        print_json({"removed": str(path)})
        return
    typer.echo(f"{path} is deleted.")


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(item)}" for key, item in value.items()) or "none"
    if isinstance(value, list):
        return (" x " if all(isinstance(item, (int, float)) for item in value) else ", ").join(map(_words, value))
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
            {"versions": versions, "device": str(chosen), "dtype": dtype, "devices": devices, "model_folders": folders}
        )
        return
    for package, version in versions.items():
        typer.echo(f"{package} {version}")
    for device in devices:
        free, total = device["memory_free_gib"], device["memory_total_gib"]
        typer.echo(f"Device {device['kind']}:{device['index']}  {device['name']}  {free:.1f} of {total:.1f} GiB free")
    typer.echo(f"Used by default: {chosen}, {dtype}")
    for folder in folders:
        typer.echo(f"Models are looked for in {folder}")
