"""Import of published checkpoints, written here with the authors' names: the same numbers, and no trust in any file."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data.meta_tensor import MetaTensor
from monai.utils.enums import MetaKeys, SpaceKeys, TraceKeys
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.errors import InputError
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.model import ModelFolder
from ccella_core.models.search import user_models_dir
from ccella_core.networks import (
    REPORT_VARIANTS,
    VARIANTS,
    AdapterConfig,
    AutoencoderConfig,
    ConditionalDenoiser,
    DenoiserConfig,
    UNetConfig,
    build_autoencoder,
    published_denoiser,
)
from ccella_core.networks.published import denoiser_config_of, published_name, variant_of
from ccella_core.published.import_published import read_autoencoder, read_denoiser, read_pickle
from ccella_core.training.frozen_networks import autoencoder_source

TINY_UNET = UNetConfig(num_channels=(32, 32, 64, 64), num_res_blocks=1)
TINY_AUTOENCODER = AutoencoderConfig(num_channels=(32, 32), num_res_blocks=(1, 1))


TINY_ADAPTER = AdapterConfig(text_width=24, width=64, num_latents=8, layers=2, time_channels=32)


def config_of(variant: str, **unet: Any) -> DenoiserConfig:
    adapter = TINY_ADAPTER if VARIANTS[variant].uses_text else None
    if VARIANTS[variant].uses_modality:
        unet = {"modality_labels": 128, "residual_resampling": True, "attention_projection": True, **unet}
    return DenoiserConfig(variant=variant, unet=TINY_UNET.model_copy(update=unet), adapter=adapter)


def authors_state(model: ConditionalDenoiser) -> dict[str, torch.Tensor]:
    return {published_name(name, model.config.variant): value for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def models() -> dict[str, ConditionalDenoiser]:
    torch.manual_seed(0)
    return {variant: ConditionalDenoiser(config_of(variant)) for variant in ("ccella", "maisi")}


def save(path: Path, state: dict[str, torch.Tensor], scale: Any = 0.9, **more: Any) -> Path:
    torch.save({"unet_state_dict": state, "scale_factor": scale, **more}, path)
    return path


@pytest.mark.medium
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_recognised_and_comes_back(tmp_path, variant):
    model = ConditionalDenoiser(config_of(variant))
    path = save(tmp_path / "m.pt", authors_state(model), torch.tensor(0.8), epoch=3, optimizer={"lr": 0.1})
    found = read_denoiser(path)
    assert found.denoiser.config == model.config and found.scale_factors == (pytest.approx(0.8),)
    torch.testing.assert_close(found.denoiser.state_dict(), model.state_dict(), rtol=0, atol=0)


def test_the_published_outputs_are_met(tmp_path, draw_weights, reference_folder, draw):
    reference = ConditionalDenoiser(config_of("maisi"))
    draw_weights(reference, lambda name: published_name(name, "maisi"))
    prefixed = {f"module.{name}": value for name, value in authors_state(reference).items()}
    model = read_denoiser(save(tmp_path / "m.pt", prefixed)).denoiser
    with torch.inference_mode():
        output = model(
            draw("input.x", (2, 4, 8, 8, 8)),
            torch.tensor([17, 803]),
            spacing=draw("input.spacing", (2, 3)).abs() * 0.5,
        )
    expected = np.load(reference_folder / "network_outputs.npz")
    error = np.abs(output.prediction.numpy() - expected["maisi.noise_pred"]).max()
    assert error < 1e-4 * np.abs(expected["maisi.noise_pred"]).max()


@pytest.mark.parametrize(
    "config",
    [TINY_AUTOENCODER, AutoencoderConfig(num_channels=(32, 64, 64), num_res_blocks=(2, 1, 2), latent_channels=3)],
)
@pytest.mark.parametrize("wrapper", [None, "state_dict", "unet_state_dict"])
def test_the_autoencoder_comes_back(tmp_path, config, wrapper):
    model = build_autoencoder(config)
    state = {f"module.{name}": value for name, value in model.state_dict().items()}
    torch.save(state if wrapper is None else {wrapper: state, "epoch": 1}, tmp_path / "vae.pt")
    found, found_config = read_autoencoder(tmp_path / "vae.pt")
    assert found_config == config
    torch.testing.assert_close(found.state_dict(), model.state_dict(), rtol=0, atol=0)


class Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


def test_a_pickle_that_would_run_a_program_is_not_run(tmp_path):
    sign = tmp_path / "it ran"
    torch.save({"unet_state_dict": Evil(sign), "scale_factor": 1.0}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match=r"cannot be read safely.*Nothing in it was run"):
        read_denoiser(tmp_path / "evil.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Evil(sign)))
    with pytest.raises(InputError):
        read_denoiser(tmp_path / "plain.pt")
    assert not sign.exists()


SECRET = "/hospital/patients/Meier_1950.nii.gz"


def scale_as_the_authors_save_it(value: float) -> MetaTensor:
    """1 / the standard deviation of a batch of latents, which were collated from files that MONAI read."""
    latent = MetaTensor(
        torch.tensor([-1.0, 1.0]) / value,
        meta={
            "filename_or_obj": [SECRET],
            MetaKeys.SPACE: [SpaceKeys.RAS],
            MetaKeys.ORIGINAL_AFFINE: torch.eye(4)[None],
            "spatial_shape": torch.tensor([[256, 256, 128]]),
        },
        applied_operations=[{TraceKeys.CLASS_NAME: ["Spacingd"], TraceKeys.DO_TRANSFORM: torch.tensor([True])}],
    )
    scale = 1 / latent.std(unbiased=False)
    assert isinstance(scale, MetaTensor) and SECRET in str(scale.meta)
    return scale


@pytest.mark.parametrize("factors", [(0.9,), (1.1, 1.9, 0.6)], ids=["CCELLA", "CCELLA++"])
def test_scale_factors_with_metadata_are_read_and_the_patients_paths_dropped(tmp_path, models, factors):
    scales = tuple(scale_as_the_authors_save_it(factor) for factor in factors)
    path = save(tmp_path / "m.pt", authors_state(models["maisi"]), scales if len(scales) > 1 else scales[0])
    assert SECRET.encode() in path.read_bytes()
    found = read_denoiser(path)
    assert found.scale_factors == pytest.approx(factors)
    assert type(read_pickle(path)["scale_factor"]) in (torch.Tensor, list)
    assert all(type(tensor) is torch.Tensor for tensor in found.denoiser.state_dict().values())


def test_weights_with_metadata_are_read(tmp_path, models):
    state = {name: MetaTensor(tensor, meta={"filename_or_obj": SECRET}) for name, tensor in
             authors_state(models["maisi"]).items()}  # fmt: skip
    found = read_denoiser(save(tmp_path / "m.pt", state, MetaTensor(torch.tensor(0.5))))
    torch.testing.assert_close(found.denoiser.state_dict(), models["maisi"].state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "stranger", [np.float64(0.9), np.ones(3), Path("/x"), MetaTensor(torch.ones(1), meta={"a": np.ones(2)})]
)
def test_metadata_opens_the_door_to_nothing_else(tmp_path, models, stranger):
    path = save(tmp_path / "m.pt", authors_state(models["maisi"]), torch.tensor(0.9), more=stranger)
    with pytest.raises(InputError, match="cannot be read safely"):
        read_denoiser(path)


def test_a_checkpoint_that_holds_itself_is_refused(tmp_path):
    content: dict[str, Any] = {"epoch": 1}
    content["model"] = content
    torch.save(content, tmp_path / "dict.pt")
    items: list[Any] = []
    items.append(items)
    torch.save({"state_dict": items}, tmp_path / "list.pt")
    for name in ("dict.pt", "list.pt"):
        with pytest.raises(InputError, match="holds values inside themselves"):
            read_autoencoder(tmp_path / name)


def test_a_tensor_that_announces_more_than_it_holds_is_refused(tmp_path, models):
    state = authors_state(models["maisi"])
    name = next(iter(state))
    path = save(tmp_path / "m.pt", {**state, name: torch.ones(1).expand(10**7, 10**5)})
    with pytest.raises(InputError, match=r"does not hold all numbers of the tensor .*\(10000000, 100000\)"):
        read_denoiser(path)


def test_a_folder_is_no_checkpoint(tmp_path):
    with pytest.raises(InputError, match="is no file"):
        read_autoencoder(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\n", b"PK\x03\x04 cut off"]
)
def test_what_is_no_checkpoint_is_said(tmp_path, content):
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"is no whole checkpoint of torch|cannot be read safely"):
        read_denoiser(tmp_path / "m.pt")


@pytest.mark.medium
def test_other_checkpoints_are_told_apart(tmp_path, models):
    state = authors_state(models["maisi"])
    with pytest.raises(InputError, match="There is no file"):
        read_denoiser(tmp_path / "none.pt")
    torch.save(state, tmp_path / "bare.pt")
    with pytest.raises(InputError, match="is no checkpoint of a denoiser: it has no unet_state_dict and scale_factor"):
        read_denoiser(tmp_path / "bare.pt")
    with pytest.raises(InputError, match="holds no tensors by name"):
        read_denoiser(save(tmp_path / "m.pt", {}))
    with pytest.raises(InputError, match="holds the variant maisi, not ccella"):
        read_denoiser(save(tmp_path / "m.pt", state), "ccella")
    with pytest.raises(InputError, match="does not hold the MAISI autoencoder"):
        read_autoencoder(tmp_path / "bare.pt")


def test_a_network_that_cannot_be_built_is_said(tmp_path):
    odd = build_autoencoder(AutoencoderConfig(num_channels=(8, 8), num_res_blocks=(1, 1), norm_num_groups=4))
    torch.save(odd.state_dict(), tmp_path / "vae.pt")
    with pytest.raises(InputError, match=r"does not hold the MAISI autoencoder .*norm_num_groups: 32 do not divide"):
        read_autoencoder(tmp_path / "vae.pt")


@pytest.mark.medium
def test_what_does_not_fit_is_named(tmp_path, models):
    state = authors_state(models["maisi"])
    missing = {name: value for name, value in state.items() if name != "out.2.conv.bias"}
    with pytest.raises(InputError, match=r"missing: unet.out.2.conv.bias"):
        read_denoiser(save(tmp_path / "m.pt", missing))
    with pytest.raises(InputError, match="unexpected: stranger"):
        read_denoiser(save(tmp_path / "m.pt", {**state, "stranger": torch.ones(1)}))
    with pytest.raises(InputError, match=r"of another shape: unet.out.2.conv.bias \(9,\) instead of \(4,\)"):
        read_denoiser(save(tmp_path / "m.pt", {**state, "out.2.conv.bias": torch.ones(9)}))
    with pytest.raises(InputError, match=r"NaN or infinite: unet.out.2.conv.bias"):
        read_denoiser(save(tmp_path / "m.pt", {**state, "out.2.conv.bias": torch.full((4,), float("nan"))}))
    for scale in (0.0, float("nan"), "one", []):
        with pytest.raises(InputError, match="The scale factor in"):
            read_denoiser(save(tmp_path / "m.pt", state, scale))


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.output


ABOUT = ["--name", "authors", "--licence", "CC-BY-NC-4.0", "--intended-use", "Research.", "--trained-on", "patients"]
SIZE = ["--shape", 16, 16, 16, "--spacing", 1, 1, 3]


@pytest.fixture
def vae(tmp_path) -> Path:
    torch.manual_seed(0)
    torch.save(build_autoencoder(TINY_AUTOENCODER).state_dict(), tmp_path / "vae.pt")
    return tmp_path / "vae.pt"


def test_the_autoencoder_alone_is_made_ready_for_a_training(tmp_path, vae):
    said = run("models", "import-autoencoder", vae, "--out", tmp_path / "maisi", "--licence", "NVIDIA-OneWay")
    assert "Licence: NVIDIA-OneWay" in said and "name that folder as `autoencoder`" in said
    source = autoencoder_source(str(tmp_path / "maisi"))
    assert source.config == TINY_AUTOENCODER
    torch.testing.assert_close(source.load().state_dict(), torch.load(vae, weights_only=True), rtol=0, atol=0)
    about = json.loads((tmp_path / "maisi" / "about.json").read_text(encoding="utf-8"))
    assert about["licence"] == "NVIDIA-OneWay" and about["imported_from"] == "vae.pt"
    again = ["models", "import-autoencoder", vae, "--out", tmp_path / "maisi", "--licence", "other"]
    assert "exists already" in run(*again, code=1)
    run(*again, "--overwrite")
    assert "exists already" in run(
        "models", "import-autoencoder", vae, "--out", tmp_path, "--licence", "x", "--overwrite", code=1
    )
    (tmp_path / "no.pt").write_bytes(b"")
    assert "no whole checkpoint" in run("models", "import-autoencoder", tmp_path / "no.pt", "--out", tmp_path / "o",
                                        "--licence", "x", code=2)  # fmt: skip
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("variant", REPORT_VARIANTS)
def test_the_published_size_is_told_by_its_tensors(variant, reference_folder):
    shapes = json.loads((reference_folder / "state_dict_published.json").read_text(encoding="utf-8"))[variant]
    with torch.device("meta"):
        tensors = {name: torch.empty(shape) for name, shape in shapes.items()}
    assert variant_of(tensors) == variant
    assert denoiser_config_of(tensors, variant) == published_denoiser(variant)


def test_the_published_size_of_nvidia_s_network_is_told_by_its_tensors(reference_folder):
    file = reference_folder / "nv_rflow_mr" / "state_dict_unet_published.json"
    with torch.device("meta"):
        tensors = {name: torch.empty(shape) for name, shape in json.loads(file.read_text(encoding="utf-8")).items()}
    assert variant_of(tensors) == "modality"
    assert denoiser_config_of(tensors, "modality") == published_denoiser("modality")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("controlnet_cond_embedding.conv_in.conv.weight", "is a ControlNet"),
        ("top_region_index_layer.0.weight", r"MAISI's network for CT.*\(DDPM-CT\); only networks that draw prostates"),
    ],
)
def test_other_networks_are_refused_by_name(tmp_path, models, name, said):
    path = save(tmp_path / "m.pt", {**authors_state(models["maisi"]), name: torch.ones(1)})
    with pytest.raises(InputError, match=said):
        read_denoiser(path)


def nvidia_s(tmp_path: Path, **unet: Any) -> Path:
    torch.manual_seed(0)
    network = ConditionalDenoiser(config_of("modality", **unet))
    with torch.no_grad():  # MONAI starts the last layers at zero, which would hide the label
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return save(tmp_path / "diff_unet_3d_rflow-mr.pt", authors_state(network), torch.tensor(0.9),
                epoch=1, loss=0.1, num_train_timesteps=1000)  # fmt: skip


NV_SIZE = ["--shape", 32, 32, 16, "--spacing", 5.3, 5.3, 5.6]


@pytest.fixture(scope="module")
def nv_model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("nv")
    torch.save(build_autoencoder(TINY_AUTOENCODER).state_dict(), folder / "vae.pt")
    run("models", "import", nvidia_s(folder), "--autoencoder", folder / "vae.pt", "--out", folder / "model", *NV_SIZE)
    return folder / "model"


@pytest.mark.medium
def test_nvidia_s_network_needs_no_more_than_its_files(tmp_path, vae, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    said = run("models", "import", nvidia_s(tmp_path), "--autoencoder", vae)
    assert "OneWay Non-Commercial" in said and "cannot be told apart" in " ".join(said.split())
    index = ModelFolder.open(user_models_dir() / "nv-generate-mr").index
    assert index.modality_labels == {"t2w": 10, "hbv": 13, "adc": 14} and index.default_guidance_scale == 10
    assert (index.default_scheduler, index.default_num_inference_steps) == ("rflow", 30)
    assert index.native_shape == (256, 256, 128)
    size_mm = np.multiply(index.native_shape, index.native_spacing_mm)
    np.testing.assert_allclose(size_mm, (170, 170, 90))


@pytest.mark.medium
def test_nvidia_s_network_draws_one_sequence_at_a_time(tmp_path, nv_model):
    out = ["--model", nv_model, "--seed", 1, "--steps", 2, "--out", tmp_path / "out", "--no-picture"]
    run("generate", *out)
    run("generate", *out, "--sequences", "adc", "--guidance", 1)
    run("generate", *out, "--sequences", "hbv", "--crop", 64, 64, 45)
    t2w, hbv, adc = (
        SyntheticVolume.load(tmp_path / "out" / f"SYNTHETIC_nv-generate-mr_seed1_{name}.nii.gz")
        for name in ("t2w", "hbv", "adc")
    )
    assert (t2w.sequence, t2w.provenance.guidance_scale) == ("t2w", 10)
    assert (adc.sequence, adc.provenance.guidance_scale, adc.provenance.scheduler) == ("adc", 1, "rflow")
    assert t2w.voxels.max() > 10, "times 1000"
    assert not np.array_equal(t2w.voxels, adc.voxels)
    assert hbv.voxels.shape == (12, 12, 8) and hbv.provenance.shape == (32, 32, 16)
    assert "cropped around its middle, not around the gland" in hbv.provenance.warnings[-1]
    whole = CCELLAPipeline.from_pretrained(nv_model)(seed=1, num_inference_steps=2, sequences=["hbv"])[0]
    np.testing.assert_allclose(hbv.voxels, whole.voxels[10:22, 10:22, 4:12], atol=1e-2)
    np.testing.assert_allclose(hbv.affine @ [0, 0, 0, 1], whole.affine @ [10, 10, 4, 1])


def test_what_nvidia_s_network_cannot_do_is_said(tmp_path, nv_model, vae):
    out = ["--model", nv_model, "--out", tmp_path / "out"]
    assert "reads no report" in run("generate", *out, "--report", "PI-RADS 4.", code=2)
    assert "one sequence at a time" in run("generate", *out, "--sequences", "t2w,adc", code=2)
    said = run("generate", *out, "--scheduler", "dpm++", code=2)
    assert "is drawn with rflow alone" in " ".join(said.split())
    common = ["models", "import", nvidia_s(tmp_path), "--autoencoder", vae, "--out", tmp_path / "x"]
    assert "is drawn with rflow alone" in " ".join(run(*common, "--scheduler", "ddim", code=2).split())
    assert "named twice" in run(*common, "--sequences", "t2w,t2w", code=2)
    assert not (tmp_path / "x").exists()


def test_what_a_model_does_not_draw_is_said(tmp_path, models, vae):
    path = save(tmp_path / "m.pt", authors_state(models["maisi"]))
    run("models", "import", path, "--autoencoder", vae, "--out", tmp_path / "model", *ABOUT, *SIZE)
    said = run("generate", "--model", tmp_path / "model", "--sequences", "adc", "--out", tmp_path / "out", code=2)
    assert "draws t2w, and no adc" in " ".join(said.split())


def test_what_no_file_says_is_asked_for(tmp_path, models, vae):
    path = save(tmp_path / "m.pt", authors_state(models["maisi"]))
    said = run("models", "import", path, "--autoencoder", vae, "--name", "mine", code=2)
    assert "give --licence, --intended-use, --trained-on" in " ".join(said.split())


class Hub:
    """Stands for the hub, by the signatures of its client: what was asked of it, and what it has."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files, self.asked = files, []

    def list_repo_files(self, repo_id: str) -> list[str]:
        self.asked.append(repo_id)
        return list(self.files)

    def hf_hub_download(self, repo_id: str, filename: str) -> str:
        self.asked.append(filename)
        if filename not in self.files:
            raise OSError(f"404 {filename}")
        return str(self.files[filename])


@pytest.fixture
def hub(tmp_path, vae, monkeypatch) -> Hub:
    (tmp_path / "LICENSE").write_text("You may not sell it.", encoding="utf-8")
    stand_in = Hub({
        "LICENSE": tmp_path / "LICENSE",
        "LICENSE.pdf": tmp_path / "none",
        "models/diff_unet_3d_rflow-mr.pt": nvidia_s(tmp_path),
        "models/autoencoder_v2.pt": vae,
    })  # fmt: skip
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: stand_in)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", stand_in.hf_hub_download)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return stand_in


@pytest.mark.medium
def test_nvidia_s_network_is_fetched_after_its_licence_was_accepted(hub):
    command = ["models", "download", "nv-generate-mr"]
    refused = CliRunner().invoke(app, command, input="n\n")
    assert refused.exit_code == 2 and "You may not sell it." in refused.output and "not accepted" in refused.output
    assert hub.asked == ["nvidia/NV-Generate-MR", "LICENSE"], "its licence alone"
    assert CliRunner().invoke(app, command).exit_code != 0, "nobody there to ask"
    assert not (user_models_dir() / "nv-generate-mr").exists()
    accepted = CliRunner().invoke(app, command, input="y\n")
    assert accepted.exit_code == 0, accepted.output
    assert hub.asked[-2:] == ["models/diff_unet_3d_rflow-mr.pt", "models/autoencoder_v2.pt"]
    ModelFolder.open(user_models_dir() / "nv-generate-mr").verify()
    assert "exists already" in run(*command, "--accept-licence", code=1)


def test_a_hub_out_of_reach_is_said(hub):
    del hub.files["models/autoencoder_v2.pt"]
    said = " ".join(run("models", "download", "nv-generate-mr", "--accept-licence", code=1).split())
    assert "could not be fetched" in said and "hf download nvidia/NV-Generate-MR" in said
    assert "404 models/autoencoder_v2.pt" in said


@pytest.mark.medium
def test_a_model_from_checkpoints_makes_a_volume(tmp_path, models, vae):
    path = save(tmp_path / "m.pt", authors_state(models["maisi"]))
    said = run("models", "import", path, "--autoencoder", vae, "--out", tmp_path / "model", *ABOUT, *SIZE)
    assert "Licence: CC-BY-NC-4.0" in said and "Intended use: Research." in said and "(maisi)" in said
    model = ModelFolder.open(tmp_path / "model")
    model.verify()
    assert model.index.scale_factors == ((0.9,),) and model.index.training["imported_from"] == ["m.pt", "vae.pt"]
    run("generate", "--model", tmp_path / "model", "--steps", 2, "--seed", 1, "--out", tmp_path / "out")
    (image,) = (tmp_path / "out").glob("*.nii.gz")
    assert SyntheticVolume.load(image).voxels.shape == (16, 16, 16)
    assert "exists already" in run(
        "models", "import", path, "--autoencoder", vae, "--out", tmp_path / "model", *ABOUT, *SIZE, code=1
    )


@pytest.mark.medium
def test_three_scale_factors_are_three_sequences(tmp_path, vae):
    torch.manual_seed(0)
    model = ConditionalDenoiser(config_of("maisi", latent_channels=12))
    path = save(tmp_path / "m.pt", authors_state(model), (0.9, torch.tensor(1.1), 1.3))
    common = ["models", "import", path, "--autoencoder", vae, "--out", tmp_path / "model", *ABOUT, *SIZE]
    said = run(*common, "--sequences", "t2w", code=2)
    assert "has 3 scale factors and 1 sequences were named" in " ".join(said.split())
    run(*common)
    assert ModelFolder.open(tmp_path / "model").index.sequences == ["t2w", "hbv", "adc"]
    assert ModelFolder.open(tmp_path / "model").index.latent_scale_factor == pytest.approx((0.9, 1.1, 1.3))
    run("generate", "--model", tmp_path / "model", "--steps", 2, "--seed", 4, "--out", tmp_path / "out", "--count", 2)
    found = {image.name: SyntheticVolume.load(image) for image in (tmp_path / "out").glob("*.nii.gz")}
    assert sorted(found) == [
        f"SYNTHETIC_authors_seed{seed}_{name}.nii.gz" for seed in (4, 5) for name in ("adc", "hbv", "t2w")
    ]
    run(
        "generate",
        "--model",
        tmp_path / "model",
        "--steps",
        1,
        "--out",
        tmp_path / "one",
        "--sequences",
        "hbv",
        "--no-picture",
    )
    assert [SyntheticVolume.load(image).sequence for image in (tmp_path / "one").glob("*.nii.gz")] == ["hbv"]
    assert {volume.sequence for volume in found.values()} == {"t2w", "hbv", "adc"}
    adc = found["SYNTHETIC_authors_seed4_adc.nii.gz"].voxels
    assert adc.max() > 10, "in 10⁻⁶ mm²/s, not in 0 … 1"
    first, second = (found[f"SYNTHETIC_authors_seed4_{name}.nii.gz"].voxels for name in ("t2w", "hbv"))
    assert not np.array_equal(first, second)


@pytest.mark.medium
def test_parts_that_do_not_fit_each_other_are_said(tmp_path, models, vae):
    state = authors_state(models["ccella"])
    path = save(tmp_path / "m.pt", state)
    common = ["models", "import", path, "--autoencoder", vae, "--out", tmp_path / "b", *ABOUT, *SIZE]
    assert "needs a text encoder" in run(*common, code=2)
    other = AutoencoderConfig(latent_channels=3, num_channels=(32, 32), num_res_blocks=(1, 1))
    torch.save(build_autoencoder(other).state_dict(), vae)
    said = run("models", "import", save(tmp_path / "n.pt", authors_state(models["maisi"])), *common[3:], code=2)
    assert "its autoencoder reads 3 for each of 1 sequences" in said
    assert not (tmp_path / "b").exists()
