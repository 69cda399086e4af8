"""The parts of a bundle that are networks: weights as safetensors beside a JSON configuration, and nothing else.

A pickle can run any program when it is read, so none is read here, whatever its name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from ccella_core.errors import BundleError, NonFiniteError

if TYPE_CHECKING:
    import torch
    from torch import nn

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
NAMES_IN_A_MESSAGE = 3  # enough to see the pattern, short enough to stay one sentence
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

Config = TypeVar("Config", bound=BaseModel)


def save_component(module: nn.Module, config: BaseModel, folder: Path, *, dtype: torch.dtype | None = None) -> None:
    """Write `config.json` and `model.safetensors` into `folder`, made if needed.

    `dtype` is how floating-point tensors are stored, for instance `torch.float16` to halve the file; None keeps theirs.
    Raises NonFiniteError where a weight is NaN or infinite, or becomes so in `dtype`.
    """
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
    save_file(tensors, folder / WEIGHTS_NAME, metadata={"format": "pt"})


def load_state(module: nn.Module, folder: Path) -> None:
    """Fill `module` from `model.safetensors` in `folder`; every tensor must be there, with its shape, and no other.

    Tensors stored in half precision become the precision of the module. Raises BundleError naming what does not fit.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / WEIGHTS_NAME
    check_safetensors(path)
    try:
        stored = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"{path} is truncated or damaged ({error}); get the bundle again.") from error

    expected = module.state_dict()
    misfits = {
        "missing": sorted(expected.keys() - stored.keys()),
        "unexpected": sorted(stored.keys() - expected.keys()),
        "of another shape": [
            f"{name} {tuple(stored[name].shape)} instead of {tuple(tensor.shape)}"
            for name, tensor in expected.items()
            if name in stored and stored[name].shape != tensor.shape
        ],
        "NaN or infinite": [name for name, tensor in stored.items() if not tensor.isfinite().all()],
    }
    problems = [f"{problem}: {shorten(names)}" for problem, names in misfits.items() if names]
    if problems:
        raise BundleError(f"{path} does not fit {type(module).__name__}; tensors {'; '.join(problems)}.")
    module.load_state_dict(stored)


def check_safetensors(path: Path) -> None:
    """Raise BundleError unless `path` begins as a safetensors file does; the error says what it looks like instead."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            beginning = file.read(32)
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing; get the bundle again.") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from error

    header_bytes = int.from_bytes(beginning[:LENGTH_BYTES], "little")
    opens_a_header = beginning[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{" and header_bytes <= MAX_HEADER_BYTES
    if opens_a_header and LENGTH_BYTES + header_bytes <= size:
        return
    if opens_a_header or size <= LENGTH_BYTES:
        raise BundleError(f"{path} is truncated; get the bundle again.")
    # Asked last: the length of a true header may happen to begin like a pickle.
    looks = next((what for start, what in KNOWN_BEGINNINGS.items() if beginning.startswith(start)), "")
    hint = f" (looks like {looks})" if looks else ""
    raise BundleError(f"{path} is not safetensors{hint}; only safetensors is read.")


def load_config(config_class: type[Config], folder: Path) -> Config:
    """Read `config.json` in `folder`. Raises BundleError where it is missing, not JSON or not a `config_class`."""
    path = folder / CONFIG_NAME
    return validated(config_class, read_json_object(path), path)


def read_json_object(path: Path) -> dict[str, object]:
    """The JSON object in a UTF-8 file; BundleError in one sentence otherwise."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing; is {path.parent} a whole bundle?") from error
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not JSON ({error}); get the bundle again.") from error
    if not isinstance(content, dict):
        raise BundleError(f"{path} holds no JSON object; get the bundle again.")
    return content


def validated(model_class: type[Config], content: dict[str, object], path: Path) -> Config:
    """`content` as a `model_class`; BundleError naming the first fields that do not fit, and the file, otherwise."""
    try:
        return model_class.model_validate(content)
    except ValidationError as error:
        fields = [f"{'.'.join(map(str, e['loc'])) or 'content'}: {e['msg']}" for e in error.errors()]
        raise BundleError(f"{path} does not fit this version of ccella-core ({shorten(fields)}).") from error


def shorten(names: list[str]) -> str:
    """The first few of `names`, and how many more there are."""
    more = len(names) - NAMES_IN_A_MESSAGE
    return ", ".join(names[:NAMES_IN_A_MESSAGE]) + (f" and {more} more" if more > 0 else "")
