"""The configuration of a study, the trainings that follow from it, and its plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ccella_core.config import checked, read_settings
from ccella_core.errors import InputError
from ccella_core.networks.config import REPORT_VARIANTS
from ccella_core.study.config import Classifiers, StudyConfig, trainings_of, with_labels
from ccella_core.study.plan import plan


def study(**more: Any) -> StudyConfig:
    content = {"output": "out", "data": {"prepared": "prepared"}, **more}
    return checked(StudyConfig, content, "The configuration")


def test_every_variant_is_trained_alike() -> None:
    config = study(training={"settings": {"denoiser": {"steps": 77, "seed": 5, "batch_size": 3}}})
    trainings = [trainings_of(config, variant)[0] for variant in config.variants]
    assert [training.denoiser.network.variant for training in trainings] == list(REPORT_VARIANTS)
    alike = [training.denoiser.model_dump(exclude={"network"}) for training in trainings]
    assert all(each == alike[0] for each in alike) and alike[0]["steps"] == 77
    unets = [training.denoiser.network.unet for training in trainings]
    assert all(unet == unets[0] for unet in unets)


def test_what_concerns_reports_is_left_out_of_variants_that_read_none() -> None:
    settings = {
        "text_encoder": "encoder",
        "max_tokens": 24,
        "read_first": {"steps": 2, "batch_size": 2, "learning_rate": 1e-3},
        "denoiser": {"network": {"adapter": {"layers": 2}}},
    }
    config = study(training={"settings": settings})
    reads, blind = trainings_of(config, "ellamaisi")[0], trainings_of(config, "maisi")[0]
    assert reads.text_encoder == "encoder" and reads.read_first is not None and reads.max_tokens == 24
    assert reads.denoiser.network.adapter is not None and reads.denoiser.network.adapter.layers == 2
    assert blind.text_encoder is None and blind.read_first is None and blind.denoiser.network.adapter is None
    assert reads.cache_folder != blind.cache_folder and reads.output != blind.output


def test_what_reports_let_expect_is_left_out_of_variants_that_read_none() -> None:
    settings = {
        "expect_first": {"steps": 2, "batch_size": 2, "learning_rate": 1e-3},
        "denoiser": {"network": {"unet": {"gaussian": True, "expected": True}}},
    }
    config = study(training={"settings": settings})
    reads, blind = trainings_of(config, "decoupled")[0], trainings_of(config, "maisi")[0]
    assert reads.expect_first is not None and reads.denoiser.network.unet.expected
    assert blind.expect_first is None and not blind.denoiser.network.unet.expected
    assert blind.denoiser.network.unet == reads.denoiser.network.unet.model_copy(update={"expected": False})


def test_label_maps_which_are_not_measured_are_not_drawn() -> None:
    assert study().synthesis.options.labels is False


def test_a_second_training_learns_on_from_the_first() -> None:
    settings = {"denoiser": {"steps": 7, "decay_steps": 20, "batch_size": 3}}
    then = {"denoiser": {"steps": 5, "decay_steps": None, "seed": 1}}
    config = study(training={"settings": settings, "then": then})
    for variant in config.variants:
        first, second = trainings_of(config, variant)
        assert (first.denoiser.steps, first.denoiser.decay_steps, first.start_from) == (7, 20, None)
        assert (second.denoiser.steps, second.denoiser.decay_steps, second.start_from) == (5, None, first.output)
        assert second.denoiser.batch_size == 3 and second.denoiser.network == first.denoiser.network
        assert first.output.parent == second.output and first.cache_folder == second.cache_folder


def test_a_setting_that_no_training_has_is_named() -> None:
    config = study(training={"settings": {"denoiser": {"step": 3}}})
    with pytest.raises(
        InputError, match=r"training.settings, for maisi, cannot be used: there is no key denoiser.step"
    ):
        trainings_of(config, "maisi")
    config = study(training={"then": {"denoiser": {"step": 3}}})
    with pytest.raises(InputError, match=r"training.then, for maisi, cannot be used: there is no key denoiser.step"):
        trainings_of(config, "maisi")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"variants": ["ccella", "ccella"]}, "a variant stands twice"),
        ({"privacy": {"extractor": "medicalnet"}}, "medicalnet is not among images.extractors"),
        ({"training": {"settings": {"output": "x"}}}, "training.settings must not hold output"),
        ({"training": {"then": {"start_from": "x"}}}, "training.then must not hold start_from"),
        ({"classifiers": {"real_counts": [4], "settings": {"seeds": [1]}}}, "classifiers.settings must not hold seeds"),
        ({"classifiers": {"real_counts": [4], "arms": ["synthetic"]}}, "must be among arms"),
        ({"classifiers": {"real_counts": [4], "seeds": [0, 0]}}, "a seed stands twice in seeds"),
        ({"synthesis": {"scheduler": "dpm--"}}, r"synthesis.scheduler: choose 'dpm\+\+'"),
        ({"variants": ["ccella"], "classifiers": {"real_counts": [4], "variants": ["maisi"]}}, "has maisi, which is"),
        ({"classifiers": {"real_counts": [4]}, "synthesis": {"train_per_case": 0}}, "train_per_case of at least 1"),
        ({"imagse": {}}, "there is no key imagse; did you mean images"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(more: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        study(**more)


def test_volumes_without_a_label_supply_no_classifier() -> None:
    classifiers = Classifiers(real_counts=(4,))
    assert with_labels(classifiers, ("ccella", "maisi", "ellamaisi", "radmaisi")) == ("ccella", "ellamaisi", "radmaisi")
    predicted = Classifiers(real_counts=(4,), labels="predicted")
    assert with_labels(predicted, ("ccella", "maisi", "ellamaisi", "radmaisi")) == ("ccella",)
    with pytest.raises(InputError, match="The volumes of maisi have no label"):
        with_labels(Classifiers(real_counts=(4,), variants=("maisi",)), ("ccella", "maisi"))


def test_the_plan_says_what_is_left_out_and_why() -> None:
    config = study(variants=["ccella", "maisi"], classifiers={"real_counts": [4, 8]})
    stages = {stage.key: stage.why_not for stage in plan(config)}
    assert stages["cases"] == "they are prepared already"
    assert stages["variants/ccella/class-head"] is None
    assert stages["variants/maisi/class-head"] == "it has no class head"
    assert stages["variants/ccella/adherence"] == "it is left out of this study"
    assert stages["classifiers/maisi"] == "nothing tells which class its volumes have"
    assert [key for key, why_not in stages.items() if key.startswith("classifiers") and why_not is None] == [
        "classifiers/real/4-real",
        "classifiers/real/8-real",
        "classifiers/synthetic/ccella",
        "classifiers/both/ccella/4-real",
        "classifiers/both/ccella/8-real",
    ]


def test_one_variant_may_supply_the_volumes() -> None:
    config = study(variants=["ccella", "decoupled"], classifiers={"real_counts": [4], "variants": ["ccella"]})
    stages = {stage.key: stage.why_not for stage in plan(config)}
    assert "classifiers/both/ccella/4-real" in stages
    assert stages["classifiers/decoupled"] == "it is left out of this study"


def test_the_recipe_can_be_used() -> None:
    recipe = Path(__file__).resolve().parents[2] / "Resources" / "Recipes" / "study.yaml"
    config = read_settings(StudyConfig, recipe)
    assert config.variants == ("ccella", "maisi", "ellamaisi", "decoupled")
    for variant in config.variants:
        assert trainings_of(config, variant)[0].denoiser.steps == trainings_of(config, "maisi")[0].denoiser.steps
    assert plan(config)
