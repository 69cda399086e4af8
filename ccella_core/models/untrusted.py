"""What a library could be led to run or to fetch by a text encoder's files: refused before any of them is loaded.

Transformers runs Python files that a configuration names (after asking on the terminal), fetches attention kernels from
a hub, imports quantisation plug-ins, follows adapters to other models, and reads whatever files a weight map lists.
A model here is weights and numbers, so that none of it has a use.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ccella_core.config import read_json_object
from ccella_core.errors import ModelError

CODE_SUFFIXES = frozenset(
    [".bat", ".cmd", ".dll", ".dylib", ".exe", ".ipynb", ".ps1", ".py", ".pyc", ".pyd", ".pyz", ".sh", ".so", ".whl"]
)
SETTINGS_NAMES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer_config.json",
)
WEIGHT_MAP_NAME = "model.safetensors.index.json"
REFUSED_FILES = {"adapter_config.json": "loads weights of another model"}
REFUSED_KEYS = {
    "auto_map": "names Python code of its own",
    "custom_pipelines": "names Python code of its own",
    "trust_remote_code": "asks for Python code to be run",
    "quantization_config": "asks for a quantisation plug-in",
    "use_kernels": "asks for kernels from a hub",
}
IMPLEMENTATION_KEYS = frozenset(
    f"{hidden}{what}_implementation" for hidden in ("", "_") for what in ("attn", "experts")
)  # also with the ending _internal
KNOWN_IMPLEMENTATIONS = frozenset([None, "eager", "sdpa"])


def refuse_code(folder: Path) -> None:
    """Refuse the folder of a text encoder or tokenizer that holds, names or fetches anything but weights and numbers.

    Raises:
        ModelError: naming the file and, where it is a setting, the key.
    """
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if file.suffix.lower() in CODE_SUFFIXES:
            raise ModelError(f"{folder / name} is a program, which a model must not hold; remove it.")
        if file.name in REFUSED_FILES:
            raise ModelError(f"{folder / name} {REFUSED_FILES[file.name]}, which is not followed; remove it.")
    for settings in (folder / name for name in SETTINGS_NAMES):
        if settings.exists():
            _refuse_settings(settings, read_json_object(settings))
    if (folder / WEIGHT_MAP_NAME).exists():
        _refuse_weights_elsewhere(folder / WEIGHT_MAP_NAME)


MOST_LAYERS = 512
"""Of a text encoder; ten times the deepest in use."""


def refuse_depth(folder: Path) -> None:
    """Refuse a text encoder of far too many layers, which a library builds one after the other. Raises ModelError."""
    for key, value in read_json_object(folder / SETTINGS_NAMES[0]).items():
        if "layer" in key and isinstance(value, (int, float)) and value > MOST_LAYERS:
            raise ModelError(f"{folder / SETTINGS_NAMES[0]} asks for {key} {value}; at most {MOST_LAYERS} are read.")


def _refuse_settings(file: Path, content: dict[str, Any]) -> None:
    for key, value in _keys_of(content):
        if key in REFUSED_KEYS and value not in (None, False, {}, []):
            raise ModelError(f"{file} {REFUSED_KEYS[key]} ({key}), which is never run; use a model without it.")
        if key.removesuffix("_internal") in IMPLEMENTATION_KEYS and not _is_known(value):
            raise ModelError(
                f"{file} asks for the implementation {value!r} ({key}), which is never fetched; remove it."
            )


def _is_known(implementation: Any) -> bool:
    # A dictionary gives one for each part of a model.
    named = implementation.values() if isinstance(implementation, dict) else [implementation]
    return all(each is None or (isinstance(each, str) and each in KNOWN_IMPLEMENTATIONS) for each in named)


def _keys_of(content: Any) -> Iterator[tuple[str, Any]]:
    """Every key at any depth with its value. What `read_json_object` gives is not nested deeply enough to overflow."""
    pending = [content]
    while pending:
        each = pending.pop()
        if isinstance(each, dict):
            yield from each.items()
            pending += each.values()
        elif isinstance(each, list):
            pending += each


def _refuse_weights_elsewhere(file: Path) -> None:
    weight_map = read_json_object(file).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ModelError(f"{file} holds no weight_map; get the model again.")
    for name in {str(name) for name in weight_map.values()}:
        if Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise ModelError(f"{file} lists the weights {name!r}; only safetensors in the same folder are read.")
        if not (file.parent / name).is_file():
            raise ModelError(f"{file.parent / name} is missing; get the model again.")
