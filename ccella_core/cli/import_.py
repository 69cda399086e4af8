"""``ccella models import``: published checkpoints into a model that ``ccella generate`` and the Slicer module load.

``ccella models import-autoencoder``: the autoencoder alone, for a training.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ccella_core.cli.output import AsJson, explained, print_json, print_message, quiet_libraries, show_log

if TYPE_CHECKING:
    from ccella_core.models.model import ModelFolder


@explained
def import_checkpoints(
    denoiser: Annotated[
        Path, typer.Argument(help="The checkpoint (.pt) of the authors, or of NVIDIA's NV-Generate-MR.")
    ],
    autoencoder: Annotated[Path, typer.Option(help="The MAISI autoencoder's checkpoint (.pt).")],
    out: Annotated[Path | None, typer.Option(help="Folder of the model; by default among your models.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the model.")] = None,
    licence: Annotated[str | None, typer.Option(help="Of the weights, as their release states it.")] = None,
    intended_use: Annotated[
        str | None, typer.Option(help="What they are for, and what not; shown before every use.")
    ] = None,
    trained_on: Annotated[str | None, typer.Option(help="The data, in a sentence; shown with the model.")] = None,
    text_encoder: Annotated[
        str | None, typer.Option(help="Folder or name of the report encoder, such as google/flan-t5-xxl.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="What it should be; by default what its names say.")] = None,
    sequences: Annotated[
        str | None, typer.Option(help="What it draws; by default t2w, and t2w,hbv,adc of three scale factors.")
    ] = None,
    shape: Annotated[
        tuple[int, int, int] | None, typer.Option(help="Voxels along X, Y, Z; by default 256 256 128.")
    ] = None,
    spacing: Annotated[
        tuple[float, float, float] | None,
        typer.Option(help="Millimetres along X, Y, Z; by default 0.5 each, of NVIDIA's network 0.66 0.66 0.70."),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, max=2**16, help="To which reports are padded or cut.")] = 512,
    version: Annotated[str, typer.Option(help="Of the model.")] = "1.0.0",
    description: Annotated[str | None, typer.Option(help="One sentence.")] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="The model's default scheduler; by default the release's.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="The model's default number of denoising steps.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a model of published checkpoints. They are read without running anything that may be in them.

    Name, licence, intended use and data are asked for where the release does not say them, as NVIDIA's does.
    """
    quiet_libraries()
    show_log(logging.INFO)
    from ccella_core.config import checked
    from ccella_core.networks.config import VARIANTS
    from ccella_core.published.import_published import import_model
    from ccella_core.published.releases import SaidOfImport
    from ccella_core.training.frozen_networks import text_encoder_source

    if variant is not None and variant not in VARIANTS:
        raise typer.BadParameter(f"there is no variant {variant}; there are {', '.join(VARIANTS)}")
    content = {
        "name": name,
        "version": version,
        "licence": licence,
        "intended_use": intended_use,
        "trained_on": trained_on,
        "description": description,
        "sequences": None if sequences is None else [each.strip() for each in sequences.split(",")],
        "shape": shape,
        "spacing_mm": spacing,
        "max_report_tokens": max_tokens,
        "scheduler": scheduler,
        "num_inference_steps": steps,
    }
    said = checked(SaidOfImport, content, "What is said of the model")
    encoder = None if text_encoder is None else text_encoder_source(text_encoder).load(max_tokens)
    model = import_model(
        out,
        said,
        denoiser=denoiser,
        autoencoder=autoencoder,
        encoder=encoder,
        variant=variant,  # type: ignore[arg-type]
        overwrite=overwrite,
    )
    print_imported(model, as_json=as_json)


def print_imported(model: ModelFolder, *, as_json: bool) -> None:
    """Say where a model is, what it is for and under which licence."""
    index = model.index
    if as_json:
        print_json({"name": index.name, "path": str(model.path), "sha256": model.sha256,
                    "variant": index.variant, "licence": index.licence})  # fmt: skip
        return
    typer.echo(f"{index.name} {index.version} ({index.variant}) is in {model.path}.")
    typer.echo(f"Licence: {index.licence}\nIntended use: {index.intended_use}")


def download_release(name: str, *, accepted: bool, as_json: bool) -> None:
    """Fetch NVIDIA's NV-Generate-MR and import it, after its licence was shown and accepted."""
    quiet_libraries()
    show_log(logging.INFO)
    from ccella_core.errors import InputError, SaveError
    from ccella_core.models.search import user_models_dir
    from ccella_core.published.import_published import import_model
    from ccella_core.published.releases import HUB_FILES, SaidOfImport, fetched, licence_text

    out = user_models_dir() / name
    if out.exists():  # before some GB are fetched
        raise SaveError(f"{out} exists already; remove it with: ccella models remove {name}")
    print_message(licence_text())
    if not accepted and not typer.confirm(f"Do you accept this licence of {name}?", err=True):
        raise InputError(f"{name} was not fetched, because its licence was not accepted.")
    denoiser, autoencoder = (fetched(file) for file in HUB_FILES)
    model = import_model(out, SaidOfImport(), denoiser=denoiser, autoencoder=autoencoder)
    print_imported(model, as_json=as_json)


@explained
def import_autoencoder_alone(
    file: Annotated[Path, typer.Argument(help="The MAISI autoencoder's checkpoint (.pt).")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    licence: Annotated[str, typer.Option(help="Of the weights, as their release states it.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace one that was imported earlier.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the published autoencoder usable for `ccella train denoiser`. It is read without running anything in it."""
    from ccella_core.published.import_published import import_autoencoder

    folder = import_autoencoder(file, out, licence=licence, overwrite=overwrite)
    if as_json:
        print_json({"path": str(folder), "licence": licence})
        return
    typer.echo(
        f"The autoencoder is in {folder}: name that folder as `autoencoder` in the configuration of "
        "ccella train denoiser."
    )
    typer.echo(f"Licence: {licence}")


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
