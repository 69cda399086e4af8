"""Teaching an adapter to read: it learns, it leaves the U-Net alone, and it goes on where it stopped."""

from __future__ import annotations

import math

import pytest
import torch
from latent_cases import FakePrepared, Heard, cached, tiny_network

from ccella_core.errors import InputError
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.networks import ConditionalDenoiser
from ccella_core.training.data.cached_cases import CacheEntry
from ccella_core.training.reading import adapter
from ccella_core.training.reading.adapter import AdapterTraining, train_adapter
from ccella_core.training.reading.facts import facts_of

TINY = AdapterTraining(steps=4, batch_size=4, learning_rate=1e-2, checkpoint_every=2)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return cached(tmp_path_factory.mktemp("cache"))


def new_denoiser() -> ConditionalDenoiser:
    torch.manual_seed(0)
    return ConditionalDenoiser(tiny_network())


def train(denoiser, cases, config, checkpoints, logger=None):
    return train_adapter(denoiser, cases, config, checkpoints, scheduler=SchedulerConfig(), logger=logger)


@pytest.mark.medium
def test_it_learns_what_the_reports_state(cases, tmp_path):
    heard, config = Heard(), TINY.model_copy(update={"steps": 150, "checkpoint_every": 50})
    train(new_denoiser(), cases, config, tmp_path / "run", heard)
    losses = [values["loss"] for values in heard.steps]
    assert len(losses) == 150 and losses[-1] < 0.5 * losses[49]


@pytest.mark.medium
def test_the_unet_stays_as_it_was_and_the_class_heads_learn(cases, tmp_path):
    before, after = new_denoiser(), train(new_denoiser(), cases, TINY, tmp_path / "run")
    assert not after.training
    changed = {
        name.split(".")[1] if name.startswith("adapter.") else name.split(".")[0]
        for name, value in after.state_dict().items()
        if not torch.equal(value, before.state_dict()[name])
    }
    assert {"blocks", "class_heads", "class_vote"} <= changed and "unet" not in changed


def test_it_learns_what_kind_of_scan_is_stated_where_one_is():
    denoiser = new_denoiser()
    learner = adapter._Learner(denoiser)
    text, steps = torch.randn(2, 6, denoiser.config.adapter.text_width), torch.tensor([5, 900])
    unknown = float("nan")
    learner(text, steps, facts_of([{"size": 1.2, "scan": unknown}, {"size": 1.4, "scan": unknown}])).backward()
    assert learner.scan.weight.grad is None
    learner(text, steps, facts_of([{"size": 1.2, "scan": 1.0}, {"size": 1.4, "scan": unknown}])).backward()
    assert learner.scan.weight.grad.abs().max() > 0


def test_each_wording_states_its_own_kind_of_scan():
    row = CacheEntry(id="a", positive=None, present=(True,), reports=(4, 5), scan_kinds=(None, "no endorectal coil"))
    said = [adapter._facts(row, wording)["scan"] for wording in (0, 1, 3)]
    assert math.isnan(said[0]) and said[1:] == [2.0, 2.0]
    older = row.model_copy(update={"scan_kinds": ()})
    assert math.isnan(adapter._facts(older, 1)["scan"])


def test_an_unknown_class_teaches_the_class_heads_nothing():
    denoiser = new_denoiser()
    learner = adapter._Learner(denoiser)
    text, steps = torch.randn(2, 6, denoiser.config.adapter.text_width), torch.tensor([5, 900])
    learner(text, steps, facts_of([{"positive": 1.0, "size": 1.2}, {"positive": float("nan"), "size": 1.4}])).backward()
    both = denoiser.adapter.class_vote.bias.grad.clone()
    learner.zero_grad()
    learner(text[:1], steps[:1], facts_of([{"positive": 1.0, "size": 1.2}])).backward()
    torch.testing.assert_close(denoiser.adapter.class_vote.bias.grad, both)
    learner.zero_grad()
    learner(text, steps, facts_of([{"positive": float("nan"), "size": 1.2}] * 2)).backward()
    assert denoiser.adapter.class_vote.bias.grad is None


@pytest.mark.medium
def test_a_stopped_run_that_goes_on_gives_the_same_weights(cases, tmp_path, stopped_at_first_save, assert_same_weights):
    whole = train(new_denoiser(), cases, TINY, tmp_path / "whole")
    with stopped_at_first_save():
        train(new_denoiser(), cases, TINY, tmp_path / "stopped")
    assert_same_weights(train(new_denoiser(), cases, TINY, tmp_path / "stopped"), whole)


def test_without_reports_there_is_nothing_to_read(tmp_path):
    silent = cached(tmp_path / "cache", prepared=FakePrepared(wordings=0))
    with pytest.raises(InputError, match=r"no case has a report of which anything is known\. Remove"):
        train(new_denoiser(), silent, TINY, tmp_path / "run")


@pytest.mark.medium
def test_cases_of_which_nothing_is_known_teach_nothing(tmp_path):
    prepared = FakePrepared()
    for case in prepared.split("train")[:4]:
        case.pathology = case.positive = case.fields = None
    cases, heard = cached(tmp_path / "cache", prepared=prepared), Heard()
    train(new_denoiser(), cases, TINY, tmp_path / "run", heard)
    assert len(heard.steps) == 4 and all(0 < values["loss"] < 1e3 for values in heard.steps)
