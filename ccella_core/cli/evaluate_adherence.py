"""``ccella evaluate adherence``: does a generated volume show what its report says?"""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ccella_core.cli.generate import DEFAULT_MODEL
from ccella_core.cli.options import Guidance, SchedulerOption, Steps, generation_options, seed_of
from ccella_core.cli.output import (
    AsJson,
    StepDisplay,
    end_with_left_out,
    explained,
    print_json,
    quiet_libraries,
    show_log,
)
from ccella_core.errors import InputError

if TYPE_CHECKING:
    from ccella_core.config import StrictModel

ALL_FACTS = "side,zone,level,size,volume,pathology"
SplitName = Literal["train", "validation", "test"]


@partial(explained, writes="out")
def adherence(
    out: Annotated[Path, typer.Option(help="Folder for tables and pictures; a run that was stopped goes on there.")],
    phantom_reader: Annotated[
        Path | None,
        typer.Option(help="Folder of a trained phantom reader; by default the cached one, trained on first use."),
    ] = None,
    synthetic: Annotated[
        Path | None, typer.Option(help="Generate nothing: read the volumes in this folder of `ccella synthesize`.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="With --synthetic: the prepared cases that the volumes were made from.")
    ] = None,
    split: Annotated[SplitName | None, typer.Option(help="With --synthetic: only volumes of this split.")] = None,
    model: Annotated[str, typer.Option(help="The model: a name or a folder.")] = DEFAULT_MODEL,
    cases: Annotated[int, typer.Option(help="Held-out patients.")] = 64,
    counterfactuals: Annotated[
        int, typer.Option(help="Of these, for each fact: reports that are generated again with it changed.")
    ] = 16,
    facts: Annotated[str, typer.Option(help="Which facts are changed in reports, one at a time.")] = ALL_FACTS,
    seed: Annotated[int, typer.Option(parser=seed_of, metavar="INTEGER", help="Of the first volume.")] = 0,
    steps: Steps = None,
    scheduler: SchedulerOption = None,
    guidance: Guidance = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure whether volumes show what their reports say.

    By default volumes are generated from reports of digital prostates that the model has never seen, and again with one
    fact changed in the report; with --synthetic, those that are there already are read.
    """
    if (synthetic is None) != (data is None):
        raise InputError("--synthetic and --data go together: the volumes, and the cases that they were made from.")
    from ccella_core.generation.options import check_device

    check_device(device)
    options = generation_options(steps=steps, scheduler=scheduler, guidance=guidance)
    show_log(logging.INFO)
    from ccella_core.evaluation.adherence.counterfactual import read_changed_facts
    from ccella_core.evaluation.adherence.phantom_reader import PhantomReader
    from ccella_core.evaluation.adherence.phantom_reader_training import load_or_train_phantom_reader

    # Whatever can be refused comes before the phantom reader, whose first use trains it.
    changed_facts = read_changed_facts(facts)
    result: StrictModel
    if synthetic is not None and data is not None:
        from ccella_core.evaluation.adherence.set_adherence import check_set, set_adherence

        check_set(synthetic, data, split=split)
        reader = PhantomReader.load(phantom_reader) if phantom_reader else load_or_train_phantom_reader()
        with StepDisplay("Reading volumes") as display:
            result = set_adherence(synthetic, data, reader, split=split, out=out, progress=display)
    else:
        quiet_libraries()
        from ccella_core.evaluation.adherence.adherence import check_model, check_numbers, generator_of, run_adherence
        from ccella_core.generation.pipeline import CCELLAPipeline

        check_numbers(cases, counterfactuals)
        pipeline = CCELLAPipeline.from_pretrained(model, device=device)
        check_model(pipeline, options)
        reader = PhantomReader.load(phantom_reader) if phantom_reader else load_or_train_phantom_reader()
        with StepDisplay("Volumes") as display:
            result = run_adherence(
                generator_of(pipeline, options=options),
                reader,
                cases=cases,
                counterfactuals=counterfactuals,
                changed_facts=changed_facts,
                out=out,
                seed=seed,
                progress=display,
            )
    if as_json:
        print_json(json.loads(result.model_dump_json()))
    else:
        typer.echo((out / "adherence.md").read_text(encoding="utf-8"))
        typer.echo(f"Tables and pictures are in {out}")
    end_with_left_out(getattr(result, "left_out", {}).items())
