"""One volume of ``whole_volume.py``, in a process of its own: ``python _volume_case.py '<a Case as JSON>'``."""

from __future__ import annotations

import math
import tempfile
import time
from pathlib import Path

import torch
from _measure import answer, current_memory_gib, peak_memory_gib
from _speed_case import SPACING_MM, Size

from ccella_core.config import StrictModel
from ccella_core.devices import use_large_pages
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.generation.sampling.schedulers import DEFAULT_SCHEDULER, SchedulerConfig
from ccella_core.generation.text_encoder import ReportEncoder, load_tokenizer
from ccella_core.models.model import ModelIndex
from ccella_core.models.search import resolve_model
from ccella_core.networks import ConditionalDenoiser, build_autoencoder
from ccella_core.progress import Progress

DEMO_MODEL = "ccella-demo"
REPORT = "PI-RADS 5 lesion in the left peripheral zone."
LAST = "file"


class Case(StrictModel):
    """A volume by the pipeline."""

    size: Size
    steps: int
    dtype: str = "auto"
    memory_limit_gib: float | None = None


class Measurement(StrictModel):
    """What it took."""

    stages: dict[str, float]
    """Seconds of each, in their order."""
    dtype: str
    loaded_gib: float
    """Held before the call: Python, torch and the weights."""
    peak_gib: float
    """The most that the process held, all of it included."""
    file_bytes: int


def measure(case: Case) -> Measurement:
    torch.manual_seed(0)
    use_large_pages(math.prod(case.size.latent_shape) * math.prod(case.size.autoencoder.factors))  # as the command does
    pipeline = _pipeline(case.size, case.dtype)
    loaded, begun = current_memory_gib(), time.perf_counter()
    ends: dict[str, float] = {}

    def reached(progress: Progress) -> None:
        ends[progress.stage] = time.perf_counter()

    (volume,) = pipeline(
        REPORT,
        seed=0,
        num_inference_steps=case.steps,
        memory_limit_gib=case.memory_limit_gib,
        last_call=True,  # as the command makes it
        callback=reached,
    )
    with tempfile.TemporaryDirectory() as folder:
        file = volume.save(Path(folder) / "volume.nii.gz")
        ends[LAST] = time.perf_counter()
        size = file.stat().st_size
    starts = [begun, *list(ends.values())[:-1]]
    return Measurement(
        stages={name: end - start for (name, end), start in zip(ends.items(), starts, strict=True)},
        dtype=str(pipeline.dtype).removeprefix("torch."),
        loaded_gib=loaded,
        peak_gib=peak_memory_gib(),
        file_bytes=size,
    )


def _pipeline(size: Size, dtype: str) -> CCELLAPipeline:
    """Random weights, saved nowhere; the report encoder has the width that the denoiser reads, and one small layer."""
    from transformers import T5Config, T5EncoderModel

    assert size.denoiser.adapter is not None
    tokenizer = load_tokenizer(resolve_model(DEMO_MODEL).component_path("tokenizer"))
    width = size.denoiser.adapter.text_width
    encoder = T5EncoderModel(
        T5Config(vocab_size=len(tokenizer), d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    )
    x, y, z = (factor * axis for factor, axis in zip(size.autoencoder.factors, size.latent_shape, strict=True))
    return CCELLAPipeline(
        denoiser=ConditionalDenoiser(size.denoiser),
        autoencoder=build_autoencoder(size.autoencoder),
        autoencoder_config=size.autoencoder,
        scheduler_config=SchedulerConfig(),
        encoder=ReportEncoder(encoder, tokenizer, max_tokens=size.tokens),
        index=ModelIndex(
            name=size.name,
            version="1",
            licence="Apache-2.0",
            intended_use="benchmarks",
            description="random weights",
            variant=size.denoiser.variant,
            sequences=["t2w"],
            native_shape=(x, y, z),
            native_spacing_mm=SPACING_MM,
            intensity_range={"t2w": (0.0, 1.0)},
            latent_scale_factor=1.0,
            max_report_tokens=size.tokens,
            default_scheduler=DEFAULT_SCHEDULER,
            default_num_inference_steps=1,
            trained_on="nothing",
            training={},
            components={},
        ),
        device="cpu",
        dtype=dtype,
    )


if __name__ == "__main__":
    answer(measure, Case)
