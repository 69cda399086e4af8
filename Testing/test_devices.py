"""Devices and precisions are those of this computer, or refused by name."""

from __future__ import annotations

import os

import pytest
import torch

from ccella_core.devices import (
    LARGE_PAGES_VARIABLE,
    autocast,
    choose_device,
    choose_dtype,
    describe_devices,
    use_large_pages,
)
from ccella_core.errors import InputError

CPU = torch.device("cpu")


def test_cpu_is_always_there() -> None:
    assert choose_device("cpu") == CPU


def test_auto_prefers_cuda_then_mps_then_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(InputError, match="cuda:0, cuda:1, mps, cpu"):
        choose_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device("auto") == CPU


@pytest.mark.parametrize("name", ["", "gpu", "cpu:1", "cuda:x", "cuda:", "CPU", "mps:3"])
def test_unknown_device_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(InputError, match="it has: cpu"):
        choose_device(name)


@pytest.mark.parametrize(("amx", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_precision_on_a_cpu(amx: bool, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False, raising=False)
    assert choose_dtype("auto", CPU) == expected


def test_asked_precision() -> None:
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16
    assert choose_dtype("float16", torch.device("cuda")) == torch.float16
    assert choose_dtype("auto", torch.device("mps")) == torch.float32
    for wrong in ("float16", "float64", ""):
        with pytest.raises(InputError):
            choose_dtype(wrong, CPU)


def test_autocast_changes_products_only_below_float32() -> None:
    x = torch.ones(2, 2)
    with autocast(CPU, torch.float32):
        assert (x @ x).dtype == torch.float32
    with autocast(CPU, torch.bfloat16):
        assert (x @ x).dtype == torch.bfloat16


def test_devices_are_described() -> None:
    *_, cpu = describe_devices()
    assert cpu.kind == "cpu" and cpu.name
    assert 0 < cpu.memory_free_gib <= cpu.memory_total_gib


def test_large_pages_are_for_large_volumes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LARGE_PAGES_VARIABLE, raising=False)
    use_large_pages(128 * 128 * 20)
    assert LARGE_PAGES_VARIABLE not in os.environ
    monkeypatch.setenv(LARGE_PAGES_VARIABLE, "0")  # a user who knows better
    use_large_pages(256 * 256 * 128)
    assert os.environ[LARGE_PAGES_VARIABLE] == "0"
    monkeypatch.delenv(LARGE_PAGES_VARIABLE)
    use_large_pages(256 * 256 * 128)
    assert os.environ[LARGE_PAGES_VARIABLE] == "1"
