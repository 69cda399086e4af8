"""One volume from its report to its file, beside the authors' way: seconds of every stage, and memory.

    python Testing/benchmarks/whole_volume.py --size tiny
    python Testing/benchmarks/whole_volume.py --size published

On the CPU, with random weights. Ours is a call of the pipeline, in bfloat16 where the processor computes in it. The
authors' way is 1000 ancestral steps in float32 with the adapter in each, and MONAI's decoder on the whole volume: it
takes hours, so it is reckoned from a step, and from the decoding of a part of the latent. Each measurement is a
process of its own. The published size takes some ten minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer
from _measure import (
    DEFAULT_OUT,
    NOT_MEASURED,
    Table,
    machine,
    machine_in_words,
    measured_apart,
    save_results,
)
from _speed_case import Case as PlainCase
from _speed_case import Measured, Size, needed_gib
from _speed_case import Measurement as PlainMeasurement
from _volume_case import Case, Measurement
from gpu import small_size
from speed import published_size, shape_in_words

from ccella_core.cli.output import explained, print_message
from ccella_core.errors import InputError
from ccella_core.files import prepare_folder
from ccella_core.generation.sampling.schedulers import DEFAULT_NUM_INFERENCE_STEPS
from ccella_core.limits import DTypeName

AUTHORS_STEPS = 1000
DECODED_PART = 8
"""The authors' decoding is timed on so small a part of the latent along X: the whole takes 14 GiB."""
MEMORY_LIMIT_GIB = 4.0
"""For the activations of the decoding, beside the weights."""
GOAL_TIMES, GOAL_GIB = 25, 6.0
COLUMNS = ("Stage", "Seconds", "Authors' way, seconds")
STAGES = {"encode": "report", "denoise": "denoising", "decode": "decoding", "file": "file"}
NOTE = (
    f"The authors' way is reckoned: {AUTHORS_STEPS} times a timed step, and {DECODED_PART} times the decoding of a "
    f"part of the latent, 1/{DECODED_PART} along X; its report and file are ours. The report encoder is one small "
    "layer of the published width: what the published one takes is streamed_text_encoder.py's to say, and the same in "
    "both ways. Memory: the most that the process held, Python, torch and weights included."
)

app = typer.Typer(add_completion=False)


@app.command(help=__doc__)
@explained
def main(
    size: Annotated[Literal["tiny", "published"], typer.Option(help="Of the networks.")] = "published",
    steps: Annotated[int, typer.Option(min=1, help="Of the sampler, ours.")] = DEFAULT_NUM_INFERENCE_STEPS,
    dtype: Annotated[DTypeName, typer.Option(help="Of our denoiser's arithmetic.")] = "auto",
    memory_limit: Annotated[
        float, typer.Option(min=0.01, help="GiB for the activations of our decoding.")
    ] = MEMORY_LIMIT_GIB,
    out: Annotated[Path, typer.Option(help="Folder for whole_volume.json and whole_volume.md.")] = DEFAULT_OUT,
) -> None:
    prepare_folder(out)
    network = published_size() if size == "published" else small_size()
    print_message("ours", style="dim")
    needed = memory_limit + needed_gib(PlainCase(measured=Measured.STEP, size=network))
    case = Case(size=network, steps=steps, dtype=dtype, memory_limit_gib=memory_limit)
    ours = measured_apart("_volume_case.py", case, Measurement, what="a volume", needed_gib=needed)
    if isinstance(ours, str):
        raise InputError(ours)
    print_message("the authors' way", style="dim")
    step, decoding = authors_way(network)
    reckoned = {
        **ours.stages,
        "denoise": AUTHORS_STEPS * step.seconds,
        "decode": DECODED_PART * decoding.seconds,
    }
    total, authors_total = sum(ours.stages.values()), sum(reckoned.values())
    times = authors_total / total
    rows = [[STAGES[name], f"{ours.stages[name]:.3g}", f"{reckoned[name]:.3g}"] for name in ours.stages]
    rows.append(["all", f"{total:.3g}", f"{authors_total:.3g}"])
    rows.append(["peak memory, GiB", f"{ours.peak_gib:.2f}", NOT_MEASURED])
    table = Table(f"A volume, {network.name} size, {shape_in_words(network)} voxels, {steps} steps", COLUMNS, rows)
    table.show()
    facts = machine()
    notes = [
        f"{times:.1f} times less time than the authors' way (the goal at the published size is {GOAL_TIMES}), and "
        f"{ours.peak_gib:.1f} GiB (at most {GOAL_GIB:g}).",
        NOTE,
        f"Ours in {ours.dtype}, the authors' way in float32, on {machine_in_words(facts)}.",
    ]
    for note in notes:
        print(note)
    content = {
        "machine": facts,
        "size": network.model_dump(mode="json"),
        "steps": steps,
        "ours": ours.model_dump(),
        "authors": {"step": step.model_dump(), "part_of_decoding": decoding.model_dump(), "reckoned": reckoned},
        "times": times,
    }
    save_results(out, "whole_volume", content, [table], notes)


def authors_way(size: Size) -> tuple[PlainMeasurement, PlainMeasurement]:
    """A step, and the decoding of a part. Raises InputError where there is no memory for them."""
    x, y, z = size.latent_shape
    part = size.model_copy(update={"latent_shape": (x // DECODED_PART, y, z)})
    found = []
    for measured, of in ((Measured.STEP_WITH_ADAPTER, size), (Measured.DECODE_MONAI, part)):
        case = PlainCase(measured=measured, size=of)
        needed = needed_gib(case)
        one = measured_apart("_speed_case.py", case, PlainMeasurement, what=measured.value, needed_gib=needed)
        if isinstance(one, str):
            raise InputError(one)
        found.append(one)
    return found[0], found[1]


if __name__ == "__main__":
    app()
