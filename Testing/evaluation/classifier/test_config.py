"""The configuration of a downstream classifier."""

from __future__ import annotations

import pytest

from ccella_core.errors import InputError
from ccella_core.evaluation.classifier.config import read_classifier_config

SOURCES = """
output: out
train: [{folder: a, kind: real, split: train}]
validation: [{folder: a, kind: real, split: validation}]
"""


def test_the_published_preset_is_the_papers(tmp_path):
    (tmp_path / "c.yaml").write_text("preset: published" + SOURCES, encoding="utf-8")
    training = read_classifier_config(tmp_path / "c.yaml").classifier
    assert (training.network, training.preprocessing.shape) == ("efficientnet-b0", (256, 256, 32))
    assert (training.learning_rate, training.decay_power, training.focal_gamma) == (1e-4, 2.0, 2.0)
    assert (training.epochs, training.batch_size, training.choose_by) == (200, 32, "average_precision")
    assert training.steps_for(1600) == 200 * 50
    changed = training.augmentation
    assert (changed.probability, changed.rotation_degrees, changed.zoom) == (0.5, 15, 0.1)
    assert changed.translation == (25, 25, 2)


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
        ("train=[]", "train: Tuple should have at least 1 item"),
        ("seeds=[1, 1]", "a seed stands twice in seeds"),
        ("classifier.preprocessing.shape=[40, 32, 32]", "each side of preprocessing.shape must be a multiple of 32"),
        ("train=[{folder: a, kind: synthetic, split: train}]", "there are no real sources in train"),
    ],
)
def test_what_the_configuration_refuses(tmp_path, override, sentence):
    (tmp_path / "c.yaml").write_text("real_count: 4" + SOURCES, encoding="utf-8")
    with pytest.raises(InputError, match=sentence):
        read_classifier_config(tmp_path / "c.yaml", overrides=[override])


def test_an_unknown_preset_is_said(tmp_path):
    with pytest.raises(InputError, match=r"no preset 'smal'; there are published and small\. Did you mean small\?"):
        read_classifier_config(preset_name="smal")
