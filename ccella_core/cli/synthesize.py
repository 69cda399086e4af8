"""``ccella synthesize``: a synthetic data set, a volume of every case."""

from __future__ import annotations

import logging
import os
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ccella_core.cli.generate import DEFAULT_MODEL
from ccella_core.cli.options import (
    Guidance,
    Labels,
    MemoryLimit,
    SchedulerOption,
    Sequences,
    Steps,
    generation_options,
    seed_of,
)
from ccella_core.cli.output import (
    AsJson,
    StepDisplay,
    end_with_left_out,
    explained,
    print_json,
    print_message,
    quiet_libraries,
    show_log,
)

if TYPE_CHECKING:
    from accelerate import Accelerator

PATIENCE = timedelta(days=30)
"""How long a process that is done waits for the others, whose share may take longer; the libraries give up in minutes,
and a launch ends all its processes anyway where one fails."""


@partial(explained, writes="out")
def synthesize(
    data: Annotated[Path, typer.Argument(help="A folder of prepared cases.")],
    out: Annotated[Path, typer.Option(help="Folder for volumes and table; a run that was stopped goes on there.")],
    model: Annotated[str, typer.Option(help="The model: a name, a folder, or hf:owner/name.")] = DEFAULT_MODEL,
    split: Annotated[
        Literal["train", "validation", "test", "all"],
        typer.Option(help="Whose reports are used: train for classifiers, test to be measured."),
    ] = "train",
    per_case: Annotated[int, typer.Option(help="Volumes of each case, each from another wording of its report.")] = 1,
    seed: Annotated[
        int, typer.Option(parser=seed_of, metavar="INTEGER", help="From which the seed of each volume follows.")
    ] = 0,
    pathology: Annotated[
        Literal["report", "case"] | None,
        typer.Option(help="Read from the report, or given as the case has it; by default read, where the model can."),
    ] = None,
    sequences: Sequences = None,
    labels: Labels = True,
    steps: Steps = None,
    scheduler: SchedulerOption = None,
    guidance: Guidance = None,
    memory_limit: MemoryLimit = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps; of several processes each takes its own card.")
    ] = "auto",
    dtype: Annotated[str, typer.Option(help="auto, float32, bfloat16 or float16.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Generate volumes from the report of every prepared case, and one table of them.

    On several GPUs or computers that share a folder: accelerate launch -m ccella_core synthesize …; on the processor
    cores of one: torchrun --nproc-per-node 2 -m ccella_core synthesize … --device cpu.
    """
    options = generation_options(
        seed=seed,
        sequences=sequences,
        labels=labels,
        steps=steps,
        scheduler=scheduler,
        guidance=guidance,
        memory_limit=memory_limit,
    )
    from ccella_core.cases.prepared import PreparedSet
    from ccella_core.generation.options import check_device
    from ccella_core.models.search import resolve_model

    check_device(device, dtype)
    prepared, found = PreparedSet.open(data), resolve_model(model)
    quiet_libraries()
    from ccella_core.evaluation.data.synthesize import synthesize as run
    from ccella_core.evaluation.data.synthetic_set import CSV_NAME, read_left_out
    from ccella_core.generation.pipeline import CCELLAPipeline

    accelerator = _processes(device)
    show_log(logging.INFO if accelerator.is_main_process else logging.ERROR)
    own = accelerator.device if accelerator.device.type == "cuda" else accelerator.device.type
    pipeline = CCELLAPipeline.from_pretrained(
        found, device=device if accelerator.num_processes == 1 else str(own), dtype=dtype
    )
    started = time.monotonic()
    with StepDisplay("Making volumes") as display:
        rows = run(
            pipeline,
            prepared,
            out,
            options,
            split=None if split == "all" else split,
            per_case=per_case,
            pathology_source=pathology,
            accelerator=accelerator,
            progress=display if accelerator.is_main_process else None,
        )
    if not accelerator.is_main_process:
        return
    seconds = round(time.monotonic() - started, 2)
    left_out = read_left_out(out)
    known = [row.report_is_outside for row in rows if row.report_is_outside is not None]
    outside = sum(known) if known else None  # a model without a profile of its reports cannot tell
    if outside:
        print_message(
            f"Warning: {outside} of {len(rows)} volumes were made of a report that is worded unlike those that the "
            f"model was trained on (report_is_outside in {CSV_NAME}): what it read from them may be wrong.",
            style="yellow",
        )
    if as_json:
        print_json({"volumes": len(rows), "folder": str(out), "table": CSV_NAME, "seconds": seconds,
                    "reports_outside": outside, "left_out": [each._asdict() for each in left_out]})  # fmt: skip
    else:
        typer.echo(
            f"{len(rows)} synthetic volumes are in {out}, and their table in {out / CSV_NAME}; not for diagnosis."
        )
    end_with_left_out(left_out)


def _processes(device: str) -> Accelerator:
    """Of this launch. Processes on the cores of one computer share them evenly."""
    import torch
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    accelerator = Accelerator(cpu=device == "cpu", kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])
    beside_each_other = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by every launcher of several processes
    if beside_each_other > 1 and accelerator.device.type == "cpu":
        torch.set_num_threads(max(1, _cores() // beside_each_other))
    return accelerator


def _cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
