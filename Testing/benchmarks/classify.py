"""Seconds of one training step of the downstream classifier: the small network beside EfficientNet-B0, as published.

    python Testing/benchmarks/classify.py

Random volumes that lie in memory; a step augments them as a training does. The small network sees its own size, and
both see the nearest size that EfficientNet takes. Ratios are to the small network at the same size in the same run.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Annotated, Any, get_args

import numpy as np
import torch
import typer
from _measure import DEFAULT_OUT, Table, machine, machine_in_words, ratio, save_results
from accelerate import Accelerator
from torch import Tensor

from ccella_core.cli.output import explained, print_message
from ccella_core.evaluation.classifier.config import ClassifierTraining, preset
from ccella_core.evaluation.classifier.network import EFFICIENTNET_MULTIPLE, Network
from ccella_core.evaluation.classifier.training import train_network
from ccella_core.files import prepare_folder
from ccella_core.runs.logging import SilentLog

Shape = tuple[int, int, int]
SMALL: Network = "resnet10"
COLUMNS = ("Network", "Voxels", "Cases a step", "Seconds a step", "× small")

app = typer.Typer(add_completion=False)


class RandomImages:
    """As many volumes as a batch has, half of them positive."""

    channels = 1

    def __init__(self, count: int, shape: Shape) -> None:
        self.positive = np.arange(count) % 2 == 0
        self._volumes = torch.randn(count, 1, *shape)

    def __len__(self) -> int:
        return len(self._volumes)

    def __getitem__(self, index: int, /) -> Tensor:
        return self._volumes[index]


class Clock(SilentLog):
    """When each step ended."""

    def __init__(self) -> None:
        self.ended: list[float] = []

    def step(self, step: int, values: Mapping[str, float], *, ended: float | None = None) -> None:
        self.ended.append(time.monotonic() if ended is None else ended)


@app.command(help=__doc__)
@explained
def main(
    steps: Annotated[int, typer.Option(min=3, help="All but the first two are measured.")] = 10,
    batch: Annotated[int | None, typer.Option(min=2, help="Cases a step; by default the preset's.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for classify.json and classify.md.")] = DEFAULT_OUT,
) -> None:
    prepare_folder(out)
    small = ClassifierTraining.model_validate(preset("small")["classifier"])
    cases = batch or small.batch_size
    own, common = small.preprocessing.shape, common_shape(small.preprocessing.shape)
    small_at = {shape: _measured(SMALL, shape, small, cases, steps) for shape in dict.fromkeys((own, common))}
    found = [(SMALL, shape, seconds) for shape, seconds in small_at.items()]
    found += [
        (each, common, _measured(each, common, small, cases, steps)) for each in get_args(Network) if each != SMALL
    ]
    results = [{"network": each, "shape": shape, "batch": cases, "seconds": took} for each, shape, took in found]
    rows = [
        [each, " x ".join(map(str, shape)), str(cases), f"{took:.3g}", ratio(took, small_at[shape])]
        for each, shape, took in found
    ]
    facts = machine()
    table = Table("One training step of a classifier", COLUMNS, rows)
    table.show()
    notes = ["Seconds: median of the steps after the second.", f"Measured on {machine_in_words(facts)}."]
    print(*notes, sep="\n")
    content: dict[str, Any] = {"machine": facts, "results": results}
    save_results(out, "classify", content, [table], notes)


def _measured(network: Network, shape: Shape, small: ClassifierTraining, batch: int, steps: int) -> float:
    """Median seconds of a step, augmenting included."""
    print_message(f"{network}, {steps} steps", style="dim")
    settings: dict[str, Any] = {
        "network": network,
        "batch_size": batch,
        "steps": steps,
        "validations": 1,
        "preprocessing": small.preprocessing.model_copy(update={"shape": shape}),
    }
    clock = Clock()
    images: Any = RandomImages(batch, shape)
    with tempfile.TemporaryDirectory() as folder:
        train_network(
            images,
            images,
            small.model_copy(update=settings),
            seed=0,
            folder=Path(folder),
            accelerator=Accelerator(),
            logger=clock,
        )
    return median(after - before for before, after in pairwise(clock.ended[1:]))


def common_shape(shape: Shape) -> Shape:
    """The nearest that EfficientNet takes as well."""
    x, y, z = (-(-side // EFFICIENTNET_MULTIPLE) * EFFICIENTNET_MULTIPLE for side in shape)
    return x, y, z


if __name__ == "__main__":
    app()
