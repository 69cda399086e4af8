"""Training of the denoiser: it learns, in every variant, goes on where it stopped, and stops at NaN."""

from __future__ import annotations

import math

import pytest
import torch
from accelerate.state import AcceleratorState
from latent_cases import CHANNELS, FakePrepared, Heard, cached, tiny_network

from ccella_core.errors import InputError, NonFiniteError
from ccella_core.generation.sampling.schedulers import SchedulerConfig
from ccella_core.networks import ConditionalDenoiser
from ccella_core.networks.config import REPORT_VARIANTS, VARIANTS, DenoiserConfig
from ccella_core.runs.launch import new_accelerator
from ccella_core.training import denoiser as training
from ccella_core.training.denoiser import DenoiserTraining, train_denoiser
from ccella_core.training.losses import JointLoss

TINY = DenoiserTraining(
    network=tiny_network(),
    scheduler=SchedulerConfig(prediction_type="v_prediction"),
    steps=4,
    batch_size=4,
    learning_rate=3e-3,
    warmup_steps=2,
    decay_power=1.0,
    ema_decay=0.9,
    report_dropout=0.25,
    checkpoint_every=2,
)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Five cases with two wordings each."""
    return cached(tmp_path_factory.mktemp("cache"))


def changed(**settings) -> DenoiserTraining:
    return DenoiserTraining(**{**TINY.model_dump(), **settings})


@pytest.mark.medium
def test_a_few_cases_are_soon_learned(cases, tmp_path):
    heard = Heard()
    config = changed(steps=60, focal_weight=0.01, stratified_timesteps=True, report_dropout=0.0)
    train_denoiser(cases, config, tmp_path, logger=heard)
    assert len(heard.steps) == 60

    def mean(key, steps):
        return sum(each[key] for each in steps) / len(steps)

    first, last = heard.steps[:10], heard.steps[-10:]
    assert mean("loss/denoising", last) < 0.92 * mean("loss/denoising", first)
    assert mean("loss/focal", last) < mean("loss/focal", first)
    for each in heard.steps:
        assert each["loss"] == pytest.approx(each["loss/denoising"] + 0.01 * each["loss/focal"], rel=1e-4)
        assert 0 <= each["accuracy"] <= 1 and each["gradient_norm"] > 0


@pytest.mark.medium
@pytest.mark.parametrize("ema_decay", [0.9, None])
def test_a_stopped_run_that_goes_on_ends_with_the_same_weights(
    cases, tmp_path, stopped_at_first_save, assert_same_weights, ema_decay
):
    config = changed(ema_decay=ema_decay, steps=5)
    whole = train_denoiser(cases, config, tmp_path / "whole").network
    with stopped_at_first_save():
        train_denoiser(cases, config, tmp_path / "stopped")
    assert_same_weights(train_denoiser(cases, config, tmp_path / "stopped").network, whole)
    # A finished run is not trained again.
    assert_same_weights(train_denoiser(cases, config, tmp_path / "whole").network, whole)


@pytest.mark.medium
def test_a_batch_in_parts_is_the_same_batch(cases, tmp_path):
    whole, parts = Heard(), Heard()
    options = {"steps": 3, "batch_size": 5, "report_dropout": 0.4}
    train_denoiser(cases, changed(**options), tmp_path / "whole", logger=whole)
    train_denoiser(cases, changed(**options, micro_batch_size=2), tmp_path / "parts", logger=parts)
    for one, other in zip(whole.steps, parts.steps, strict=True):
        assert other == pytest.approx(one, rel=1e-3, nan_ok=True)


@pytest.fixture
def forgetful():
    """Accelerate keeps the first precision of a process; it is made to forget, before and after."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.medium
def test_half_precision_learns_nearly_the_same(cases, tmp_path, forgetful):
    full, half = Heard(), Heard()
    train_denoiser(cases, TINY, tmp_path / "full", logger=full)
    AcceleratorState._reset_state(reset_partial_state=True)
    run = train_denoiser(cases, TINY, tmp_path / "half", logger=half, accelerator=new_accelerator("bf16"))
    for one, other in zip(full.steps, half.steps, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=0.02) and other["loss"] != one["loss"]
    assert {weight.dtype for weight in run.network.parameters()} == {torch.float32}


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has float16")
def test_a_precision_that_is_not_to_be_had_is_refused(forgetful):
    with pytest.raises(InputError, match=r"fp16 needs a GPU, .*set mixed_precision to bf16"):
        new_accelerator("fp16")


@pytest.mark.medium
def test_epochs_become_steps(cases, tmp_path):
    assert changed(steps=0, epochs=4).for_cases(5).steps == 5
    assert changed(steps=7, epochs=4).for_cases(5).steps == 7
    assert train_denoiser(cases, changed(steps=0, epochs=1, batch_size=2), tmp_path).step == 3


@pytest.mark.medium
@pytest.mark.parametrize("variant", REPORT_VARIANTS)
def test_every_variant_trains(cases, tmp_path, variant):
    heard = Heard()
    run = train_denoiser(cases, changed(network=tiny_network(variant), steps=1), tmp_path, logger=heard)
    assert run.network.config.variant == variant and not run.network.training
    assert all(torch.isfinite(parameter).all() for parameter in run.network.parameters())
    assert math.isnan(heard.steps[0]["accuracy"]) != (VARIANTS[variant].class_heads is not None)


@pytest.mark.medium
@pytest.mark.parametrize(
    "option",
    [
        {"scheduler": {"prediction_type": "epsilon"}},
        {"scheduler": {"prediction_type": "flow"}},
        {"min_snr_gamma": 5.0},
        {"region_weights": "lesions"},
        {"region_weights": "candidates"},
    ],
    ids=str,
)
def test_options_beyond_the_paper_train(cases, tmp_path, option):
    plain, with_option = Heard(), Heard()
    train_denoiser(cases, changed(steps=2), tmp_path / "plain", logger=plain)
    train_denoiser(cases, changed(steps=2, **option), tmp_path / "option", logger=with_option)
    assert math.isfinite(with_option.steps[-1]["loss"])
    assert with_option.steps[0]["loss/denoising"] != pytest.approx(plain.steps[0]["loss/denoising"], rel=1e-3)


def planar(**unet: object) -> DenoiserConfig:
    network = tiny_network()
    return network.model_copy(update={"unet": network.unet.model_copy(update={"kind": "planar", **unet})})


@pytest.mark.medium
def test_a_network_with_a_gaussian_part_begins_with_it(cases, tmp_path):
    flow = {"scheduler": {"prediction_type": "flow"}, "error": "l2"}
    plain, gaussian = Heard(), Heard()
    train_denoiser(cases, changed(network=planar(), steps=1, **flow), tmp_path / "plain", logger=plain)
    run = train_denoiser(
        cases, changed(network=planar(gaussian=True), steps=1, **flow), tmp_path / "gaussian", logger=gaussian
    )
    assert gaussian.steps[0]["loss/denoising"] < 0.8 * plain.steps[0]["loss/denoising"]
    again = train_denoiser(
        cases, changed(network=planar(gaussian=True), steps=1, **flow), tmp_path / "again", start=run.network
    )
    began, went_on = run.network.unet.gaussian.log_power, again.network.unet.gaussian.log_power
    torch.testing.assert_close(went_on, began, atol=0.05, rtol=0)  # learnt on, not set anew


@pytest.mark.medium
def test_an_adapter_at_rate_0_stays_as_it_is_and_with_it_what_is_expected(cases, tmp_path):
    flow = {"scheduler": {"prediction_type": "flow"}, "error": "l2", "ema_decay": None}
    network = planar(gaussian=True, expected=True)
    torch.manual_seed(TINY.seed)
    before = ConditionalDenoiser(network).state_dict()
    run = train_denoiser(cases, changed(network=network, steps=2, adapter_rate=0, **flow), tmp_path)
    still = {name for name, value in run.network.state_dict().items() if torch.equal(value, before[name])}
    assert {name for name in before if name.startswith(("adapter.", "unet.expected."))} <= still
    assert not any(name.startswith("unet.middle.") and name.endswith("plane.weight") for name in still)


@pytest.mark.parametrize("scheduler", [{"prediction_type": "v_prediction"},
                                       {"prediction_type": "flow", "num_train_timesteps": 500}])  # fmt: skip
def test_a_gaussian_part_is_for_rectified_flow(scheduler):
    with pytest.raises(ValueError, match="gaussian needs prediction_type flow and 1000 timesteps"):
        DenoiserTraining.model_validate({"network": planar(gaussian=True).model_dump(), "scheduler": scheduler})


def test_published_defaults():
    config = DenoiserTraining()
    assert (config.epochs, config.batch_size, config.learning_rate, config.decay_power) == (400, 8, 1e-4, 2.0)
    assert (config.gradient_clip, config.focal_weight) == (1.0, 1e-4)
    off = (config.ema_decay, config.report_dropout, config.min_snr_gamma, config.region_weights, config.warmup_steps)
    assert off == (None, 0.0, None, "none", 0) and not config.stratified_timesteps
    assert config.scheduler.prediction_type == "epsilon" and config.network.unet.num_channels == (64, 128, 256, 512)


@pytest.mark.medium
def test_nan_stops_the_run_and_leaves_the_last_checkpoint(cases, tmp_path, stopped_at_first_save, monkeypatch):
    with stopped_at_first_save():
        train_denoiser(cases, TINY, tmp_path)
    (checkpoint,) = tmp_path.iterdir()
    before = checkpoint.read_bytes()
    monkeypatch.setattr(
        training, "joint_loss", lambda prediction, *_, **__: JointLoss(*3 * [prediction.sum() * math.nan])
    )
    with pytest.raises(NonFiniteError, match=r"The loss became nan at step 2; the last checkpoint is whole"):
        train_denoiser(cases, TINY, tmp_path)
    assert checkpoint.read_bytes() == before


def test_what_does_not_fit_is_explained(cases, tmp_path):
    wide = tiny_network().model_copy(update={"unet": tiny_network().unet.model_copy(update={"latent_channels": 3})})
    with pytest.raises(InputError, match=rf"have {CHANNELS} channels and the network takes 3; set denoiser"):
        train_denoiser(cases, changed(network=wide), tmp_path)
    deaf = tiny_network().model_copy(update={"adapter": tiny_network().adapter.model_copy(update={"text_width": 9})})
    with pytest.raises(InputError, match=r"encoder is 8 wide and the adapter reads 9; set denoiser"):
        train_denoiser(cases, changed(network=deaf), tmp_path)
    silent = cached(tmp_path / "silent", text=False)
    with pytest.raises(InputError, match="reads reports, and none are in the cache"):
        train_denoiser(silent, TINY, tmp_path)
    bare = cached(tmp_path / "bare", prepared=FakePrepared(masks=False))
    with pytest.raises(InputError, match="needs masks of them"):
        train_denoiser(bare, changed(region_weights="lesions"), tmp_path)
