"""A trainer: what is saved when, what a stopped training goes on from, and that NaN reaches neither."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from ccella_core.config import StrictModel
from ccella_core.errors import InputError, NonFiniteError
from ccella_core.runs.batches import Batches, DataLoading, micro_batches
from ccella_core.runs.checkpoint import Checkpoints
from ccella_core.runs.logging import SilentLog
from ccella_core.runs.schedules import one_cycle, polynomial
from ccella_core.runs.trainer import Trainer, load_trained


class Settings(StrictModel):
    steps: int = 6
    checkpoint_every: int = 4
    learning_rate: float = 0.1
    seed: int = 5


class Stopped(Exception):
    pass


class Heard(SilentLog):
    def __init__(self) -> None:
        self.steps: list[tuple[int, dict[str, float]]] = []

    def step(self, step, values, *, ended=None) -> None:
        self.steps.append((step, dict(values)))


def rows_of(step: int, places, *, size: int = 0, broken_at: int = -1) -> list[torch.Tensor]:
    if step == broken_at:
        raise InputError(f"Nothing can be read at step {step}.")
    rows = np.stack([np.random.default_rng([step, place]).standard_normal(3) for place in places])
    return list(micro_batches(torch.from_numpy(rows).float(), size))


def loss_of(trainer: Trainer, rows: torch.Tensor, *, nan_at: int = -1):
    """The mean over the eight rows of this step, or the share that some of them have in it."""
    loss = (trainer.model(rows) - rows.sum(dim=1, keepdim=True)).square().sum() / 8
    return (loss * float("nan") if trainer.step == nan_at else loss), {"rows": torch.tensor(len(rows))}


def new_trainer(folder, *, ema_decay=None, fetch_every=None, **settings) -> Trainer:
    torch.manual_seed(0)
    chosen = Settings(**settings)
    return Trainer(
        nn.Linear(3, 1), folder, chosen, schedule=one_cycle(chosen, rising=0.3), ema_decay=ema_decay,
        fetch_every=fetch_every,
    )  # fmt: skip


def fit(trainer: Trainer, *, stop_at: int | None = None, logger=None, after_step=None, workers=0, size=0,
        nan_at=-1, broken_at=-1) -> Trainer:  # fmt: skip
    """Train, or stop as a computer that loses power does, once ``stop_at`` steps are done and saved where due."""

    def step(rows: torch.Tensor):
        if trainer.step == stop_at:
            raise Stopped
        return loss_of(trainer, rows, nan_at=nan_at)

    batches = Batches(partial(rows_of, size=size, broken_at=broken_at), 8, DataLoading(workers=workers))
    try:
        trainer.fit(step, batches, logger, after_step)
    except Stopped:
        assert stop_at is not None
    return trainer


def test_a_slower_part_moves_by_its_share_of_the_learning_rate(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    before = [layer.weight.detach().clone() for layer in model.children()]
    settings = Settings(steps=1, learning_rate=0.01)
    trainer = Trainer(model, tmp_path, settings, schedule=polynomial(settings, power=1.0), slower={model[0]: 0.1})
    fit(trainer)
    # The first step of Adam is as long as the learning rate, whatever the gradient.
    moved = [
        float((layer.weight.detach() - old).abs().max()) for layer, old in zip(model.children(), before, strict=True)
    ]
    assert moved == pytest.approx([0.001, 0.01], rel=0.05)


def test_it_saves_now_and_then_and_at_the_end(tmp_path):
    trainer = fit(new_trainer(tmp_path))
    assert [path.name for path in trainer.checkpoints.steps()] == [
        "step-00000004.safetensors",
        "step-00000006.safetensors",
    ]
    assert trainer.checkpoints.latest()["step"] == trainer.step == 6 and not trainer.network.training


@pytest.mark.parametrize("ema_decay", [None, 0.9])
@pytest.mark.parametrize("fetch_every", [1, 3])
def test_killed_at_any_step_it_ends_with_the_same_weights(tmp_path, ema_decay, fetch_every):
    whole = fit(new_trainer(tmp_path / "whole", ema_decay=ema_decay))
    for killed_after in range(1, 6):
        folder = tmp_path / str(killed_after)
        fit(new_trainer(folder, ema_decay=ema_decay, fetch_every=fetch_every), stop_at=killed_after)
        resumed = new_trainer(folder, ema_decay=ema_decay, fetch_every=fetch_every)
        assert resumed.step == (4 if killed_after >= 4 else 0)
        fit(resumed)
        torch.testing.assert_close(resumed.network.state_dict(), whole.network.state_dict(), rtol=0, atol=0)


def test_numbers_that_are_fetched_together_are_those_of_each_step(tmp_path):
    at_once, together = Heard(), Heard()
    fit(new_trainer(tmp_path / "1"), logger=at_once)
    seen: list[int] = []
    fit(
        new_trainer(tmp_path / "2", fetch_every=2),
        logger=together,
        after_step=lambda _: seen.append(len(together.steps)),
    )
    assert together.steps == at_once.steps and [step for step, _ in together.steps] == [1, 2, 3, 4, 5, 6]
    # Two steps later than they were computed, but all of them before a checkpoint is written, here after step 4.
    assert seen == [0, 0, 0, 2, 4, 4]


def test_workers_make_the_same_batches_and_end_with_the_training(tmp_path):
    alone, shared = Heard(), Heard()
    before = {child.pid for child in psutil.Process().children()}
    fit(new_trainer(tmp_path / "alone"), logger=alone)
    fit(new_trainer(tmp_path / "shared"), logger=shared, workers=2)
    assert shared.steps == alone.steps
    assert {child.pid for child in psutil.Process().children()} <= before
    with pytest.raises(InputError, match=r"^Nothing can be read at step 3\.$"):
        fit(new_trainer(tmp_path / "broken"), workers=2, broken_at=3)
    assert {child.pid for child in psutil.Process().children()} <= before


def test_making_batches_draws_nothing_from_the_global_stream(tmp_path):
    torch.manual_seed(3)
    expected = torch.rand(2)
    trainer = new_trainer(tmp_path)
    torch.manual_seed(3)
    fit(trainer)
    assert torch.equal(torch.rand(2), expected)


def test_a_scaler_goes_on_where_it_was(tmp_path):
    """Of float16, which needs a GPU to be of use and none to be kept."""

    def scaled(folder) -> Trainer:
        accelerator = Accelerator()
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
        torch.manual_seed(0)
        settings = Settings(checkpoint_every=3)
        return Trainer(
            nn.Linear(3, 1), folder, settings, schedule=one_cycle(settings, rising=0.3), accelerator=accelerator
        )

    whole = fit(scaled(tmp_path / "whole"))
    fit(scaled(tmp_path / "stopped"), stop_at=4)
    resumed = scaled(tmp_path / "stopped")
    assert resumed.step == 3 and resumed.accelerator.scaler.state_dict()["_growth_tracker"] == 1
    resumed = fit(resumed)
    assert resumed.accelerator.scaler.state_dict() == whole.accelerator.scaler.state_dict()
    assert whole.accelerator.scaler.get_scale() == 4.0 * 2**3
    torch.testing.assert_close(resumed.network.state_dict(), whole.network.state_dict(), rtol=0, atol=0)


def test_a_batch_in_micro_batches_is_the_whole_batch(tmp_path):
    whole, cut = Heard(), Heard()
    one = fit(new_trainer(tmp_path / "whole", steps=3), logger=whole)
    other = fit(new_trainer(tmp_path / "cut", steps=3), logger=cut, size=2)
    for (_, first), (_, second) in zip(whole.steps, cut.steps, strict=True):
        assert second == pytest.approx(first, rel=1e-5) and first["rows"] == 8
    torch.testing.assert_close(other.network.state_dict(), one.network.state_dict())


def test_frozen_parameters_stay(tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    before, moving = model[0].weight.clone(), model[1].weight.clone()
    fit(Trainer(model, tmp_path, Settings(), schedule=one_cycle(Settings(), rising=0.5)))
    assert torch.equal(model[0].weight, before) and not torch.equal(model[1].weight, moving)


def test_a_loss_that_is_no_number_reaches_neither_the_weights_nor_the_checkpoint(tmp_path):
    trainer = fit(new_trainer(tmp_path), stop_at=4)
    before, saved = trainer.network.weight.clone(), trainer.checkpoints.steps()[-1].read_bytes()
    with pytest.raises(NonFiniteError, match=r"The loss became nan at step 4; .* Lower the learning rate"):
        fit(trainer, nan_at=4)
    assert torch.equal(trainer.network.weight, before) and trainer.checkpoints.steps()[-1].read_bytes() == saved


@pytest.mark.parametrize("nan_at", [0, 1, 3, 4, 5])
def test_nor_does_one_that_is_fetched_later_reach_a_checkpoint_or_the_log(tmp_path, nan_at):
    """As on a GPU: the weights took the bad step, which is found before anything is kept of them."""
    heard = Heard()
    with pytest.raises(NonFiniteError, match=rf"The loss became nan at step {nan_at}; the last checkpoint is whole"):
        fit(new_trainer(tmp_path, fetch_every=20), nan_at=nan_at, logger=heard)
    saved = Checkpoints(tmp_path).latest()
    assert saved is None if nan_at < 4 else saved["step"] == 4
    assert saved is None or all(torch.isfinite(weight).all() for weight in saved["model"].values())
    assert [step for step, _ in heard.steps] == ([] if nan_at < 4 else [1, 2, 3, 4])


def test_bad_weights_are_not_kept_as_the_best(tmp_path):
    with pytest.raises(NonFiniteError):
        fit(
            new_trainer(tmp_path, fetch_every=20),
            nan_at=1,
            after_step=lambda each: each.step < 2 or each.keep_if_best(0),
        )
    assert not list(tmp_path.iterdir())


def test_a_gradient_that_is_no_number_reaches_neither(tmp_path):
    trainer = new_trainer(tmp_path)
    before = trainer.network.weight.clone()
    with pytest.raises(NonFiniteError, match="The gradient became nan at step 0"):
        trainer.fit(lambda rows: (torch.sqrt(trainer.network.weight.sum() * 0), {}), Batches(rows_of, 8))
    assert torch.equal(trainer.network.weight, before) and not trainer.checkpoints.steps()


def test_the_average_is_the_arithmetic_it_claims_to_be(tmp_path):
    seen = []

    def look(trainer: Trainer) -> None:
        seen.append(trainer.network.weight.detach().clone())
        if trainer.step < 3:
            return
        expected = seen[0]  # the average begins with the first weights, and decays by (1 + n) / (10 + n) or 0.15
        for weight, decay in zip(seen[1:], (0.15, 0.15), strict=True):
            expected = decay * expected + (1 - decay) * weight
        with trainer.averaged():
            torch.testing.assert_close(trainer.network.weight, expected)
            assert not trainer.network.training
        assert torch.equal(trainer.network.weight, seen[-1]) and trainer.network.training
        raise Stopped

    fit(new_trainer(tmp_path, ema_decay=0.15), stop_at=3, after_step=look)
    assert len(seen) == 3


def test_the_average_replaces_the_weights_at_the_end(tmp_path):
    last = []
    trainer = fit(
        new_trainer(tmp_path, ema_decay=0.99), after_step=lambda each: last.append(each.network.weight.clone())
    )
    assert not torch.equal(trainer.network.weight, last[-1]) and not trainer.network.training
    loaded = nn.Linear(3, 1)
    assert load_trained(tmp_path, loaded) == 6
    torch.testing.assert_close(loaded.state_dict(), trainer.network.state_dict(), rtol=0, atol=0)


def test_the_best_weights_are_kept(tmp_path):
    trainer = fit(new_trainer(tmp_path), stop_at=2)
    assert trainer.keep_if_best(3.0) and not trainer.keep_if_best(3.0) and not trainer.keep_if_best(float("nan"))
    at_two = trainer.network.weight.detach().clone()
    fit(trainer, stop_at=4)
    resumed = new_trainer(tmp_path)
    assert resumed.step == 4 and not resumed.keep_if_best(3.5)
    loaded = nn.Linear(3, 1)
    assert load_trained(tmp_path, loaded, best=True) == 2 and torch.equal(loaded.weight, at_two)


def test_where_no_run_was_is_said(tmp_path: Path):
    with pytest.raises(InputError, match="There is no checkpoint in"):
        load_trained(tmp_path, nn.Linear(3, 1))


@pytest.mark.parametrize(
    ("warmup", "expected"),
    [
        (0, {0: 1, 6: 0.25, 12: 0, 13: 0}),
        (1, {0: 1, 1: 1, 12: 0}),
        (2, {0: 0.5, 1: 1, 2: 1, 7: 0.25, 12: 0, 13: 0}),
    ],
)
def test_the_rate_rises_and_falls_to_nothing(warmup, expected):
    settings = Settings(steps=12, learning_rate=2.0)
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=2.0)
    schedule = polynomial(settings, power=2.0, warmup=warmup)(optimiser)
    rates = []
    for _ in range(14):
        rates.append(schedule.get_last_lr()[0] / 2.0)
        optimiser.step()
        schedule.step()
    assert {step: rates[step] for step in expected} == pytest.approx(expected, abs=1e-12)
