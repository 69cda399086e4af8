"""The denoiser in its eight variants, held to the published networks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from ccella_core.networks import (
    REPORT_VARIANTS,
    VARIANTS,
    AdapterConfig,
    ConditionalDenoiser,
    DenoiserConfig,
    UNetConfig,
    demo_denoiser,
    published_denoiser,
)
from ccella_core.networks.published import published_name

REFERENCE_OUTPUTS = ("ccella", "first", "decoupled", "maisi")


def reference_config(variant: str) -> DenoiserConfig:
    """The tiny configuration of the reference numbers."""
    return DenoiserConfig(
        variant=variant,
        unet=UNetConfig(num_channels=(32, 32, 64, 64), num_res_blocks=1),
        adapter=AdapterConfig(text_width=24) if VARIANTS[variant].uses_text else None,
    )


@pytest.mark.medium
@pytest.mark.parametrize("size", ["tiny", "published"])
@pytest.mark.parametrize("variant", REPORT_VARIANTS)
def test_parameters_are_the_published_ones(variant, size, reference_folder):
    published = json.loads((reference_folder / f"state_dict_{size}.json").read_text(encoding="utf-8"))[variant]
    with torch.device("meta"):
        model = ConditionalDenoiser(reference_config(variant) if size == "tiny" else published_denoiser(variant))
    ours = {published_name(name, variant): list(value.shape) for name, value in model.state_dict().items()}
    assert ours == published


@pytest.mark.medium
@pytest.mark.parametrize("variant", REFERENCE_OUTPUTS)
def test_outputs_equal_the_published_networks(variant, reference_folder, draw, draw_weights):
    model = ConditionalDenoiser(reference_config(variant)).eval()
    draw_weights(model, lambda name: published_name(name, variant))
    config = model.config
    with torch.inference_mode():
        output = model(
            draw("input.x", (2, 4, 8, 8, 8)),
            torch.tensor([17, 803]),
            text=draw("input.text", (2, 12, 24), 0.3) if config.uses_text else None,
            class_probability=torch.eye(2) if config.uses_class and not config.predicts_class else None,
            spacing=draw("input.spacing", (2, 3)).abs() * 0.5,  # the reference gives it already times 100
        )
    expected = np.load(reference_folder / "network_outputs.npz")
    assert relative_error(output.prediction, expected[f"{variant}.noise_pred"]) < 1e-4
    if config.predicts_class:
        assert relative_error(output.class_logits, expected[f"{variant}.class_logits"]) < 1e-4
    else:
        assert output.class_logits is None


@pytest.fixture(scope="module")
def nv_reference(reference_folder):
    return reference_folder / "nv_rflow_mr"


@pytest.mark.parametrize("size", ["tiny", "published"])
def test_parameters_of_the_modality_variant_are_nvidia_s(size, nv_reference, modality_model):
    published = json.loads((nv_reference / f"state_dict_unet_{size}.json").read_text(encoding="utf-8"))
    with torch.device("meta"):
        model = ConditionalDenoiser(modality_model.config if size == "tiny" else published_denoiser("modality"))
    ours = {published_name(name, "modality"): list(value.shape) for name, value in model.state_dict().items()}
    assert ours == published.get("shapes", published)


def test_outputs_of_the_modality_variant_equal_nvidia_s(modality_model, nv_reference):
    reference = {
        name: torch.from_numpy(array) for name, array in np.load(nv_reference / "denoiser_forward.npz").items()
    }
    with torch.inference_mode():
        output = modality_model(
            reference["x"],
            reference["timesteps"],
            modality=reference["class_labels"],
            spacing=reference["spacing_mm"],
        )
    difference = torch.linalg.vector_norm(output.prediction - reference["velocity"])
    assert difference / torch.linalg.vector_norm(reference["velocity"]) < 1e-4
    assert output.class_logits is None


def test_the_modality_must_be_given(modality_model):
    with pytest.raises(ValueError, match="needs the modality"):
        modality_model(torch.zeros(1, 4, 8, 8, 8), torch.tensor([5.0]), spacing=torch.ones(1, 3))


@pytest.mark.parametrize("size", ["tiny", "published"])
def test_parameters_of_three_sequences_are_the_published_ones(size, reference_folder):
    """CCELLA++: the same network with twelve latent channels."""
    file = reference_folder / "ccella_plus_plus" / f"state_dict_{size}.json"
    published = json.loads(file.read_text(encoding="utf-8"))
    with torch.device("meta"):
        whole = reference_config("ccella") if size == "tiny" else published_denoiser("ccella")
        config = whole.model_copy(update={"unet": whole.unet.model_copy(update={"latent_channels": 12})})
        model = ConditionalDenoiser(config)
    ours = {published_name(name, "ccella"): list(value.shape) for name, value in model.state_dict().items()}
    assert ours == published.get("shapes", published)


def test_outputs_of_three_sequences_equal_the_published_ones(reference_folder, draw, draw_weights):
    tiny = reference_config("ccella")
    config = tiny.model_copy(update={"unet": tiny.unet.model_copy(update={"latent_channels": 12})})
    model = draw_weights(ConditionalDenoiser(config), lambda name: published_name(name, "ccella"))
    reference = np.load(reference_folder / "ccella_plus_plus" / "denoiser_forward.npz")
    given = {name: torch.from_numpy(reference[name]) for name in ("x", "timesteps", "spacing_mm", "text")}
    with torch.inference_mode():
        output = model(given["x"], given["timesteps"], text=given["text"], spacing=given["spacing_mm"])
    assert relative_error(output.prediction, reference["noise_pred"]) < 1e-4
    assert relative_error(output.class_logits, reference["class_logits"]) < 1e-4


def relative_error(ours: torch.Tensor, theirs: np.ndarray) -> float:
    return float(np.abs(ours.numpy() - theirs).max() / np.abs(theirs).max())


@pytest.fixture(params=list(VARIANTS))
def small(request, draw_weights) -> ConditionalDenoiser:
    return draw_weights(ConditionalDenoiser(demo_denoiser(request.param, text_width=8)))


@pytest.mark.medium
@torch.inference_mode()
def test_condition_then_denoise_is_forward(small):
    config = small.config
    x, timesteps, spacing = torch.randn(2, 1, 8, 8, 8), torch.tensor([5, 900]), torch.ones(2, 3)
    text = torch.randn(2, 7, 8) if config.uses_text else None
    given = torch.tensor([[0.3, 0.7], [1.0, 0.0]]) if config.uses_class and not config.predicts_class else None
    modality = torch.tensor([10, 0]) if config.uses_modality else None
    whole = small(x, timesteps, text=text, class_probability=given, modality=modality, spacing=spacing)
    tokens, logits = small.condition(text, timesteps) if config.uses_text else (None, None)
    probability = given if logits is None else logits.softmax(1)
    parts = small.denoise(
        x, timesteps, tokens=tokens, class_probability=probability, modality=modality, spacing=spacing
    )
    assert whole.prediction.abs().max() > 0
    torch.testing.assert_close(parts, whole.prediction)


@torch.inference_mode()
def test_a_given_class_overrides_the_predicted_one(draw_weights):
    model = draw_weights(ConditionalDenoiser(demo_denoiser("ccella", text_width=8)))
    inputs = {"text": torch.randn(1, 7, 8), "spacing": torch.ones(1, 3)}
    x, t = torch.randn(1, 1, 8, 8, 8), torch.tensor([500])
    negative, positive = (model(x, t, class_probability=torch.tensor([p]), **inputs) for p in ([1.0, 0.0], [0.0, 1.0]))
    assert not torch.allclose(negative.prediction, positive.prediction)
    torch.testing.assert_close(negative.class_logits, positive.class_logits)


def test_missing_condition_is_said():
    x, t, spacing = torch.randn(1, 1, 8, 8, 8), torch.tensor([500]), torch.ones(1, 3)
    with pytest.raises(ValueError, match="needs the class"):
        ConditionalDenoiser(demo_denoiser("radmaisi"))(x, t, spacing=spacing)
    with pytest.raises(ValueError, match="has no text"):
        ConditionalDenoiser(demo_denoiser("maisi")).condition(torch.randn(1, 7, 8), t)


def test_size_is_configuration():
    config = demo_denoiser("ccella").model_copy(update={"num_classes": 5})
    model = ConditionalDenoiser(config)
    assert model.unet.pathology.in_features == 5
    assert model.adapter.class_vote.weight.shape == (5, 6 * 5)


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"variant": "maisi"}, "takes no adapter"),
        ({"variant": "ccella", "adapter": None}, "needs an adapter"),
        ({"variant": "unheard"}, "variant"),
        ({"layers": 6}, "Extra inputs"),
    ],
)
def test_configuration_is_checked(settings, sentence):
    with pytest.raises(ValidationError, match=sentence):
        DenoiserConfig(**settings)
    with pytest.raises(ValidationError, match="multiple of its"):
        AdapterConfig(width=10, heads=3)
    with pytest.raises(ValidationError, match="one entry a level"):
        UNetConfig(num_channels=(32, 64))


def test_unknown_parameter_has_no_published_name():
    with pytest.raises(KeyError, match="surprise"):
        published_name("surprise.weight", "ccella")
