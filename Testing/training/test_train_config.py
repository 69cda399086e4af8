"""The configuration: presets with the published numbers, YAML over them, the command line over both."""

from __future__ import annotations

import pytest
import yaml

from ccella_core.config import as_yaml, read_settings
from ccella_core.errors import InputError
from ccella_core.networks.config import REPORT_VARIANTS, VARIANTS
from ccella_core.networks.presets import published_denoiser
from ccella_core.training.train_config import TrainConfig, preset, preset_names, read_config

GIVEN = {"data": "prepared", "output": "run", "autoencoder": "maisi"}
EXPECTS = {"steps": 2, "batch_size": 2, "learning_rate": 1e-3}
EXPECTING = {"unet": {"kind": "planar", "gaussian": True, "expected": True}}


def config(**content):
    return TrainConfig.model_validate({**GIVEN, "text_encoder": "t5", **content})


def written(tmp_path, content) -> object:
    path = tmp_path / "config.yaml"
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("variant", REPORT_VARIANTS)
def test_published_presets_are_the_paper(variant):
    config = TrainConfig.model_validate({**preset(f"published-{variant}"), **GIVEN})
    training = config.denoiser
    assert training.network == published_denoiser(variant)
    assert (training.epochs, training.steps, training.batch_size, training.learning_rate) == (400, 0, 8, 1e-4)
    assert (training.decay_power, training.gradient_clip, training.focal_weight) == (2.0, 1.0, 1e-4)
    assert (training.ema_decay, training.report_dropout, training.min_snr_gamma) == (None, 0.0, None)
    assert training.scheduler.prediction_type == "epsilon" and training.region_weights == "none"
    assert not training.stratified_timesteps and training.warmup_steps == 0 and config.read_first is None
    assert config.max_tokens == 512 and config.cache.latents == "draw" and not config.cache.mirror
    assert config.text_encoder == ("google/flan-t5-xxl" if VARIANTS[variant].uses_text else None)


def test_there_are_two_sizes_of_each_variant():
    assert len(preset_names()) == 2 * 8 + 1
    for name in preset_names():
        TrainConfig.model_validate({**preset(name), **GIVEN})
    with pytest.raises(InputError, match=r"There is no preset 'published-cella'; there are published-ccella"):
        preset("published-cella")


def test_the_command_line_is_over_the_file_and_the_file_over_the_preset(tmp_path):
    file = written(tmp_path, {**GIVEN, "preset": "published-ccella", "denoiser": {"batch_size": 4, "seed": 3}})
    config = read_config(file, overrides=["denoiser.batch_size=2", "sequences=[t2w, adc]", "name=mine"])
    assert (config.denoiser.batch_size, config.denoiser.seed, config.denoiser.epochs) == (2, 3, 400)
    assert config.sequences == ("t2w", "adc") and config.name == "mine"
    assert read_config(file, preset_name="small-first").denoiser.network.variant == "first"


def test_what_is_printed_is_read_again(tmp_path):
    config = read_config(written(tmp_path, {**GIVEN, "preset": "small-ccella"}))
    assert read_config(written(tmp_path, as_yaml(config))) == config


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"dta": "x"}, "there is no key dta; did you mean data"),
        ({"denoiser": {"batchsize": 2}}, r"there is no key denoiser\.batchsize; did you mean batch_size"),
        ({"denoiser": {"network": {"unet": {"chanels": 2}}}}, r"there is no key denoiser\.network\.unet\.chanels"),
        ({"read_first": {"step": 2}}, r"there is no key read_first\.step; did you mean steps"),
        (
            {"expect_first": EXPECTS},
            r"expect_first teaches denoiser\.network\.unet\.expected, which this network has not",
        ),
        (
            {"denoiser": {"scheduler": {"prediction_type": "flow"}, "network": EXPECTING}},
            "give expect_first, which teaches it",
        ),
        (
            {
                "denoiser": {"scheduler": {"prediction_type": "flow"}, "network": EXPECTING},
                "expect_first": EXPECTS | {"part_weights": {"lesion": 2.0}},
            },
            r"expect_first\.part_weights: lesion is none of the sequences and labels",
        ),
        ({"denoiser": {"batch_size": 0}}, r"denoiser\.batch_size: must be above 0"),
        ({"mixed_precision": "fp8"}, "mixed_precision: .*'no', 'auto', 'fp16' or 'bf16'"),
        ({"sequences": ["t2w", "t2w"]}, "a sequence stands twice"),
        ({"denoiser": {"part_weights": {"gland": 0.5}}}, "part_weights: gland is none of the sequences and labels"),
        ({"denoiser": {"part_weights": {"t1w": 0.5}}}, r"denoiser\.part_weights\.t1w"),
        ({"denoiser": {"part_weights": {"t2w": 0}}}, r"denoiser\.part_weights\.t2w: must be above 0"),
        ({"text_encoder": None}, "the variant ccella reads reports: give text_encoder"),
        ({"denoiser": {"network": {"variant": "maisi", "adapter": None}}}, "reads no reports: remove text_encoder"),
        ({"denoiser": {"scheduler": {"prediction_type": "flow"}, "min_snr_gamma": 5}}, "not for rectified flow"),
        ({"name": "a b"}, "name: has another form than"),
    ],
)
def test_every_slip_is_named(tmp_path, content, said):
    with pytest.raises(InputError, match=said):
        read_config(written(tmp_path, {**GIVEN, "text_encoder": "t5", **content}))


def test_ccella_plus_plus_has_three_sequences():
    keys = {"data": "prepared", "output": "run", "autoencoder": "maisi"}
    config = read_config(preset_name="published-ccella++", overrides=[f"{key}={value}" for key, value in keys.items()])
    assert config.sequences == ("t2w", "hbv", "adc") and config.denoiser.epochs == 800
    whole = published_denoiser("ccella")
    unet = whole.unet.model_copy(update={"latent_channels": 12})
    assert config.denoiser.network == whole.model_copy(update={"unet": unet})
    assert "published-ccella++" in preset_names()


def test_nvidia_s_network_is_not_trained(tmp_path):
    network = published_denoiser("modality").model_dump(mode="json")
    content = {"data": "d", "output": "o", "autoencoder": "a", "denoiser": {"network": network}}
    with pytest.raises(InputError, match="variant modality is not trained here"):
        read_config(written(tmp_path, content))


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="data is missing; output is missing"):
        read_config(written(tmp_path, {"autoencoder": "maisi", "text_encoder": "t5"}))


@pytest.mark.parametrize(
    ("text", "said"), [("- a", "holds no keys"), ("a: [", "cannot be read as YAML"), ("", "holds no keys")]
)
def test_what_is_no_configuration_is_said(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        read_config(written(tmp_path, text))
    with pytest.raises(InputError, match="There is no configuration"):
        read_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("override", ["batch_size", "=3", "a=[1"])
def test_what_is_no_override_is_said(override):
    with pytest.raises(InputError, match=r"is no override|is not YAML"):
        read_config(overrides=[override])


def test_other_trainings_are_configured_the_same_way(tmp_path):
    from ccella_core.training.train_autoencoder import AutoencoderConfigFile

    file = written(tmp_path, {"data": "prepared", "output": "run", "autoencoder": {"steps": 5}})
    settings = read_settings(AutoencoderConfigFile, file, ["autoencoder.steps=7"])
    assert settings.autoencoder.steps == 7
    with pytest.raises(InputError, match=r"there is no key autoencoder\.stesp; did you mean steps"):
        read_settings(AutoencoderConfigFile, file, ["autoencoder.stesp=7"])
