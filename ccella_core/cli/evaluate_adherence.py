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
Reader = Literal["phantom", "labels", "taps"]


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
    reader: Annotated[
        Reader | None,
        typer.Option(help="Who reads the volumes: phantom (trained on digital prostates); or only gland, coil and "
                          "differences: labels (the gland that the model draws) or taps (the package lavlab-taps). By "
                          "default phantom, and for reports in the style patients labels.", show_default=False),
    ] = None,
    style: Annotated[
        str,
        typer.Option(help="Of the reports: classic, structured, telegram, narrative, short, held-out, any (of those "
                          "for training) or patients (as patients' reports are written for training)."),
    ] = "classic",
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
) -> None:  # fmt: skip
    """Measure whether volumes show what their reports say.

    By default volumes are generated from reports of digital prostates that the model has never seen, and again with one
    fact changed in the report; with --synthetic, those that are there already are read.
    """
    if (synthetic is None) != (data is None):
        raise InputError("--synthetic and --data go together: the volumes, and the cases that they were made from.")
    from ccella_core.generation.options import check_device

    check_device(device)
    options = generation_options(steps=steps, scheduler=scheduler, guidance=guidance)
    from ccella_core.evaluation.adherence.styles import PATIENTS, check_style

    written = check_style(style)
    reader_name = reader or ("labels" if written == PATIENTS else "phantom")
    if synthetic is not None and (reader_name != "phantom" or written != "classic"):
        raise InputError("With --synthetic nothing is written and nothing generated: leave --style and --reader out.")
    if reader_name != "phantom" and phantom_reader is not None:
        raise InputError(f"--phantom-reader is for --reader phantom, not for {reader_name}.")
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
        network = PhantomReader.load(phantom_reader) if phantom_reader else load_or_train_phantom_reader()
        with StepDisplay("Reading volumes") as display:
            result = set_adherence(synthetic, data, network, split=split, out=out, progress=display)
    elif reader_name != "phantom":
        quiet_libraries()
        from ccella_core.evaluation.adherence.adherence import check_numbers, check_reads_reports
        from ccella_core.evaluation.adherence.difference import check_moved_facts
        from ccella_core.evaluation.adherence.examinations import examination_generator_of, run_examinations
        from ccella_core.evaluation.adherence.gland import DrawnLabels, FindsGland, TapsJudge
        from ccella_core.generation.pipeline import CCELLAPipeline

        check_numbers(cases, counterfactuals)
        moved = check_moved_facts(changed_facts)
        finder: FindsGland = TapsJudge() if reader_name == "taps" else DrawnLabels()
        pipeline = CCELLAPipeline.from_pretrained(model, device=device)
        check_reads_reports(pipeline, options)
        finder.check_model(pipeline.index)
        with StepDisplay("Cases") as display:
            result = run_examinations(
                examination_generator_of(pipeline, options=options),
                finder,
                style=written,
                cases=cases,
                counterfactuals=counterfactuals,
                changed_facts=moved,
                out=out,
                seed=seed,
                progress=display,
            )
    else:
        if written == PATIENTS:
            raise InputError("The phantom reader knows digital prostates alone: --style patients needs --reader labels "
                             "or taps.")  # fmt: skip
        quiet_libraries()
        from ccella_core.evaluation.adherence.adherence import check_model, check_numbers, generator_of, run_adherence
        from ccella_core.generation.pipeline import CCELLAPipeline

        check_numbers(cases, counterfactuals)
        pipeline = CCELLAPipeline.from_pretrained(model, device=device)
        check_model(pipeline, options)
        network = PhantomReader.load(phantom_reader) if phantom_reader else load_or_train_phantom_reader()
        with StepDisplay("Volumes") as display:
            result = run_adherence(
                generator_of(pipeline, options=options),
                network,
                cases=cases,
                counterfactuals=counterfactuals,
                changed_facts=changed_facts,
                style=written,
                out=out,
                seed=seed,
                progress=display,
            )
    if as_json:
        print_json(json.loads(result.model_dump_json()))
    else:
        typer.echo((out / "adherence.md").read_text(encoding="utf-8"))
        typer.echo(f"Results are in {out}")
    end_with_left_out(getattr(result, "left_out", {}).items())
