"""What a step draws: the same however it is shared, every case once an epoch, and the shares that were asked for."""

from __future__ import annotations

import math
import pickle
from collections import Counter

import pytest
import torch
from latent_cases import FakePrepared, build, cached, tiny_network

from ccella_core.runs.batches import StepSampler
from ccella_core.training.data.batches import BatchMaker, Draw, draw_batch, make_batch, noise_of
from ccella_core.training.data.cached_cases import CachedCases
from ccella_core.training.data.device_cases import DeviceCases
from ccella_core.training.data.regions import RegionWeights
from ccella_core.training.denoiser import DenoiserTraining, noised


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return cached(tmp_path_factory.mktemp("cache"))


def draws(cases, step, **changes):
    options = {
        "batch_size": 4,
        "timesteps": 1000,
        "stratified": False,
        "shift": 1.0,
        "report_dropout": 0.0,
        "seed": 7,
        **changes,
    }
    return draw_batch(cases, step, **options)


def test_every_case_once_an_epoch_in_another_order(cases):
    rows = [draw.row for step in range(15) for draw in draws(cases, step)]
    epochs = [tuple(rows[start : start + 5]) for start in range(0, 60, 5)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs) and len(set(epochs)) > 6


def test_a_step_depends_on_the_seed_and_its_number_alone(cases):
    assert draws(cases, 3) == draws(cases, 3)
    assert draws(cases, 3) != draws(cases, 4) and draws(cases, 3) != draws(cases, 3, seed=8)
    assert len({draw.noise_seed for step in range(20) for draw in draws(cases, step)}) == 20 * len(draws(cases, 3))


def test_noise_is_that_of_its_seed_whatever_comes_beside_it():
    cpu = torch.device("cpu")
    one, other = noise_of((3, 2**61), (40, 8, 8), cpu)
    assert torch.equal(other, noise_of((2**61,), (40, 8, 8), cpu)[0]) and not torch.equal(one, other)
    assert one.std() == pytest.approx(1, abs=0.05) and one.mean() == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("stratified", [False, True])
def test_timesteps_are_uniform(cases, stratified):
    found = torch.tensor([d.timestep for step in range(300) for d in draws(cases, step, stratified=stratified)]).float()
    assert found.min() < 20 and found.max() > 980 and found.mean() == pytest.approx(499.5, abs=30)
    quarters = [sorted(d.timestep // 250 for d in draws(cases, step, stratified=stratified)) for step in range(300)]
    assert all(each == [0, 1, 2, 3] for each in quarters) == stratified


@pytest.mark.parametrize("stratified", [False, True])
def test_shifted_timesteps_lie_nearer_to_noise(cases, stratified):
    found = [d.timestep for step in range(300) for d in draws(cases, step, stratified=stratified, shift=9.0)]
    assert min(found) < 300 and max(found) > 990
    quartiles = torch.tensor(found).float().quantile(torch.tensor([0.25, 0.5, 0.75])).tolist()
    assert quartiles == pytest.approx([750, 900, 964.3], abs=25)


def test_reports_are_dropped_and_worded_at_random(cases):
    found = [draw for step in range(300) for draw in draws(cases, step, report_dropout=0.25)]
    assert sum(not draw.shows_report for draw in found) / len(found) == pytest.approx(0.25, abs=0.04)
    wordings = Counter(draw.wording % 2 for draw in found)
    assert min(wordings.values()) / len(found) > 0.45


def test_a_case_without_a_report_shows_none(tmp_path):
    silent = cached(tmp_path, prepared=FakePrepared(wordings=0))
    assert not any(draw.shows_report for draw in draws(silent, 0))


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 3, 0])
def test_processes_and_micro_batches_share_a_batch(cases, processes, size):
    config = DenoiserTraining(network=tiny_network(), batch_size=8, micro_batch_size=size, seed=7)
    batch = draws(cases, 0, batch_size=8)
    made = [
        micro_batch
        for process in range(processes)
        for micro_batch in BatchMaker(cases, config)(
            0, StepSampler(range(1), 8, process=process, processes=processes).places
        )
    ]
    assert sorted(int(t) for each in made for t in each.timesteps) == sorted(draw.timestep for draw in batch)
    assert all(1 <= len(each.timesteps) <= (size or 8) and each.readers == 8 for each in made)


def test_what_lies_on_the_device_is_what_comes_with_a_batch(cases):
    config = DenoiserTraining(network=tiny_network(), batch_size=6, report_dropout=0.5, seed=7)
    cpu = torch.device("cpu")
    sent = noised(BatchMaker(cases, config)(1, range(6))[0], DeviceCases(cases, cpu), config.scheduler)
    latents_alone = 2 * len(cases) * math.prod(cases.latent_shape)
    for budget, kept in ((2**30, (True, True)), (latents_alone, (True, False)), (0, (False, False))):
        there = DeviceCases(cases, cpu, budget_bytes=budget)
        by_row, by_number = there.keeps_latents, there.keeps_text
        made = BatchMaker(cases, config, by_row=by_row, by_number=by_number)(1, range(6))[0]
        assert (by_row, by_number) == kept and made.latents.ndim == (1 if by_row else 5)
        for one, other in zip(noised(made, there, config.scheduler), sent, strict=True):
            assert torch.equal(one, other)


def test_the_network_is_told_the_spacing_of_each_case(tmp_path):
    cases = cached(tmp_path, prepared=FakePrepared(spacings=True))
    config = DenoiserTraining(network=tiny_network(), batch_size=5)
    rows = [draw.row for draw in draws(cases, 0, batch_size=5)]
    told = noised(BatchMaker(cases, config)(0, range(5))[0], DeviceCases(cases, torch.device("cpu")), config.scheduler)
    assert sorted(told.spacing[:, 2].tolist()) == [8, 9, 10, 11, 12] and len(set(rows)) == 5
    shown = [Draw(row=row, wording=0, timestep=5, shows_report=True, noise_seed=row) for row in (3, 1)]
    assert make_batch(cases, shown, tiny_network()).spacing[:, 2].tolist() == [11, 9]


def test_a_worker_that_is_started_anew_makes_the_same_batch(cases):
    config = DenoiserTraining(network=tiny_network(), batch_size=4, region_weights="lesions")
    make = BatchMaker(cases, config, RegionWeights(cases, "lesions"))
    (here,), (there,) = make(3, range(4)), pickle.loads(pickle.dumps(make))(3, range(4))
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_a_case_of_unknown_class_is_read_by_nobody_and_given_as_either(tmp_path):
    prepared = FakePrepared(lacking=[("case1", "lesion")])
    prepared.split("train")[0].pathology = prepared.split("train")[0].positive = None
    cases = cached(tmp_path, prepared=prepared, labels=("lesion",))
    shown = [Draw(row=row, wording=0, timestep=5, shows_report=True, noise_seed=row) for row in (0, 1)]
    batch = make_batch(cases, shown, tiny_network())
    assert batch.has_report.tolist() == [True, True] and batch.reads_class.tolist() == [False, True]
    assert batch.class_one_hot.tolist() == [[0.5, 0.5], [0.0, 1.0]]
    assert batch.channel_weight.tolist() == [[1, 1, 1, 1], [1, 1, 0, 0]]
    config = DenoiserTraining(network=tiny_network(), batch_size=5)
    (made,) = BatchMaker(cases, config)(0, range(5))
    assert made.readers == 4
    weighed = config.model_copy(update={"part_weights": {"lesion": 0.25}})
    (made,) = BatchMaker(cases, weighed)(0, range(5))
    assert sorted({tuple(row) for row in made.channel_weight.tolist()}) == [(1, 1, 0, 0), (1, 1, 0.25, 0.25)]


def test_repeated_cases_come_as_often(tmp_path):
    build(tmp_path)
    cases = CachedCases(tmp_path, "train", repeats=(2,))
    drawn = [draw.row for draw in draws(cases, 0, batch_size=10)]
    assert sorted(drawn) == [row for row in range(5) for _ in range(2)]
