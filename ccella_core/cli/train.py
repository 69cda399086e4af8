"""``ccella train``: a denoiser, an autoencoder, a text encoder or a classifier, each from one YAML file."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ccella_core.cli.output import StepDisplay, end_with_left_out, explained, quiet_libraries, show_log
from ccella_core.errors import InputError
from ccella_core.parallel import end_with, is_first

if TYPE_CHECKING:
    from collections.abc import Callable

    from ccella_core.config import StrictModel

    Prepared = tuple[StrictModel, Callable[[], Path]]  # the settings, and what trains with them

Network = Literal["denoiser", "autoencoder", "text-encoder", "classifier"]
NEXT_STEP: dict[Network, str] = {
    "denoiser": "Make a model of it with: ccella models export",
    "autoencoder": "Name this folder as `autoencoder` in the configuration of: ccella train denoiser",
    "text-encoder": "Name this folder as `text_encoder` in the configuration of: ccella train denoiser",
    "classifier": "Test it with: ccella evaluate classifier",
}


@explained
def train(
    network: Annotated[Network, typer.Argument(help="What is trained.")],
    config: Annotated[Path | None, typer.Argument(help="A YAML file; --show-config prints a whole one.")] = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Where to start from. Of a denoiser: published-VARIANT or small-VARIANT, for instance "
                          "published-ccella; of a classifier: own, published, published++, "
                          "published++-fine-tuning or small. The file's own key `preset` does the "
                          "same."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", help="key=value over the file, for instance denoiser.batch_size=4.")
    ] = None,
    show_config: Annotated[
        bool, typer.Option("--show-config", help="Print the configuration as YAML and stop.")
    ] = False,
) -> None:  # fmt: skip
    """Train a network on prepared cases; a training that was stopped goes on.

    A denoiser is what generates. An autoencoder makes its latents and a text encoder reads its reports; both can be
    taken from others instead. A classifier of the pathology learns from real or synthetic cases, to see what they are
    worth: one network for each seed.

    On several GPUs or computers: accelerate launch -m ccella_core train NETWORK CONFIG.
    """
    quiet_libraries()
    if "LOCAL_RANK" in os.environ:  # one of several processes of a launch, which outlive a launcher that is killed
        end_with(os.getppid())
    # Of several processes of a launch only the first talks.
    show_log(logging.INFO if is_first() else logging.ERROR)
    if preset is not None and network not in ("denoiser", "classifier"):
        raise InputError(f"There are no presets of {network}s; give a configuration file.")
    settings, run = _PREPARE[network](config, preset, overrides or ())
    if show_config:
        from ccella_core.config import as_yaml

        typer.echo(as_yaml(settings))
        return
    folder = run()
    if is_first():
        page = "a folder for each seed" if network == "classifier" else "look at its summary.html"
        typer.echo(f"The run is in {folder}; {page}. {NEXT_STEP[network]}")
        from ccella_core.runs.folder import read_left_out_of_run

        end_with_left_out(read_left_out_of_run(folder).items())


def _denoiser(file: Path | None, preset: str | None, overrides: Sequence[str]) -> Prepared:
    from ccella_core.training.train import train
    from ccella_core.training.train_config import read_config

    config = read_config(file, preset_name=preset, overrides=overrides)

    def run() -> Path:
        with StepDisplay("Encoding cases") as display:
            return train(config, progress=display)

    return config, run


def _autoencoder(file: Path | None, preset: str | None, overrides: Sequence[str]) -> Prepared:
    from ccella_core.config import read_settings
    from ccella_core.training.train_autoencoder import AutoencoderConfigFile, train

    config = read_settings(AutoencoderConfigFile, file, overrides)
    return config, lambda: train(config)


def _text_encoder(file: Path | None, preset: str | None, overrides: Sequence[str]) -> Prepared:
    from ccella_core.config import read_settings
    from ccella_core.training.train_text_encoder import TextEncoderConfigFile, train

    config = read_settings(TextEncoderConfigFile, file, overrides)
    return config, lambda: train(config)


def _classifier(file: Path | None, preset: str | None, overrides: Sequence[str]) -> Prepared:
    from ccella_core.evaluation.classifier.config import read_classifier_config
    from ccella_core.evaluation.classifier.training import train_classifier

    config = read_classifier_config(file, preset_name=preset, overrides=overrides)
    return config, lambda: train_classifier(config)


_PREPARE = {
    "denoiser": _denoiser,
    "autoencoder": _autoencoder,
    "text-encoder": _text_encoder,
    "classifier": _classifier,
}
