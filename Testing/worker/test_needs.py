"""What a model needs, beside what its networks really hold and do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ccella_core.errors import InputError
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.limits import GIB
from ccella_core.models.model import ModelFolder
from ccella_core.worker.needs import Operations, need_of, stored_values

SHAPE = (16, 16, 8)


def test_convolutions_grow_with_the_voxels_and_attention_with_their_square() -> None:
    assert Operations(by_voxel=10, by_pair=3).at(2) == 2 * 10 + 4 * 3


@pytest.mark.medium
def test_a_model_needs_its_weights_and_activations(tiny_model: Path, tiny_pipeline: CCELLAPipeline) -> None:
    need = need_of(ModelFolder.open(tiny_model))
    networks = [*tiny_pipeline.denoiser.parameters(), *tiny_pipeline.autoencoder.parameters()]
    assert need.network_values == pytest.approx(sum(parameter.numel() for parameter in networks), rel=0.01)
    assert need.weights_gib("cpu") - need.weights_gib("cuda") == pytest.approx(2 * need.encoder_values / GIB)
    assert need.step.by_voxel > 0 and need.decode.by_voxel > 0
    assert (need.scale(SHAPE), need.scale((32, 32, 16))) == (1, 8)
    small = need.activations_gib((256, 256, 128), guided=False)
    assert need.activations_gib((256, 256, 128), guided=True) >= small > need.activations_gib(SHAPE, guided=False) > 0
    with pytest.raises(InputError, match="nearest: 16 or 24"):
        need.check_shape((17, 16, 8))


def test_the_weights_of_the_text_encoder_are_counted_without_reading_them(
    tiny_model: Path, tiny_pipeline: CCELLAPipeline, tmp_path: Path
) -> None:
    assert tiny_pipeline.encoder is not None
    model = tiny_pipeline.encoder._loaded_model()
    folder = shutil.copytree(tiny_model / "text_encoder", tmp_path / "text_encoder")
    file = folder / "model.safetensors"
    header_bytes = 8 + int.from_bytes(file.read_bytes()[:8], "little")
    header = json.loads(file.read_bytes()[8:header_bytes])
    assert stored_values(folder) == sum(parameter.numel() for parameter in model.parameters()) and len(header) > 5
    file.write_bytes(file.read_bytes()[:header_bytes])  # the values are gone
    assert stored_values(folder) == stored_values(tiny_model / "text_encoder")
