"""A shape or spacing that a model has not learnt is said, and nothing else is."""

from __future__ import annotations

import pytest

from ccella_core.models.index import ModelIndex
from ccella_core.models.model import ModelFolder
from ccella_core.models.search import shipped_models_dir
from ccella_core.models.trained_on import far_from_training

DEMO = ModelFolder.open(shipped_models_dir() / "ccella-demo").index


def make_index(**changes: object) -> ModelIndex:
    own = {"name": "tiny", "native_shape": (32, 48, 16), "native_spacing_mm": (0.5, 0.5, 3.0)}
    return ModelIndex.model_validate({**DEMO.model_dump(), **own, **changes})


OWN = {"shape": (32, 48, 16), "spacing": (0.5, 0.5, 3.0)}


@pytest.mark.parametrize(
    "requested", [{}, {"shape": (40, 40, 16)}, {"spacing": (0.625, 0.375, 3.75)}, {"shape": (24, 60, 20)}]
)
def test_within_a_quarter_nothing_is_said(requested: dict[str, tuple[float, ...]]) -> None:
    assert far_from_training(make_index(), **{**OWN, **requested}) == []


def test_beyond_a_quarter_each_is_said_once() -> None:
    said = far_from_training(make_index(), (64, 96, 16), (0.5, 0.5, 4.0))
    assert said == [
        "The shape of 64 voxels along X is far from what the model tiny was trained on (24 to 40): the volume may look "
        "like nothing real.",
        "The spacing of 4 mm along Z is far from what the model tiny was trained on (2.25 to 3.75): the volume may "
        "look like nothing real.",
    ]


def test_the_range_in_the_index_comes_first() -> None:
    index = make_index(trained_spacing_mm=[[0.3, 1.0], [0.3, 1.0], [3.0, 3.0]], trained_shape=[[16, 64]] * 3)
    assert far_from_training(index, (16, 64, 64), (0.3, 1.0, 3.0)) == []
    (said,) = far_from_training(index, (16, 64, 64), (0.3, 1.0, 3.1))
    assert "3.1 mm along Z" in said and "(3)" in said


def test_an_index_without_a_range_says_nothing_of_it() -> None:
    """So the hash of a model that is older than the field stays as it is."""
    assert not {"trained_spacing_mm", "modality_labels"} & make_index().model_dump(mode="json").keys()
    assert make_index(default_guidance_scale=3.0).model_dump()["default_guidance_scale"] == 3.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"trained_spacing_mm": [[1.0, 0.5]] * 3}, "from small to large"),
        ({"modality_labels": {"adc": 10}}, "exactly the sequences"),
        ({"sequences": ["t2w", "t2w"]}, "twice"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_index(**change)
