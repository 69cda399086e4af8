"""What a training starts from: the weights of a finished run, or of a model, imported ones among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ccella_core.errors import InputError, ModelError
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.models.model import ModelFolder, load_config, load_state
from ccella_core.models.search import resolve_model
from ccella_core.networks.config import DenoiserConfig
from ccella_core.networks.denoiser import ConditionalDenoiser
from ccella_core.provenance import LabelName, SequenceName
from ccella_core.runs.folder import CHECKPOINTS, RUN_NAME, read_run, read_run_config
from ccella_core.runs.trainer import load_trained
from ccella_core.training.train_config import TrainConfig


class Start(NamedTuple):
    """Weights, and what latents they were trained on."""

    denoiser: ConditionalDenoiser
    """Perhaps without the mean that the configured one expects, see ``adds_expected``."""
    scale_factors: tuple[float, ...]
    """Of each part of the latent, or of each of its channels."""


def load_start(where: Path, config: TrainConfig) -> Start:
    """What ``start_from`` names: a run's folder, or a model's folder or name.

    Raises:
        InputError: there is neither; or it has another network, predicts something else, or draws other sequences than
            the training is configured for. That it expects nothing is no hindrance where there is ``expect_first``.
    """
    if (where / RUN_NAME).is_file():
        run = read_run_config(where, TrainConfig)
        _refuse_other(where, run.denoiser.network, run.denoiser.scheduler, (*run.sequences, *run.labels), config)
        return Start(load_denoiser(where), tuple(read_run(where)["latent_scale_factor"]))
    model = model_of_start(where)
    folder = model.component_path("denoiser")
    network = load_config(DenoiserConfig, folder)
    scheduler = load_config(SchedulerConfig, model.component_path("scheduler"))
    _refuse_other(where, network, scheduler, model.index.parts, config)
    denoiser = ConditionalDenoiser(network)
    load_state(denoiser, folder)
    return Start(denoiser.eval(), tuple(factor for part in model.index.scale_factors for factor in part))


def model_of_start(where: Path) -> ModelFolder:
    """The model that is started from. Raises InputError where it is none."""
    try:
        # A name, unless a folder of this name lies here.
        return resolve_model(where if where.is_dir() else str(where))
    except ModelError as error:
        raise InputError(f"There is no finished run and no model {where} to start from: {error}") from error


def load_denoiser(run: Path, *, best: bool = False) -> ConditionalDenoiser:
    """The denoiser that a run left, with its averaged weights where it has an average.

    Args:
        run: its folder.
        best: the weights that did best on the validation cases, instead of the last.
    """
    denoiser = ConditionalDenoiser(read_run_config(run, TrainConfig).denoiser.network)
    load_trained(run / CHECKPOINTS, denoiser, best=best)
    return denoiser.eval()


def adds_expected(network: DenoiserConfig, configured: DenoiserConfig) -> bool:
    """Whether one network is the other without ``unet.expected``, which is then to be learnt before all else."""
    unet = network.unet.model_copy(update={"expected": True})
    return not network.unet.expected and network.model_copy(update={"unet": unet}) == configured


def _refuse_other(
    where: Path,
    network: DenoiserConfig,
    scheduler: SchedulerConfig,
    parts: Sequence[SequenceName | LabelName],
    config: TrainConfig,
) -> None:
    if adds_expected(network, config.denoiser.network) and config.expect_first is None:
        raise InputError(f"{where} holds a network that expects nothing; have expect_first teach it (unet.expected).")
    if network != config.denoiser.network and not adds_expected(network, config.denoiser.network):
        raise InputError(f"{where} holds another network than the one configured; its weights do not fit.")
    if scheduler != config.denoiser.scheduler:
        raise InputError(
            f"{where} was trained with another noise schedule (it predicts {scheduler.prediction_type}) than the one "
            "configured; set denoiser.scheduler as it was."
        )
    if tuple(parts) != (*config.sequences, *config.labels):
        raise InputError(f"{where} draws {', '.join(parts)} in this order; set sequences and labels to the same.")
