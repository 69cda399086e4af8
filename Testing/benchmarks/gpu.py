"""What one NVIDIA card does in a second: a denoiser's step, a decoding, a volume, and steps of training.

    python Testing/benchmarks/gpu.py
    python Testing/benchmarks/gpu.py --only demo --only step --seconds 30 --no-compile
    python Testing/benchmarks/gpu.py --size tiny --device cpu

With random weights, the published sizes and a volume of 256 x 256 x 128 voxels; ``demo`` is the demonstration model's
training. Every part is measured as it is, and then compiled by ``torch.compile``, unless the time is short. Results are
written after every measurement, so that a run that is stopped keeps what it has; all parts take some ten minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer
from _gpu_clock import Measurement
from _gpu_parts import PARTS, Setting, measured
from _measure import DEFAULT_OUT, GIB, NOT_MEASURED, Table, machine, machine_in_words, save_results
from _speed_case import Size
from speed import demo_size, published_size, shape_in_words
from train_step import tiny_size

from ccella_core.cli.output import explained, print_message
from ccella_core.devices import choose_device, choose_dtype
from ccella_core.errors import InputError
from ccella_core.files import prepare_folder
from ccella_core.generation.sampling.schedulers import DEFAULT_NUM_INFERENCE_STEPS
from ccella_core.limits import DTypeName
from ccella_core.networks import AutoencoderConfig

COLUMNS = ("What", "Seconds", "Calls", "First call, s", "Peak memory, GiB", "Device computes")
NOTE = (
    "Seconds: median of warm calls, between events of the card. First call: with compilation, where there is one, and "
    "with all that libraries do once. Memory: the most that torch held on the card. Device computes: the sum of the "
    "times of the card's kernels in a step, which a profiler finds in four further ones, as a part of the seconds."
)

app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
@explained
def main(
    size: Annotated[Literal["tiny", "published"], typer.Option(help="Of the networks.")] = "published",
    only: Annotated[list[str] | None, typer.Option(help=f"Of {', '.join(PARTS)}; may be given several times.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="A part begins nothing new after them.")] = 90.0,
    compiled: Annotated[bool, typer.Option("--compile/--no-compile", help="Measure torch.compile, too.")] = True,
    steps: Annotated[int, typer.Option(min=1, help="Of the sampler, for a volume.")] = DEFAULT_NUM_INFERENCE_STEPS,
    device: Annotated[str, typer.Option(help="cuda, or cpu to see that it runs.")] = "cuda",
    dtype: Annotated[DTypeName, typer.Option(help="Of the denoiser's arithmetic.")] = "auto",
    out: Annotated[Path, typer.Option(help="Folder for gpu.json, gpu.md and profiles.")] = DEFAULT_OUT,
) -> None:
    parts = only or list(PARTS)
    if unknown := [part for part in parts if part not in PARTS]:
        raise InputError(f"There is no part {unknown[0]!r} to measure; choose from {', '.join(PARTS)}.")
    where = choose_device(device)
    prepare_folder(out)
    network, demo = (published_size(), demo_size(None)) if size == "published" else (small_size(), tiny_size())
    precision = choose_dtype(dtype, where)
    setting = Setting(where, precision, network, demo, seconds, compiles=compiled, steps=steps, out=out)
    facts = {**machine(), "card": _card(where), "cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version()}
    name = str(precision).removeprefix("torch.")
    notes = [NOTE, f"Measured in {name} on {facts['card'] or 'no card'}; {machine_in_words(facts)}."]
    found: list[Measurement] = []
    for part in parts:
        print_message(part, style="dim")
        for each in measured(part, setting):
            found.append(each)
            print_message(_in_words(each))
            content: dict[str, Any] = {
                "machine": facts,
                "dtype": name,
                "seconds": seconds,
                "steps": steps,
                "sizes": [network.model_dump(mode="json"), demo.model_dump(mode="json")],
                "results": [one.model_dump() for one in found],
            }
            save_results(out, "gpu", content, [_table(network, found)], notes)
    _table(network, found).show()
    for note in notes:
        print(note)


def small_size() -> Size:
    """As ``tiny_size``, with an autoencoder that decodes in no time."""
    return tiny_size().model_copy(
        update={"autoencoder": AutoencoderConfig(latent_channels=2, num_channels=(8, 8), num_res_blocks=(1, 1),
                                                 norm_num_groups=4)}
    )  # fmt: skip


def _card(device: torch.device) -> str | None:
    if device.type != "cuda":
        return None
    about = torch.cuda.get_device_properties(device)
    return f"{about.name}, {about.total_memory / GIB:.0f} GiB"


def _in_words(one: Measurement) -> str:
    if one.seconds is None:
        return f"{one.part}: {one.what}: not measured: {one.why_not}"
    return f"{one.part}: {one.what}: {one.seconds:.4g} s"


def _table(size: Size, found: list[Measurement]) -> Table:
    rows = [
        [
            one.what,
            _number(one.seconds, ".4g"),
            str(one.calls or NOT_MEASURED),
            _number(one.first_seconds, ".3g"),
            _number(one.peak_gib, ".2f"),
            _number(one.computing_share, ".0%"),
        ]
        for one in found
    ]
    return Table(f"One card, {size.name} size, {shape_in_words(size)} voxels", COLUMNS, rows)


def _number(value: float | None, form: str) -> str:
    return NOT_MEASURED if value is None else format(value, form)


if __name__ == "__main__":
    app()
