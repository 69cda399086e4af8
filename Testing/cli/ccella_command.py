"""The ``ccella`` command, called within the process of the tests, for all of its tests that lie here."""

from pathlib import Path

from typer.testing import CliRunner, Result

from ccella_core.cli import app

REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex."
STEM = "SYNTHETIC_tiny_seed7"


def ccella(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def generate(model: Path, out: Path, *more: object) -> Result:
    return ccella("generate", "--model", model, "--report", REPORT, "--device", "cpu", "--out", out, *more)
