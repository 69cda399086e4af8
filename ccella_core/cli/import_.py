"""``ccella models import``: published checkpoints into a model that ``ccella generate`` and the Slicer module load.

``ccella models import-autoencoder``: the autoencoder alone, for a training.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Literal

import typer

from ccella_core.cli.output import AsJson, explained, print_json, quiet_libraries, show_log


@explained
def import_checkpoints(
    denoiser: Annotated[Path, typer.Argument(help="The authors' checkpoint (.pt).")],
    autoencoder: Annotated[Path, typer.Option(help="The MAISI autoencoder's checkpoint (.pt).")],
    out: Annotated[Path, typer.Option(help="Folder of the model.")],
    name: Annotated[str, typer.Option(help="Of the model.")],
    licence: Annotated[str, typer.Option(help="Of the weights, as their release states it.")],
    intended_use: Annotated[str, typer.Option(help="What they are for, and what not; shown before every use.")],
    trained_on: Annotated[str, typer.Option(help="The data, in a sentence; shown with the model.")],
    text_encoder: Annotated[
        str | None, typer.Option(help="Folder or name of the report encoder, such as google/flan-t5-xxl.")
    ] = None,
    variant: Annotated[str | None, typer.Option(help="What it should be; by default what its names say.")] = None,
    sequences: Annotated[str, typer.Option(help="What it draws; for CCELLA++ t2w,hbv,adc.")] = "t2w",
    shape: Annotated[tuple[int, int, int], typer.Option(help="Voxels along X, Y, Z.")] = (256, 256, 128),
    spacing: Annotated[tuple[float, float, float], typer.Option(help="Millimetres along X, Y, Z.")] = (0.5, 0.5, 0.5),
    max_tokens: Annotated[int, typer.Option(min=1, max=2**16, help="To which reports are padded or cut.")] = 512,
    version: Annotated[str, typer.Option(help="Of the model.")] = "1.0.0",
    description: Annotated[str, typer.Option(help="One sentence.")] = "",
    scheduler: Annotated[str, typer.Option(help="The model's default scheduler.")] = "dpm++",
    steps: Annotated[int, typer.Option(min=1, help="The model's default number of denoising steps.")] = 30,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a model that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a model of published checkpoints. They are read without running anything that may be in them."""
    quiet_libraries()
    show_log(logging.INFO)
    from ccella_core.config import checked
    from ccella_core.generation.import_published import import_model
    from ccella_core.imaging.intensity import scaled_range
    from ccella_core.models.model import ModelIndex
    from ccella_core.networks.config import VARIANTS
    from ccella_core.training.frozen_networks import text_encoder_source

    if variant is not None and variant not in VARIANTS:
        raise typer.BadParameter(f"there is no variant {variant}; there are {', '.join(VARIANTS)}")
    drawn = [each.strip() for each in sequences.split(",")]
    content = {
        "name": name,
        "version": version,
        "licence": licence,
        "intended_use": intended_use,
        "description": description,
        "variant": "",  # filled in, as the scale factors are
        "sequences": drawn,
        "native_shape": shape,
        "native_spacing_mm": spacing,
        "intensity_range": {each: scaled_range(each) for each in drawn},  # type: ignore[arg-type]  # asked by the index
        "latent_scale_factor": [1.0] * len(drawn),
        "max_report_tokens": max_tokens,
        "default_scheduler": scheduler,
        "default_num_inference_steps": steps,
        "trained_on": trained_on,
        "training": {"imported_from": [denoiser.name, autoencoder.name]},
        "components": {},
    }
    index = checked(ModelIndex, content, "What is said of the model")
    encoder = None if text_encoder is None else text_encoder_source(text_encoder).load(max_tokens)
    model = import_model(
        out,
        index,
        denoiser=denoiser,
        autoencoder=autoencoder,
        encoder=encoder,
        variant=variant,  # type: ignore[arg-type]
        overwrite=overwrite,
    )
    if as_json:
        print_json({"name": model.index.name, "path": str(model.path), "sha256": model.sha256,
                    "variant": model.index.variant, "licence": licence})  # fmt: skip
        return
    typer.echo(f"{model.index.name} {model.index.version} ({model.index.variant}) is in {model.path}.")
    typer.echo(f"Licence: {model.index.licence}\nIntended use: {model.index.intended_use}")


@explained
def import_autoencoder_alone(
    file: Annotated[Path, typer.Argument(help="The MAISI autoencoder's checkpoint (.pt).")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    licence: Annotated[str, typer.Option(help="Of the weights, as their release states it.")],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace one that was imported earlier.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the published autoencoder usable for `ccella train denoiser`. It is read without running anything in it."""
    from ccella_core.generation.import_published import import_autoencoder

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
