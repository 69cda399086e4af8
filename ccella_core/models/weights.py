"""The parts of a model that are networks: weights as safetensors beside a JSON configuration, and nothing else.

A pickle can run any program when it is read, so none is read here, whatever its name.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from ccella_core.config import Config, read_json, read_json_object, shorten, validated
from ccella_core.errors import ModelError, NonFiniteError, first_line

if TYPE_CHECKING:
    import torch
    from torch import nn

    Network = TypeVar("Network", bound=nn.Module)

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
LENGTH_BYTES = 8  # a safetensors file begins with the length of its JSON header, little-endian
MAX_HEADER_BYTES = 100_000_000  # the format's own limit

KNOWN_BEGINNINGS = {
    b"PK\x03\x04": "a zip archive with a pickle inside, as torch.save writes",
    b"\x80\x02": "a pickle",
    b"\x80\x03": "a pickle",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a Git LFS pointer; run `git lfs pull`",
    b"<!DOCTYPE": "a web page",
    b"<html": "a web page",
}


def save_component(module: nn.Module, config: BaseModel, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write `config.json` and `model.safetensors` into `folder`, made if needed.

    `dtype` is how floating-point tensors are stored, for instance `torch.float16` to halve the file; None keeps theirs.
    Raises NonFiniteError where a weight is NaN or infinite, or becomes so in `dtype`.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {}
    for name, tensor in module.state_dict().items():
        stored_dtype = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
        # A copy, because safetensors refuses tensors that share memory, as tied weights do.
        stored = tensor.detach().to("cpu", stored_dtype, copy=True).contiguous()
        if not stored.isfinite().all():
            raise NonFiniteError(
                f"The weight {name} of {type(module).__name__} is NaN or infinite as {stored_dtype}; it is not saved."
            )
        tensors[name] = stored
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_NAME).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8", newline="\n")
    try:
        save_file(tensors, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    except SafetensorError as error:  # the disk is full: what calls this explains every OSError
        raise OSError(str(error)) from error


def load_network(build: Callable[[], Network], folder: Path) -> Network:
    """The network that a configuration describes, with the weights from ``folder``.

    It is built without memory for its weights, which is taken when they are seen to fit: a configuration can describe
    a network of any size.

    Args:
        build: makes the network.
        folder: with ``config.json`` and ``model.safetensors``.

    Raises:
        ModelError: there is no such network, or the weights are others.
    """
    import torch

    try:
        with torch.device("meta"):
            network = build()
    except (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError) as error:
        raise ModelError(f"{folder / CONFIG_NAME} describes no network ({first_line(error)}).") from error
    load_state(network, folder)
    return network


def load_state(module: nn.Module, folder: Path) -> None:
    """Fill `module` from `model.safetensors` in `folder`; every tensor must be there, with its shape, and no other.

    Tensors stored in half precision become the precision of the module. Raises ModelError naming what does not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS_NAME
    shapes, expected = stored_shapes(path), module.state_dict()
    _refuse(
        path,
        module,
        {
            "missing": sorted(expected.keys() - shapes.keys()),
            "unexpected": sorted(shapes.keys() - expected.keys()),
            "of another shape": [
                f"{name} {shapes[name]} instead of {tuple(tensor.shape)}"
                for name, tensor in expected.items()
                if name in shapes and shapes[name] != tuple(tensor.shape)
            ],
        },
    )
    try:
        stored = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is truncated or damaged ({error}); get the model again.") from error
    _refuse(path, module, {"NaN or infinite": [name for name, each in stored.items() if not each.isfinite().all()]})
    if not any(tensor.is_meta for tensor in expected.values()):
        module.load_state_dict(stored)
        return
    # Copies: what safetensors gives lies in the file, which may be replaced while the network is in use.
    weights = {name: each.to(expected[name].dtype, copy=True) for name, each in stored.items()}
    module.load_state_dict(weights, assign=True)


def _refuse(path: Path, module: nn.Module, mismatched: dict[str, list[str]]) -> None:
    problems = [f"{problem}: {shorten(names)}" for problem, names in mismatched.items() if names]
    if problems:
        raise ModelError(f"{path} does not fit {type(module).__name__}; tensors {'; '.join(problems)}.")


def stored_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in a safetensors file, of which only the header is read. Raises ModelError."""
    check_safetensors(path)
    try:
        with path.open("rb") as file:
            header = read_json(file.read(int.from_bytes(file.read(LENGTH_BYTES), "little")))
        return {name: tuple(map(int, each["shape"])) for name, each in header.items() if name != "__metadata__"}
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise ModelError(f"{path} is truncated or damaged ({error}); get the model again.") from error


def check_safetensors(path: Path) -> None:
    """Raise ModelError unless `path` begins as a safetensors file does; the error says what it looks like instead."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            beginning = file.read(32)
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing; get the model again.") from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}.") from error

    header_bytes = int.from_bytes(beginning[:LENGTH_BYTES], "little")
    opens_a_header = beginning[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{" and header_bytes <= MAX_HEADER_BYTES
    if opens_a_header and LENGTH_BYTES + header_bytes <= size:
        return
    if opens_a_header or size <= LENGTH_BYTES:
        raise ModelError(f"{path} is truncated; get the model again.")
    # Asked last: the length of a true header may happen to begin like a pickle.
    looks = next((what for start, what in KNOWN_BEGINNINGS.items() if beginning.startswith(start)), "")
    hint = f" (looks like {looks})" if looks else ""
    raise ModelError(f"{path} is not safetensors{hint}; only safetensors is read.")


def load_config(config_class: type[Config], folder: Path) -> Config:
    """Read `config.json` in `folder`. Raises ModelError where it is missing, not JSON or not a `config_class`."""
    path = folder / CONFIG_NAME
    return validated(config_class, read_json_object(path), path)
