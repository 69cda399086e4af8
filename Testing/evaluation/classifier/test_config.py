"""The configuration of a downstream classifier."""

from __future__ import annotations

import pytest

from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.config import read_classifier_config
from ccella_core.evaluation.classifier.network import Preprocessing

SOURCES = """
output: out
train: [{folder: a, kind: real, split: train}]
validation: [{folder: a, kind: real, split: validation}]
"""


def test_our_own_preset_is_the_papers_where_it_says_something(tmp_path):
    (tmp_path / "c.yaml").write_text("preset: own" + SOURCES, encoding="utf-8")
    config = read_classifier_config(tmp_path / "c.yaml")
    training = config.classifier
    assert config.sequences == ("t2w",) and config.start_from is None
    assert training.preprocessing == Preprocessing(spacing=(0.5, 0.5, 2.0))
    assert (training.network, training.preprocessing.shape) == ("efficientnet-b0", (256, 256, 32))
    assert (training.learning_rate, training.decay_power, training.focal_gamma) == (1e-4, 2.0, 2.0)
    assert (training.epochs, training.batch_size, training.choose_by) == (200, 32, "average_precision")
    assert training.steps_for(1600) == 200 * 50
    changed = training.augmentation
    assert (changed.probability, changed.rotation_degrees, changed.zoom) == (0.5, 15, 0.1)
    assert changed.translation == (25, 25, 2)


def test_the_published_preset_is_the_classifier_of_ccella(tmp_path):
    (tmp_path / "c.yaml").write_text("preset: published" + SOURCES, encoding="utf-8")
    config = read_classifier_config(tmp_path / "c.yaml")
    training = config.classifier
    assert config.sequences == ("t2w",)
    assert training.preprocessing == Preprocessing(
        shape=(256, 256, 32), spacing=(0.5, 0.5, 3.0), resampling="lanczos", intensity="0-1"
    )
    assert (training.network, training.learning_rate) == ("efficientnet-b0", 1e-4)
    assert (training.decay_power, training.focal_gamma) == (2.0, 2.0)
    assert (training.epochs, training.batch_size, training.choose_by) == (200, 16, "last")


def test_the_presets_of_ccella_plus_plus(tmp_path):
    (tmp_path / "c.yaml").write_text(SOURCES, encoding="utf-8")
    first, second = (
        read_classifier_config(tmp_path / "c.yaml", preset_name=name)
        for name in ("published++", "published++-fine-tuning")
    )
    for config in (first, second):
        assert config.sequences == ("t2w", "hbv", "adc")
        assert config.classifier.preprocessing == Preprocessing(
            shape=(256, 256, 32), spacing=(0.5, 0.5, 3.0), resampling="lanczos", soft_clip=10_000
        )
        assert (config.classifier.batch_size, config.classifier.choose_by) == (32, "average_precision")
        assert config.classifier.epochs == 5 * config.classifier.validations, "a look every five epochs"
    assert (first.classifier.epochs, first.classifier.learning_rate) == (155, 1e-4)
    assert (second.classifier.epochs, second.classifier.learning_rate) == (385, 1e-5)


def test_one_sequence_by_its_former_name(tmp_path):
    (tmp_path / "c.yaml").write_text("sequence: adc" + SOURCES, encoding="utf-8")
    assert read_classifier_config(tmp_path / "c.yaml").sequences == ("adc",)


def test_a_preset_the_file_and_overrides_in_turn(tmp_path):
    (tmp_path / "c.yaml").write_text("classifier: {steps: 7}" + SOURCES, encoding="utf-8")
    config = read_classifier_config(tmp_path / "c.yaml", preset_name="small", overrides=["classifier.batch_size=4"])
    assert (config.classifier.network, config.classifier.steps, config.classifier.batch_size) == ("resnet10", 7, 4)
    assert config.seeds == (0, 1, 2)


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("classifier.batchsize=4", "there is no key classifier.batchsize; did you mean batch_size"),
        ("train=[{folder: a, kinds: real, split: train}]", "there is no key train.0.kinds; did you mean kind"),
        ("train=[]", "train: too few entries, at least 1 needed"),
        ("seeds=[1, 1]", "a seed stands twice in seeds"),
        ("classifier.preprocessing.shape=[40, 32, 32]", "each side of preprocessing.shape must be a multiple of 32"),
        ("train=[{folder: a, kind: synthetic, split: train}]", "there are no real sources in train"),
        ("real_fraction=0.5", "real_count and real_fraction say the same thing"),
        ("real_fraction=1.5", "real_fraction: must be at most 1"),
        ("sequences=[t2w, t2w]", "a sequence stands twice in sequences"),
        ("sequences=[]", "sequences: too few entries, at least 1 needed"),
        ("classifier.preprocessing={resampling: lanczos}", "is lanczos, and there is no preprocessing.spacing"),
        ("classifier.preprocessing={intensity: 0-1, soft_clip: 10}", "soft_clip is of standardised intensities"),
    ],
)
def test_what_the_configuration_refuses(tmp_path, override, sentence):
    (tmp_path / "c.yaml").write_text("real_count: 4" + SOURCES, encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        read_classifier_config(tmp_path / "c.yaml", overrides=[override])


def test_an_unknown_preset_is_said(tmp_path):
    with pytest.raises(
        InputError, match=r"no preset 'smal'; there are own, published, .* small\. Did you mean small\?"
    ):
        read_classifier_config(preset_name="smal")
