"""The parts of a model, read from a model and written into one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

import torch

from ccella_core.errors import ModelError
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.generation.text_encoder import ReportEncoder
from ccella_core.models.index import FORMAT_VERSION, FORMAT_VERSION_WITHOUT_INT8
from ccella_core.models.model import (
    PROFILE,
    ModelFolder,
    ModelIndex,
    load_config,
    save_component,
    write_model,
)
from ccella_core.models.report_profile import ReportProfile, read_profile, write_profile
from ccella_core.models.weights import CONFIG_NAME, load_network
from ccella_core.networks import AutoencoderConfig, ConditionalDenoiser, DenoiserConfig, build_autoencoder
from ccella_core.networks.autoencoder import Autoencoder


class Components(TypedDict):
    """What a pipeline is made of."""

    denoiser: ConditionalDenoiser
    autoencoder: Autoencoder
    autoencoder_config: AutoencoderConfig
    scheduler_config: SchedulerConfig
    encoder: ReportEncoder | None
    report_profile: ReportProfile | None


def load_components(model: ModelFolder, encoder_device: torch.device) -> Components:
    """Read all parts: networks on the CPU in float32, the report encoder where it will run.

    Raises:
        ModelError: a part is missing or its weights do not fit; nothing is ever left at random.
    """
    denoiser_folder, autoencoder_folder = model.component_path("denoiser"), model.component_path("autoencoder")
    denoiser_config = load_config(DenoiserConfig, denoiser_folder)
    denoiser = load_network(lambda: ConditionalDenoiser(denoiser_config), denoiser_folder)
    autoencoder_config = load_config(AutoencoderConfig, autoencoder_folder)
    autoencoder = load_network(lambda: build_autoencoder(autoencoder_config), autoencoder_folder)
    encoder = None
    if denoiser.config.uses_text:
        encoder = ReportEncoder.from_pretrained(
            model.component_path("text_encoder"),
            tokenizer_source=model.component_path("tokenizer"),
            max_tokens=model.index.max_report_tokens,
            device=encoder_device,
        )
    return {
        "denoiser": denoiser,
        "autoencoder": autoencoder,
        "autoencoder_config": autoencoder_config,
        "scheduler_config": load_config(SchedulerConfig, model.component_path("scheduler")),
        "encoder": encoder,
        "report_profile": read_profile(model),
    }


def save_components(
    path: str | Path, parts: Components, index: ModelIndex, *, overwrite: bool, storage_dtype: torch.dtype | None
) -> ModelFolder:
    """Write a model, filling in ``variant``, ``components`` and the hashes of ``index``; see ``save_pretrained``."""
    denoiser, autoencoder, encoder = parts["denoiser"], parts["autoencoder"], parts["encoder"]
    profile = parts["report_profile"]
    # What it decodes is what is looked at, and it is small.
    decoder_dtype = torch.float16 if storage_dtype == torch.int8 else storage_dtype
    writers: dict[str, Callable[[Path], None]] = {
        "denoiser": lambda to: save_component(denoiser, denoiser.config, to, dtype=storage_dtype),
        "autoencoder": lambda to: save_component(autoencoder, parts["autoencoder_config"], to, dtype=decoder_dtype),
        "scheduler": lambda to: _write_config(parts["scheduler_config"], to),
    }
    classes = {"denoiser": "ConditionalDenoiser", "autoencoder": "AutoencoderKlMaisi", "scheduler": "SchedulerConfig"}
    if encoder is not None:
        # The encoder writes both folders, the tokenizer's too; so that one has to be there already, empty.
        writers["tokenizer"] = lambda to: None
        # A T5 may not be rounded to float16; bfloat16 suits every language model.
        rounded = torch.bfloat16 if storage_dtype == torch.float16 else storage_dtype
        writers["text_encoder"] = lambda to: encoder.save_pretrained(to, to.parent / "tokenizer", storage_dtype=rounded)
        classes |= {"tokenizer": "AutoTokenizer", "text_encoder": "AutoModelForTextEncoding"}
    if profile is not None:
        writers[PROFILE] = lambda to: write_profile(profile, to)
        classes[PROFILE] = ReportProfile.__name__
    is_new = storage_dtype == torch.int8 or index.labels
    version = FORMAT_VERSION if is_new else FORMAT_VERSION_WITHOUT_INT8
    filled = index.model_copy(
        update={"variant": denoiser.config.variant, "components": classes, "format_version": version}
    )
    return write_model(path, filled, writers, overwrite=overwrite)


def check_components(
    denoiser: DenoiserConfig, autoencoder: AutoencoderConfig, encoder: ReportEncoder | None, index: ModelIndex
) -> None:
    """Raises ModelError where the parts do not fit each other."""
    problem = None
    stacked, factors = len(index.stacked(index.drawn())), len(index.scale_factors[0])
    if denoiser.uses_modality != bool(index.modality_labels):
        problem = (
            f"the variant {denoiser.variant} {'needs' if denoiser.uses_modality else 'has no use for'} modality_labels"
        )
    elif denoiser.latent_channels != stacked * autoencoder.latent_channels:
        problem = (
            f"its denoiser makes {denoiser.latent_channels} latent channels, and its autoencoder reads "
            f"{autoencoder.latent_channels} for each of {stacked} sequences and labels"
        )
    elif factors not in (1, autoencoder.latent_channels):
        problem = (
            f"it has {factors} scale factors for each of its sequences and labels, which have "
            f"{autoencoder.latent_channels} channels"
        )
    elif max(index.modality_labels.values(), default=0) >= (denoiser.unet.modality_labels or 1):
        problem = f"its denoiser knows {denoiser.unet.modality_labels} modalities, and its index names others"
    elif denoiser.uses_text != (encoder is not None):
        problem = f"the variant {denoiser.variant} {'needs' if denoiser.uses_text else 'has no use for'} a text encoder"
    elif encoder is not None and denoiser.adapter is not None and encoder.width != denoiser.adapter.text_width:
        problem = f"its text encoder is {encoder.width} wide, its adapter reads {denoiser.adapter.text_width}"
    elif encoder is not None and encoder.max_tokens != index.max_report_tokens:
        problem = f"its text encoder pads to {encoder.max_tokens} tokens, its index says {index.max_report_tokens}"
    if problem is not None:
        raise ModelError(f"The parts of the model {index.name} do not fit: {problem}.")


def _write_config(config: SchedulerConfig, folder: Path) -> None:
    (folder / CONFIG_NAME).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8", newline="\n")
