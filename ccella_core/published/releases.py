"""What the releases of published networks say and their tensors do not: what they draw, how, under which licence."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field

from ccella_core.config import StrictModel, checked
from ccella_core.errors import InputError, ModelError
from ccella_core.files import read_text
from ccella_core.generation.sampling.schedulers import DEFAULT_NUM_INFERENCE_STEPS, DEFAULT_SCHEDULER, SchedulerConfig
from ccella_core.imaging.intensity import scaled_range
from ccella_core.limits import SchedulerName
from ccella_core.models.index import ModelIndex
from ccella_core.networks import DenoiserConfig
from ccella_core.provenance import SequenceName

STACKED: tuple[SequenceName, ...] = ("t2w", "hbv", "adc")
"""The order in which CCELLA++ stacks its sequences: latent channels 0-3, 4-7 and 8-11."""


class Release(NamedTuple):
    """What is the same for all networks of a release."""

    scheduler_config: SchedulerConfig
    scheduler: SchedulerName
    num_inference_steps: int
    guidance_scale: float
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    modality_labels: dict[SequenceName, int]
    """Empty where the network has none."""
    range_factor: float | None
    """What the decoded 1 is multiplied by in all sequences; ``None``: see ``scaled_range``."""
    said: dict[str, str]
    """Name, licence, intended use and data, where the release says them."""


AUTHORS = Release(
    scheduler_config=SchedulerConfig(),
    scheduler=DEFAULT_SCHEDULER,
    num_inference_steps=DEFAULT_NUM_INFERENCE_STEPS,
    guidance_scale=1.0,
    shape=(256, 256, 128),
    spacing_mm=(0.5, 0.5, 0.5),
    modality_labels={},
    range_factor=None,
    said={},
)
"""CCELLA and CCELLA++; their weights are not published, so that whoever has some says what they are."""

NV_GENERATE_MR = Release(
    scheduler_config=SchedulerConfig(prediction_type="rflow"),
    scheduler="rflow",
    num_inference_steps=30,
    guidance_scale=10.0,
    shape=(256, 256, 128),
    spacing_mm=(170 / 256, 170 / 256, 90 / 128),  # the field of view that the release recommends for the prostate
    modality_labels={"t2w": 10, "hbv": 13, "adc": 14},
    range_factor=1000.0,
    said={
        "name": "nv-generate-mr",
        "licence": "NVIDIA OneWay Non-Commercial License (22 March 2022): "
        "https://developer.download.nvidia.com/licenses/NVIDIA-OneWay-Noncommercial-License-22Mar2022.pdf",
        "intended_use": "Research that is not commercial. Synthetic MRI without a report; not for diagnosis.",
        "trained_on": "MRI of brain, breast, abdomen and prostate; of the prostate 898 T2-weighted scans. The release "
        "counts no diffusion-weighted scans and no ADC maps, though it has labels for them.",
        "description": "NVIDIA's NV-Generate-MR (rflow-mr, MAISI-v2, arXiv 2508.05772).",
    },
)

HUB_REPOSITORY = "nvidia/NV-Generate-MR"
HUB_FILES = ("models/diff_unet_3d_rflow-mr.pt", "models/autoencoder_v2.pt")
"""Denoiser and autoencoder."""


class SaidOfImport(StrictModel):
    """What the user says of an imported model; ``None``: what its release says."""

    name: str | None = None
    version: str = "1.0.0"
    licence: str | None = None
    intended_use: str | None = None
    trained_on: str | None = None
    description: str | None = None
    sequences: tuple[SequenceName, ...] | None = None
    shape: tuple[int, int, int] | None = None
    spacing_mm: tuple[float, float, float] | None = None
    max_report_tokens: int = Field(512, gt=0)
    scheduler: str | None = None
    num_inference_steps: int | None = Field(None, gt=0)


def release_of(config: DenoiserConfig) -> Release:
    """The release that has networks of this variant."""
    return NV_GENERATE_MR if config.uses_modality else AUTHORS


def index_of(release: Release, said: SaidOfImport, factors: tuple[float, ...], files: list[str]) -> ModelIndex:
    """The index of an imported model, without variant and components.

    Args:
        release: whose network it is.
        said: over what the release says.
        factors: latent scale factors in the checkpoint.
        files: names of the checkpoints.

    Raises:
        InputError: neither says something that a model must say, or there are not as many factors as sequences.
    """
    about = {
        key: getattr(said, key) or release.said.get(key) for key in ("name", "licence", "intended_use", "trained_on")
    }
    if missing := [f"--{key.replace('_', '-')}" for key, value in about.items() if not value]:
        raise InputError(f"Nothing in {files[0]} says what it is: give {', '.join(missing)}.")
    labels = release.modality_labels
    sequences = said.sequences or (tuple(labels) if labels else STACKED[: len(factors)])
    if labels and (unknown := [name for name in sequences if name not in labels]):
        raise InputError(f"{files[0]} has no label for {unknown[0]}.")
    expected = 1 if labels else len(sequences)
    if len(factors) != expected:
        raise InputError(
            f"{files[0]} has {len(factors)} scale factors and {expected} sequences were named; "
            "name as many, in the order in which they were trained."
        )
    factor = release.range_factor
    content: dict[str, Any] = dict(
        **about,
        version=said.version,
        description=said.description or release.said.get("description", ""),
        variant="",
        sequences=list(sequences),
        native_shape=said.shape or release.shape,
        native_spacing_mm=said.spacing_mm or release.spacing_mm,
        intensity_range={name: scaled_range(name) if factor is None else (0.0, factor) for name in sequences},
        latent_scale_factor=factors[0] if len(factors) == 1 else factors,
        max_report_tokens=said.max_report_tokens,
        default_scheduler=said.scheduler or release.scheduler,
        default_num_inference_steps=said.num_inference_steps or release.num_inference_steps,
        default_guidance_scale=release.guidance_scale,
        modality_labels={name: labels[name] for name in sequences} if labels else {},
        training={"imported_from": list(files)},
        components={},
    )
    return checked(ModelIndex, content, "What is said of the model")


def licence_text() -> str:
    """What a user accepts before NV-Generate-MR is fetched; asks the Hugging Face hub for its text.

    Raises:
        ModelError: the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    said = NV_GENERATE_MR.said["licence"]
    try:
        files = [name for name in HfApi().list_repo_files(HUB_REPOSITORY) if name.upper().startswith("LICENSE")]
    except Exception as error:  # the hub's client lets through those of whichever HTTP library it uses
        raise _unreachable(error) from error
    texts = [read_text(fetched(name)) for name in files if name.lower().endswith((".md", ".txt")) or "." not in name]
    return "\n\n".join([said, *texts])


def fetched(file: str) -> Path:
    """A file of NV-Generate-MR, from the hub or its cache; call it with the user's permission. Raises ModelError."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(HUB_REPOSITORY, file))
    except Exception as error:  # as above
        raise _unreachable(error) from error


def _unreachable(error: Exception) -> ModelError:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    return ModelError(
        f"{HUB_REPOSITORY} could not be fetched from the Hugging Face hub ({reason}); on a computer that reaches it, "
        f"run hf download {HUB_REPOSITORY} {' '.join(HUB_FILES)}, and import the files with: ccella models import"
    )
