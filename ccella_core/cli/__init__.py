"""The ``ccella`` command. Each subcommand imports what it needs when it runs, so that ``--help`` comes at once."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from ccella_core import __version__
from ccella_core.cli import (
    evaluate,
    export_dicom,
    generate,
    implant,
    models,
    phantom,
    prepare,
    remote,
    study,
    synthesize,
    train,
)
from ccella_core.cli.output import EXIT_CODES, EXIT_FAILED, print_message

app = typer.Typer(
    help="Synthetic 3-D prostate MRI from a radiology report. Nothing that this makes is for diagnosis.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("generate", epilog=EXIT_CODES)(generate.generate)
app.command("export-dicom", epilog=EXIT_CODES)(export_dicom.export_dicom)
app.add_typer(models.app, name="models")
app.add_typer(evaluate.app, name="evaluate")
app.command("prepare", epilog=EXIT_CODES)(prepare.prepare)
app.command("implant", epilog=EXIT_CODES)(implant.implant)
app.command("train", epilog=EXIT_CODES)(train.train)
app.command("synthesize", epilog=EXIT_CODES)(synthesize.synthesize)
app.command("study", epilog=EXIT_CODES)(study.study)
app.command("phantom", epilog=EXIT_CODES)(phantom.phantom)
app.command("worker", epilog=EXIT_CODES)(remote.worker)
app.command("info", epilog=EXIT_CODES)(models.info)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ccella {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The entry point of the ``ccella`` script."""
    for stream in (sys.stdout, sys.stderr):
        # A Windows console in an old code page lacks letters that reports and paths may hold; a "?" beats a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if not sys.warnoptions:  # which -W and PYTHONWARNINGS fill
        warnings.simplefilter("ignore")  # what libraries say to whoever writes programs with them
    try:
        app()
    except OSError as error:  # a full or closed standard output, where help is printed and no command runs
        print_message(f"What was to be printed: {error.strerror or error}; choose another place.", style="red")
        sys.exit(EXIT_FAILED)
