"""Models are made of published checkpoints and generate, and what no file says is asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from authors_checkpoints import TINY_AUTOENCODER, authors_state, config_of, run, save

from ccella_core.imaging.volume import SyntheticVolume
from ccella_core.models.model import ModelFolder
from ccella_core.networks import AutoencoderConfig, ConditionalDenoiser, build_autoencoder
from ccella_core.training.frozen_networks import autoencoder_source

ABOUT = ["--name", "authors", "--licence", "CC-BY-NC-4.0", "--intended-use", "Research.", "--trained-on", "patients"]
SIZE = ["--shape", 16, 16, 16, "--spacing", 1, 1, 3]


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


def test_what_a_model_does_not_draw_is_said(tmp_path, models, vae):
    path = save(tmp_path / "m.pt", authors_state(models["maisi"]))
    run("models", "import", path, "--autoencoder", vae, "--out", tmp_path / "model", *ABOUT, *SIZE)
    said = run("generate", "--model", tmp_path / "model", "--sequences", "adc", "--out", tmp_path / "out", code=2)
    assert "draws t2w, and no adc" in " ".join(said.split())


def test_what_no_file_says_is_asked_for(tmp_path, models, vae):
    path = save(tmp_path / "m.pt", authors_state(models["maisi"]))
    said = run("models", "import", path, "--autoencoder", vae, "--name", "mine", code=2)
    assert "give --licence, --intended-use, --trained-on" in " ".join(said.split())


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
