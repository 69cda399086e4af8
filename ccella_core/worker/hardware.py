"""The devices of this computer, each under the one name that it has in the protocol."""

from __future__ import annotations

import os
from typing import Any

import torch

from ccella_core.devices import DeviceInfo, choose_device, describe_devices


def list_devices() -> list[dict[str, Any]]:
    """Devices as ``describe`` gives them, the best first."""
    return [
        {
            "id": _id(device),
            "name": device_name(device),
            "memory_gib": round(device.memory_total_gib, 2),
            "free_gib": round(device.memory_free_gib, 2),
        }
        for device in describe_devices()
    ]


def device_id(name: str) -> str:
    """``cpu``, ``mps`` or ``cuda:<number>`` for whatever name ``choose_device`` takes. Raises InputError as it does."""
    device = choose_device(name)
    if device.type == "cuda" and device.index is None:
        return f"cuda:{torch.cuda.current_device()}"
    return str(device)


def find_device(name: str) -> DeviceInfo:
    """The device of that id."""
    return next(device for device in describe_devices() if _id(device) == name)


def device_name(device: DeviceInfo) -> str:
    """As a person calls it. A CPU's own name tells less than how many cores it has."""
    return f"CPU, {os.cpu_count()} cores" if device.kind == "cpu" else device.name


def _id(device: DeviceInfo) -> str:
    return f"cuda:{device.index}" if device.kind == "cuda" else device.kind
