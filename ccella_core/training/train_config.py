"""The configuration of a training: one YAML file, checked before anything is done, with presets to start from."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ccella_core.config import MOST_STEPS, MaxTokens, MixedPrecision, Steps, StrictModel, merged, read_settings
from ccella_core.errors import InputError
from ccella_core.generation.sampling.schedulers import MAX_TRAIN_TIMESTEPS
from ccella_core.generation.text_encoder import DEFAULT_MAX_TOKENS
from ccella_core.limits import MAX_COUNT
from ccella_core.models.encoder_files import PUBLISHED_ENCODER
from ccella_core.networks.config import REPORT_VARIANTS, VARIANTS, AutoencoderConfig
from ccella_core.networks.presets import demo_denoiser, published_denoiser
from ccella_core.provenance import LabelName, SequenceName
from ccella_core.published.releases import STACKED
from ccella_core.runs.logging import TrackerName
from ccella_core.training.data.device_cases import CaseLoading
from ccella_core.training.data.sets import TrainingData
from ccella_core.training.data.shards import CacheSettings
from ccella_core.training.denoiser import DenoiserTraining
from ccella_core.training.reading.adapter import AdapterTraining
from ccella_core.training.reading.expected import ExpectedTraining

CCELLA_PLUS_PLUS, CCELLA_PLUS_PLUS_EPOCHS = "published-ccella++", 800
DEMO_MODEL = "ccella-demo"
DEMO_LATENT_CHANNELS, DEMO_TEXT_WIDTH, DEMO_MAX_TOKENS = 1, 384, 320


class LoggingSettings(StrictModel):
    """What is validated, drawn and logged while it trains; none of it changes the weights."""

    validate_every: Steps = Field(500, description="steps")
    picture_every: Annotated[int, Field(ge=0, le=MOST_STEPS)] = Field(2000, description="steps; 0: never")
    picture_cases: int = Field(
        4, gt=0, le=MAX_COUNT, description="validation cases that are drawn, always with the same seeds"
    )
    picture_steps: int = Field(20, gt=0, le=MAX_TRAIN_TIMESTEPS, description="denoising steps of a picture")
    log_with: tuple[TrackerName, ...] = Field(("tensorboard",), description="trackers that get the same numbers")


class TrainConfig(StrictModel):
    """One training of a denoiser, from prepared cases to checkpoints. Paths are taken from the current folder."""

    name: str = Field("ccella", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="of the run, and of its model")
    data: TrainingData = Field(description="the folder that `ccella prepare` made, or several on one grid")
    output: Path = Field(description="folder of the run; a run that was stopped goes on there")
    autoencoder: str = Field(description="a trained autoencoder's folder, or a model whose autoencoder is taken")
    text_encoder: str | None = Field(None, description="a Hugging Face encoder's folder or name, or a model")
    max_tokens: MaxTokens = Field(DEFAULT_MAX_TOKENS, description="to which reports are padded or cut on the left")
    sequences: tuple[SequenceName, ...] = Field(("t2w",), min_length=1, description="several are stacked in the latent")
    labels: tuple[LabelName, ...] = Field((), description="masks that are drawn too, stacked after the sequences")
    mixed_precision: MixedPrecision = Field(
        "no", description="half precision where it is safe; auto: bf16 where the device computes in it"
    )
    cache: CacheSettings = CacheSettings()
    cache_folder: Path | None = Field(None, description="by default a folder in `data`, named after what it holds")
    denoiser: DenoiserTraining = DenoiserTraining()
    read_first: AdapterTraining | None = Field(
        None,
        description="teach the adapter to read before it steers; with `start_from` only where that expects nothing and "
        "this network does (`unet.expected`)",
    )
    expect_first: ExpectedTraining | None = Field(
        None, description="then teach the U-Net what each report lets expect (`unet.expected`)"
    )
    start_from: Path | None = Field(None, description="a finished run, or a model, whose weights are the start")
    latent_scale: Literal["start", "data"] = Field(
        "start", description="the latent scale factor: that of `start_from`, where there is one, or the data's own"
    )
    logging: LoggingSettings = LoggingSettings()
    loading: CaseLoading = CaseLoading()

    @model_validator(mode="after")
    def _parts_fit(self) -> TrainConfig:
        if self.denoiser.network.uses_text and self.text_encoder is None:
            raise ValueError(f"the variant {self.denoiser.network.variant} reads reports: give text_encoder")
        if not self.denoiser.network.uses_text and (self.text_encoder is not None or self.read_first is not None):
            raise ValueError(f"the variant {self.denoiser.network.variant} reads no reports: remove text_encoder")
        if self.expect_first is not None and not self.denoiser.network.unet.expected:
            raise ValueError("expect_first teaches denoiser.network.unet.expected, which this network has not")
        if self.denoiser.network.unet.expected and self.expect_first is None and self.start_from is None:
            raise ValueError("denoiser.network.unet.expected: give expect_first, which teaches it")
        if len(set(self.sequences)) != len(self.sequences):
            raise ValueError("a sequence stands twice in sequences")
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("a label stands twice in labels")
        for section, settings in (("denoiser", self.denoiser), ("expect_first", self.expect_first)):
            weighed = set() if settings is None else settings.part_weights.keys()
            if unknown := weighed - {*self.sequences, *self.labels}:
                raise ValueError(f"{section}.part_weights: {min(unknown)} is none of the sequences and labels")
        if self.denoiser.network.latent_channels % len((*self.sequences, *self.labels)):
            raise ValueError(
                f"denoiser.network.unet.latent_channels: {self.denoiser.network.latent_channels} cannot be shared by "
                f"{len(self.sequences)} sequences and {len(self.labels)} labels"
            )
        if self.logging.picture_steps > self.denoiser.scheduler.num_train_timesteps:
            raise ValueError(
                f"logging.picture_steps: {self.logging.picture_steps} are more than the "
                f"{self.denoiser.scheduler.num_train_timesteps} of denoiser.scheduler.num_train_timesteps"
            )
        return self


def preset_names() -> list[str]:
    """``published-`` and ``small-`` with each of the eight variants, and ``published-ccella++``."""
    variants = [f"{size}-{variant}" for size in ("published", "small") for variant in REPORT_VARIANTS]
    return [*variants, CCELLA_PLUS_PLUS]


def preset(name: str) -> dict[str, Any]:
    """What a preset says; ``data``, ``output`` and, for the published size, ``autoencoder`` are the user's to give.

    ``published-ccella++``: CCELLA's with three sequences, t2w, hbv and adc, each at a scale of its own, and 800 epochs.
    ``published-…``: the paper's numbers, for cases of 256 x 256 x 128 voxels of 0.5 mm and the MAISI autoencoder.
    ``small-…``: a size for a laptop, with the autoencoder and the text encoder of the demonstration model, for cases of
    64 x 64 x 32 voxels of 1.5 x 1.5 x 3 mm.

    Raises:
        InputError: there is no such preset.
    """
    size, _, variant = name.partition("-")
    if name not in preset_names():
        near = difflib.get_close_matches(name, preset_names(), n=3, cutoff=0)
        raise InputError(f"There is no preset {name!r}; there are {', '.join(near)} and others (see --help).")
    if name == CCELLA_PLUS_PLUS:
        unet = {"latent_channels": len(STACKED) * AutoencoderConfig().latent_channels}
        of_three = {
            "sequences": list(STACKED),
            "denoiser": {"network": {"unet": unet}, "epochs": CCELLA_PLUS_PLUS_EPOCHS},
        }
        return merged(preset("published-ccella"), of_three)
    uses_text = VARIANTS[variant].uses_text  # type: ignore[index]
    if size == "published":
        network = published_denoiser(variant)  # type: ignore[arg-type]
        content: dict[str, Any] = {
            "max_tokens": DEFAULT_MAX_TOKENS,
            "cache": {"latents": "draw"},
            "denoiser": {"network": network.model_dump(mode="json")},
        }
        encoder = PUBLISHED_ENCODER
    else:
        network = demo_denoiser(variant, latent_channels=DEMO_LATENT_CHANNELS, text_width=DEMO_TEXT_WIDTH)  # type: ignore[arg-type]
        content = {
            "autoencoder": DEMO_MODEL,
            "max_tokens": DEMO_MAX_TOKENS,
            "cache": {"mirror": True},
            "denoiser": {
                "network": network.model_dump(mode="json"),
                "scheduler": {"prediction_type": "flow"},
                "error": "l2",
                "learning_rate": 1e-3,
                "warmup_steps": 100,
                "decay_power": 1.0,
                "ema_decay": 0.999,
                "stratified_timesteps": True,
                "checkpoint_every": 100,
            },
            "logging": {"validate_every": 100, "picture_every": 500, "picture_steps": 10},
        }
        encoder = DEMO_MODEL
    return {**content, **({"text_encoder": encoder} if uses_text else {})}


def read_config(
    file: Path | None = None, *, preset_name: str | None = None, overrides: Sequence[str] = ()
) -> TrainConfig:
    """A preset, what a YAML file says over it, and what the command line says over both.

    Args:
        file: YAML; its key ``preset`` names the preset to start from.
        preset_name: instead of the file's.
        overrides: ``key=value``, a key with dots inside sections: ``denoiser.batch_size=4``.

    Raises:
        InputError: no file, no YAML, an unknown key (with the nearest known one), or a value that does not fit.
    """
    return read_settings(TrainConfig, file, overrides, preset_name=preset_name, presets=preset)
