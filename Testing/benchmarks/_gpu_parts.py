"""The parts of ``gpu.py``: each yields a measurement of one way after the other, the surest way first."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from _gpu_clock import Budget, Measurement, StepClock, forget_all, timed
from _speed_case import SPACING_MM, Size
from _train_case import Case, Way, cached_cases
from accelerate import Accelerator
from torch import Tensor, nn

from ccella_core.devices import autocast
from ccella_core.files import write_text
from ccella_core.generation.decoding import decode
from ccella_core.generation.sampling.loop import precompute_conditions, sample
from ccella_core.generation.sampling.schedulers import (
    DEFAULT_NUM_INFERENCE_STEPS,
    DEFAULT_SCHEDULER,
    Scheduler,
    SchedulerConfig,
)
from ccella_core.networks import ConditionalDenoiser, build_autoencoder
from ccella_core.runs.trainer import Trainer
from ccella_core.training.denoiser import DenoiserTraining, train_denoiser

COMPILE_MODE = "reduce-overhead"
"""torch's name for compiled kernels that are recorded as CUDA graphs."""
SECONDS_TO_COMPILE = 30.0
"""Less than this left of a budget, and nothing is compiled: it cannot be interrupted."""
BATCH = 8
WARM_UP_STEPS, TIMED_STEPS, PROFILED_STEPS = 8, 50, 4
DEMO_STEPS, DEMO_EMA = 200, 0.999
ROWS = 30
"""Of the tables of a profile."""


@dataclass(frozen=True)
class Setting:
    """What all parts are given."""

    device: torch.device
    dtype: torch.dtype
    size: Size
    demo: Size
    seconds: float
    compiles: bool
    steps: int = DEFAULT_NUM_INFERENCE_STEPS
    out: Path | None = None
    """Folder for the tables of the profiles."""

    def autocast(self) -> Any:
        return autocast(self.device, self.dtype)


Part = Callable[[Setting, Budget], Iterator[Measurement]]


def measured(part: str, setting: Setting) -> Iterator[Measurement]:
    """Of one part, as they come; what fails is told in a sentence, and the part ends there."""
    torch.manual_seed(0)
    try:
        for each in PARTS[part](setting, Budget(setting.seconds)):
            yield each.model_copy(update={"part": part})
    except Exception as error:  # any way may fail on a card that was never tried; the others still count
        yield Measurement(part=part, what="the rest", why_not=f"{type(error).__name__}: {error}"[:500])
    finally:
        forget_all(setting.device)


def _attempt(what: str, measure: Callable[[], Measurement]) -> Measurement:
    try:
        return measure().model_copy(update={"what": what})
    except torch.cuda.OutOfMemoryError:
        return Measurement(part="", what=what, why_not="it did not fit into the card's memory")
    except Exception as error:  # see above
        return Measurement(part="", what=what, why_not=f"{type(error).__name__}: {error}"[:500])


def _not_compiled(setting: Setting, what: str) -> Measurement:
    why_not = "the time was too short for it" if setting.compiles else "it was not asked for"
    return Measurement(part="", what=what, why_not=why_not)


def _may_compile(setting: Setting, budget: Budget) -> bool:
    return setting.compiles and budget.left >= min(SECONDS_TO_COMPILE, setting.seconds / 2)


def _denoiser(setting: Setting) -> ConditionalDenoiser:
    return ConditionalDenoiser(setting.size.denoiser).to(setting.device).eval()


def _text(setting: Setting) -> Tensor:
    adapter = setting.size.denoiser.adapter
    assert adapter is not None
    return torch.randn(1, setting.size.tokens, adapter.text_width, device=setting.device)


def step(setting: Setting, budget: Budget) -> Iterator[Measurement]:
    """One step of the sampler's network, tokens and class computed before, as the pipeline does it."""
    device, denoiser = setting.device, _denoiser(setting)
    timesteps = Scheduler(DEFAULT_SCHEDULER, SchedulerConfig(), setting.steps).timesteps.to(device)
    text, spacing = _text(setting), torch.tensor([SPACING_MM], device=device)
    x = torch.randn(1, setting.size.denoiser.latent_channels, *setting.size.latent_shape, device=device)
    with torch.inference_mode(), setting.autocast():
        conditions = precompute_conditions(denoiser, text, timesteps[:1])
    tokens, probability = conditions.tokens[0], conditions.class_probability

    def one(x: Tensor) -> None:
        with torch.inference_mode(), setting.autocast():
            denoiser.denoise(
                x,
                timesteps[:1],
                tokens=tokens,
                class_probability=None if probability is None else probability[0],
                spacing=spacing,
            )

    name = str(setting.dtype).removeprefix("torch.")
    yield _attempt(f"one step, {name}", lambda: timed(partial(one, x), device, budget, share=0.2))
    denoiser.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stub knows 2-D alone
    last = x.to(memory_format=torch.channels_last_3d)
    yield _attempt(f"one step, {name}, channels last", lambda: timed(partial(one, last), device, budget, share=0.2))
    if _may_compile(setting, budget):
        for layout, given in (("channels last, ", last), ("", x)):
            if not _may_compile(setting, budget):
                break
            if not layout:
                denoiser.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
            torch.compiler.reset()
            denoiser.unet.compile(mode=COMPILE_MODE)
            yield _attempt(
                f"one step, {name}, {layout}compiled", lambda given=given: timed(partial(one, given), device, budget)
            )
    else:
        yield _not_compiled(setting, f"one step, {name}, compiled")


def decoding(setting: Setting, budget: Budget) -> Iterator[Measurement]:
    """MONAI's autoencoder: in slabs as the pipeline does it, and whole."""
    device = setting.device
    autoencoder = build_autoencoder(setting.size.autoencoder).to(device).eval()
    latent = torch.randn(1, setting.size.autoencoder.latent_channels, *setting.size.latent_shape, device=device)

    def whole() -> None:
        with torch.inference_mode(), setting.autocast():
            autoencoder.decode(latent).float().cpu()

    def whole_float32() -> None:
        with torch.inference_mode():
            autoencoder.decode(latent).cpu()

    slabs = partial(decode, autoencoder, latent, scale_factor=1.0)
    name = str(setting.dtype).removeprefix("torch.")
    yield _attempt("decoding, in slabs, float32", lambda: timed(slabs, device, budget, share=0.2))
    yield _attempt(f"decoding, whole, {name}", lambda: timed(whole, device, budget, share=0.2))
    yield _attempt("decoding, whole, float32", lambda: timed(whole_float32, device, budget, share=0.2))
    if _may_compile(setting, budget):
        autoencoder.decoder.compile()  # without CUDA graphs, which would keep every activation
        yield _attempt(f"decoding, whole, {name}, compiled", lambda: timed(whole, device, budget))
    else:
        yield _not_compiled(setting, f"decoding, whole, {name}, compiled")


def volume(setting: Setting, budget: Budget) -> Iterator[Measurement]:
    """A volume from an encoded report: all steps of the sampler, and the decoding in slabs."""
    device, denoiser, text = setting.device, _denoiser(setting), _text(setting)
    autoencoder = build_autoencoder(setting.size.autoencoder).to(device).eval()

    def one() -> None:
        latents, *_ = sample(
            denoiser,
            SchedulerConfig(),
            text=text,
            shape=setting.size.latent_shape,
            spacing=SPACING_MM,
            seeds=[0],
            num_inference_steps=setting.steps,
            dtype=setting.dtype,
        )
        decode(autoencoder, latents, scale_factor=1.0)

    what = f"a volume, {setting.steps} steps and decoding"
    yield _attempt(what, lambda: timed(one, device, budget, share=0.4))
    if _may_compile(setting, budget):
        denoiser.unet.compile(mode=COMPILE_MODE)
        yield _attempt(f"{what}, denoiser compiled", lambda: timed(one, device, budget))
    else:
        yield _not_compiled(setting, f"{what}, denoiser compiled")


def train(setting: Setting, budget: Budget) -> Iterator[Measurement]:
    """A step of training as ``ccella train`` does it: the whole batch at once where it fits, and in smaller parts."""
    for at_once in (BATCH, BATCH // 2, 1):
        what = f"training, batch of {BATCH}" + (f", {at_once} at once" if at_once < BATCH else "")
        found = _attempt(what, lambda at_once=at_once: _fit(setting, setting.size, budget, at_once=at_once))
        yield found
        forget_all(setting.device)
        if found.seconds is not None:
            break
    if found.seconds is not None and _may_compile(setting, budget):
        yield _attempt(
            f"{what}, compiled",
            lambda: _fit(setting, setting.size, budget, at_once=at_once, prepare=_compiled_without_graphs),
        )
    else:
        yield _not_compiled(setting, f"{what}, compiled")


def demo(setting: Setting, budget: Budget) -> Iterator[Measurement]:
    """A step of the demonstration's training as ``ccella train`` does it: a network so small that Python is slower."""
    fit = partial(_fit, setting, setting.demo, budget, ema=DEMO_EMA)
    what = "the demonstration's training"
    yield _attempt(what, lambda: fit(profiled=PROFILED_STEPS, name="demo"))
    forget_all(setting.device)
    if setting.device.type == "cuda":
        yield _attempt(f"{what}, as a CUDA graph", lambda: fit(prepare=_graphed, profiled=PROFILED_STEPS, name="graph"))
        forget_all(setting.device)
    if _may_compile(setting, budget):
        yield _attempt(f"{what}, compiled", lambda: fit(prepare=_compiled, profiled=PROFILED_STEPS, name="compiled"))
    else:
        yield _not_compiled(setting, f"{what}, compiled")


PARTS: dict[str, Part] = {"demo": demo, "step": step, "volume": volume, "train": train, "decode": decoding}
"""The most wanted first."""


class _Done(Exception):
    """Ends a training before it writes a checkpoint."""


def _fit(
    setting: Setting,
    size: Size,
    budget: Budget,
    *,
    at_once: int = 0,
    ema: float | None = None,
    prepare: Callable[[Trainer, Size, int], None] | None = None,
    profiled: int = 0,
    name: str = "",
) -> Measurement:
    """Through ``train_denoiser``, and so ``Trainer.fit``, ``Batches`` and ``DeviceCases``, on random cases.

    ``prepare`` changes the trainer after the first step, and what it takes counts as the first call; it is given the
    number of cases at once.
    """
    config = DenoiserTraining(
        network=size.denoiser,
        steps=DEMO_STEPS,
        batch_size=BATCH,
        micro_batch_size=at_once,
        ema_decay=ema,
        checkpoint_every=DEMO_STEPS,
    )
    bf16 = setting.dtype == torch.bfloat16
    accelerator = Accelerator(cpu=setting.device.type == "cpu", mixed_precision="bf16" if bf16 else "no")
    clock: StepClock | None = None

    def after_step(trainer: Trainer) -> None:
        nonlocal clock
        if clock is None:
            clock = StepClock(
                setting.device, warm_up=WARM_UP_STEPS, steps=TIMED_STEPS, profiled=profiled, seconds=0.3 * budget.left
            )
            if prepare is not None:
                prepare(trainer, size, at_once or BATCH)
        elif clock.tick():
            raise _Done

    case = Case(way=Way.FIT, size=size, batch=BATCH)
    with tempfile.TemporaryDirectory() as folder, suppress(_Done):
        cases = cached_cases(case, Path(folder))
        train_denoiser(cases, config, Path(folder) / "checkpoints", accelerator=accelerator, after_step=after_step)
    assert clock is not None
    if setting.out is not None and profiled:
        _write_profile(setting.out / f"gpu-profile-{name}.txt", clock)
    return clock.measurement()


def _write_profile(path: Path, clock: StepClock) -> None:
    averages = clock.profiler.key_averages()
    orders = ["self_cpu_time_total", *(["self_device_time_total"] if clock.device.type == "cuda" else [])]
    write_text(path, "\n".join(averages.table(sort_by=order, row_limit=ROWS) for order in orders) + "\n")


def _compiled(trainer: Trainer, size: Size, at_once: int) -> None:
    for part in trainer.network.children():
        part.compile(mode=COMPILE_MODE)


def _compiled_without_graphs(trainer: Trainer, size: Size, at_once: int) -> None:
    # A graph keeps its memory for itself, and micro-batches add to gradients that lie in it.
    for part in trainer.network.children():
        part.compile()


class _Graphed(nn.Module):
    """A denoiser whose forward and backward pass are each replayed as one CUDA graph."""

    def __init__(self, network: nn.Module, size: Size, cases: int, device: torch.device) -> None:
        super().__init__()
        adapter = size.denoiser.adapter
        assert adapter is not None
        sample = (
            torch.randn(cases, size.denoiser.latent_channels, *size.latent_shape, device=device),
            torch.zeros(cases, dtype=torch.long, device=device),
            torch.randn(cases, size.tokens, adapter.text_width, device=device),
            torch.ones(cases, 3, device=device),
        )
        self.graphed = torch.cuda.make_graphed_callables(_ByPlace(network), sample, allow_unused_input=True)

    def forward(
        self, x: Tensor, timesteps: Tensor, *, text: Tensor, class_probability: Tensor | None, spacing: Tensor
    ) -> Any:
        assert class_probability is None  # this variant reads the class itself
        return self.graphed(x, timesteps, text, spacing)


class _ByPlace(nn.Module):
    """A denoiser whose arguments go by their place, as graphs want them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, timesteps: Tensor, text: Tensor, spacing: Tensor) -> tuple[Tensor, Tensor]:
        prediction, logits = self.network(x, timesteps, text=text, spacing=spacing)
        return prediction, logits


def _graphed(trainer: Trainer, size: Size, at_once: int) -> None:
    trainer.model = _Graphed(trainer.model, size, at_once, trainer.accelerator.device)
