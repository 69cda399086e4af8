"""A T5 encoder larger than the memory: its weights stay on the disk, and each layer is read when its turn comes.

FLAN-T5-XXL's encoder takes 19 GB in float32 and runs once a report. Accelerate loads a layer's weights from the
safetensors before it computes and lets go of them after, so that the numbers are those of the whole encoder.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ccella_core.config import read_json_object
from ccella_core.errors import InputError, ModelError
from ccella_core.models.weights import CONFIG_NAME, LENGTH_BYTES, WEIGHTS_NAME, stored_as_int8

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

T5_FAMILY = ("t5", "mt5", "umt5")
WORDS, TIED_WORDS = "shared.weight", "encoder.embed_tokens.weight"
"""One tensor under two names; a file may hold either."""
MOST_OF_FREE_MEMORY = 0.7
"""That a whole encoder may take: the networks and their activations come after it."""
_LAYER = re.compile(r"encoder\.block\.\d+")
WEIGHT_MAP = "model.safetensors.index.json"


def layer_of(name: str) -> str:
    """The part of the encoder that is read at once with a parameter: a block, the words, or the last norm."""
    found = _LAYER.match(name)
    return found[0] if found else "shared" if name in (WORDS, TIED_WORDS) else name.rpartition(".")[0]


def layer_values(folder: Path) -> dict[str, int]:
    """How many numbers each part of the encoder in ``folder`` has, by ``layer_of``; only headers are read."""
    counts: dict[str, int] = {}
    seen: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(LENGTH_BYTES), "little")))
        for name, tensor in header.items():
            name = WORDS if name == TIED_WORDS else name
            if name in seen or not (name == WORDS or name.startswith("encoder.")):
                continue
            seen.add(name)
            counts[layer_of(name)] = counts.get(layer_of(name), 0) + math.prod(tensor["shape"])
    return counts


def can_stream(folder: Path) -> bool:
    """Whether the encoder in ``folder`` is a T5 whose weights stand in the file as they are, not in 8 bits."""
    one_file = folder / WEIGHTS_NAME
    is_t5 = read_json_object(folder / CONFIG_NAME).get("model_type") in T5_FAMILY
    return is_t5 and not (one_file.is_file() and stored_as_int8(one_file))


def largest_layer(folder: Path) -> int:
    """How many numbers the largest part has that is read at once; 0 where the encoder can only be read whole."""
    return max(layer_values(folder).values(), default=0) if can_stream(folder) else 0


def is_too_large(folder: Path, device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the whole encoder in ``folder`` would take more of the device's free memory than it may."""
    needed = sum(layer_values(folder).values()) * dtype.itemsize
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    return needed > MOST_OF_FREE_MEMORY * free


class StreamedWeights:
    """The tensors of an encoder on the disk, by the names of its parameters.

    Args:
        folder: with safetensors of an encoder, or of an encoder-decoder.
        config: of the encoder.
        dtype: in which it computes.

    Raises:
        ModelError: a weight is missing.
    """

    def __init__(self, folder: Path, config: PreTrainedConfig, dtype: torch.dtype) -> None:
        from accelerate import init_empty_weights
        from transformers import AutoModelForTextEncoding

        with init_empty_weights(include_buffers=False):
            self._model = AutoModelForTextEncoding.from_config(config, dtype=dtype).eval()
        stored: dict[str, Path] = {}
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as file:
                stored |= dict.fromkeys(file.keys(), path)
        self._places: dict[str, tuple[Path, str]] = {}
        for name in self._model.state_dict():
            alias = {WORDS: TIED_WORDS, TIED_WORDS: WORDS}.get(name, name)
            found = next((each for each in (name, alias) if each in stored), None)
            if found is None:
                raise ModelError(f"The text encoder in {folder} lacks the weight {name!r}; get it again.")
            self._places[name] = (stored[found], found)

    def __iter__(self) -> Iterator[tuple[str, Tensor, torch.dtype]]:
        """Name, tensor as it is stored, and the precision in which it computes."""
        for name, parameter in sorted(self._model.state_dict().items()):
            path, stored = self._places[name]
            with safe_open(path, framework="pt") as file:
                yield name, file.get_tensor(stored), parameter.dtype

    def encoder(self, device: torch.device) -> PreTrainedModel:
        """The encoder, which reads a layer's weights when its turn comes and computes on ``device``."""
        from accelerate import dispatch_model

        parts = {f"encoder.block.{number}" for number in range(len(self._model.encoder.block))}
        parts |= {"shared", "encoder.embed_tokens", "encoder.final_layer_norm", "encoder.dropout"}
        index = {
            name: {"safetensors_file": str(path), "weight_name": stored}
            for name, (path, stored) in self._places.items()
        }
        main = "cpu" if device.type == "cpu" else device
        return dispatch_model(
            self._model, dict.fromkeys(sorted(parts), "disk"), main_device=main, offload_index=index, force_hooks=True
        )

    def save(self, folder: Path, dtype: torch.dtype | None) -> None:
        """Write configuration and weights, a file a layer, so that one layer at a time is in memory.

        Args:
            folder: is there already.
            dtype: of the weights on the disk; ``None``: as they are stored now.

        Raises:
            InputError: for int8.
        """
        if dtype == torch.int8:
            raise InputError(
                "A text encoder that is read from the disk a layer at a time is not written in 8 bits; do it on a "
                "computer with more memory, or store it in bfloat16."
            )
        layers: dict[str, list[str]] = {}
        for name in self._places:
            if name != TIED_WORDS:
                layers.setdefault(layer_of(name), []).append(name)
        weight_map: dict[str, str] = {}
        size = 0
        for number, names in enumerate(layers.values(), start=1):
            tensors = {}
            for name in names:
                path, stored = self._places[name]
                with safe_open(path, framework="pt") as file:
                    stored_now = file.get_tensor(stored)
                    tensors[name] = stored_now.to(dtype or stored_now.dtype, copy=True).contiguous()
            target = f"model-{number:05d}-of-{len(layers):05d}.safetensors"
            save_file(tensors, folder / target, metadata={"format": "pt"})
            weight_map |= dict.fromkeys(names, target)
            size += sum(tensor.nbytes for tensor in tensors.values())
        content = {"metadata": {"total_size": size}, "weight_map": weight_map}
        (folder / WEIGHT_MAP).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8", newline="\n")
        self._model.config.save_pretrained(folder)
