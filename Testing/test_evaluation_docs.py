"""The commands by which docs/evaluation.md and the README measure a model are ones that the command line takes."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from ccella_core.cli import app

ROOT = Path(__file__).resolve().parents[1]


def of_the_first_table() -> list[str]:
    text = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    rows = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("| ")]
    return [command for row in rows for command in re.findall(r"`(ccella [^`]+)`", row)]


def of_the_readme() -> list[str]:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("### Measure it\n")[1]
    return section.split("```")[1].strip().splitlines()


def test_every_measurement_stands_there():
    measured = {"synthesize", "evaluate images", "evaluate class-head", "evaluate adherence", "evaluate privacy",
                "classify train", "classify test", "study"}  # fmt: skip
    assert all(any(line.startswith(f"ccella {name}") for line in of_the_first_table()) for name in measured)
    assert len(of_the_readme()) >= 5


@pytest.mark.parametrize("line", [*of_the_first_table(), *of_the_readme()])
def test_every_command_is_whole(line):
    """Its parser raises where a command or an option is none, or one that is needed is missing."""
    command, words = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(line, words)
