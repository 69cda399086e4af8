"""The one object of options: what it refuses, and that everybody takes the same."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from ccella_core.cli.generate import generate
from ccella_core.cli.options import generation_options
from ccella_core.errors import InputError
from ccella_core.generation.options import (
    CHOSEN_SEEDS,
    GenerationKeywords,
    GenerationOptions,
    options_of,
    read_options,
)
from ccella_core.provenance import Provenance
from ccella_core.worker.params import EstimateParams, GenerateParams

NAMES = set(GenerationOptions.model_fields)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ({"seed": "7"}, "A seed is a whole number from 0 to 2**63 - 1, not '7'."),
        ({"seed": 2**63}, "A seed is a whole number from 0 to 2**63 - 1, not 9223372036854775808."),
        ({"seed": 2**63 - 1, "count": 2}, "A seed is a whole number from 0 to 2**63 - 2, not 9223372036854775807."),
        ({"count": True}, "The count is a whole number from 1 to 64, not True; for more, call again."),
        ({"num_inference_steps": 1.5}, "The number of steps must be a whole number from 1 up, not 1.5."),
        (
            {"scheduler": "x"},
            "There is no scheduler 'x'; choose one of dpm++, sde-dpm++, unipc, ddim, ddpm, ddpm-reference, rflow.",
        ),
        ({"guidance_scale": float("nan")}, "The guidance scale is a number from 0 up, not nan."),
        ({"shape": (1, 2)}, "A volume's shape is three whole numbers of voxels, not (1, 2)."),
        ({"spacing": (1, 2, 0)}, "Each spacing is from 0.01 to 100 mm, not 0."),
        ({"spacing": 1}, "The spacing is three lengths in mm, not 1."),
        ({"pathology": 2}, "The pathology is 'negative', 'positive' or a probability from 0 to 1, not 2."),
        ({"memory_limit_gib": 0}, "The memory limit is a number of GiB above 0, not 0."),
        ({"output_range": "int8"}, "There is no output range 'int8'; choose one of native, 0-1, int16."),
        ({"guidence_scale": 2}, "There is no option guidence_scale; did you mean guidance_scale?"),
        ({"temperature": 2}, "There is no option temperature."),
    ],
)
def test_what_does_not_fit_is_refused_in_one_sentence(value: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        options_of(value)
    assert str(caught.value) == sentence


def test_keywords_stand_over_options_and_neither_changes() -> None:
    options = GenerationOptions(seed=3, count=2, scheduler="ddim")
    both = read_options(options, seed=4, guidance_scale=2)
    assert (both.seed, both.count, both.scheduler, both.guidance_scale) == (4, 2, "ddim", 2.0)
    assert options.seed == 3 and read_options(options, scheduler="unipc").scheduler == "unipc"
    with pytest.raises(InputError, match="guidance scale"):
        read_options(options, guidance_scale=-1)


def test_numbers_of_numpy_are_numbers() -> None:
    options = options_of({"seed": np.int64(3), "shape": np.array([8, 16, 8]), "spacing": np.ones(3, np.float32)})
    assert (options.seed, options.shape, options.spacing) == (3, (8, 16, 8), (1.0, 1.0, 1.0))


def test_seeds_follow_each_other_and_one_is_drawn_where_there_is_none() -> None:
    assert GenerationOptions(seed=5, count=3).seeds == [5, 6, 7]
    drawn = GenerationOptions(count=2).with_seed()
    assert drawn.seed is not None and 0 <= drawn.seed < CHOSEN_SEEDS and drawn.seeds == [drawn.seed, drawn.seed + 1]
    assert drawn.with_seed() is drawn


def test_every_option_is_described() -> None:
    assert all(field.description for field in GenerationOptions.model_fields.values())


def test_an_option_reaches_pipeline_worker_command_and_sidecar() -> None:
    """The four places of an option, and those that need no change."""
    assert GenerationKeywords.__annotations__.keys() == NAMES - {"scheduler"}
    assert set(GenerateParams.model_fields) >= NAMES <= set(EstimateParams.model_fields)
    renamed = {"num_inference_steps": "steps", "guidance_scale": "guidance", "memory_limit_gib": "memory_limit"}
    assert set(inspect.signature(generate).parameters) >= {renamed.get(name, name) for name in NAMES}
    not_of_a_volume = {"count", "memory_limit_gib", "sequences", "labels"}
    recorded = {"pathology": "pathology_requested"}
    assert set(Provenance.model_fields) >= {recorded.get(name, name) for name in NAMES - not_of_a_volume}


def test_the_command_line_s_names_become_options() -> None:
    options = generation_options(steps=3, guidance=2.0, memory_limit=1.5, pathology="0.25", seed=1, shape=None)
    assert options == GenerationOptions(
        num_inference_steps=3, guidance_scale=2.0, memory_limit_gib=1.5, pathology=0.25, seed=1
    )
    assert generation_options(steps=None, guidance=1.0, pathology="negative").pathology == "negative"


def test_a_worker_s_parameters_hold_the_options() -> None:
    params = GenerateParams.model_validate({"model": "m", "output_dir": "/o", "seed": 1, "shape": [8, 8, 8]})
    assert params.options == GenerationOptions(seed=1, shape=(8, 8, 8))
    assert type(params.options) is GenerationOptions
