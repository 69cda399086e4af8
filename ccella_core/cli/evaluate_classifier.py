"""``ccella evaluate classifier``: what a classifier is worth that was trained on real or synthetic cases."""

from __future__ import annotations

import json
import logging
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from ccella_core.cli.options import seed_of
from ccella_core.cli.output import AsJson, end_with_left_out, explained, print_json, show_log
from ccella_core.parallel import is_first


@partial(explained, writes="out")
def classifier(
    run: Annotated[Path, typer.Argument(help="The folder of `ccella train classifier`.")],
    data: Annotated[Path, typer.Option(help="Cases of `ccella prepare`, none of them of a patient in the training.")],
    out: Annotated[Path, typer.Option(help="Folder for scores and probabilities.")],
    against: Annotated[Path | None, typer.Option(help="Another run: whether the two differ on these cases.")] = None,
    split: Annotated[Literal["train", "validation", "test", "all"], typer.Option(help="Which cases.")] = "test",
    seed: Annotated[int, typer.Option(parser=seed_of, metavar="INTEGER", help="Of the bootstrap.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Score a trained classifier on cases that it has not seen, and compare it with another."""
    show_log(logging.INFO if is_first() else logging.ERROR)
    from ccella_core.evaluation.classifier.config import ClassifierConfig
    from ccella_core.evaluation.classifier.testing import (
        COMPARISON,
        RESULT,
        compare_classifiers,
        evaluate_classifier,
    )
    from ccella_core.evaluation.data.volume_set import open_channels
    from ccella_core.runs.folder import read_run_config

    sequences = read_run_config(run, ClassifierConfig).sequences
    volumes = open_channels(data, sequences, split=None if split == "all" else split).checked()
    result = evaluate_classifier(run, volumes, seed=seed, out=out)
    name, content = RESULT, json.loads(result.model_dump_json())
    other = None if against is None else evaluate_classifier(against, volumes, seed=seed, out=out / "against")
    if not is_first():
        return
    if other is not None:
        comparison = compare_classifiers(result, other, seed=seed, out=out)
        name, content = COMPARISON, {**content, "comparison": json.loads(comparison.model_dump_json())}
    if as_json:
        print_json(content)
    else:
        typer.echo((out / f"{name}.md").read_text(encoding="utf-8"))
        typer.echo(f"Scores and probabilities are in {out}")
    end_with_left_out(volumes.left_out)
