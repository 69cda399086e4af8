"""The scheduler: equal to the published loop where that is asked for, right at any number of steps otherwise."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from monai.networks.schedulers import DDPMScheduler as MonaiDDPM

from ccella_core.errors import Cancelled, InputError, NonFiniteError
from ccella_core.generation.sampling.checks import parse_pathology
from ccella_core.generation.sampling.loop import StepInfo, precompute_conditions, sample
from ccella_core.generation.sampling.schedulers import Scheduler, SchedulerConfig, trailing_timesteps
from ccella_core.networks import AdapterConfig, ConditionalDenoiser, DenoiserConfig, UNetConfig
from ccella_core.networks.published import published_name

CONFIG = SchedulerConfig()
SHAPE = (8, 8, 8)
SPACING = (0.5, 0.5, 0.5)
ALL_SOLVERS = ["dpm++", "sde-dpm++", "unipc", "ddim", "ddpm", "ddpm-reference"]


def tiny(variant: Any = "ccella") -> ConditionalDenoiser:
    unet = UNetConfig(
        num_channels=(8, 16),
        attention_levels=(False, True),
        num_head_channels=(0, 8),
        num_res_blocks=1,
        norm_num_groups=4,
    )
    has_text = variant not in ("maisi", "radmaisi")
    small = AdapterConfig(text_width=6, width=16, num_latents=4, layers=2, heads=2, time_channels=8, class_hidden=8)
    torch.manual_seed(0)
    model = ConditionalDenoiser(DenoiserConfig(variant=variant, unet=unet, adapter=small if has_text else None))
    with torch.no_grad():  # MONAI starts the last layers at zero, which would hide every input
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


class GaussianDenoiser(torch.nn.Module):
    """The best possible prediction of the noise where the clean latents are N(mean, std²)."""

    def __init__(self, mean: float, std: float, output: float | None = None) -> None:
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.mean, self.std, self.output, self.calls = mean, std, output, 0
        self.config = SimpleNamespace(
            variant="maisi",
            uses_text=False,
            uses_class=False,
            uses_modality=False,
            predicts_class=False,
            latent_channels=4,
            unet=SimpleNamespace(shape_multiples=(4, 4, 4)),
        )

    def denoise(self, x: torch.Tensor, timesteps: torch.Tensor, **_: Any) -> torch.Tensor:
        self.calls += 1
        if self.output is not None:
            return torch.full_like(x, self.output)
        alpha = CONFIG.alphas_cumprod()[timesteps[0]]
        return (1 - alpha).sqrt() * (x - alpha.sqrt() * self.mean) / (alpha * self.std**2 + 1 - alpha)


def draw_sample(model: Any, **kwargs: Any) -> Any:
    settings: dict[str, Any] = {"shape": SHAPE, "spacing": SPACING, "seeds": [0], "num_inference_steps": 4} | kwargs
    return sample(model, CONFIG, **settings)


def assert_same_latents(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """Equal up to the rounding that a network's output has in a batch of another size.

    At the first step the schedulers divide by sqrt(alpha) = 0.012, so that rounding counts relative
    to the largest value.
    """
    assert (actual - expected).abs().max() < 2e-5 * expected.abs().max()


def test_schedule_equals_monai() -> None:
    monai = MonaiDDPM(1000, "scaled_linear_beta", beta_start=0.0015, beta_end=0.0195)
    torch.testing.assert_close(CONFIG.alphas_cumprod(), monai.alphas_cumprod, rtol=1e-6, atol=0)


@pytest.mark.slow
def test_reference_scheduler_meets_the_published_loop(reference_folder: Path, draw: Any, draw_weights: Any) -> None:
    golden = np.load(reference_folder / "sampler_ccella.npz")
    unet = UNetConfig(
        num_channels=(32, 32, 64, 64),
        attention_levels=(False, False, True, True),
        num_head_channels=(0, 0, 32, 32),
        num_res_blocks=1,
    )
    model = ConditionalDenoiser(DenoiserConfig(unet=unet, adapter=AdapterConfig(text_width=24)))
    draw_weights(model, lambda name: published_name(name, "ccella"))
    result = draw_sample(
        model,
        text=draw("input.text", (1, 12, 24), 0.3),
        seeds=[1234],
        scheduler="ddpm-reference",
        num_inference_steps=10,
    )
    assert result.timesteps.tolist() == golden["timesteps"].tolist()
    error = np.abs(result.latents.numpy() - golden["final_latent"]).max() / np.abs(golden["final_latent"]).max()
    assert error < 1e-4
    expected = torch.softmax(torch.from_numpy(golden["class_logits_last_step"]), dim=1)[:, 1]
    torch.testing.assert_close(result.positive_probability, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.medium
def test_reference_scheduler_meets_the_loop_of_three_sequences(
    reference_folder: Path, draw: Any, draw_weights: Any
) -> None:
    """CCELLA++: twelve channels, T2, high b and ADC in this order."""
    golden = np.load(reference_folder / "ccella_plus_plus" / "sampler_10_steps.npz")
    unet = UNetConfig(latent_channels=12, num_channels=(32, 32, 64, 64), num_res_blocks=1)
    model = ConditionalDenoiser(DenoiserConfig(unet=unet, adapter=AdapterConfig(text_width=24)))
    draw_weights(model, lambda name: published_name(name, "ccella"))
    result = draw_sample(
        model,
        text=torch.from_numpy(golden["text"]),
        spacing=golden["spacing_mm"][0].tolist(),
        seeds=[4321],
        scheduler="ddpm-reference",
        num_inference_steps=10,
    )
    assert result.timesteps.tolist() == golden["timesteps"].tolist()
    error = np.abs(result.latents.numpy() - golden["final_latent"]).max() / np.abs(golden["final_latent"]).max()
    assert error < 1e-4
    factors = np.load(reference_folder / "ccella_plus_plus" / "training_step.npz")["scale_factors"]
    for block, factor, name in zip(result.latents.chunk(3, dim=1), factors, ("t2w", "hbv", "adc"), strict=True):
        torch.testing.assert_close(block / factor, torch.from_numpy(golden[f"{name}_latent"]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("scheduler", "steps"),
    [("dpm++", 20), ("sde-dpm++", 60), ("unipc", 20), ("ddim", 100), ("ddpm", 200), ("ddpm-reference", 1000)],
)
def test_scheduler_draws_from_the_right_gaussian(scheduler: str, steps: int) -> None:
    model = GaussianDenoiser(mean=0.5, std=0.8)
    latents = draw_sample(
        model, shape=(16, 16, 16), seeds=[3, 4], scheduler=scheduler, num_inference_steps=steps
    ).latents
    # 32768 independent draws: the standard error of their mean is 0.0044
    assert latents.mean().item() == pytest.approx(0.5, abs=0.03)
    assert latents.std().item() == pytest.approx(0.8, abs=0.03)
    assert model.calls == steps


def test_reference_scheduler_is_wrong_at_few_steps() -> None:
    """Why it is not the default: at 10 steps it barely leaves the noise."""
    latents = draw_sample(
        GaussianDenoiser(0.5, 0.8), scheduler="ddpm-reference", num_inference_steps=10, shape=(16, 16, 16)
    ).latents
    assert abs(latents.mean().item() - 0.5) > 0.2 or abs(latents.std().item() - 0.8) > 0.15


@pytest.mark.parametrize("steps", [1, 2, 30, 61, 103, 1000])
def test_trailing_timesteps_begin_at_pure_noise_and_never_repeat(steps: int) -> None:
    timesteps = trailing_timesteps(steps, 1000)
    assert len(set(timesteps)) == len(timesteps) == steps
    assert timesteps[0] == 999 and timesteps == sorted(timesteps, reverse=True) and timesteps[-1] >= 0


@pytest.mark.parametrize("scheduler", ALL_SOLVERS)
@pytest.mark.parametrize("steps", [1, 2, 61])
def test_every_scheduler_takes_any_number_of_steps(scheduler: str, steps: int) -> None:
    result = draw_sample(GaussianDenoiser(0.0, 1.0), scheduler=scheduler, num_inference_steps=steps)
    assert result.timesteps.shape == (steps,)
    assert torch.isfinite(result.latents).all()


@pytest.mark.parametrize("scheduler", ALL_SOLVERS)
def test_seed_gives_the_same_latent_alone_and_in_a_batch(scheduler: str) -> None:
    model, text = tiny(), torch.randn(2, 5, 6)
    batch = draw_sample(model, text=text, seeds=[0, 7], scheduler=scheduler)
    for i, seed in enumerate([0, 7]):
        alone = draw_sample(model, text=text[i : i + 1], seeds=[seed], scheduler=scheduler)
        assert_same_latents(alone.latents, batch.latents[i : i + 1])
        torch.testing.assert_close(alone.positive_probability, batch.positive_probability[i : i + 1])


def test_seed_zero_is_a_seed() -> None:
    model, text = tiny(), torch.randn(1, 5, 6)
    torch.manual_seed(1)
    first = draw_sample(model, text=text, seeds=[0]).latents
    torch.manual_seed(2)
    assert torch.equal(first, draw_sample(model, text=text, seeds=[0]).latents)
    assert not torch.allclose(first, draw_sample(model, text=text, seeds=[1]).latents, atol=0.1)


def test_adapter_runs_before_the_loop_and_once_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    model, order = tiny(), []
    condition, denoise = model.condition, model.denoise

    def spy_condition(text: torch.Tensor, timesteps: torch.Tensor) -> Any:
        order.append(("condition", len(text)))
        return condition(text, timesteps)

    def spy_denoise(x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        order.append(("denoise", len(x)))
        return denoise(x, *args, **kwargs)

    monkeypatch.setattr(model, "condition", spy_condition)
    monkeypatch.setattr(model, "denoise", spy_denoise)
    text = torch.randn(1, 5, 6)
    draw_sample(model, text=text, seeds=[1, 2, 3])
    assert order == [("condition", 4), *[("denoise", 3)] * 4]
    order.clear()
    draw_sample(model, text=text, null_text=torch.zeros(1, 5, 6), guidance_scale=2.0)
    assert order == [("condition", 4)] * 2 + [("denoise", 2)] * 4


def test_precomputed_conditions_equal_single_calls() -> None:
    model, text, timesteps = tiny(), torch.randn(3, 5, 6), torch.tensor([999, 500, 0])
    conditions = precompute_conditions(model, text, timesteps, batch=4)
    tokens, logits = model.condition(text[1:2], timesteps[2:])
    assert conditions.class_probability is not None and logits is not None
    torch.testing.assert_close(conditions.tokens[2, 1:2], tokens, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(conditions.class_probability[2, 1:2], logits.softmax(1), rtol=1e-4, atol=1e-5)


def test_guidance_extrapolates_from_the_null_report() -> None:
    model, text, null = tiny(), torch.randn(1, 5, 6), torch.zeros(1, 5, 6)
    asked = {"pathology": 0.5, "num_inference_steps": 1, "scheduler": "ddim"}
    plain, unconditional = (draw_sample(model, text=t, **asked).latents for t in (text, null))
    guided = draw_sample(model, text=text, null_text=null, guidance_scale=3.0, **asked).latents
    # one DDIM step is affine in the prediction
    torch.testing.assert_close(guided, unconditional + 3 * (plain - unconditional), rtol=1e-3, atol=1e-3)


def test_asked_pathology_reaches_the_network_and_leaves_the_prediction_alone() -> None:
    model, text = tiny(), torch.randn(1, 5, 6)
    predicted = draw_sample(model, text=text)
    asked = [draw_sample(model, text=text, pathology=p) for p in ("negative", "positive")]
    assert not torch.allclose(asked[0].latents, asked[1].latents)
    assert asked[0].positive_probability == asked[1].positive_probability == predicted.positive_probability
    mixed = draw_sample(model, text=text, pathology=["positive", None], seeds=[0, 0]).latents
    assert_same_latents(mixed[:1], asked[1].latents)
    assert_same_latents(mixed[1:], predicted.latents)


@pytest.mark.parametrize("variant", ["first", "last", "shared", "decoupled", "ellamaisi", "radmaisi", "maisi"])
def test_every_variant_samples(variant: str) -> None:
    model = tiny(variant)
    text = torch.randn(1, 5, 6) if model.config.uses_text else None
    outside = model.config.uses_class and not model.config.predicts_class
    result = draw_sample(model, text=text, pathology="positive" if outside else None)
    assert result.latents.shape == (1, 4, *SHAPE)
    assert (result.positive_probability is not None) == model.config.predicts_class


def test_callback_sees_every_step_and_may_stop() -> None:
    seen: list[StepInfo] = []
    draw_sample(GaussianDenoiser(0.5, 0.8), callback=seen.append, shape=(8, 12, 4))
    assert [info.step for info in seen] == [1, 2, 3, 4]
    assert seen[0].timestep == 999
    preview = seen[-1].preview()
    assert preview.shape == (8, 12) and preview.dtype == np.uint8 and preview.max() == 255
    with pytest.raises(Cancelled, match="step 2 of 4"):
        draw_sample(GaussianDenoiser(0.5, 0.8), callback=lambda info: info.step < 2)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_clean_estimate_inverts_the_noising(prediction_type: Any) -> None:
    config = SchedulerConfig(prediction_type=prediction_type)
    clean, noise = torch.randn(2, 1, 4, 4, 4, 4).unbind()
    alpha = config.alphas_cumprod()[300]
    noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
    velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
    prediction = noise if prediction_type == "epsilon" else velocity
    torch.testing.assert_close(config.clean_estimate(noisy, prediction, 300), clean, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("output", [math.nan, math.inf])
def test_broken_network_is_noticed(output: float) -> None:
    with pytest.raises(NonFiniteError, match="step 1 of 4"):
        draw_sample(GaussianDenoiser(0, 1, output=output))


@pytest.mark.parametrize(
    ("value", "expected"), [(None, None), ("negative", 0.0), ("positive", 1.0), (0.3, 0.3), (1, 1.0)]
)
def test_parse_pathology(value: Any, expected: float | None) -> None:
    assert parse_pathology(value) == expected


@pytest.mark.parametrize("value", ["maybe", "", -0.1, 1.1, math.nan, True, [0.5]])
def test_parse_pathology_refuses(value: Any) -> None:
    with pytest.raises(InputError, match="pathology"):
        parse_pathology(value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"seeds": [-1]},
        {"seeds": [2**63]},
        {"seeds": [True]},
        {"seeds": [1.0]},
        {"seeds": []},
        {"num_inference_steps": 0},
        {"num_inference_steps": 1001},
        {"num_inference_steps": True},
        {"num_inference_steps": 10.0},
        {"scheduler": "euler"},
        {"shape": (8, 8, 7)},
        {"shape": (8, 8)},
        {"shape": (8, 8, 0)},
        {"spacing": (0.5, 0.5)},
        {"spacing": (0.5, 0.5, -1)},
        {"spacing": (0.5, 0.5, math.nan)},
        {"text": None},
        {"text": torch.zeros(3, 5, 6)},
        {"guidance_scale": 2.0},
        {"guidance_scale": math.nan},
        {"pathology": "maybe"},
        {"pathology": [0.5, 0.5]},
        {"modality": 10},
        {"scheduler": "rflow"},
    ],
)
def test_bad_input_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        draw_sample(tiny(), **({"text": torch.zeros(1, 5, 6)} | wrong))


@pytest.mark.parametrize(
    ("variant", "pathology", "words"),
    [
        ("decoupled", None, "does not predict"),
        ("radmaisi", None, "does not predict"),
        ("ellamaisi", "positive", "takes no pathology"),
        ("maisi", 0.5, "takes no pathology"),
    ],
)
def test_pathology_must_fit_the_variant(variant: str, pathology: Any, words: str) -> None:
    model = tiny(variant)
    text = torch.zeros(1, 5, 6) if model.config.uses_text else None
    with pytest.raises(InputError, match=words):
        draw_sample(model, text=text, pathology=pathology)


def test_report_for_a_model_without_text_is_refused() -> None:
    with pytest.raises(InputError, match="reads no report"):
        draw_sample(tiny("maisi"), text=torch.zeros(1, 5, 6))


def test_ddim_equals_diffusers_where_theirs_is_right() -> None:
    theirs = DDIMScheduler(**CONFIG.model_dump(), clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    theirs.set_timesteps(10)
    ours = Scheduler("ddim", CONFIG, 10)
    assert ours.timesteps.tolist() == theirs.timesteps.tolist()
    x = y = torch.randn(1, 4, 4, 4, 4)
    for t in ours.timesteps:
        x, y = ours.step(x.sin(), t, x, []), theirs.step(y.sin(), t, y, return_dict=False)[0]
    torch.testing.assert_close(x, y, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["dpm++", "sde-dpm++", "unipc", "ddim"])
def test_flow_schedulers_arrive_at_the_data(name: Any) -> None:
    config = SchedulerConfig(prediction_type="flow")
    data = torch.randn(1, 2, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    x = torch.randn(data.shape, generator=torch.Generator().manual_seed(2))
    scheduler = Scheduler(name, config, 6)
    assert scheduler.timesteps[0] == 999 and len(scheduler.timesteps) == 6
    for timestep in scheduler.timesteps:
        share = timestep / 1000
        x = scheduler.step((x - data) / share, timestep, x, [torch.Generator()])
    torch.testing.assert_close(x, data, rtol=0, atol=0.02)


@pytest.mark.parametrize("name", ["ddpm", "ddpm-reference"])
def test_schedulers_with_noise_refuse_a_flow(name: Any) -> None:
    with pytest.raises(InputError, match=r"does not fit a model of rectified flow; choose dpm\+\+"):
        Scheduler(name, SchedulerConfig(prediction_type="flow"), 4)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction", "flow", "rflow"])
def test_target_and_clean_estimate_agree(prediction_type: Any) -> None:
    config = SchedulerConfig(prediction_type=prediction_type)
    clean, noise = (torch.randn(2, 1, 2, 2, 2, generator=torch.Generator().manual_seed(i)) for i in (1, 2))
    timesteps = torch.tensor([40, 700])
    noisy, target = config.noised(clean, noise, timesteps), config.target(clean, noise, timesteps)
    for row in range(2):
        estimate = config.clean_estimate(noisy[row : row + 1], target[row : row + 1], int(timesteps[row]))
        torch.testing.assert_close(estimate, clean[row : row + 1], rtol=1e-3, atol=1e-4)


def test_min_snr_weights() -> None:
    timesteps = torch.tensor([0, 500, 999])
    alpha = CONFIG.alphas_cumprod()[timesteps]
    snr = alpha / (1 - alpha)
    torch.testing.assert_close(CONFIG.min_snr_weight(timesteps, 5.0), torch.clamp(snr, max=5) / snr)
    velocity = SchedulerConfig(prediction_type="v_prediction").min_snr_weight(timesteps, 5.0)
    torch.testing.assert_close(velocity, torch.clamp(snr, max=5) / (snr + 1))
    with pytest.raises(InputError, match="not for rectified flow"):
        SchedulerConfig(prediction_type="flow").min_snr_weight(timesteps, 5.0)
