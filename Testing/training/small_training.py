"""A folder in which ``ccella train denoiser config.yaml`` takes a few seconds, for the tests of the command itself."""

from __future__ import annotations

from pathlib import Path

import yaml
from latent_cases import TINY_AUTOENCODER, tiny_autoencoder, tiny_network
from typer.testing import CliRunner

from ccella_core.cases.layouts import read_source
from ccella_core.cases.prepare import prepare
from ccella_core.cases.prepared import PrepareSettings
from ccella_core.cli import app
from ccella_core.models.model import save_component


def prepare_work(folder: Path, *, steps: int, checkpoint_every: int) -> Path:
    """Prepared phantoms, an autoencoder, and a configuration that needs no text encoder; returns ``folder``."""
    for first, count, split in (("0", "4", "train"), ("9", "2", "validation")):
        arguments = ["phantom", "--seed", first, "--count", count, "--sequence", "t2w", "--manifest", split]
        assert CliRunner().invoke(app, [*arguments, "--out", str(folder / "phantoms")]).exit_code == 0
    settings = PrepareSettings(shape=(16, 16, 8), spacing=(6.0, 6.0, 12.0))
    prepare(read_source(folder / "phantoms" / "manifest.jsonl"), settings, folder / "prepared")
    save_component(tiny_autoencoder(), TINY_AUTOENCODER, folder / "autoencoder")
    content = {
        "data": "prepared", "output": "whole", "autoencoder": "autoencoder", "cache": {"shard_cases": 2},
        "denoiser": {
            "network": tiny_network("radmaisi").model_dump(mode="json"), "steps": steps, "batch_size": 2,
            "checkpoint_every": checkpoint_every, "ema_decay": 0.9, "learning_rate": 1e-3, "keep_checkpoints": 2,
        },
        "logging": {"log_with": [], "validate_every": steps, "picture_every": steps, "picture_steps": 2},
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder
