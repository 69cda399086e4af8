"""A training that goes on from published weights, or from a run: the scale that they learnt with is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from monai.data.meta_tensor import MetaTensor
from small_training import prepare_work
from typer.testing import CliRunner

from ccella_core.cli import app
from ccella_core.models.model import ModelFolder
from ccella_core.models.weights import load_state, save_component
from ccella_core.networks import AutoencoderConfig, ConditionalDenoiser, DenoiserConfig, UNetConfig, build_autoencoder
from ccella_core.networks.published import published_name
from ccella_core.runs.folder import read_run
from ccella_core.training.data.cached_cases import read_index

pytestmark = pytest.mark.slow

AUTOENCODER = AutoencoderConfig(latent_channels=2, num_channels=(32, 32), num_res_blocks=(1, 1))
NETWORK = DenoiserConfig(
    variant="radmaisi",
    adapter=None,
    unet=UNetConfig(
        latent_channels=AUTOENCODER.latent_channels,
        num_channels=(32, 64),
        attention_levels=(False, True),
        num_head_channels=(0, 32),
        num_res_blocks=1,
    ),
)
SCALE = 0.7310


def run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared cases, and a model that was imported from a checkpoint as the authors write it."""
    folder = prepare_work(tmp_path_factory.mktemp("start"), steps=2, checkpoint_every=2)
    torch.manual_seed(1)
    network = ConditionalDenoiser(NETWORK)
    state = {published_name(name, "radmaisi"): value for name, value in network.state_dict().items()}
    scale = MetaTensor(torch.tensor(SCALE), meta={"filename_or_obj": "/patients/x.nii.gz"})
    torch.save({"unet_state_dict": state, "scale_factor": scale}, folder / "authors.pt")
    autoencoder = build_autoencoder(AUTOENCODER)
    save_component(autoencoder, AUTOENCODER, folder / "autoencoder")
    torch.save(autoencoder.state_dict(), folder / "vae.pt")
    run("models", "import", folder / "authors.pt", "--autoencoder", folder / "vae.pt", "--out", folder / "imported",
        "--name", "authors", "--licence", "x", "--intended-use", "x", "--trained-on", "x", "--shape", 16, 16, 8,
        "--spacing", 6, 6, 12)  # fmt: skip
    content = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    content["denoiser"] |= {"network": NETWORK.model_dump(mode="json"), "learning_rate": 1e-7}
    (folder / "tuned.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def train(work: Path, output: str, *more: str, code: int = 0, **keys: Any) -> str:
    keys = {"data": work / "prepared", "autoencoder": work / "autoencoder", "output": work / output, **keys}
    given = [argument for key, value in keys.items() for argument in ("--set", f"{key}={value}")]
    return run("train", "denoiser", work / "tuned.yaml", *given, *more, code=code)


@pytest.fixture(scope="module")
def tuned(work: Path) -> Path:
    train(work, "tuned", start_from=work / "imported", cache_folder=work / "kept")
    return work / "tuned"


def test_an_imported_model_is_tuned_at_its_own_scale(work: Path, tuned: Path) -> None:
    index = read_index(work / "kept")
    assert index is not None and index.scale_factors == pytest.approx((SCALE,))
    assert read_run(tuned)["latent_scale_factor"] == pytest.approx([SCALE])
    said = ["--licence", "x", "--intended-use", "x", "--trained-on", "x"]
    run("models", "export", tuned, "--out", work / "exported", *said)
    model = ModelFolder.open(work / "exported")
    assert model.index.latent_scale_factor == pytest.approx(SCALE)
    stages = model.index.training["stages"]
    assert [stage["stage"] for stage in stages] == ["autoencoder", "start", "denoiser"]  # type: ignore[index,union-attr]
    assert stages[1]["model"] == "authors 1.0.0"  # type: ignore[index,call-overload]
    torch.manual_seed(1)
    before = ConditionalDenoiser(NETWORK).state_dict()
    after = ConditionalDenoiser(NETWORK)
    load_state(after, work / "exported" / "denoiser")
    for name, value in after.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-3)


def test_a_cache_made_with_another_scale_is_refused_by_name(work: Path, tuned: Path) -> None:
    said = train(work, "other", start_from=work / "imported", cache_folder=work / "kept", latent_scale="data", code=2)
    assert "a cache that was made from something else" in said and f"scale_factor was [{SCALE}" in said
    train(work, "own", start_from=work / "imported", cache_folder=work / "data", latent_scale="data")
    own = read_index(work / "data")
    assert own is not None and own.scale_factors != pytest.approx((SCALE,), rel=1e-3)
    said = train(work, "third", start_from=work / "imported", cache_folder=work / "data", code=2)
    assert f"scale_factor was None and is [{SCALE}" in said
    train(work, "fourth", start_from=tuned, cache_folder=work / "kept")  # a run keeps its scale as a model does
    assert read_run(work / "fourth")["latent_scale_factor"] == pytest.approx([SCALE])


def test_a_start_that_does_not_fit_is_refused(work: Path) -> None:
    assert "no finished run and no model" in train(work, "x", start_from=work / "nothing", code=2)
    said = train(work, "x", "--set", "denoiser.scheduler.prediction_type=v_prediction", start_from=work / "imported",
                 code=2)  # fmt: skip
    assert "it predicts epsilon" in said
    assert "draws t2w in this order" in train(work, "x", start_from=work / "imported", sequences="[adc]", code=2)
    said = train(work, "x", "--set", "denoiser.network.unet.num_res_blocks=2", start_from=work / "imported", code=2)
    assert "another network" in said
    assert not (work / "x").exists()
