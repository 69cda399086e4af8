"""One training run: what is saved when, what a stopped run goes on from, and that NaN reaches neither."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from ccella_core.config import StrictModel
from ccella_core.errors import InputError, NonFiniteError
from ccella_core.runs.trainer import Trainer, load_trained, one_cycle


class Settings(StrictModel):
    steps: int = 6
    checkpoint_every: int = 4
    learning_rate: float = 0.1
    seed: int = 5


def new_run(folder, *, ema_decay=None) -> Trainer:
    torch.manual_seed(0)
    settings = Settings()
    return Trainer(nn.Linear(3, 1), folder, settings, schedule=one_cycle(settings, rising=0.3), ema_decay=ema_decay)


def loss_of(run: Trainer, rows: slice = slice(None)) -> torch.Tensor:
    """The mean over eight rows of this step, or the share that some of them have in it."""
    features = torch.from_numpy(run.random().standard_normal((8, 3))).float()[rows]
    return (run.model(features) - features.sum(dim=1, keepdim=True)).square().sum() / 8


def train(run: Trainer, steps: int = 99) -> Trainer:
    while run.unfinished and steps:
        run.update(partial(loss_of, run))
        run.save_if_due()
        steps -= 1
    return run


def test_it_saves_now_and_then_and_at_the_end(tmp_path):
    run = new_run(tmp_path)
    saved = []
    while run.unfinished:
        run.update(partial(loss_of, run))
        saved.append(run.save_if_due())
    assert saved == [False, False, False, True, False, True]
    assert run.checkpoints.latest()["step"] == 6


@pytest.mark.parametrize("ema_decay", [None, 0.9])
def test_killed_at_any_step_it_ends_with_the_same_weights(tmp_path, ema_decay):
    whole = train(new_run(tmp_path / "whole", ema_decay=ema_decay))
    whole.finish()
    for killed_after in range(1, 6):
        folder = tmp_path / str(killed_after)
        train(new_run(folder, ema_decay=ema_decay), killed_after)
        resumed = new_run(folder, ema_decay=ema_decay)
        assert resumed.step == (4 if killed_after >= 4 else 0)
        train(resumed).finish()
        torch.testing.assert_close(resumed.network.state_dict(), whole.network.state_dict(), rtol=0, atol=0)


def test_a_scaler_goes_on_where_it_was(tmp_path):
    """Of float16, which needs a GPU to be of use and none to be kept."""

    def scaled_run(folder) -> Trainer:
        accelerator = Accelerator()
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        torch.manual_seed(0)
        settings = Settings(checkpoint_every=3)
        return Trainer(
            nn.Linear(3, 1), folder, settings, schedule=one_cycle(settings, rising=0.3), accelerator=accelerator
        )

    whole = train(scaled_run(tmp_path / "whole"))
    train(scaled_run(tmp_path / "stopped"), 4)
    resumed = scaled_run(tmp_path / "stopped")
    assert resumed.step == 3 and resumed.accelerator.scaler.state_dict()["_growth_tracker"] == 1
    resumed = train(resumed)
    assert resumed.accelerator.scaler.state_dict() == whole.accelerator.scaler.state_dict()
    assert whole.accelerator.scaler.get_scale() == 4.0 * 2**3
    torch.testing.assert_close(resumed.network.state_dict(), whole.network.state_dict(), rtol=0, atol=0)


def test_a_batch_in_parts_is_the_whole_batch(tmp_path):
    whole, parts = new_run(tmp_path / "whole"), new_run(tmp_path / "parts")
    for _ in range(3):
        whole.update(partial(loss_of, whole))
        parts.update(*(partial(loss_of, parts, slice(start, start + 2)) for start in range(0, 8, 2)))
        assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
        assert parts.gradient_norm == pytest.approx(whole.gradient_norm, rel=1e-5)
    torch.testing.assert_close(parts.network.state_dict(), whole.network.state_dict())


def test_every_step_draws_its_own(tmp_path):
    run = new_run(tmp_path)
    first = run.random().integers(2**62)
    assert run.random().integers(2**62) == first
    run.update(partial(loss_of, run))
    assert run.random().integers(2**62) != first


def test_frozen_parameters_stay(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    before, moving = model[0].weight.clone(), model[1].weight.clone()
    train(Trainer(model, tmp_path, Settings(), schedule=one_cycle(Settings(), rising=0.5)))
    assert torch.equal(model[0].weight, before) and not torch.equal(model[1].weight, moving)


def test_a_loss_that_is_no_number_reaches_neither_the_weights_nor_the_checkpoint(tmp_path):
    run = train(new_run(tmp_path), 4)
    before, saved = run.network.weight.clone(), run.checkpoints.steps()[-1].read_bytes()
    with pytest.raises(NonFiniteError, match=r"The loss became nan at step 4; .* Lower the learning rate"):
        run.update(lambda: loss_of(run) * float("nan"))
    assert torch.equal(run.network.weight, before) and run.checkpoints.steps()[-1].read_bytes() == saved


def test_a_gradient_that_is_no_number_reaches_neither(tmp_path):
    run = new_run(tmp_path)
    before = run.network.weight.clone()
    with pytest.raises(NonFiniteError, match="The gradient became nan at step 0"):
        run.update(lambda: torch.sqrt(run.network.weight.sum() * 0))
    assert torch.equal(run.network.weight, before) and not run.checkpoints.steps()


def test_the_average_is_the_arithmetic_it_claims_to_be(tmp_path):
    run = new_run(tmp_path, ema_decay=0.15)
    seen = []
    for _ in range(3):
        train(run, 1)
        seen.append(run.network.weight.detach().clone())
    expected = seen[0]  # the average begins with the first weights, and decays by (1 + n) / (10 + n) or 0.15
    for weight, decay in zip(seen[1:], (0.15, 0.15), strict=True):
        expected = decay * expected + (1 - decay) * weight
    with run.averaged():
        torch.testing.assert_close(run.network.weight, expected)
        assert not run.network.training
    assert torch.equal(run.network.weight, seen[-1]) and run.network.training


def test_the_average_replaces_the_weights_at_the_end(tmp_path):
    run = train(new_run(tmp_path, ema_decay=0.99))
    last = run.network.weight.clone()
    run.finish()
    assert not torch.equal(run.network.weight, last) and not run.network.training
    loaded = nn.Linear(3, 1)
    assert load_trained(tmp_path, loaded) == 6
    torch.testing.assert_close(loaded.state_dict(), run.network.state_dict(), rtol=0, atol=0)


def test_the_best_weights_are_kept_aside(tmp_path):
    run = train(new_run(tmp_path), 2)
    assert run.keep_if_best(3.0) and not run.keep_if_best(3.0) and not run.keep_if_best(float("nan"))
    at_two = run.network.weight.detach().clone()
    train(run, 2)
    resumed = new_run(tmp_path)
    assert resumed.step == 4 and not resumed.keep_if_best(3.5)
    loaded = nn.Linear(3, 1)
    assert load_trained(tmp_path, loaded, best=True) == 2 and torch.equal(loaded.weight, at_two)


def test_where_no_run_was_is_said(tmp_path):
    with pytest.raises(InputError, match="There is no checkpoint in"):
        load_trained(tmp_path, nn.Linear(3, 1))
