"""Trains a tiny denoiser on a cache that lies there, as one of several processes; the main one writes what it heard."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from accelerate import Accelerator
from latent_cases import Heard, tiny_network

from ccella_core.training.data.cached_cases import CachedCases
from ccella_core.training.denoiser import DenoiserTraining, train_denoiser
from ccella_core.training.validation import validate

CONFIG = DenoiserTraining(
    network=tiny_network(), steps=4, batch_size=5, micro_batch_size=2, learning_rate=3e-3, report_dropout=0.4,
    ema_decay=0.9, checkpoint_every=2,
)  # fmt: skip


def main(cache: Path, out: Path) -> None:
    accelerator = Accelerator()
    heard, seen = Heard(), []

    def look(run) -> None:
        with run.averaged():
            seen.append(validate(run.model, CachedCases(cache, "validation"), CONFIG, accelerator))

    run = train_denoiser(
        CachedCases(cache, "train"),
        CONFIG,
        out / "checkpoints",
        accelerator=accelerator,
        logger=heard,
        after_step=look,
    )
    if accelerator.is_main_process:
        content = {"processes": accelerator.num_processes, "steps": heard.steps, "validation": seen, "done": run.step}
        (out / "heard.json").write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
