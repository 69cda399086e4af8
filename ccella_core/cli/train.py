"""``ccella train``, ``train-autoencoder`` and ``train-text-encoder``: each from one YAML file."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Annotated

import typer

from ccella_core.cli.output import StepDisplay, explained, quiet_libraries, show_log

ConfigFile = Annotated[Path | None, typer.Argument(help="A YAML file; --show-config prints a whole one.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="key=value over the file, for instance denoiser.batch_size=4.")
]
ShowConfig = Annotated[bool, typer.Option("--show-config", help="Print the configuration as YAML and stop.")]


@explained
def train(
    config: ConfigFile = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Where to start from: published-VARIANT or small-VARIANT, for instance published-ccella. The "
                          "file's own key `preset` does the same."),
    ] = None,
    overrides: Overrides = None,
    show_config: ShowConfig = False,
) -> None:  # fmt: skip
    """Train a denoiser on prepared cases; a training that was stopped goes on.

    On several GPUs or computers: accelerate launch -m ccella_core train CONFIG.
    """
    _prepare_process()
    from ccella_core.config import as_yaml
    from ccella_core.training.train import train as run
    from ccella_core.training.train_config import read_config

    settings = read_config(config, preset_name=preset, overrides=overrides or ())
    if show_config:
        typer.echo(as_yaml(settings))
        return
    with StepDisplay("Encoding cases") as display:
        folder = run(settings, progress=display)
    _end(folder, "Make a model of it with: ccella export")


@explained
def train_autoencoder(config: ConfigFile = None, overrides: Overrides = None, show_config: ShowConfig = False) -> None:
    """Train an autoencoder on prepared cases; its result lies in the output's folder `autoencoder`."""
    _prepare_process()
    from ccella_core.config import as_yaml, read_settings
    from ccella_core.training.train_autoencoder import AutoencoderConfigFile
    from ccella_core.training.train_autoencoder import train as run

    settings = read_settings(AutoencoderConfigFile, config, overrides or ())
    if show_config:
        typer.echo(as_yaml(settings))
        return
    _end(run(settings), "Name this folder as `autoencoder` in the configuration of: ccella train")


@explained
def train_text_encoder(config: ConfigFile = None, overrides: Overrides = None, show_config: ShowConfig = False) -> None:
    """Train a small text encoder of one's own, instead of FLAN-T5-XXL."""
    _prepare_process()
    from ccella_core.config import as_yaml, read_settings
    from ccella_core.training.train_text_encoder import TextEncoderConfigFile
    from ccella_core.training.train_text_encoder import train as run

    settings = read_settings(TextEncoderConfigFile, config, overrides or ())
    if show_config:
        typer.echo(as_yaml(settings))
        return
    _end(run(settings), "Name this folder as `text_encoder` in the configuration of: ccella train")


def _prepare_process() -> None:
    """Of several processes of a launch only the first talks."""
    quiet_libraries()
    show_log(logging.INFO if is_first() else logging.ERROR)


def is_first() -> bool:
    """Whether this is the first process of a launch, or the only one."""
    return os.environ.get("RANK", "0") == "0"  # set by every launcher of several processes


def _end(folder: Path, next_step: str) -> None:
    if is_first():
        typer.echo(f"The run is in {folder}; look at its summary.html. {next_step}")
