"""A whole study of networks with a few channels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHAPE, SPACING = (16, 16, 8), (1.0, 1.0, 3.0)


def tiny_study(manifest: Path, phantom_reader: Path, model: Path, folder: Path) -> dict[str, Any]:
    unet = {"latent_channels": 4, "num_channels": [8, 8], "attention_levels": [False, True],
            "num_head_channels": [0, 8], "num_res_blocks": 1, "norm_num_groups": 4}  # fmt: skip
    adapter = {"text_width": 16, "width": 16, "num_latents": 4, "layers": 2, "heads": 2, "time_channels": 8,
               "class_hidden": 4}  # fmt: skip
    return {
        "title": "A tiny study",
        "output": str(folder / "study"),
        "data": {
            "source": str(manifest), "prepared": str(folder / "prepared"),
            "grid": {"shape": SHAPE, "spacing": SPACING, "centre": "image", "scaling": "none"},
        },
        "variants": ["ccella", "maisi", "decoupled"],
        "training": {
            "settings": {
                "autoencoder": str(model), "text_encoder": str(model), "max_tokens": 16,
                "cache": {"mirror": False},
                "denoiser": {"network": {"unet": unet, "adapter": adapter}, "steps": 4, "batch_size": 2,
                             "checkpoint_every": 2, "warmup_steps": 1},
                "logging": {"validate_every": 4, "picture_every": 0, "log_with": []},
            },
            "then": {"denoiser": {"steps": 2, "warmup_steps": 0, "seed": 1}},
        },
        "synthesis": {"num_inference_steps": 2},
        "images": {"extractors": {"phantom": str(phantom_reader)}},
        "adherence": {"phantom_reader": str(phantom_reader)},
        "classifiers": {
            "real_counts": [4], "seeds": [0, 1],
            "settings": {
                "mixed_precision": "no",  # not that of the denoisers: one process has to bear both
                "classifier": {"preprocessing": {"shape": [16, 16, 16]}, "steps": 2, "batch_size": 2, "validations": 1,
                               "augmentation": {"translation": [1, 1, 1]}},
            },
        },
        "examples": 2,
    }  # fmt: skip
