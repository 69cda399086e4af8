"""One measurement of ``speed.py``, in a process of its own: ``python _speed_case.py '<a Case as JSON>'``.

A process of its own, because the most memory that a process ever held cannot be set back on every system.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from enum import Enum
from statistics import median

import torch
from _measure import GIB, answer, current_memory_gib, peak_memory_gib
from monai.apps.generation.maisi.networks.autoencoderkl_maisi import MaisiGroupNorm3D
from torch import nn

from ccella_core.config import StrictModel
from ccella_core.devices import autocast
from ccella_core.generation.decoding import decode, estimate_decode_gib
from ccella_core.generation.sampling.loop import precompute_conditions
from ccella_core.generation.sampling.schedulers import (
    DEFAULT_NUM_INFERENCE_STEPS,
    DEFAULT_SCHEDULER,
    Scheduler,
    SchedulerConfig,
)
from ccella_core.networks import AutoencoderConfig, ConditionalDenoiser, DenoiserConfig, build_autoencoder

REPEATS = 5
LONG_SECONDS = 20.0
"""A call that takes longer is measured once: what a first call pays once is little beside it."""
MONAI_COPIES = 4
"""Of the widest activation: what MONAI's decoder holds at once; a guess that keeps a small machine from trying."""
STEP_COPIES = 100
"""Of the U-Net's first activation: what a step holds at once; an upper guess."""
SPACING_MM = (1.0, 1.0, 3.0)


class Measured(str, Enum):
    STEP_WITH_ADAPTER = "step, adapter inside (plain)"
    STEP = "step, conditions computed before"
    CONDITIONS = f"the adapter before the loop, 1/{DEFAULT_NUM_INFERENCE_STEPS} of it"
    STEP_BF16 = "step, conditions computed before, bfloat16"
    DECODE_MONAI = "decode, MONAI's, whole (plain)"
    DECODE = "decode, in slabs"
    DECODE_FLOAT16 = "decode, in slabs stored as float16"


class Size(StrictModel):
    """Networks by their sizes. Their weights are drawn at random, as no speed depends on them."""

    name: str
    denoiser: DenoiserConfig
    autoencoder: AutoencoderConfig
    latent_shape: tuple[int, int, int]
    tokens: int
    """Length of a report as encoded."""


class Case(StrictModel):
    measured: Measured
    size: Size
    quick: bool = False
    """Measure one warm call instead of REPEATS."""


class Measurement(StrictModel):
    seconds: float
    """Median of the warm calls."""
    loaded_gib: float
    """What the process held before the first call: Python, torch and the weights."""
    beyond_gib: float
    """What the calls took at most beyond that."""


def measure(case: Case) -> Measurement:
    torch.manual_seed(0)
    call, calls_share = _prepare(case.measured, case.size)
    loaded = current_memory_gib()
    with torch.inference_mode():
        seconds = _timed(call, 1 if case.quick else REPEATS) / calls_share
    return Measurement(seconds=seconds, loaded_gib=loaded, beyond_gib=max(0.0, peak_memory_gib() - loaded))


def needed_gib(case: Case) -> float:
    """Free memory that the measurement asks for, weights and a process with torch included; rather too much."""
    size, voxels = case.size, _product(case.size.latent_shape)
    with torch.device("meta"):
        network: nn.Module
        if case.measured in DECODERS:
            autoencoder = network = build_autoencoder(size.autoencoder)
            if case.measured is Measured.DECODE_MONAI:
                # Where the last level begins, the activation has the channels of the level before.
                channels = size.autoencoder.num_channels[:2][-1]
                working = MONAI_COPIES * voxels * math.prod(size.autoencoder.factors) * channels * 4 / GIB
            else:
                dtype = torch.float16 if case.measured is Measured.DECODE_FLOAT16 else torch.float32
                working = estimate_decode_gib(autoencoder, size.latent_shape, dtype)
        else:
            network = ConditionalDenoiser(size.denoiser)
            working = STEP_COPIES * voxels * size.denoiser.unet.num_channels[0] * 4 / GIB
    return 0.5 + sum(weight.numel() for weight in network.parameters()) * 4 / GIB + working


DECODERS = (Measured.DECODE_MONAI, Measured.DECODE, Measured.DECODE_FLOAT16)


def _prepare(measured: Measured, size: Size) -> tuple[Callable[[], object], int]:
    """What to call, and how many parts of it to report one of."""
    if measured in DECODERS:
        return _decoding(measured, size), 1
    denoiser = ConditionalDenoiser(size.denoiser).eval()
    assert size.denoiser.adapter is not None
    text = torch.randn(1, size.tokens, size.denoiser.adapter.text_width)
    timesteps = Scheduler(DEFAULT_SCHEDULER, SchedulerConfig(), DEFAULT_NUM_INFERENCE_STEPS).timesteps
    if measured is Measured.CONDITIONS:
        return lambda: precompute_conditions(denoiser, text, timesteps), len(timesteps)
    x = torch.randn(1, size.denoiser.latent_channels, *size.latent_shape)
    spacing = torch.tensor([SPACING_MM])
    if measured is Measured.STEP_WITH_ADAPTER:
        return lambda: denoiser(x, timesteps[:1], text=text, spacing=spacing), 1
    conditions = precompute_conditions(denoiser, text, timesteps[:1])
    tokens, probability = conditions.tokens[0], conditions.class_probability
    dtype = torch.bfloat16 if measured is Measured.STEP_BF16 else torch.float32

    def step() -> object:
        with autocast(x.device, dtype):
            return denoiser.denoise(
                x,
                timesteps[:1],
                tokens=tokens,
                class_probability=None if probability is None else probability[0],
                spacing=spacing,
            )

    return step, 1


def _decoding(measured: Measured, size: Size) -> Callable[[], object]:
    autoencoder = build_autoencoder(size.autoencoder).eval()
    latent = torch.randn(1, size.autoencoder.latent_channels, *size.latent_shape)
    if measured is Measured.DECODE_MONAI:
        _use_monais_group_norm(autoencoder)
        return lambda: autoencoder.decode(latent)
    limit = None
    if measured is Measured.DECODE_FLOAT16:
        # decode() stores as float16 what would not fit otherwise.
        limit = estimate_decode_gib(autoencoder, size.latent_shape, torch.float16)
    return lambda: decode(autoencoder, latent, scale_factor=1.0, memory_limit_gib=limit)


def _use_monais_group_norm(module: nn.Module) -> None:
    """Undo what ``build_autoencoder`` improves."""
    for name, child in module.named_children():
        if isinstance(child, nn.GroupNorm):
            norm = MaisiGroupNorm3D(child.num_groups, child.num_channels, child.eps, save_mem=False)
            setattr(module, name, norm.eval())
        else:
            _use_monais_group_norm(child)


def _timed(call: Callable[[], object], repeats: int) -> float:
    first = _seconds(call)
    return first if first > LONG_SECONDS else median(_seconds(call) for _ in range(repeats))


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _product(shape: tuple[int, int, int]) -> int:
    return shape[0] * shape[1] * shape[2]


if __name__ == "__main__":
    answer(measure, Case)
