"""Seconds and memory of one optimisation step of the denoiser: `Trainer.fit` beside a plain loop.

    python Testing/benchmarks/train_step.py --size tiny --batch 2
    python Testing/benchmarks/train_step.py --size demo
    python Testing/benchmarks/train_step.py --size published --steps 2
    python Testing/benchmarks/train_step.py --size published --device cuda --bf16 --steps 12

With random weights and cases, by default on the CPU and in float32, with the published batch of 8 and a batch of 1.
The plain loop is what one writes by hand: it holds the whole batch at once. Each measurement is a process of its own;
ratios are to the plain loop of the same batch and run. At the published size a step of 8 takes minutes, and what this
computer has no memory for is left out, and said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import torch
import typer
from _measure import (
    DEFAULT_OUT,
    GIB,
    NOT_MEASURED,
    Table,
    machine,
    machine_in_words,
    measured_apart,
    ratio,
    save_results,
)
from _speed_case import Size
from _train_case import DEFAULT_STEPS, Case, Measurement, Way, needed_gib
from speed import DEMO_MODEL, shape_in_words, sizes_of

from ccella_core.cli.output import explained, print_message
from ccella_core.devices import choose_device
from ccella_core.files import prepare_folder
from ccella_core.networks.config import AdapterConfig, AutoencoderConfig, DenoiserConfig, UNetConfig

BATCHES = (1, 8)
COLUMNS = ("What", "Seconds a step", "× plain", "Held up by Python", "Peak memory, GiB", "× plain")
NOTE = (
    "Seconds: mean of the steps after the first. Held up by Python: the share of two further steps, under a profiler, "
    "in which no operation ran on the device, which on a CPU is the processor itself. Memory: the most that the "
    "process held, Python, torch and weights included, or that torch held on the GPU; no checkpoint is written. "
    "× plain: as a part of the plain loop's, so that less is better."
)

app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
@explained
def main(
    size: Annotated[Literal["tiny", "demo", "published", "both"], typer.Option(help="Of the networks.")] = "demo",
    batch: Annotated[list[int], typer.Option(min=1, help="Cases a step; may be given several times.")] = list(BATCHES),  # noqa: B006
    device: Annotated[Literal["cpu", "cuda"], typer.Option(help="Where.")] = "cpu",
    bf16: Annotated[bool, typer.Option("--bf16", help="Both ways under bfloat16 autocast.")] = False,
    model: Annotated[
        str | None, typer.Option(help=f"Whose sizes are 'demo'; by default {DEMO_MODEL}'s, found or not.")
    ] = None,
    steps: Annotated[int, typer.Option(min=2, help="All but the first are measured.")] = DEFAULT_STEPS,
    out: Annotated[Path, typer.Option(help="Folder for train_step.json and train_step.md.")] = DEFAULT_OUT,
) -> None:
    choose_device(device)  # refuses one that is not there
    prepare_folder(out)
    sizes = [tiny_size()] if size == "tiny" else sizes_of(size, model)
    facts = machine()
    where = f"{torch.cuda.get_device_name()} and " if device == "cuda" else ""
    precision = "bfloat16 autocast" if bf16 else "float32"
    tables, results, notes = [], [], [NOTE, f"Measured in {precision} on {where}{machine_in_words(facts)}."]
    for each in sizes:
        for cases in batch:
            found: dict[Way, Measurement | None] = {}
            for way in Way:
                if way is Way.FIT_MICRO and cases == 1:
                    continue  # the same as all at once
                print_message(f"{each.name}, batch of {cases}: {way.value}", style="dim")
                outcome = attempt(Case(way=way, size=each, batch=cases, device=device, bf16=bf16, steps=steps))
                if isinstance(outcome, str):
                    print_message(outcome)
                    notes.append(outcome)
                found[way] = None if isinstance(outcome, str) else outcome
            tables.append(_table(each, cases, found))
            tables[-1].show()
            results += [
                {"size": each.name, "batch": cases, "way": way.value, **(one.model_dump() if one else {})}
                for way, one in found.items()
            ]
    for note in notes:
        print(note)
    content = {"machine": facts, "sizes": [each.model_dump(mode="json") for each in sizes], "results": results}
    save_results(out, "train_step", content, tables, notes)


def tiny_size() -> Size:
    """A step of a fraction of a second, to see that the benchmark runs."""
    adapter = AdapterConfig(text_width=32, width=32, num_latents=8, layers=2, heads=2, time_channels=16, class_hidden=8)
    unet = UNetConfig(latent_channels=2, num_channels=(16, 32), attention_levels=(False, True),
                      num_head_channels=(0, 16), num_res_blocks=1, norm_num_groups=8)  # fmt: skip
    return Size(
        name="tiny",
        denoiser=DenoiserConfig(unet=unet, adapter=adapter),
        autoencoder=AutoencoderConfig(),
        latent_shape=(16, 16, 8),
        tokens=32,
    )


def attempt(case: Case) -> Measurement | str:
    """The measurement, or a sentence that says why there is none."""
    what = f"{case.way.value}, batch of {case.batch}, at the {case.size.name} size"
    free = torch.cuda.mem_get_info()[0] / GIB if case.device == "cuda" else None
    return measured_apart("_train_case.py", case, Measurement, what=what, needed_gib=needed_gib(case), free_gib=free)


def _table(size: Size, batch: int, found: dict[Way, Measurement | None]) -> Table:
    voxels = shape_in_words(size)
    plain = found[Way.PLAIN]
    rows = []
    for way, one in found.items():
        if one is None:
            rows.append([way.value, *[NOT_MEASURED] * (len(COLUMNS) - 1)])
            continue
        times = ratio(one.seconds, plain.seconds if plain else None)
        memory = ratio(one.peak_gib, plain.peak_gib if plain else None)
        held = f"{100 * one.held_share:.1f} %"
        rows.append([way.value, f"{one.seconds:.3g}", times, held, f"{one.peak_gib:.2f}", memory])
    return Table(f"One step, {size.name} size, {voxels} voxels, batch of {batch}", COLUMNS, rows)


if __name__ == "__main__":
    app()
