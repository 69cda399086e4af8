"""A checkpoint is whole or not there, holds no pickle, and comes back as it was."""

from __future__ import annotations

import errno

import pytest
import torch

from ccella_core.errors import InputError, SaveError
from ccella_core.runs import checkpoint
from ccella_core.runs.checkpoint import Checkpoints, averaged_weights, load_checkpoint, save_checkpoint


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "not" / "yet" / "there.safetensors"
    shared = torch.arange(3.0)
    state = {
        "weights": [shared, shared, torch.zeros(0), torch.tensor(4)],
        "of each": {0: {"betas": (0.9, 0.999)}, "a": torch.ones(2, 2).half().t()},
        "step": 7, "best": float("inf"), "average": None, "text": "ü",
    }  # fmt: skip
    save_checkpoint(path, state)
    loaded = load_checkpoint(path)
    assert loaded["step"] == 7 and loaded["average"] is None and loaded["best"] == float("inf")
    assert loaded["text"] == "ü" and loaded["of each"][0] == {"betas": [0.9, 0.999]}
    torch.testing.assert_close(loaded["weights"], state["weights"], rtol=0, atol=0)
    assert torch.equal(loaded["of each"]["a"], state["of each"]["a"])


def test_an_optimiser_goes_on_where_it_stopped(tmp_path):
    def optimiser_of(weight: torch.Tensor) -> torch.optim.AdamW:
        weight.grad = torch.ones(3)
        return torch.optim.AdamW([weight], lr=0.1)

    weight = torch.zeros(3, requires_grad=True)
    first = optimiser_of(weight)
    first.step()
    save_checkpoint(tmp_path / "run.safetensors", {"optimiser": first.state_dict(), "weight": weight})
    state = load_checkpoint(tmp_path / "run.safetensors")
    other = state["weight"].clone().requires_grad_()
    second = optimiser_of(other)
    second.load_state_dict(state["optimiser"])
    first.step()
    second.step()
    assert torch.equal(weight, other)


def test_a_save_that_is_killed_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, {"step": 1})

    def die_half_way(tensors, to, metadata) -> None:
        to.write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", die_half_way)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_explained_and_costs_no_checkpoint(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"step": 1})

    def no_room(tensors, to, metadata) -> None:
        to.write_bytes(b"half a file")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", no_room)
    with pytest.raises(SaveError, match=r"could not be written.*No space left.*free some disk space"):
        checkpoints.save(2, {"step": 2})
    assert checkpoints.latest() == {"step": 1}


@pytest.mark.parametrize("content", [b"", b"half a file", b"PK\x03\x04 as torch.save writes"])
def test_what_is_no_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "run.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a whole checkpoint"):
        load_checkpoint(path)


def test_a_truncated_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    save_checkpoint(path, {"weights": torch.ones(100)})
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match="is not a whole checkpoint"):
        load_checkpoint(path)


def test_the_last_few_stay_and_the_best(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run", kept=2)
    assert checkpoints.latest() is None
    save_checkpoint(checkpoints.best, {"step": 1})
    for step in (1, 2, 10, 100):
        checkpoints.save(step, {"step": step})
    assert [path.name for path in checkpoints.steps()] == ["step-00000010.safetensors", "step-00000100.safetensors"]
    assert checkpoints.latest() == {"step": 100} and load_checkpoint(checkpoints.best) == {"step": 1}


def test_the_weights_for_use_are_the_averaged_ones():
    model = torch.nn.Linear(2, 1)
    learned = {name: torch.ones_like(value) for name, value in model.state_dict().items()}
    averaged_weights({"model": learned, "average": None}, model)
    assert torch.equal(model.weight, torch.ones(1, 2))
    values = [torch.full((1, 2), 0.5), torch.full((1,), 0.25)]
    averaged_weights({"model": learned, "average": {"shadow_params": values}}, model)
    assert torch.equal(model.weight, values[0]) and torch.equal(model.bias, values[1])
