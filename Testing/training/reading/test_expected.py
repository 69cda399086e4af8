"""What a report lets expect: the mean is learnt, of what is there, and goes on where it stopped."""

from __future__ import annotations

import pytest
import torch
from latent_cases import FakePrepared, Heard, cached, tiny_network

from ccella_core.errors import InputError
from ccella_core.networks import ConditionalDenoiser, DenoiserConfig, UNetConfig
from ccella_core.networks.gaussian import GaussianFlow
from ccella_core.training.reading import expected as expecting
from ccella_core.training.reading.expected import ExpectedTraining, train_expected

SETTINGS = ExpectedTraining(steps=4, batch_size=4, learning_rate=1e-2, checkpoint_every=2, sequences="report")


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    return cached(tmp_path_factory.mktemp("cache"))


def new_denoiser(cases) -> ConditionalDenoiser:
    unet = {"kind": "planar", "latent_channels": cases.latent_shape[0], "num_channels": (8, 8),
            "attention_levels": (False, False), "num_head_channels": (0, 8), "num_res_blocks": 1,
            "gaussian": True, "expected": True}  # fmt: skip
    torch.manual_seed(0)
    return ConditionalDenoiser(DenoiserConfig(unet=UNetConfig.model_validate(unet), adapter=tiny_network().adapter))


def train(cases, settings, checkpoints, **given):
    return train_expected(new_denoiser(cases), cases, settings, checkpoints, timesteps=1000, **given)


def expected(denoiser, cases, rows):
    text = torch.stack([cases.stored_report(cases.report_number(row, 0)) for row in rows]).float()
    with torch.no_grad():
        tokens, _ = denoiser.condition(text, torch.full((len(rows),), 500))
        return denoiser.unet.expected(tokens, cases.latent_shape[1:])


@pytest.mark.medium
def test_each_report_lets_expect_its_own_latents(cases, tmp_path):
    heard, settings = Heard(), SETTINGS.model_copy(update={"steps": 200, "checkpoint_every": 200})
    denoiser = train(cases, settings, tmp_path / "run", logger=heard)
    rows = [row for row in range(len(cases)) if cases.has_report[row]]
    found, clean = expected(denoiser, cases, rows), cases.latents(rows)
    of_all = clean.mean(0, keepdim=True).expand_as(clean)
    assert (found - clean).square().mean() < 0.5 * (of_all - clean).square().mean()
    assert len(heard.steps) == 200 and not denoiser.training


@pytest.mark.medium
def test_the_null_report_lets_expect_what_all_have_in_common(cases, tmp_path):
    settings = SETTINGS.model_copy(update={"steps": 200, "checkpoint_every": 200})
    denoiser = train(cases, settings, tmp_path / "run", report_dropout=0.5)
    with torch.no_grad():
        tokens, _ = denoiser.condition(cases.null_text[:1].expand(1, -1, -1), torch.tensor([500]))
        found = denoiser.unet.expected(tokens, cases.latent_shape[1:])[0]
    clean = cases.latents(list(range(len(cases))))
    assert (found - clean.mean(0)).square().mean() < 0.5 * clean.mean(0).square().mean()


@pytest.mark.medium
def test_it_alone_learns(cases, tmp_path):
    before, after = new_denoiser(cases).state_dict(), train(cases, SETTINGS, tmp_path / "run").state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    changed -= {"unet.gaussian.log_power"}
    assert changed and all(name.startswith("unet.expected.") for name in changed)


@pytest.mark.medium
def test_the_gaussian_part_knows_the_spectra_of_what_is_not_expected(cases, tmp_path):
    settings = SETTINGS.model_copy(update={"steps": 200, "checkpoint_every": 200})
    found = train(cases, settings, tmp_path / "run").unet.gaussian.log_power.exp()
    whole = GaussianFlow(cases.latent_shape[0])
    whole.set_spectrum(cases.latents(list(range(len(cases)))), torch.ones(len(cases), cases.latent_shape[0]) > 0)
    assert (found[:, 0, 0] < 0.2 * whole.log_power.exp()[:, 0, 0]).all()
    again = train(cases, settings, tmp_path / "run").unet.gaussian.log_power.exp()
    torch.testing.assert_close(again, found)  # also where the training had ended before


@pytest.mark.medium
def test_a_part_that_a_case_lacks_counts_for_nothing(tmp_path):
    cases = cached(tmp_path / "cache", prepared=FakePrepared(lacking=[("case3", "adc")]), sequences=("t2w", "adc"))
    lacking = [number for number, row in enumerate(cases.rows) if row.id == "case3"]
    settings = SETTINGS.model_copy(update={"part_weights": {"t2w": 0.5}})
    read = expecting._Read(torch.zeros(cases.report_count + 1, 2, 1, 1), torch.zeros(len(cases), 1, 1, 1, 1))
    (lesson,) = expecting._batch(cases, read, lacking, settings, 0.0, 0, range(4))
    width = cases.channels_a_part
    assert lesson.channel_weight.tolist() == [[0.5] * width + [0.0] * width] * 4


def test_no_patient_is_known_again_by_a_report(tmp_path, monkeypatch):
    cases = cached(tmp_path / "cache", prepared=FakePrepared(lacking=[("case3", "adc")]), sequences=("t2w", "adc"))
    kinds = {"case0": "simulated", "case1": "no endorectal coil", "case2": "with endorectal coil"}
    monkeypatch.setattr(cases, "rows", [
        row.model_copy(update={"scan_kinds": (None, kinds.get(row.id, "no endorectal coil"))}) for row in cases.rows
    ])  # fmt: skip
    alone, scanned = [[row for row, each in enumerate(cases.rows) if (each.id == "case0") is simulated]
                      for simulated in (True, False)]  # fmt: skip
    with_coil = [row for row in scanned if cases.rows[row].id == "case2"]
    without = [row for row in scanned if cases.rows[row].id != "case2"]
    latents = cases.latents(list(range(len(cases))))
    known = latents.clone()
    expecting._make_alike(known, cases)
    torch.testing.assert_close(known[alone], latents[alone])
    for rows in (with_coil, without):
        assert (known[rows] == known[rows][:1]).all()
    width = cases.channels_a_part
    having = [row for row in without if cases.rows[row].id != "case3"]
    torch.testing.assert_close(known[without[0], :width], latents[without, :width].mean(0))
    torch.testing.assert_close(known[without[0], width:], latents[having, width:].mean(0))


@pytest.mark.medium
def test_a_stopped_run_that_goes_on_gives_the_same_weights(cases, tmp_path, stopped_at_first_save, assert_same_weights):
    whole = train(cases, SETTINGS, tmp_path / "whole")
    with stopped_at_first_save():
        train(cases, SETTINGS, tmp_path / "stopped")
    assert_same_weights(train(cases, SETTINGS, tmp_path / "stopped"), whole)


def test_without_reports_nothing_can_be_expected(tmp_path):
    silent = cached(tmp_path / "cache", prepared=FakePrepared(wordings=0))
    with pytest.raises(InputError, match=r"no case has one\. Remove expect_first"):
        train(silent, SETTINGS, tmp_path / "run")
