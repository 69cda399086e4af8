"""What a step draws: the same however it is shared, every case once an epoch, and the shares that were asked for."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from latent_cases import FakePrepared, cached

from ccella_core.training.batches import draw_batch, own_parts


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return cached(tmp_path_factory.mktemp("cache"))


def draws(cases, step, **changes):
    options = {"batch_size": 4, "timesteps": 1000, "stratified": False, "report_dropout": 0.0, "seed": 7, **changes}
    return draw_batch(cases, step, **options)


def test_every_case_once_an_epoch_in_another_order(cases):
    rows = [draw.row for step in range(15) for draw in draws(cases, step)]
    epochs = [tuple(rows[start : start + 5]) for start in range(0, 60, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs) and len(set(epochs)) > 6


def test_a_step_depends_on_the_seed_and_its_number_alone(cases):
    assert draws(cases, 3) == draws(cases, 3)
    assert draws(cases, 3) != draws(cases, 4) and draws(cases, 3) != draws(cases, 3, seed=8)
    one, other = draws(cases, 3)[:2]
    assert not torch.equal(one.noise((2, 3)), other.noise((2, 3)))


@pytest.mark.parametrize("stratified", [False, True])
def test_timesteps_are_uniform(cases, stratified):
    found = torch.tensor([d.timestep for step in range(300) for d in draws(cases, step, stratified=stratified)]).float()
    assert found.min() < 20 and found.max() > 980 and found.mean() == pytest.approx(499.5, abs=30)
    quarters = [sorted(d.timestep // 250 for d in draws(cases, step, stratified=stratified)) for step in range(300)]
    assert all(each == [0, 1, 2, 3] for each in quarters) == stratified


def test_reports_are_dropped_and_worded_at_random(cases):
    found = [draw for step in range(300) for draw in draws(cases, step, report_dropout=0.25)]
    assert sum(not draw.shows_report for draw in found) / len(found) == pytest.approx(0.25, abs=0.04)
    wordings = Counter(draw.wording % 2 for draw in found)
    assert min(wordings.values()) / len(found) > 0.45


def test_a_case_without_a_report_shows_none(tmp_path):
    silent = cached(tmp_path, prepared=FakePrepared(wordings=0))
    assert not any(draw.shows_report for draw in draws(silent, 0))


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("part_size", [1, 3, 100])
def test_processes_and_parts_share_a_batch(cases, processes, part_size):
    batch = draws(cases, 0, batch_size=8)
    parts = [own_parts(batch, process=p, processes=processes, part_size=part_size) for p in range(processes)]
    shared = [draw for own in parts for part in own for draw in part]
    assert sorted(d.noise_seed for d in shared) == sorted(d.noise_seed for d in batch)
    assert all(1 <= len(part) <= part_size for own in parts for part in own)
