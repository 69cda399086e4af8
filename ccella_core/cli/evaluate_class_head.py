"""``ccella evaluate class-head``: does the model read the right class from a report?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from ccella_core.cli.output import AsJson, explained, print_json


@explained
def class_head(
    synthetic: Annotated[Path, typer.Argument(help="A folder of `ccella synthesize`.")],
    split: Annotated[
        Literal["train", "validation", "test"] | None, typer.Option(help="Only cases of this split; by default all.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for class_head.json and class_head.md.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score the class that a model read from reports against the cases' own."""
    from ccella_core.evaluation.classifier.class_head import evaluate_class_head, markdown

    result = evaluate_class_head(synthetic, split=split, seed=seed, out=out)
    if as_json:
        print_json(json.loads(result.model_dump_json()))
        return
    typer.echo(markdown(result))
