"""NVIDIA's network: it needs no more than its files, draws one sequence at a time, and is fetched under its licence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from authors_checkpoints import TINY_AUTOENCODER, authors_state, config_of, run, save
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.generation.pipeline import CCELLAPipeline
from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.model import ModelFolder
from ccella_core.models.search import user_models_dir
from ccella_core.networks import ConditionalDenoiser, build_autoencoder, published_denoiser
from ccella_core.networks.published import denoiser_config_of, variant_of

NV_SIZE = ["--shape", 32, 32, 16, "--spacing", 5.3, 5.3, 5.6]


def test_the_published_size_of_nvidia_s_network_is_told_by_its_tensors(reference_folder):
    file = reference_folder / "nv_rflow_mr" / "state_dict_unet_published.json"
    with torch.device("meta"):
        tensors = {name: torch.empty(shape) for name, shape in json.loads(file.read_text(encoding="utf-8")).items()}
    assert variant_of(tensors) == "modality"
    assert denoiser_config_of(tensors, "modality") == published_denoiser("modality")


def nvidia_s(tmp_path: Path, **unet: Any) -> Path:
    torch.manual_seed(0)
    network = ConditionalDenoiser(config_of("modality", **unet))
    with torch.no_grad():  # MONAI starts the last layers at zero, which would hide the label
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return save(tmp_path / "diff_unet_3d_rflow-mr.pt", authors_state(network), torch.tensor(0.9),
                epoch=1, loss=0.1, num_train_timesteps=1000)  # fmt: skip


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
