"""docs/training.md does what it says: its commands, configurations, tables and numbers are held against the code."""

from __future__ import annotations

import json
import math
import re
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import typer
import yaml
from accelerate.commands.launch import launch_command_parser

from ccella_core.cases.manifest import COLUMNS
from ccella_core.cli import app
from ccella_core.config import read_settings
from ccella_core.generation.text_encoder import DEFAULT_MAX_TOKENS
from ccella_core.networks.config import UNetConfig
from ccella_core.training.train_autoencoder import AutoencoderConfigFile
from ccella_core.training.train_config import TrainConfig, preset, preset_names, read_config
from ccella_core.training.train_text_encoder import TextEncoderConfigFile

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def fenced(language: str) -> list[str]:
    """What stands between fences of that language, in and outside of lists."""
    blocks: list[tuple[str, list[str]]] = []
    inside = False
    for line in TEXT.splitlines():
        if line.strip().startswith("```"):
            inside = not inside
            blocks += [(line.strip()[3:], [])] if inside else []
        elif inside:
            blocks[-1][1].append(line)
    return [textwrap.dedent("\n".join(lines)) for found, lines in blocks if found == language]


COMMANDS = [line for block in fenced("") for line in block.splitlines() if line.startswith(("ccella ", "accelerate "))]


def parsed(line: str) -> None:
    """Raises what the command line would refuse the line with, before anything is run."""
    command, words = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    command.make_context(line, words)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_one(line):
    if line.startswith("accelerate "):
        given = launch_command_parser().parse_args(shlex.split(line)[2:])
        assert given.module and given.training_script == "ccella_core"
        line = " ".join(["ccella", *given.training_script_args])
    parsed(line)


def test_there_are_commands_and_configurations_on_the_page():
    assert len(COMMANDS) >= 15 and len(fenced("yaml")) == 3
    named = {" ".join(line.split()[1:3]) for line in COMMANDS}
    assert {"train denoiser", "train autoencoder", "train text-encoder"} <= named
    assert {"models export", "models import-autoencoder"} <= named


@pytest.mark.parametrize("block", fenced("yaml"))
def test_every_configuration_is_accepted(tmp_path, block):
    file = tmp_path / "config.yaml"
    file.write_text(block, encoding="utf-8")
    settings = yaml.safe_load(block)
    if "pretrained" in settings:
        read_settings(TextEncoderConfigFile, file)
    elif isinstance(settings["autoencoder"], dict):
        read_settings(AutoencoderConfigFile, file)
    else:
        read_config(file)


@pytest.fixture(scope="module")
def tool(docs_tool: Callable[[str], ModuleType]) -> ModuleType:
    return docs_tool("table_of_keys")


def test_every_key_is_explained(tool):
    for model in tool.CONFIGURATIONS.values():
        assert not [row for row in tool.rows(model) if row.endswith("|  |")]


def test_published_presets_change_nothing_of_the_defaults_but_what_the_page_says():
    given = {"data": "d", "output": "o", "autoencoder": "a"}
    published = TrainConfig.model_validate({**preset("published-ccella"), **given})
    default = TrainConfig.model_validate({**given, "text_encoder": "google/flan-t5-xxl"})
    assert published == default.model_copy(update={"cache": published.cache})
    for name in preset_names():
        assert f"`{name.partition('-')[0]}-`" in TEXT and f"`{name.partition('-')[2]}`" in TEXT


def test_every_column_of_a_manifest_is_on_the_page():
    (table,) = re.findall(r"\| column \|.*?\n\n", TEXT, re.DOTALL)
    cells = [line.split("|")[1] for line in table.strip().splitlines()[2:]]
    named = {word for cell in cells for word in re.findall(r"`(\w+)`", cell)}
    assert named == set(COLUMNS)


def test_the_numbers_are_worked_out_as_they_say():
    shapes = json.loads((ROOT / "Testing" / "data" / "reference" / "state_dict_published.json").read_text())["ccella"]
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    unet = sum(size for name, size in sizes.items() if name.startswith("unet."))
    parameters = sum(sizes.values())
    for number in (parameters, unet, parameters - unet):
        assert f"{number:,}" in TEXT
    assert f"| {16 * parameters / 1e9:.1f} GB |" in TEXT and f"are {12 * parameters / 1e9:.1f} GB each" in TEXT
    assert f"| {5 * 12 * parameters / 1e9:.0f} GB |" in TEXT
    latent = UNetConfig().latent_channels * 64 * 64 * 32 * 2
    text = DEFAULT_MAX_TOKENS * 4096 * 2
    assert f"{(latent + text) / 1e6:.2f} MB a case" in TEXT
    assert f"| {1350 * (latent + text) / 1e9:.1f} GB |" in TEXT
    steps, operations = 400 * 1200 // 8, 3.23e12
    assert f"| {steps:,} |" in TEXT
    hours = [steps * 8 * operations / (speed * 1e12) / 3600 for speed in (10, 30, 100)]
    assert f"{hours[0]:.0f} h at 10, {hours[1]:.0f} h at 30, {hours[2]:.1f} h at 100" in TEXT
    assert f"at most {1500 * 256 * 256 * 128 * 2 / 1e9:.0f} GB" in TEXT
