"""What a training was launched on: processes, device and precision."""

from __future__ import annotations

import logging

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import parse_flag_from_env

from ccella_core.devices import choose_dtype
from ccella_core.errors import InputError

log = logging.getLogger(__name__)


def launched() -> PartialState:
    """Processes and device of this launch, as Accelerator itself would find them."""
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))


def new_accelerator(mixed_precision: str) -> Accelerator:
    """Processes, device and precision of this launch.

    Args:
        mixed_precision: as Accelerate has it, or ``auto``: bf16 where the device computes in it, else none.

    Raises:
        InputError: the precision is not to be had.
    """
    device = launched().device
    native = choose_dtype("auto", device) == torch.bfloat16
    if mixed_precision == "auto":
        mixed_precision = "bf16" if native else "no"
    elif mixed_precision == "bf16" and not native:
        log.warning(
            "%s does not compute in bf16, which is emulated, far more slowly; mixed_precision: auto "
            "takes it only where it is native.", "This processor" if device.type == "cpu" else "This card",
        )  # fmt: skip
    accelerator = Accelerator(mixed_precision=mixed_precision)
    if mixed_precision == "fp16" and accelerator.device.type == "cpu":
        raise InputError("fp16 needs a GPU, and would change nothing here; set mixed_precision to bf16, or to no.")
    return accelerator
