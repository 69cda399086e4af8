"""A checkpoint is whole or not there, holds no pickle, and the average is the arithmetic it claims to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ccella_core.errors import NonFiniteError
from ccella_core.training.checkpoint import Average, load_checkpoint, save_checkpoint
from ccella_core.training.losses import require_finite


def test_what_was_saved_is_loaded(tmp_path):
    path = tmp_path / "not" / "yet" / "there.pt"
    assert load_checkpoint(path) is None
    save_checkpoint(path, {"weights": [torch.arange(3.0)], "step": 7, "average": None})
    state = load_checkpoint(path)
    assert state["step"] == 7 and state["average"] is None
    assert torch.equal(state["weights"][0], torch.arange(3.0))


def test_a_save_that_is_killed_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    save_checkpoint(path, {"step": 1})

    def die_half_way(state: dict[str, Any], to: Path) -> None:
        to.write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", die_half_way)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(path, {"step": 2})
    assert load_checkpoint(path) == {"step": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path):
    torch.save({"path": Path("a class that is none of torch's")}, tmp_path / "run.pt")
    with pytest.raises(Exception, match=r"weights_only|Weights only"):
        load_checkpoint(tmp_path / "run.pt")


def test_the_average_starts_quickly_and_then_decays_as_told():
    parameter = torch.nn.Parameter(torch.zeros(2))
    average = Average([parameter], decay=0.2)
    with torch.no_grad():
        parameter.fill_(1.0)
    average.update()  # decay (1 + 1) / (10 + 1)
    torch.testing.assert_close(average.values[0], torch.full((2,), 9 / 11))
    average.update()  # min(0.2, 3 / 12)
    torch.testing.assert_close(average.values[0], torch.full((2,), 1 - 0.2 * 2 / 11))
    assert torch.equal(parameter, torch.ones(2))
    average.copy_to_model()
    assert torch.equal(parameter, average.values[0])


def test_the_average_goes_on_where_it_stopped():
    parameter = torch.nn.Parameter(torch.ones(2))
    first = Average([parameter], decay=0.9)
    first.update()
    with torch.no_grad():
        parameter.fill_(3.0)
    second = Average([parameter], decay=0.9)
    second.load_state_dict(first.state_dict())
    for average in (first, second):
        average.update()
    assert torch.equal(first.values[0], second.values[0]) and second.updates == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_explained(tmp_path, value):
    require_finite(torch.tensor(1.5), 3, tmp_path / "run.pt")
    with pytest.raises(NonFiniteError, match=r"The loss became (nan|inf) at step 3; lower the learning rate"):
        require_finite(torch.tensor(value), 3, tmp_path / "run.pt")
