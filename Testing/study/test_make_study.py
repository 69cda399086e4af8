"""docs/tools/make_study.py shortens the recipe as it is, and a study takes what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from ccella_core.config import read_settings
from ccella_core.evaluation.classifier.config import preset
from ccella_core.study.checks import check_study
from ccella_core.study.classifiers import trainings
from ccella_core.study.config import StudyConfig, trainings_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool(docs_tool: Callable[[str], ModuleType]) -> ModuleType:
    return docs_tool("make_study")


def read(tool: ModuleType, shorter: int) -> StudyConfig:
    """The recipe as the tool hands it to ``ccella study``."""
    words = tool.shortened(yaml.safe_load(tool.RECIPE.read_text(encoding="utf-8")), shorter)
    assert set(words[::2]) <= {"--set"}
    return read_settings(StudyConfig, tool.RECIPE, words[1::2])


def test_eight_times_shorter(tool: ModuleType) -> None:
    whole, shorter = read(tool, 1), read(tool, 8)
    check_study(shorter)
    for variant in whole.variants:
        parts = list(zip(trainings_of(whole, variant), trainings_of(shorter, variant), strict=True))
        assert parts and all(short.denoiser.steps == long.denoiser.steps // 8 for long, short in parts)
        long, short = parts[0]
        for before, shortened in ((long.read_first, short.read_first), (long.expect_first, short.expect_first)):
            assert (before is None) == (shortened is None) == (variant == "maisi")
            assert before is None or shortened is None or shortened.steps == before.steps // 8
    long_steps, short_steps = (
        {training.classifier.steps for training in trainings(config)} for config in (whole, shorter)
    )
    assert short_steps == {steps // 8 for steps in long_steps}
    assert whole.classifiers is not None and shorter.classifiers is not None
    assert max(shorter.classifiers.real_counts) <= len(tool.PATIENTS["train"]) // 8
    assert min(shorter.classifiers.real_counts) >= 8


def test_however_short_something_is_left(tool: ModuleType) -> None:
    config = read(tool, 100_000)
    check_study(config)
    assert config.classifiers is not None and config.classifiers.real_counts == (8,)
    assert {training.classifier.steps for training in trainings(config)} == {2}


def test_a_second_training_is_shortened_too(tool: ModuleType) -> None:
    recipe = yaml.safe_load(tool.RECIPE.read_text(encoding="utf-8"))
    recipe["training"]["then"] = {"denoiser": {"steps": 400, "decay_steps": None}}
    words = tool.shortened(recipe, 8)
    assert "training.then.denoiser.steps=50" in words
    assert not any(word.startswith("training.then.denoiser.decay_steps") for word in words)


def test_what_a_recipe_says_of_the_classifiers_goes_before_their_preset(tool: ModuleType) -> None:
    recipe = yaml.safe_load(tool.RECIPE.read_text(encoding="utf-8"))
    for settings, steps in (({}, preset("small")["classifier"]["steps"]), ({"classifier": {"steps": 80}}, 80)):
        recipe["classifiers"] |= {"preset": "small", "settings": settings}
        assert f"classifiers.settings.classifier.steps={steps // 4}" in tool.shortened(recipe, 4)
