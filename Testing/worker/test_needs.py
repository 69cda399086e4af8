"""What a network needs, counted on the meta device, beside what it really does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from ccella_core.errors import InputError
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.limits import GIB
from ccella_core.models.model import INDEX_NAME, ModelFolder
from ccella_core.worker.needs import cost_of, need_of, stored_values


def test_operations_and_memory_of_a_network_that_is_reckoned_by_hand() -> None:
    with torch.device("meta"):
        network = nn.Sequential(nn.Conv3d(2, 4, 3, padding=1, bias=False), nn.SiLU(), nn.Conv3d(4, 1, 1, bias=False))
        x = torch.empty(1, 2, 8, 8, 8)
    cost = cost_of(lambda: network(x), network.parameters())
    voxels = 8**3
    assert cost.operations == 2 * voxels * (27 * 2 * 4 + 4)
    # Largest while the last convolution runs: what SiLU made, the output, and the copies of both.
    assert cost.peak_bytes == 4 * voxels * (4 + 1 + 4 + 1)


def test_attention_counts_quadratically() -> None:
    with torch.device("meta"):
        few, many = torch.empty(1, 2, 100, 8), torch.empty(1, 2, 200, 8)
    costs = [cost_of(lambda x=x: (x @ x.transpose(2, 3)).softmax(-1) @ x, []) for x in (few, many)]
    assert costs[0].operations == 2 * 2 * 2 * 100 * 100 * 8
    assert costs[1].operations == 4 * costs[0].operations and costs[1].peak_bytes > 3 * costs[0].peak_bytes


def test_a_model_needs_its_weights_and_activations(tiny_model: Path, tiny_pipeline: CCELLAPipeline) -> None:
    model = ModelFolder.open(tiny_model)
    need = need_of(model, (16, 16, 8), guided=False)
    networks = [*tiny_pipeline.denoiser.parameters(), *tiny_pipeline.autoencoder.parameters()]
    assert need.network_bytes == sum(parameter.nbytes for parameter in networks)
    assert need.latent_shape == (4, 4, 2) and need.channels == 32
    assert need.weights_gib("cpu") - need.weights_gib("cuda") == pytest.approx(2 * need.encoder_values / GIB)
    doubled = need_of(model, (16, 16, 8), guided=True)
    assert doubled.step.operations == pytest.approx(2 * need.step.operations, rel=0.01)
    assert doubled.decode_operations == need.decode_operations
    larger = need_of(model, (32, 32, 16), guided=False)
    assert larger.decode_operations == 8 * need.decode_operations
    assert larger.step.operations > 2 * need.step.operations
    assert larger.activations_gib > need.activations_gib
    with pytest.raises(InputError, match="nearest: 16 or 24"):
        need_of(model, (17, 16, 8), guided=False)


def test_every_sequence_is_decoded(tiny_model: Path, tmp_path: Path) -> None:
    several = Path(shutil.copytree(tiny_model, tmp_path / "several"))
    index = json.loads((several / INDEX_NAME).read_text(encoding="utf-8"))
    index |= {"sequences": ["t2w", "adc"], "intensity_range": {"t2w": [0, 1], "adc": [0, 0.003]}}
    (several / INDEX_NAME).write_text(json.dumps(index), encoding="utf-8")
    one, two = (need_of(ModelFolder.open(folder), (16, 16, 8), guided=False) for folder in (tiny_model, several))
    assert two.decode_operations == 2 * one.decode_operations and two.decode_gib == one.decode_gib


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
