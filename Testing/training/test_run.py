"""One training run: what is saved when, what a stopped run goes on from, and that NaN reaches neither."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ccella_core.errors import NonFiniteError
from ccella_core.training.checkpoint import load_checkpoint
from ccella_core.training.run import Run, one_cycle


def new_run(path, *, steps=6, ema_decay=None) -> Run:
    torch.manual_seed(0)
    return Run(
        nn.Linear(3, 1),
        path,
        steps=steps,
        checkpoint_every=4,
        learning_rate=0.1,
        schedule=one_cycle(0.1, steps, rising=0.3),
        seed=5,
        ema_decay=ema_decay,
    )


def loss_of(run: Run) -> torch.Tensor:
    features = torch.from_numpy(run.random().standard_normal((8, 3))).float()
    return (run.model(features) - features.sum(dim=1, keepdim=True)).square().mean()


def test_it_saves_now_and_then_and_at_the_end(tmp_path):
    run = new_run(tmp_path / "run.pt")
    saved = []
    while run.unfinished:
        saved.append(run.update(loss_of(run)))
    assert saved == [False, False, False, True, False, True]
    assert load_checkpoint(tmp_path / "run.pt")["step"] == 6


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_killed_at_any_step_it_ends_with_the_same_weights(tmp_path, ema_decay):
    whole = new_run(tmp_path / "whole.pt", ema_decay=ema_decay)
    while whole.unfinished:
        whole.update(loss_of(whole))
    whole.finish()
    for killed_after in range(1, 6):
        path = tmp_path / f"{killed_after}.pt"
        stopped = new_run(path, ema_decay=ema_decay)
        for _ in range(killed_after):
            stopped.update(loss_of(stopped))
        resumed = new_run(path, ema_decay=ema_decay)
        assert resumed.step == (4 if killed_after >= 4 else 0)
        while resumed.unfinished:
            resumed.update(loss_of(resumed))
        resumed.finish()
        torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_every_step_draws_its_own(tmp_path):
    run = new_run(tmp_path / "run.pt")
    first = run.random().integers(2**62)
    assert run.random().integers(2**62) == first
    run.update(loss_of(run))
    assert run.random().integers(2**62) != first


def test_frozen_parameters_stay(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    run = Run(model, tmp_path / "run.pt", steps=3, checkpoint_every=9, learning_rate=0.1,
              schedule=one_cycle(0.1, 3, rising=0.5), seed=0)  # fmt: skip
    moving = model[1].weight.clone()
    while run.unfinished:
        run.update(loss_of(run))
    assert torch.equal(model[0].weight, before) and not torch.equal(model[1].weight, moving)


def test_nan_reaches_neither_the_weights_nor_the_checkpoint(tmp_path):
    run = new_run(tmp_path / "run.pt")
    before = run.model.weight.clone()
    with pytest.raises(NonFiniteError, match="at step 0"):
        run.update(loss_of(run) * float("nan"))
    assert torch.equal(run.model.weight, before) and not (tmp_path / "run.pt").exists()


def test_the_average_replaces_the_weights_at_the_end(tmp_path):
    run = new_run(tmp_path / "run.pt", ema_decay=0.99)
    while run.unfinished:
        run.update(loss_of(run))
    last = run.model.weight.clone()
    run.finish()
    assert not torch.equal(run.model.weight, last) and not run.model.training
