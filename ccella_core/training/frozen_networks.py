"""The frozen networks of a training: where they come from, what tells them apart, and how they are loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ccella_core.errors import InputError, ModelError
from ccella_core.files import sha256_of, usable_path
from ccella_core.generation.text_encoder import ReportEncoder, load_tokenizer
from ccella_core.models.encoder_files import folder_of
from ccella_core.models.model import load_config
from ccella_core.models.search import resolve_model
from ccella_core.models.weights import CONFIG_NAME, WEIGHTS_NAME, load_network
from ccella_core.networks import AutoencoderConfig, build_autoencoder
from ccella_core.networks.autoencoder import Autoencoder

HASHED_END_BYTES = 1 << 20
"""Of each of a text encoder's files the beginning and the end are hashed: reading 20 GB anew would take minutes."""


@dataclass(frozen=True)
class AutoencoderSource:
    """The folder of a trained autoencoder."""

    folder: Path

    @property
    def config(self) -> AutoencoderConfig:
        """Its sizes."""
        return load_config(AutoencoderConfig, self.folder)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that change with its weights."""
        return hashlib.sha256(
            (sha256_of(self.folder / WEIGHTS_NAME) + self.config.model_dump_json(exclude_none=True)).encode()
        ).hexdigest()[:16]

    def load(self) -> Autoencoder:
        """The network, frozen, on the CPU."""
        config = self.config
        return load_network(lambda: build_autoencoder(config), self.folder).eval().requires_grad_(False)


@dataclass(frozen=True)
class TextEncoderSource:
    """The folders of a text encoder and of its tokenizer."""

    folder: Path
    tokenizer_folder: Path

    @property
    def fingerprint(self) -> str:
        """Hexadecimal digits that change with its files."""
        digest = hashlib.sha256()
        for folder in dict.fromkeys((self.folder, self.tokenizer_folder)):
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                digest.update(f"{file.relative_to(folder).as_posix()} {file.stat().st_size}".encode())
                with file.open("rb") as stream:
                    digest.update(stream.read(HASHED_END_BYTES))
                    stream.seek(max(0, file.stat().st_size - HASHED_END_BYTES))
                    digest.update(stream.read(HASHED_END_BYTES))
        return digest.hexdigest()[:16]

    def token_counter(self) -> Callable[[str], int]:
        """Tells a report's length in tokens; loads the tokenizer alone."""
        tokenizer = load_tokenizer(self.tokenizer_folder)
        return lambda report: len(tokenizer(report.strip(), truncation=False, verbose=False)["input_ids"])

    def load(self, max_tokens: int, device: str | torch.device = "cpu") -> ReportEncoder:
        """The network and its tokenizer, frozen, on the device."""
        return ReportEncoder.from_pretrained(
            self.folder, tokenizer_source=self.tokenizer_folder, max_tokens=max_tokens, device=device
        )


def autoencoder_source(where: str) -> AutoencoderSource:
    """Where an autoencoder lies: in its own folder, in that of a run of ``train autoencoder``, or in a model.

    Args:
        where: a folder with ``config.json`` and ``model.safetensors``, a run's folder, or a model's folder or name.

    Raises:
        InputError: it is none of them.
    """
    folder = usable_path(Path(where))
    for candidate in (folder, folder / "autoencoder"):
        if (candidate / WEIGHTS_NAME).is_file() and (candidate / CONFIG_NAME).is_file():
            return AutoencoderSource(candidate)
    try:
        return AutoencoderSource(resolve_model(where).component_path("autoencoder"))
    except ModelError as error:
        raise InputError(f"There is no trained autoencoder in {where}: {error}") from error


def text_encoder_source(where: str) -> TextEncoderSource:
    """A Hugging Face encoder's folder, its name in the local cache, or a model by folder or name."""
    folder = usable_path(Path(where))
    for candidate in (folder, folder / "text_encoder"):  # the second: a run of train text-encoder
        if (candidate / CONFIG_NAME).is_file() and any(candidate.glob("tokenizer*")):
            return TextEncoderSource(candidate, candidate)
    if "/" not in where or folder.is_dir():
        try:
            model = resolve_model(where)
            return TextEncoderSource(model.component_path("text_encoder"), model.component_path("tokenizer"))
        except ModelError as error:
            raise InputError(f"There is no text encoder in {where}: {error}") from error
    found = folder_of(where, True)
    return TextEncoderSource(found, found)
