"""``ccella evaluate``: how good a model is; a file a command."""

from __future__ import annotations

import typer

from ccella_core.cli import evaluate_adherence, evaluate_class_head, evaluate_images, evaluate_privacy
from ccella_core.cli.output import EXIT_CODES

app = typer.Typer(help="Measure a model.", no_args_is_help=True, epilog=EXIT_CODES)
app.command("adherence", epilog=EXIT_CODES)(evaluate_adherence.adherence)
app.command("class-head", epilog=EXIT_CODES)(evaluate_class_head.class_head)
app.command("images", epilog=EXIT_CODES)(evaluate_images.images)
app.command("privacy", epilog=EXIT_CODES)(evaluate_privacy.privacy)
