"""docs/evaluation and the README: commands that the command line takes, and the numbers of the published study."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from ccella_core.cli import app
from ccella_core.config import read_settings
from ccella_core.study.config import StudyConfig
from ccella_core.study.result import StudyResult

ROOT = Path(__file__).resolve().parents[1]


def of_the_first_table() -> list[str]:
    text = (ROOT / "docs" / "evaluation" / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.split("\n## ")[0].splitlines() if line.startswith("| ")]
    return [command for row in rows for command in re.findall(r"`(ccella [^`]+)`", row)]


def in_code(page: str) -> list[str]:
    blocks = (ROOT / page).read_text(encoding="utf-8").split("```")[1::2]
    return [line for block in blocks for line in block.splitlines() if line.startswith("ccella ")]


COMMANDS = [
    *of_the_first_table(),
    *in_code("README.md"),
    *(line for name in ("README", "images", "adherence", "privacy", "classifier", "study")
      for line in in_code(f"docs/evaluation/{name}.md")),
]  # fmt: skip


def test_every_measurement_stands_there():
    measured = {"evaluate images", "evaluate class-head", "evaluate adherence", "evaluate privacy",
                "train classifier", "evaluate classifier", "study"}  # fmt: skip
    assert all(any(line.startswith(f"ccella {name}") for line in of_the_first_table()) for name in measured)
    assert len(in_code("README.md")) >= 5


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_whole(line):
    """Its parser raises where a command or an option is none, or one that is needed is missing."""
    command, words = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(line, words)


def test_the_published_study_is_of_the_recipe():
    found = StudyResult.model_validate_json((ROOT / "docs" / "study" / "study.json").read_bytes())
    recipe = read_settings(StudyConfig, ROOT / "Resources" / "Recipes" / "study.yaml")
    # Read again: what was published does not name the settings that came later.
    assert StudyConfig.model_validate(found.config) == recipe


def test_what_is_told_of_the_published_study_stands_in_its_tables():
    section = (
        (ROOT / "docs" / "evaluation" / "study.md").read_text(encoding="utf-8").split("## The published study\n")[1]
    )
    rows = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| ") and " to " in line]
    study = ROOT / "docs" / "study"
    written = [study / "study.md", *sorted((study / "counterfactual").iterdir())]
    tables = "\n".join(file.read_text(encoding="utf-8") for file in written)
    numbers = [cell.strip() for row in rows for cell in row.split("|")[2:-1]]
    assert len(rows) == 18 and all(number in tables for number in numbers), [n for n in numbers if n not in tables]
    of_measures = [row.split("|")[1].strip() for row in rows[:10]]
    for name, row in zip(of_measures, rows[:10], strict=True):
        (line,) = [each for each in tables.splitlines() if each.startswith(f"| {name} |")][:1]
        assert [cell.strip() for cell in row.split("|")[2:6]] == [cell.strip() for cell in line.split("|")[4:8]], name
