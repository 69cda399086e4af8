"""``ccella evaluate adherence``: does a generated volume show what its report says?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ccella_core.cli.generate import DEFAULT_BUNDLE
from ccella_core.cli.output import AsJson, explained, print_json, quiet_libraries, say
from ccella_core.files import prepare_folder

STEPS_BETWEEN_MESSAGES = 50


@explained
def adherence(
    out: Annotated[Path, typer.Option(help="Folder for tables and pictures; a run that was stopped goes on there.")],
    readout: Annotated[
        Path | None, typer.Option(help="Folder of a trained readout; by default the cached one, trained on first use.")
    ] = None,
    bundle: Annotated[str, typer.Option(help="The model: a name or a folder.")] = DEFAULT_BUNDLE,
    cases: Annotated[int, typer.Option(help="Held-out patients.")] = 64,
    steered: Annotated[int, typer.Option(help="Of these, reports generated again with left and right exchanged.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Of the first volume.")] = 0,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default the bundle's.")] = None,
    solver: Annotated[str | None, typer.Option(help="By default the bundle's.")] = None,
    guidance: Annotated[float, typer.Option(help="Classifier-free guidance; 1 is off. Experimental.")] = 1.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: AsJson = False,
) -> None:
    """Generate from reports of digital prostates that the model has never seen, and measure what the volumes show."""
    prepare_folder(out)
    quiet_libraries()
    from ccella_core.evaluation.adherence import generator_of, run_adherence
    from ccella_core.evaluation.readout import Readout
    from ccella_core.evaluation.readout_training import load_or_train_readout
    from ccella_core.pipeline import CCELLAPipeline

    reader = Readout.load(readout) if readout else load_or_train_readout(progress=_say_training)
    pipeline = CCELLAPipeline.from_pretrained(bundle, device=device)
    result = run_adherence(
        generator_of(pipeline, num_steps=steps, solver=solver, guidance_scale=guidance),
        reader,
        cases=cases,
        steered=steered,
        out=out,
        seed=seed,
        progress=lambda done, total: say(f"{done} of {total} volumes"),
    )
    if as_json:
        print_json(json.loads(result.model_dump_json()))
        return
    typer.echo((out / "adherence.md").read_text(encoding="utf-8"))
    typer.echo(f"Tables and pictures are in {out}")


def _say_training(done: int, total: int) -> None:
    if done % STEPS_BETWEEN_MESSAGES == 0 or done == total:
        say(f"Training the readout, once: step {done} of {total}")
