"""Networks as parts of a model: safetensors in, safetensors out, and a clear word for anything else."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import BaseModel, ConfigDict
from torch import nn

from ccella_core.errors import ModelError, NonFiniteError
from ccella_core.models.model import load_config, load_state, save_component


class TinyConfig(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int = 3


def tiny_network(width: int = 3) -> nn.Module:
    return nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_component(tiny_network(), TinyConfig(), tmp_path / "part")
    return tmp_path / "part"


def test_a_network_comes_back_exactly(folder: Path) -> None:
    torch.manual_seed(0)
    saved, loaded = tiny_network(), tiny_network()
    load_state(loaded, folder)
    for name, tensor in saved.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    assert load_config(TinyConfig, folder) == TinyConfig(width=3)
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_half_precision_storage_loads_into_float32(tmp_path: Path) -> None:
    saved, loaded = tiny_network(), tiny_network()
    save_component(saved, TinyConfig(), tmp_path, dtype=torch.float16)
    load_state(loaded, tmp_path)
    weight = loaded.state_dict()["0.weight"]
    assert weight.dtype == torch.float32
    assert torch.equal(weight, saved.state_dict()["0.weight"].half().float())
    assert loaded.state_dict()["1.num_batches_tracked"].dtype == torch.int64


def test_tied_weights_are_stored_and_stay_tied(tmp_path: Path) -> None:
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    save_component(tied, TinyConfig(), tmp_path)
    value = tied[0].weight.detach().clone()
    nn.init.zeros_(tied[0].weight)
    load_state(tied, tmp_path)
    assert tied[0].weight is tied[1].weight
    assert torch.equal(tied[0].weight, value)


def test_weights_that_are_not_numbers_are_neither_saved_nor_loaded(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    network = tiny_network()
    nn.init.constant_(network[0].weight, 1e6)
    with pytest.raises(NonFiniteError, match=r"0\.weight .* infinite as torch\.float16"):
        save_component(network, TinyConfig(), tmp_path / "part", dtype=torch.float16)
    assert not (tmp_path / "part").exists()
    nn.init.constant_(network[0].bias, float("nan"))
    save_file(dict(network.state_dict()), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"tensors NaN or infinite: 0\.bias"):
        load_state(tiny_network(), tmp_path)


def test_tensors_that_do_not_fit_are_named(folder: Path) -> None:
    untouched = nn.Linear(2, 3)
    before = untouched.weight.detach().clone()
    with pytest.raises(ModelError, match=r"missing: bias, weight; unexpected: 0\.bias, 0\.weight, 1\.bias and 4 more"):
        load_state(untouched, folder)
    assert torch.equal(untouched.weight, before)
    with pytest.raises(ModelError, match=r"of another shape: 0\.weight \(3, 2\) instead of \(5, 2\)"):
        load_state(tiny_network(width=5), folder)


def disguise_torch_zip(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def disguise_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"weight": [0.0] * 100}))


def disguise_numpy(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def disguise_lfs_pointer(path: Path) -> None:
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


@pytest.mark.parametrize(
    ("disguise", "told"),
    [
        (disguise_torch_zip, "looks like a zip archive with a pickle inside"),
        (disguise_pickle, "looks like a pickle"),
        (disguise_numpy, "looks like a NumPy array"),
        (disguise_lfs_pointer, "run `git lfs pull`"),
        (lambda path: path.write_bytes(b"nonsense that is long enough"), "is not safetensors; only"),
    ],
)
def test_other_formats_under_the_name_of_safetensors_are_recognised(folder: Path, disguise: object, told: str) -> None:
    disguise(folder / "model.safetensors")  # type: ignore[operator]
    with pytest.raises(ModelError, match=told):
        load_state(tiny_network(), folder)


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_a_truncated_file_is_called_so(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    os.truncate(file, kept % file.stat().st_size)
    with pytest.raises(ModelError, match="is truncated"):
        load_state(tiny_network(), folder)


def test_a_header_length_that_begins_like_a_pickle_is_no_pickle(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    network = nn.Linear(1, 1)
    for padding in range(2000):  # the header's length must be 0x0280, so that its first bytes are those of a pickle
        save_file(dict(network.state_dict()), tmp_path / "model.safetensors", metadata={"note": "x" * padding})
        if (tmp_path / "model.safetensors").read_bytes()[:2] == b"\x80\x02":
            break
    else:
        pytest.fail("no padding gave that length")
    load_state(nn.Linear(1, 1), tmp_path)


def test_missing_or_unfit_parts_are_named(folder: Path) -> None:
    (folder / "config.json").write_text('{"width": 3, "colour": "red"}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"config\.json does not fit .*colour"):
        load_config(TinyConfig, folder)
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config\.json is missing"):
        load_config(TinyConfig, folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"model\.safetensors is missing"):
        load_state(tiny_network(), folder)


def test_int8_has_a_scale_a_channel_and_loads_into_float(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    torch.manual_seed(0)
    saved = nn.Sequential(nn.Conv3d(2, 4, 3), nn.Linear(8, 5), nn.BatchNorm1d(5))
    with torch.no_grad():
        saved[0].weight[0] *= 1000  # must cost the other channels nothing
        saved[1].weight[2] = 0
    save_component(saved, TinyConfig(), tmp_path, dtype=torch.int8)
    stored = load_file(tmp_path / "model.safetensors")
    assert stored["0.weight"].dtype == torch.int8 and stored["0.weight.int8_scale"].shape == (4,)
    assert stored["0.bias"].dtype == stored["2.running_var"].dtype == torch.float32
    loaded = nn.Sequential(nn.Conv3d(2, 4, 3), nn.Linear(8, 5), nn.BatchNorm1d(5))
    load_state(loaded, tmp_path)
    for name, tensor in saved.state_dict().items():
        read = loaded.state_dict()[name]
        assert read.dtype == tensor.dtype
        if tensor.dim() < 2:
            assert torch.equal(read, tensor), name
        else:
            largest = tensor.flatten(1).abs().amax(1).view(-1, *[1] * (tensor.dim() - 1))
            assert ((read - tensor).abs() <= 0.501 * largest / 127).all(), name
    assert not loaded[1].weight[2].any()


def test_int8_weights_that_are_stored_again_stay_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(300, 200), nn.Linear(300, 200)
    save_component(first, TinyConfig(), tmp_path / "first", dtype=torch.int8)
    load_state(second, tmp_path / "first")
    save_component(second, TinyConfig(), tmp_path / "second", dtype=torch.int8)
    one, other = (tmp_path / name / "model.safetensors" for name in ("first", "second"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_numbers_are_not_saved_as_int8(tmp_path: Path, value: float) -> None:
    network = nn.Linear(3, 3)
    with torch.no_grad():
        network.weight[1, 1] = value
    with pytest.raises(NonFiniteError, match=r"weight of Linear is NaN or infinite as torch\.int8"):
        save_component(network, TinyConfig(), tmp_path / "part", dtype=torch.int8)
    assert not (tmp_path / "part").exists()


CODES, SCALE = torch.ones(3, 2, dtype=torch.int8), torch.ones(3)


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ({"weight": CODES, "weight.int8_scale": torch.ones(2)}, r"scale weight\.int8_scale .* does not go with"),
        ({"weight": CODES, "weight.int8_scale": SCALE.double()}, "does not go with"),
        ({"weight": CODES, "weight.int8_scale": SCALE * float("nan")}, "does not go with"),
        ({"weight": CODES.float(), "weight.int8_scale": SCALE}, "does not go with"),
        ({"weight.int8_scale": SCALE}, "does not go with"),
        ({"weight": CODES}, "of whole numbers where there should be fractions: weight"),
    ],
)
def test_int8_without_its_scale_is_refused(tmp_path: Path, stored: dict[str, torch.Tensor], told: str) -> None:
    from safetensors.torch import save_file

    network = nn.Linear(2, 3)
    before = network.weight.detach().clone()
    save_file({**stored, "bias": torch.zeros(3)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=told):
        load_state(network, tmp_path)
    assert torch.equal(network.weight, before)
