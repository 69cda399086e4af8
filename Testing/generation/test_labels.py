"""A model of several sequences and labels: which parts of its latent are decoded, and what becomes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from ccella_core.errors import InputError, ModelError
from ccella_core.generation import pipeline as module
from ccella_core.generation.components import check_components
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.models.model import ModelFolder, ModelIndex
from ccella_core.progress import Progress

REPORT = "IMPRESSION: PI-RADS 4 lesion in the left apex."
CHANNELS = 4
FACTORS = (1.0, 0.9, 1.1, 1.0, 0.8)  # of the model's parts


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was given to each decoding, and its voxels."""
    calls: list[dict[str, Any]] = []
    decode = module.decode

    def recorded(autoencoder: Any, latents: Any, **settings: Any) -> Any:
        voxels = decode(autoencoder, latents, **settings)
        calls.append({"latents": latents, "factor": settings["scale_factor"], "voxels": voxels})
        return voxels

    monkeypatch.setattr(module, "decode", recorded)
    return calls


@pytest.mark.medium
def test_an_examination_has_a_volume_of_each_sequence_and_one_label_map(
    labelled_pipeline: CCELLAPipeline, decoded: list[dict[str, Any]]
) -> None:
    volumes = labelled_pipeline(REPORT, seed=0, count=2)
    assert [(each.provenance.seed, each.sequence) for each in volumes] == [
        (seed, sequence) for seed in (0, 1) for sequence in ("t2w", "hbv", "adc")
    ]
    assert [call["factor"] for call in decoded] == [(factor,) for factor in FACTORS]
    gland, lesion = (call["voxels"].numpy() >= 0.5 for call in decoded[3:])
    for first in (0, 3):
        labels = volumes[first].labels
        assert labels is not None and all(each.labels is labels for each in volumes[first : first + 3])
        row = first // 3
        expected = np.where(lesion[row, 0], 2, gland[row, 0])
        np.testing.assert_array_equal(labels.voxels, expected)
        assert labels.voxels.dtype == np.uint8 and set(np.unique(labels.voxels)) == {0, 1, 2}
        assert labels.provenance is volumes[first].provenance
        np.testing.assert_array_equal(labels.affine, volumes[first].affine)


@pytest.mark.medium
def test_only_what_is_asked_for_is_decoded_and_it_is_the_same(
    labelled_pipeline: CCELLAPipeline, decoded: list[dict[str, Any]]
) -> None:
    everything = {each.sequence: each for each in labelled_pipeline(REPORT, seed=0)}
    decoded.clear()
    (alone,) = labelled_pipeline(REPORT, seed=0, sequences=["t2w"], labels=False)
    assert len(decoded) == 1 and alone.labels is None
    np.testing.assert_array_equal(alone.voxels, everything["t2w"].voxels)
    steps: list[Progress] = []
    two = labelled_pipeline(REPORT, seed=0, sequences=("adc", "t2w"), callback=steps.append)  # type: ignore[arg-type]
    assert [each.sequence for each in two] == ["t2w", "adc"]  # in the model's order
    np.testing.assert_array_equal(two[1].voxels, everything["adc"].voxels)
    assert two[0].labels is not None and len(decoded) == 1 + 4
    assert steps[-1].step == steps[-1].steps  # a decoding that is left out is not waited for


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sequences": ["flair"]}, "a list of some of t2w, adc, hbv, not 'flair'"),
        ({"sequences": []}, "a list of some of t2w"),
        ({"sequences": "t2w"}, "a list of some of t2w"),
        ({"sequences": ["adc"]}, "The model tiny draws t2w, and no adc"),
        ({"labels": "yes"}, "True or False, not 'yes'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(tiny_pipeline: CCELLAPipeline, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        tiny_pipeline(REPORT, seed=0, **arguments)


def test_a_scale_factor_for_each_channel(labelled_pipeline: CCELLAPipeline, decoded: list[dict[str, Any]]) -> None:
    (by_part,) = labelled_pipeline(REPORT, seed=0, sequences=["hbv"], labels=False)
    index = labelled_pipeline.index
    by_channel = tuple(factor for factor in FACTORS for _ in range(CHANNELS))
    try:
        labelled_pipeline.index = index.model_copy(update={"latent_scale_factor": by_channel})
        (again,) = labelled_pipeline(REPORT, seed=0, sequences=["hbv"], labels=False)
        np.testing.assert_array_equal(by_part.voxels, again.voxels)
        others = (*by_channel[:CHANNELS], 0.5, *by_channel[CHANNELS + 1 :])
        labelled_pipeline.index = index.model_copy(update={"latent_scale_factor": others})
        (other,) = labelled_pipeline(REPORT, seed=0, sequences=["hbv"], labels=False)
    finally:
        labelled_pipeline.index = index
    assert [call["factor"] for call in decoded] == [(0.9,), (0.9,) * CHANNELS, (0.5, 0.9, 0.9, 0.9)]
    assert np.abs(other.voxels - by_part.voxels).max() > 1e-3


def test_an_index_that_does_not_agree_is_refused(labelled_pipeline: CCELLAPipeline) -> None:
    content = labelled_pipeline.index.model_dump()
    for change, words in (
        ({"labels": ["gland", "gland"]}, "named twice"),
        ({"labels": ["bladder"]}, "gland"),
        ({"latent_scale_factor": (1.0,) * 7}, "for each of the sequences and labels, or for each channel"),
        ({"latent_scale_factor": ()}, "for each of the sequences and labels, or for each channel"),
    ):
        with pytest.raises(ValidationError, match=words):
            ModelIndex.model_validate({**content, **change})


def test_parts_that_do_not_fit_the_labels_are_refused(labelled_pipeline: CCELLAPipeline) -> None:
    whole = labelled_pipeline
    for change, words in (
        (
            {"labels": ["gland"], "latent_scale_factor": 1.0},
            "20 latent channels, .* 4 for each of 4 sequences",
        ),
        ({"latent_scale_factor": (1.0,) * 10}, "2 scale factors for each .* which have 4 channels"),
    ):
        index = whole.index.model_copy(update=change)
        with pytest.raises(ModelError, match=words):
            check_components(whole.denoiser.config, whole.autoencoder_config, whole.encoder, index)


def test_labels_are_part_of_a_models_hash_and_their_absence_is_not(labelled_model: Path, tiny_model: Path) -> None:
    labelled, plain = ModelFolder.open(labelled_model), ModelFolder.open(tiny_model)
    without = labelled.index.model_copy(update={"labels": []})
    assert ModelFolder(labelled_model, without).sha256 != labelled.sha256
    assert "labels" in plain.index.model_dump() and labelled.describe()["labels"] == ["gland", "lesion"]
