"""One measurement of ``train_step.py``, in a process of its own: ``python _train_case.py '<a Case as JSON>'``.

A process of its own, because the most memory that a process ever held cannot be set back on every system.
"""

from __future__ import annotations

import json
import tempfile
import time
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from _measure import GIB, answer, peak_memory_gib
from _speed_case import SPACING_MM, Size
from accelerate import Accelerator
from monai.losses import FocalLoss
from monai.networks.schedulers import DDPMScheduler
from pydantic import Field
from safetensors.torch import save_file
from torch import nn
from torch.optim.lr_scheduler import PolynomialLR
from torch.profiler import ProfilerActivity, profile

from ccella_core.config import StrictModel
from ccella_core.devices import autocast
from ccella_core.files import sha256_of
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.networks import ConditionalDenoiser
from ccella_core.training.data.cached_cases import CACHE_NAME, NULL_NAME, CachedCases, CacheEntry, CacheIndex, Shard
from ccella_core.training.denoiser import DenoiserTraining, train_denoiser
from ccella_core.training.losses import FOCAL_ALPHA, FOCAL_GAMMA, FOCAL_TARGET_SCALE

DEFAULT_STEPS = 4
PROFILED_STEPS = 2
"""After the timed ones: a profiler slows them down."""
VALUES_A_WEIGHT = 4  # itself, its gradient, and the two moments of AdamW
WORKING = 1.3
"""Beside what the backward pass needs: its own gradients and what convolutions hold; rather too much."""
PROCESS_GIB = 0.7  # Python and torch


class Way(str, Enum):
    PLAIN = "plain loop"
    FIT = "fit, the batch at once"
    FIT_MICRO = "fit, a case at a time"


class Case(StrictModel):
    way: Way
    size: Size
    batch: int
    device: Literal["cpu", "cuda"] = "cpu"
    bf16: bool = False
    """As autocast, in both ways."""
    steps: int = Field(DEFAULT_STEPS, ge=2)
    """All but the first are measured: there the optimiser takes its memory, and the libraries choose their ways."""

    @property
    def at_once(self) -> int:
        """Cases whose activations are held at the same time."""
        return 1 if self.way is Way.FIT_MICRO else self.batch


class Measurement(StrictModel):
    seconds: float
    """Mean of the steps after the first; the device was waited for before and after them."""
    held_share: float
    """Of the time of further steps, in which no operation ran: there the Python thread holds the device up."""
    peak_gib: float
    """The most that the process held until its end, Python, torch and weights included; on a GPU, that torch held
    there."""


def measure(case: Case) -> Measurement:
    torch.manual_seed(0)
    if case.way is Way.PLAIN:
        return _plain(case)
    with tempfile.TemporaryDirectory() as folder:
        return _fit(case, Path(folder))


def needed_gib(case: Case) -> float:
    """Free memory that the measurement asks for, counted on the network's own operations; rather too much."""
    weights, activations = _bytes_of(case.size.model_dump_json())
    return PROCESS_GIB + (VALUES_A_WEIGHT * weights + WORKING * case.at_once * activations) / GIB


@lru_cache
def _bytes_of(size: str) -> tuple[int, int]:
    """Of a network's weights, and of what one case leaves for the backward pass; nothing is computed."""
    with torch.device("meta"):
        case = Case(way=Way.PLAIN, size=Size.model_validate_json(size), batch=1)
        network = ConditionalDenoiser(case.size.denoiser).train()
        weights = {weight.untyped_storage()._cdata: weight.nbytes for weight in network.parameters()}
        saved: dict[int, torch.UntypedStorage] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            saved.setdefault(tensor.untyped_storage()._cdata, tensor.untyped_storage())
            return tensor

        latents, text = _random_cases(case)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            output = network(latents, torch.zeros(1), text=text, spacing=torch.zeros(1, 3))
    del output
    activations = sum(storage.nbytes() for place, storage in saved.items() if place not in weights)
    return sum(weights.values()), activations


def _random_cases(case: Case) -> tuple[torch.Tensor, torch.Tensor]:
    """Latents (B, C, x, y, z) and encoded reports (B, L, D)."""
    denoiser = case.size.denoiser
    assert denoiser.adapter is not None
    return (
        torch.randn(case.batch, denoiser.latent_channels, *case.size.latent_shape),
        torch.randn(case.batch, case.size.tokens, denoiser.adapter.text_width),
    )


def _plain(case: Case) -> Measurement:
    """The same network in a loop as one writes it by hand, with the parts of MONAI and torch that the paper names."""
    published, schedule_config = DenoiserTraining(), SchedulerConfig()
    device = torch.device(case.device)
    latents, text = (each.to(device) for each in _random_cases(case))
    spacing = torch.tensor([SPACING_MM], device=device).expand(case.batch, 3)
    target = nn.functional.one_hot(torch.arange(case.batch, device=device) % 2, 2).float() * FOCAL_TARGET_SCALE
    network = ConditionalDenoiser(case.size.denoiser).train().to(device)
    optimiser = torch.optim.AdamW(network.parameters(), lr=published.learning_rate)
    schedule = PolynomialLR(optimiser, total_iters=1000, power=published.decay_power)
    noising = DDPMScheduler(
        num_train_timesteps=schedule_config.num_train_timesteps,
        schedule="scaled_linear_beta",
        beta_start=schedule_config.beta_start,
        beta_end=schedule_config.beta_end,
        clip_sample=False,
    )
    l1 = nn.L1Loss()
    focal = FocalLoss(alpha=FOCAL_ALPHA, gamma=FOCAL_GAMMA, use_softmax=True, reduction="none")
    clock = _Clock(case)
    for _ in range(case.steps + PROFILED_STEPS):
        optimiser.zero_grad()
        timesteps = torch.randint(0, schedule_config.num_train_timesteps, (case.batch,), device=device)
        noise = torch.randn_like(latents)
        noisy = noising.add_noise(original_samples=latents, noise=noise, timesteps=timesteps)
        with autocast(device, torch.bfloat16 if case.bf16 else torch.float32):
            output = network(noisy, timesteps, text=text, spacing=spacing)
        loss = l1(output.prediction.float(), noise)
        if output.class_logits is not None:
            loss = loss + published.focal_weight * focal(output.class_logits.float(), target).sum(dim=1).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), published.gradient_clip)
        optimiser.step()
        schedule.step()
        float(loss.detach())  # what a log is told
        with suppress(_Done):
            clock.tick()
    return clock.measurement()


def _peak_gib(case: Case) -> float:
    return peak_memory_gib() if case.device == "cpu" else torch.cuda.max_memory_allocated() / GIB


class _Done(Exception):
    """Ends a training before it writes a checkpoint: the loop beside it writes none."""


class _Clock:
    """Times the steps after the first, then profiles a few more."""

    def __init__(self, case: Case) -> None:
        self.case, self.steps = case, 0
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if case.device == "cuda" else [])]
        self._profiler = profile(activities=activities)
        self._times: list[float] = []
        self._peak_gib = 0.0

    def tick(self, _: object = None) -> None:
        """After every step."""
        self.steps += 1
        if self.steps in (1, self.case.steps, self.case.steps + PROFILED_STEPS):
            if self.case.device == "cuda":
                torch.cuda.synchronize()
            self._times.append(time.perf_counter())
        if self.steps == self.case.steps:
            self._peak_gib = _peak_gib(self.case)  # without what the profiler takes
            self._profiler.start()
        if self.steps == self.case.steps + PROFILED_STEPS:
            self._profiler.stop()
            raise _Done

    def measurement(self) -> Measurement:
        start, end, _ = self._times
        return Measurement(
            seconds=(end - start) / (self.case.steps - 1),
            held_share=held_share(self._profiler, on_gpu=self.case.device == "cuda"),
            peak_gib=self._peak_gib,
        )


def held_share(profiler: profile, *, on_gpu: bool) -> float:
    """Of the time between the first and the last operation, in which none ran: on the GPU, or on the processors."""
    operations = (event for event in profiler.events() or () if event.name.startswith(("aten::", "autograd::")))
    events = kernels(profiler) if on_gpu else operations
    spans = sorted((event.time_range.start, event.time_range.end) for event in events)
    busy, until = 0.0, spans[0][0]
    for start, end in spans:
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return 1 - busy / (until - spans[0][0])


def kernels(profiler: profile) -> list[Any]:
    """What ran on the card; named stretches of a program are told of the card as well, and reach over its pauses."""
    events = profiler.events() or ()
    return [event for event in events if event.device_type.name == "CUDA" and not event.is_user_annotation]


def _fit(case: Case, folder: Path) -> Measurement:
    clock = _Clock(case)
    steps = case.steps + PROFILED_STEPS + 1
    config = DenoiserTraining(
        network=case.size.denoiser,
        steps=steps,
        batch_size=case.batch,
        micro_batch_size=case.at_once,
        checkpoint_every=steps,
    )
    accelerator = Accelerator(cpu=case.device == "cpu", mixed_precision="bf16" if case.bf16 else "no")
    with suppress(_Done):
        train_denoiser(
            cached_cases(case, folder), config, folder / "checkpoints", accelerator=accelerator, after_step=clock.tick
        )
    return clock.measurement()


def cached_cases(case: Case, folder: Path) -> CachedCases:
    """A batch of random cases, in a cache in ``folder``."""
    latents, text = _random_cases(case)
    rows = [
        CacheEntry(id=str(number), positive=number % 2 == 1, present=(True,), reports=(number,))
        for number in range(case.batch)
    ]
    header = {"rows": json.dumps([row.model_dump(mode="json") for row in rows])}
    shard, null = folder / "train-00000.safetensors", folder / NULL_NAME
    save_file({"latents": latents.half(), "text": text.half()}, shard, metadata=header)
    save_file({"text": text[0].half()}, null)
    index = CacheIndex(
        depends_on={},
        parts=("t2w",),
        scale_factors=(1.0,),
        spacing_mm=SPACING_MM,
        has_regions=False,
        null_sha256=sha256_of(null),
        shards={"train": (Shard(file=shard.name, sha256=sha256_of(shard), rows=len(rows)),)},
    )
    (folder / CACHE_NAME).write_text(index.model_dump_json(), encoding="utf-8")
    return CachedCases(folder, "train")


if __name__ == "__main__":
    answer(measure, Case)
