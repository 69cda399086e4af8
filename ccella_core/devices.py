"""Where the networks run and in which precision."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import psutil
import torch
from torch import nn

from ccella_core.errors import InputError
from ccella_core.limits import GIB

LARGE_PAGES_VARIABLE = "THP_MEM_ALLOC_ENABLE"
"""PyTorch's own; read when it first allocates."""
LARGE_PAGES_FROM_VOXELS = 2**22
"""Of a volume: below, torch's memory is taken and given back in too small pieces for large pages to pay."""
BYTES_A_WEIGHT_IN_TRAINING = 16
"""In float32: the weight, its gradient, and the two moments of AdamW."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_OUT_OF_MEMORY = "There is not enough memory for this; ask for a smaller volume or use another device."
_CPU_MEMORY_WORDS = ("can't allocate memory", "not enough memory")


@dataclass(frozen=True)
class DeviceInfo:
    """A device that networks can run on."""

    name: str
    kind: Literal["cpu", "cuda", "mps"]
    index: int
    memory_total_gib: float
    memory_free_gib: float
    bf16: bool
    """Whether bfloat16 is native, so that it is faster than float32."""


def use_large_pages(voxels: int) -> None:
    """Let torch ask for pages of 2 MiB, if a volume of so many voxels is worth it.

    A new page costs the system time, and decoding a published volume takes millions of 4 KiB: measured on two cores,
    a seventh of the decoding's time. Linux alone offers them so; to be called before torch allocates anything.
    """
    if voxels >= LARGE_PAGES_FROM_VOXELS:
        os.environ.setdefault(LARGE_PAGES_VARIABLE, "1")


def choose_device(name: str = "auto") -> torch.device:
    """The device called ``auto`` (CUDA, else MPS, else the CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        InputError: the name is not a device's, or this computer has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    present = _device_names()
    kind, _, index = name.partition(":")
    # "cuda" is torch's current card; a card by number must be there; "cpu:0" and "mps:0" would only confuse.
    if name not in present and not (name == "cuda" and "cuda:0" in present):
        raise InputError(f"There is no device {name!r} on this computer; it has: {', '.join(present)}.")
    return torch.device(kind, int(index)) if index else torch.device(kind)


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """The precision of the networks' arithmetic (weights stay float32).

    ``auto`` is bfloat16 where the device computes in it natively, else float32: elsewhere it is emulated and slower.

    Raises:
        InputError: the name is not a known precision, or float16 is asked of a CPU, where it overflows and is slow.
    """
    if name == "auto":
        return torch.bfloat16 if _has_native_bf16(device) else torch.float32
    if name not in _DTYPES:
        raise InputError(f"There is no precision {name!r}; choose auto, {', '.join(_DTYPES)}.")
    if name == "float16" and device.type == "cpu":
        raise InputError("A CPU does not compute in float16; choose auto, float32 or bfloat16.")
    return _DTYPES[name]


def check_trainable(network: nn.Module, device: torch.device) -> None:
    """Refuse a network that the device cannot hold while it is trained, whatever else is kept beside it.

    Args:
        network: may lie on ``meta``, without memory.
        device: on which it would be trained.

    Raises:
        InputError: saying how much is needed and how much there is.
    """
    values = sum(parameter.numel() for parameter in network.parameters())
    needed = values * BYTES_A_WEIGHT_IN_TRAINING / GIB
    total = next((each.memory_total_gib for each in describe_devices() if _is(each, device)), None)
    if total is not None and needed > total:
        raise InputError(
            f"A network of {values:,} weights needs {needed:.1f} GiB to be trained, and {device} has {total:.1f} GiB; "
            "make it smaller, in levels, channels, width or layers."
        )


def _is(info: DeviceInfo, device: torch.device) -> bool:
    return info.kind == device.type and info.index == (device.index or 0)


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """Run matrix products and convolutions in ``dtype``, and what needs it in float32; float32: change nothing."""
    if dtype == torch.float32:
        return nullcontext()
    return torch.autocast(device.type, dtype=dtype)


@contextmanager
def memory_explained() -> Iterator[None]:
    """Turn the many ways in which memory runs out into one ``InputError`` that says what to do."""
    try:
        yield
    except (MemoryError, torch.cuda.OutOfMemoryError) as error:
        raise InputError(_OUT_OF_MEMORY) from error
    except RuntimeError as error:  # torch has no class of its own for the CPU's
        if any(words in str(error) for words in _CPU_MEMORY_WORDS):
            raise InputError(_OUT_OF_MEMORY) from error
        raise


def describe_devices() -> list[DeviceInfo]:
    """All devices of this computer, the best first; memory in GiB."""
    cards = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        device = torch.device("cuda", index)
        free, total = torch.cuda.mem_get_info(device)
        name = torch.cuda.get_device_name(device)
        cards.append(DeviceInfo(name, "cuda", index, total / GIB, free / GIB, _has_native_bf16(device)))
    memory = psutil.virtual_memory()
    total, free = memory.total / GIB, memory.available / GIB
    if torch.backends.mps.is_available():
        # Apple's graphics share the computer's memory.
        cards.append(DeviceInfo("Apple graphics", "mps", 0, total, free, False))
    name = platform.processor() or platform.machine()
    return [*cards, DeviceInfo(name, "cpu", 0, total, free, _has_native_bf16(torch.device("cpu")))]


def _device_names() -> list[str]:
    cards = [f"cuda:{index}" for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)]
    return [*cards, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _has_native_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # torch offers no public name for these in every version that we support.
        probes = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
        return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
    return False
