"""Makes the demonstration model: the commands that anybody would give, one after the other.

    python docs/tools/make_demo_model.py --work runs/demo

Each command goes on where it was stopped, so this does too. ``--shorter N`` trains everything N times shorter, on N
times fewer patients, to see that the recipe runs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from _recipe import ccella, draw_patients, shortened

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "Resources" / "Recipes" / "ccella-demo"
MODEL = ROOT / "Resources" / "Models" / "ccella-demo"
# Seeds of the patients: no two uses of them share one; those of the text encoder stand in its configuration.
TRAINING_PATIENTS = range(0, 1250)
VALIDATION_PATIENTS = range(5_000, 5_032)
FEWEST = 8  # patients of a split
SHAPE, SPACING = ("96", "96", "32"), ("1", "1", "3")  # the digital prostate's own grid
ABOUT = (
    "--name", "ccella-demo",
    "--version", "1.1.0",
    "--licence", "Apache-2.0",
    "--intended-use",
    "Demonstration, teaching and tests of software. Not for diagnosis, not for research on patients.",
    "--description", "A small CCELLA that draws digital prostates from the reports that describe them.",
    "--trained-on", "{patients} digital prostates, each also mirrored. No patient data of any kind.",
    "--steps", "10",  # the fewest that come as near to phantoms as 1000 do: Testing/benchmarks/steps_quality.py
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/demo"), help="phantoms, prepared cases and checkpoints")
    parser.add_argument("--out", type=Path, default=MODEL, help="the model")
    parser.add_argument("--shorter", type=int, default=1, help="how many times shorter")
    options = parser.parse_args()
    work, shorter = options.work.resolve(), options.shorter
    work.mkdir(parents=True, exist_ok=True)

    for patients, split in ((TRAINING_PATIENTS, "train"), (VALIDATION_PATIENTS, "validation")):
        draw_patients(work, split, patients[: max(FEWEST, len(patients) // shorter)])
    ccella(work, "prepare", "phantoms/manifest.jsonl", "--out", "prepared", "--shape", *SHAPE, "--spacing", *SPACING,
           "--centre", "image", "--scaling", "none")  # fmt: skip
    for network, name in (
        ("autoencoder", "autoencoder"),
        ("text-encoder", "text_encoder"),
        ("denoiser", "denoiser"),
        ("denoiser", "denoiser_on_lesions"),
        ("autoencoder", "decoder"),
    ):
        ccella(work, "train", network, str(RECIPE / f"{name}.yaml"), *shortened(RECIPE / f"{name}.yaml", shorter))
    about = [text.format(patients=max(FEWEST, len(TRAINING_PATIENTS) // shorter)) for text in ABOUT]
    ccella(work, "models", "export", "denoiser_on_lesions", "--out", str(options.out.resolve()), "--autoencoder",
           "decoder", *about, "--overwrite")  # fmt: skip


if __name__ == "__main__":
    main()
