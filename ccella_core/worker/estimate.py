"""What a generation will take in memory and time, said before it starts: ``estimate``.

Time comes from the last run of the same model, device and size on this computer. Before there was one, it is a rough
guess, and called so: the operations of the networks over the speed at which the device does a convolution of the same
kind.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.nn import functional as F

from ccella_core.devices import choose_dtype
from ccella_core.generation.options import wanted_parts
from ccella_core.generation.sampling.ready_schedulers import prepare_scheduler
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.models.model import ModelFolder, load_config
from ccella_core.models.search import resolve_model
from ccella_core.models.trained_on import far_from_training
from ccella_core.worker.hardware import device_id, device_name, find_device
from ccella_core.worker.needs import Need, need_of
from ccella_core.worker.params import EstimateParams, read_params
from ccella_core.worker.tasks import Task, WorkerState
from ccella_core.worker.timings import Timings

PROBE_SECONDS = 0.2
"""For which a device's speed is measured: long enough for several convolutions, too short to be noticed."""
PROBE_SHAPE = (24, 24, 8)
"""Whatever shape is asked about: a larger one takes memory and time, and is hardly faster for each operation."""
KERNEL = 3  # voxels along each axis, in almost all of the networks' convolutions


def estimate(task: Task, state: WorkerState) -> dict[str, Any]:
    """Seconds, memory, and whether it fits, for ``count`` volumes of one model on one device.

    Raises:
        InputError: an argument that ``generate`` would refuse too.
        ModelError: no such model, or one that cannot be read.
    """
    params = read_params(EstimateParams, task)
    model = resolve_model(params.model)
    where = device_id(params.device)
    device = find_device(where)
    model.index.drawn(params.sequences)
    guidance = model.index.default_guidance_scale if params.guidance_scale is None else params.guidance_scale
    count, guided = params.count, guidance != 1
    scheduler = prepare_scheduler(
        params.scheduler or model.index.default_scheduler,  # type: ignore[arg-type]  # an index may err
        load_config(SchedulerConfig, model.component_path("scheduler")),
        params.num_inference_steps,
        default_num_inference_steps=model.index.default_num_inference_steps,
    )
    steps = len(scheduler.timesteps)
    need = _need(model, state)
    shape = need.check_shape(tuple(params.shape or model.index.native_shape))
    parts = len(wanted_parts(model.index, params))

    is_loaded = state.holds(model.sha256, where)
    streamed = need.streams(device.kind, device.memory_free_gib + (need.weights_gib(device.kind) if is_loaded else 0))
    weights = need.weights_gib(device.kind, streamed=streamed)
    memory = weights + need.activations_gib(shape, guided=guided)
    available = device.memory_free_gib + (weights if is_loaded else 0)
    evaluations = steps * (2 if guided else 1)
    timing = Timings(state.timings_file).find(model.sha256, where, shape)
    if timing is not None:
        once = timing.encode + (0 if is_loaded else timing.load)
        seconds = once + count * (evaluations * timing.step + parts * timing.decode)
    else:
        dtype = choose_dtype("auto", torch.device(where))
        scale = need.scale(shape)
        denoise = evaluations * need.step.at(scale) / _speed(where, dtype, need, state)
        seconds = count * (denoise + parts * need.decode.at(scale) / _speed(where, torch.float32, need, state))
    return {
        "seconds": round(seconds, 2),
        "memory_gib": round(memory, 3),
        "available_gib": round(available, 3),
        "fits": memory <= available,
        "basis": "estimated" if timing is None else "measured",
        "device": device_name(device),
        "streams_encoder": streamed,
        "warnings": far_from_training(model.index, shape, params.spacing or model.index.native_spacing_mm),
    }


def operations_per_second(device: str, dtype: torch.dtype, channels: int) -> float:
    """The speed of a convolution of ``channels`` over a latent of a usual size, in the best of a few runs."""
    x = torch.zeros((1, channels, *PROBE_SHAPE), dtype=dtype, device=device)
    weight = torch.zeros((channels, channels, *[KERNEL] * 3), dtype=dtype, device=device)
    operations = 2 * weight.numel() * x[0, 0].numel()
    durations: list[float] = []
    with torch.inference_mode():
        F.conv3d(x, weight, padding="same").sum().item()  # the first also prepares what the others find ready
        while sum(durations) < PROBE_SECONDS:
            start = time.perf_counter()
            F.conv3d(x, weight, padding="same").sum().item()  # a number on the host: the device has finished
            durations.append(time.perf_counter() - start)
    return operations / min(durations)


def _need(model: ModelFolder, state: WorkerState) -> Need:
    if model.sha256 not in state.needs:
        state.needs[model.sha256] = need_of(model)
    return state.needs[model.sha256]


def _speed(device: str, dtype: torch.dtype, need: Need, state: WorkerState) -> float:
    key = (device, dtype, need.unet.num_channels[0])
    if key not in state.speeds:
        state.speeds[key] = operations_per_second(*key)
    return state.speeds[key]
