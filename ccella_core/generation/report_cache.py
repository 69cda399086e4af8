"""Encoded reports, kept in memory and on the disk, so that a report is read by the language model once."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ccella_core.files import whole_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MEMORY_CACHE_REPORTS = 32  # 8 MiB each at 512 tokens of 4096 float32 values
FINGERPRINT_VALUES = 64  # values read from each parameter: enough to tell two trainings of one architecture apart
CACHED_TENSOR = "embedding"
CONFIG_NOTES = ("_name_or_path", "architectures", "dtype", "transformers_version")  # they change with every saving

logger = logging.getLogger(__name__)


class ReportCache:
    """Embeddings by key: the last ones in memory, all of them in a folder where there is one.

    Args:
        folder: made when the first is kept; ``None``: memory alone. One that cannot be written costs time, no result.
        shape: (tokens, width) of an embedding; what has another one is not used.
    """

    def __init__(self, folder: Path | None, shape: tuple[int, int]) -> None:
        self._folder, self._shape = folder, shape
        self._memory: OrderedDict[str, torch.Tensor] = OrderedDict()

    def __len__(self) -> int:
        """Embeddings in memory."""
        return len(self._memory)

    def recall(self, key: str) -> torch.Tensor | None:
        """The embedding, (tokens, width) on the CPU, or ``None`` where it was not kept or cannot be read."""
        if key in self._memory:
            self._memory.move_to_end(key)
            return self._memory[key]
        if self._folder is None:
            return None
        try:
            embedding = load_file(self._folder / f"{key}.safetensors")[CACHED_TENSOR]
        except FileNotFoundError:
            return None
        except (OSError, SafetensorError, KeyError) as error:
            logger.warning("A cached report embedding is unreadable and will be computed again: %s", error)
            return None
        if embedding.shape != self._shape or not torch.isfinite(embedding).all():
            return None
        self._keep_in_memory(key, embedding)
        return embedding

    def keep(self, key: str, embedding: torch.Tensor) -> None:
        """Remember an embedding, (tokens, width) on the CPU."""
        self._keep_in_memory(key, embedding)
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with whole_file(self._folder / f"{key}.safetensors", private=True) as temporary:
                save_file({CACHED_TENSOR: embedding}, temporary)
        except (OSError, SafetensorError) as error:
            logger.warning("Report embeddings are not kept in %s: %s", self._folder, error)

    def _keep_in_memory(self, key: str, embedding: torch.Tensor) -> None:
        self._memory[key] = embedding
        if len(self._memory) > MEMORY_CACHE_REPORTS:
            self._memory.popitem(last=False)


def encoder_fingerprint(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash that differs where embeddings would: architecture, sampled weights, precision, device type, vocabulary."""
    digest = hashlib.sha256()
    config = {key: value for key, value in model.config.to_dict().items() if key not in CONFIG_NOTES}
    digest.update(json.dumps([config, sorted(tokenizer.get_vocab().items())], sort_keys=True, default=str).encode())
    digest.update(model.device.type.encode())
    for name, parameter in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(parameter.shape)} {parameter.dtype}".encode())
        values = parameter.flatten()
        sample = values[:: max(1, len(values) // FINGERPRINT_VALUES)]
        digest.update(sample.cpu().double().numpy().tobytes())
    return digest.hexdigest()
