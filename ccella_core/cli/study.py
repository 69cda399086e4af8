"""``ccella study``: variants trained alike and measured, from cases to one page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    from ccella_core.study.stages import StudyStep


@explained
def study(
    config: Annotated[Path, typer.Argument(help="A YAML file; see Resources/Recipes/study.yaml.")],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value over the file, for instance synthesis.num_inference_steps=20."),
    ] = None,
    show_config: Annotated[bool, typer.Option("--show-config", help="Print the configuration as YAML, stop.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train variants alike, let each make volumes, measure them, train classifiers with them, and write one page.

    Every stage is done once: a study that was stopped goes on where it was.
    """
    quiet_libraries()
    show_log(logging.WARNING)
    from ccella_core.config import as_yaml, read_settings
    from ccella_core.study.config import StudyConfig
    from ccella_core.study.result import read_result
    from ccella_core.study.run import run_study

    settings = read_settings(StudyConfig, config, overrides or ())
    if show_config:
        typer.echo(as_yaml(settings))
        return
    page = run_study(settings, StudyDisplay())
    left_out = read_result(settings.output).cases_left_out
    if as_json:
        print_json({"page": str(page), "result": str(page.with_name("study.json")), "left_out": left_out})
    else:
        typer.echo(f"The study is in {settings.output}; look at {page}")
    end_with_left_out(left_out.items())


class StudyDisplay:
    """Says what will be done, and as it goes what is being done and how long that still takes."""

    def plan(self, stages: Sequence[StudyStep], finished: set[str]) -> None:
        """Print every stage, and whether it is done, to do or left out."""
        for stage in stages:
            state = "left out" if stage.why_not else "done" if stage.key in finished else "to do"
            print_message(f"{state:>8}  {stage.title}" + (f": {stage.why_not}" if stage.why_not else ""))

    @contextmanager
    def stage(self, stage: StudyStep, number: int, total: int) -> Iterator[Callable[[int, int], None]]:
        """Print what is begun, show its progress, and print how long it took."""
        print_message(f"{number} of {total}: {stage.title}")
        started = time.monotonic()
        with StepDisplay(stage.counted) as display:
            yield display
        print_message(f"{number} of {total} took {timedelta(seconds=round(time.monotonic() - started))}")
