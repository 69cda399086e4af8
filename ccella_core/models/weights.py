"""The parts of a model that are networks: weights as safetensors beside a JSON configuration, and nothing else.

A pickle can run any program when it is read, so none is read here, whatever its name.

Stored as int8, a tensor of two or more axes is two in the file: whole numbers from -127 to 127 under its own name, and
under that name with `.int8_scale` one float32 for each index of its first axis, by which they are multiplied. Vectors
keep their type: they are few. Networks never see this; they compute in float.
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
SCALE_SUFFIX = ".int8_scale"
LARGEST_INT8 = 127  # not -128, so that the range is the same on both sides

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

    `dtype` is how floating-point tensors are stored, for instance `torch.float16` to halve the file or `torch.int8` to
    quarter it; None keeps theirs.
    Raises NonFiniteError where a weight is NaN or infinite, or becomes so in `dtype`.
    """
    save_tensors(module.state_dict(), folder / WEIGHTS_NAME, dtype=dtype, owner=type(module).__name__)
    (folder / CONFIG_NAME).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8", newline="\n")


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

    Tensors stored in half precision or as int8 become the precision of the module. Raises ModelError naming what does
    not fit.
    """
    path = folder / WEIGHTS_NAME
    expected = module.state_dict()
    shapes = {name: shape for name, shape in stored_shapes(path).items() if not name.endswith(SCALE_SUFFIX)}
    # Before anything is loaded: a file may be any size.
    for key in stored_shapes(path).keys() - shapes.keys():
        if key.removesuffix(SCALE_SUFFIX) not in shapes:
            raise ModelError(f"The scale {key} in {path} does not go with a tensor of int8; get the model again.")
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
    stored = load_tensors(path)
    unlike = {
        "of whole numbers where there should be fractions": [
            name
            for name, tensor in stored.items()
            if expected[name].is_floating_point() and not tensor.is_floating_point()
        ],
        "NaN or infinite": [name for name, tensor in stored.items() if not tensor.isfinite().all()],
    }
    _refuse(path, module, unlike)
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


def save_tensors(tensors: dict[str, torch.Tensor], path: Path, *, dtype: torch.dtype | None, owner: str) -> None:
    """Write tensors as safetensors, floating-point ones as `dtype`, see `save_component`.

    Raises NonFiniteError where a weight of the `owner` is NaN or infinite, or becomes so in `dtype`.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    content = {}
    for name, tensor in tensors.items():
        if dtype == torch.int8:
            parts = _as_int8(name, tensor) if tensor.is_floating_point() and tensor.dim() > 1 else {name: tensor}
        else:
            parts = {name: tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor}
        for key, part in parts.items():
            # A copy, because safetensors refuses tensors that share memory, as tied weights do.
            stored = part.detach().to("cpu", copy=True).contiguous()
            if not stored.isfinite().all():
                raise NonFiniteError(f"The weight {name} of {owner} is NaN or infinite as {dtype}; it is not saved.")
            content[key] = stored
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        save_file(content, path, metadata={"format": "pt"})
    except SafetensorError as error:  # the disk is full: what calls this explains every OSError
        raise OSError(str(error)) from error


def load_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors in a safetensors file, those stored as int8 as the float32 that they stand for.

    Raises ModelError where the file is damaged or something else, or a scale does not go with its tensor.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_safetensors(path)
    try:
        content = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is truncated or damaged ({error}); get the model again.") from error
    for key in [key for key in content if key.endswith(SCALE_SUFFIX)]:
        name, scale = key.removesuffix(SCALE_SUFFIX), content.pop(key)
        codes = content.get(name)
        if codes is None or not _is_int8_with(codes, scale):
            raise ModelError(f"The scale {key} in {path} does not go with a tensor of int8; get the model again.")
        content[name] = codes.float() * scale.view(-1, *[1] * (codes.dim() - 1))
    return content


def stored_as_int8(path: Path) -> bool:
    """Whether the safetensors file `path` holds tensors as int8 with their scales; reads its header alone."""
    from safetensors import SafetensorError, safe_open

    check_safetensors(path)
    try:
        with safe_open(path, framework="pt") as file:
            return any(key.endswith(SCALE_SUFFIX) for key in file.keys())  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is truncated or damaged ({error}); get the model again.") from error


def _as_int8(name: str, tensor: torch.Tensor) -> dict[str, torch.Tensor]:
    import torch

    values = tensor.detach().cpu().float()
    largest = values.flatten(1).abs().amax(dim=1)
    # Without its last eight bits 127 times the scale is exact: weights that are stored a second time stay the same.
    scale = ((largest / LARGEST_INT8).view(torch.int32) & ~0xFF).view(torch.float32)
    scale = torch.where(scale == 0, 1, scale)
    codes = (values / scale.view(-1, *[1] * (values.dim() - 1))).round().clamp(-LARGEST_INT8, LARGEST_INT8)
    return {name: codes.to(torch.int8), name + SCALE_SUFFIX: torch.where(largest.isfinite(), scale, largest)}


def _is_int8_with(codes: torch.Tensor, scale: torch.Tensor) -> bool:
    import torch

    return (
        codes.dtype == torch.int8
        and codes.dim() > 1
        and scale.dtype == torch.float32
        and scale.shape == codes.shape[:1]
        and bool(scale.isfinite().all())
    )


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
