"""What a model tells of its making, whatever is there of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from latent_cases import TINY_AUTOENCODER, tiny_autoencoder, tiny_network

from ccella_core.models.model import save_component
from ccella_core.training.frozen_networks import autoencoder_source
from ccella_core.training.lineage import stages_of

MODEL = Path(__file__).parents[2] / "Resources" / "Models" / "ccella-demo"


def write_run(folder: Path, recipe: dict[str, Any], seconds: list[float] | None) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps({"software": {"torch": "2"}, "data": {"cases": {"train": 3}}}))
    if seconds is not None:
        records = [{"step": step, "kind": "step", "seconds": each} for step, each in enumerate(seconds, start=1)]
        (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return folder


def denoiser(folder: Path, seconds: list[float] | None, **more: Any) -> Path:
    network = tiny_network("radmaisi").model_dump(mode="json")
    recipe = {"data": "prepared", "output": folder.name, "autoencoder": str(folder.parent / "autoencoder"),
              "denoiser": {"network": network}, **more}  # fmt: skip
    return write_run(folder, recipe, seconds)


@pytest.fixture
def autoencoder(tmp_path: Path) -> Path:
    write_run(tmp_path / "autoencoder", {"autoencoder": {"steps": 7}}, [1.0, 2.0, 0.5, 1.5])
    save_component(tiny_autoencoder(), TINY_AUTOENCODER, tmp_path / "autoencoder" / "autoencoder")
    return tmp_path / "autoencoder"


def test_a_run_that_started_from_another_tells_of_both_and_of_the_decoder(tmp_path, autoencoder):
    first = denoiser(tmp_path / "first", None)
    second = denoiser(tmp_path / "second", [3.0], start_from=str(first))
    decoder = tmp_path / "decoder"
    write_run(decoder, {"refine": "autoencoder"}, [4.0])
    save_component(tiny_autoencoder(), TINY_AUTOENCODER, decoder / "autoencoder")
    stages = stages_of(second, autoencoder_source(str(decoder)))
    assert [(stage["stage"], stage["run"], stage["seconds"]) for stage in stages] == [
        ("autoencoder", "autoencoder", 3.5),  # two seconds, then resumed for one and a half
        ("denoiser", "first", None),  # kept no log
        ("denoiser", "second", 3.0),
        ("decoder", "decoder", 4.0),
    ]
    assert stages[0]["recipe"] == {"autoencoder": {"steps": 7}} and stages[0]["software"] == {"torch": "2"}
    json.dumps(stages)


def test_what_is_gone_is_left_out_with_a_warning(tmp_path, autoencoder, caplog):
    run = denoiser(tmp_path / "second", [3.0], start_from=str(tmp_path / "gone"))
    stages = stages_of(run, autoencoder_source(str(autoencoder)))
    assert [stage["stage"] for stage in stages] == ["autoencoder", "denoiser"]
    assert "gone, from which" in caplog.text and "the model will not tell of it" in caplog.text


def test_parts_of_models_and_strangers_are_known_by_their_hashes(tmp_path, autoencoder):
    run = denoiser(tmp_path / "run", [1.0])
    model = autoencoder_source(str(MODEL))
    assert stages_of(run, model)[-1].keys() == {"stage", "model", "sha256"}
    save_component(tiny_autoencoder(), TINY_AUTOENCODER, tmp_path / "folder")
    stranger = autoencoder_source(str(tmp_path / "folder"))
    assert stages_of(run, stranger)[-1] == {"stage": "decoder", "fingerprint": stranger.fingerprint}
